"""Guarded tasks: the fault of one stays in its own room, is logged and counted, and is tried again after a while.

Only a guard catches `Exception`. Cancellation passes through, and so does whatever is no `Exception`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from cemd.kit.retry import Backoff

T = TypeVar("T")

SLICE_SECONDS = 0.004
"""So long of processor time does long work of a loop go on before others of the loop have their turn."""
LONGEST_SLICE_SECONDS = 0.007
SHARE = 0.1
"""In a busy loop longer, by this share of what the others took: such work would last for minutes there otherwise."""


class Slices:
    """Long work of an event loop, a slice at a time: where `over`, the others have their turn by `rest`.

    Time is the thread's processor time, so that a slice is not over because the kernel gave it to somebody else.
    `spent` is told what each slice took, in seconds.
    """

    def __init__(self, spent: Callable[[float], None] = lambda _seconds: None) -> None:
        self._spent = spent
        self.begin()

    def begin(self) -> None:
        """The work goes on after something else."""
        self._begun = time.thread_time()
        self._ends = self._begun + SLICE_SECONDS

    def over(self) -> bool:
        """Whether it is the others' turn."""
        return time.thread_time() > self._ends

    async def rest(self) -> None:
        """Lets the others have their turn, and begins a new slice."""
        self.end()
        left = time.monotonic()
        await asyncio.sleep(0)
        took = time.monotonic() - left
        self._begun = time.thread_time()
        self._ends = self._begun + min(LONGEST_SLICE_SECONDS, max(SLICE_SECONDS, SHARE * took))

    def end(self) -> None:
        """The work is over, or something else comes."""
        now = time.thread_time()
        self._spent(now - self._begun)
        self._begun = now


async def beside(long: bool, work: Callable[[], T]) -> T:
    """Does pure work in a thread when it is long, so that it does not hold the event loop; else at once."""
    return await asyncio.to_thread(work) if long else work()


def settle(future: asyncio.Future[T], result: T) -> None:
    """Gives a future its result, unless whoever waited for it has just gone: a deadline and an answer may come in the
    same turn of the loop."""
    if not future.done():
        future.set_result(result)


async def keep_running(
    work: Callable[[], Awaitable[None]],
    *,
    name: str,
    log: Any,
    on_fault: Callable[[], None] = lambda: None,
    backoff: Backoff | None = None,
) -> None:
    """Runs `work` until it returns; after a fault logs it, counts it by `on_fault`, waits longer each time, runs again.

    A run of more than a minute counts as recovered: its fault starts the delays anew.
    """
    waits = backoff or Backoff(first_seconds=0.2, longest_seconds=30.0)
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await work()
        except Exception as exc:  # noqa: BLE001 -- this is the guard
            if loop.time() - began > 60.0:
                waits.reset()
            delay = waits.next_delay()
            on_fault()
            log.error("task.failed", task=name, error=f"{type(exc).__name__}: {exc}", again_in_seconds=round(delay, 3))
        else:
            return
        await asyncio.sleep(delay)


async def wait_or_stop(stopping: asyncio.Event, seconds: float) -> bool:
    """Waits until `stopping` is set or the time is over; answers whether it is set."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await stopping.wait()
    except TimeoutError:
        return stopping.is_set()
    return True
