"""The prober's process is kept alive, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from cemd.daemon import prober_process
from cemd.daemon.prober_process import ProberProcess


@pytest.fixture
def prober(tmp_path: Path) -> ProberProcess:
    return ProberProcess(tmp_path / "nobody.sock", tmp_path / "prober", vantage="home")


async def _pid(prober: ProberProcess, *, not_this: int = 0) -> int:
    async with asyncio.timeout(60):
        while prober.pid is None or prober.pid == not_this:
            await asyncio.sleep(0.01)
    return prober.pid


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_killed_prober_is_started_again_and_ends_with_the_daemon(prober: ProberProcess) -> None:
    work = asyncio.create_task(prober.run())
    first = await _pid(prober)
    os.kill(first, signal.SIGKILL)
    second = await _pid(prober, not_this=first)
    assert prober.starts == 2
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not _exists(first)
    assert not _exists(second)


def test_pauses_grow() -> None:
    assert list(prober_process.PAUSES_SECONDS) == sorted(prober_process.PAUSES_SECONDS)
