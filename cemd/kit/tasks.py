"""Guarded tasks: the fault of one stays in its own room, is logged and counted, and is tried again after a while.

Only a guard catches `Exception`. Cancellation passes through, and so does whatever is no `Exception`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from cemd.kit.retry import Backoff

T = TypeVar("T")


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
