"""Clock, word to systemd, backoff, guarded tasks, durable files."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from itertools import pairwise
from pathlib import Path

import pytest
import structlog
from cemd.kit.clock import ManualClock
from cemd.kit.files import write_durably
from cemd.kit.retry import Backoff
from cemd.kit.sdnotify import Notifier, notifier, watchdog_seconds
from cemd.kit.tasks import keep_running, wait_or_stop


def test_stepping_the_wall_clock_leaves_durations_alone() -> None:
    clock = ManualClock(now=100.0, monotonic=5.0)
    clock.advance(2.0)
    clock.step_wall(-50.0)
    assert (clock.now(), clock.monotonic()) == (52.0, 7.0)
    with pytest.raises(ValueError, match="cannot pass"):
        clock.advance(-1.0)


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_manager_hears_every_state(tmp_path: Path, abstract: bool) -> None:
    address = f"@cemd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address[1:] if abstract else address)
        word = Notifier(address)
        word.ready("up\nand running")
        word.reloading()
        word.watchdog()
        word.stopping()
        heard = [manager.recv(1024).decode() for _ in range(4)]
    assert heard[0] == "READY=1\nSTATUS=up and running"
    assert heard[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert heard[2:] == ["WATCHDOG=1", "STOPPING=1"]


def test_without_a_manager_nothing_happens_and_with_a_dead_one_it_raises(tmp_path: Path) -> None:
    notifier({}).ready()
    with pytest.raises(FileNotFoundError):
        Notifier(str(tmp_path / "nobody")).ready()
    with pytest.raises(ValueError, match="NOTIFY_SOCKET"):
        Notifier("relative")


def test_watchdog_of_another_process_is_not_ours() -> None:
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000"}) == 30.0
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}) == 30.0
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}) is None
    assert watchdog_seconds({}) is None


def test_delays_double_up_to_the_longest_and_start_anew_after_success() -> None:
    waits = Backoff(first_seconds=1.0, longest_seconds=10.0, chance=random.Random(7))
    delays = [waits.next_delay() for _ in range(200)]
    for delay, ceiling in zip(delays, [1, 2, 4, 8, *[10] * 196], strict=True):
        assert ceiling / 2 <= delay <= ceiling
    waits.reset()
    assert waits.next_delay() <= 1.0


async def test_guard_runs_again_after_a_fault_and_counts_it() -> None:
    faults: list[int] = []
    runs: list[float] = []

    async def work() -> None:
        runs.append(asyncio.get_running_loop().time())
        if len(runs) < 4:
            raise ValueError("broken")

    waits = Backoff(first_seconds=0.001, longest_seconds=0.002)
    await keep_running(work, name="w", log=structlog.get_logger(), on_fault=lambda: faults.append(1), backoff=waits)
    assert len(runs) == 4
    assert len(faults) == 3
    assert all(after > before for before, after in pairwise(runs))


async def test_guard_lets_cancellation_pass() -> None:
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(keep_running(work, name="w", log=structlog.get_logger()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_waiting_ends_at_once_when_stopping_is_set() -> None:
    stopping = asyncio.Event()
    assert not await wait_or_stop(stopping, 0.001)
    stopping.set()
    assert await wait_or_stop(stopping, 3600.0)


def test_files_are_replaced_whole_and_private(tmp_path: Path) -> None:
    file = tmp_path / "number"
    write_durably(file, b"1")
    write_durably(file, b"22")
    assert file.read_bytes() == b"22"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["number"]
