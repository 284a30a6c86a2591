"""A child ends with whoever started it, however that ends: benches and tests leave no program behind."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from cemd.kit.parent import end_with_starter

ROOT = Path(__file__).resolve().parents[2]
BENCH_PROGRAM = """
import sys, time
from bench.probing.harness import running
with running("sleep", "600") as pid:
    print(pid, flush=True)
    time.sleep(600)
"""
BENCH_PROBER = """
import asyncio, sys
from pathlib import Path
from bench.probing.harness import prober
async def work():
    async with prober(Path(sys.argv[1]), []) as (pid, _):
        print(pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(work())
"""
TEST_PROBER = """
import asyncio, sys
from pathlib import Path
from tests.monitor.daemon_side import prober_child
async def work():
    folder = Path(sys.argv[1])
    async with prober_child(folder / "s", folder / "state") as child:
        print(child.process.pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(work())
"""


@pytest.mark.parametrize(
    "script", [BENCH_PROGRAM, BENCH_PROBER, TEST_PROBER], ids=["program of a bench", "prober of a bench", "of a test"]
)
@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_child_ends_when_its_starter_is_ended_without_a_word(script: str, how: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", script, str(tmp_path)]
    starter = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=end_with_starter)
    assert starter.stdout is not None
    child = int(starter.stdout.readline())
    assert lives(child)
    getattr(starter, how)()
    starter.wait(30)
    starter.stdout.close()
    end = time.monotonic() + 60
    while lives(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not lives(child)


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody took note of does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
