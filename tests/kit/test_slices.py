"""Long work in slices: others have their turn, and what it took is told."""

from __future__ import annotations

import asyncio
import time

from cemd.kit.tasks import LONGEST_SLICE_SECONDS, SLICE_SECONDS, Slices


def work(seconds: float) -> None:
    """Takes so much of the processor."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def test_others_have_their_turn_when_a_slice_is_over_and_its_cost_is_told() -> None:
    spent: list[float] = []
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            work(0.002)
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    pause = Slices(spent.append)
    for _ in range(4):
        assert not pause.over()
        work(LONGEST_SLICE_SECONDS)
        assert pause.over()
        await pause.rest()
    beside.cancel()
    assert turns >= 4
    assert len(spent) == 4
    assert all(one >= LONGEST_SLICE_SECONDS for one in spent)


async def test_what_lies_between_two_pieces_of_work_is_not_told() -> None:
    spent: list[float] = []
    pause = Slices(spent.append)
    work(SLICE_SECONDS)
    pause.end()
    work(0.05)
    pause.begin()
    assert not pause.over()
    pause.end()
    assert sum(spent) < 0.05
