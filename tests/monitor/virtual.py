"""A loop whose time is made up: where it would wait, its clock goes to its next timer at once.

What takes seconds is over in milliseconds, and is the same each time, however busy the machine is.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any

from cemd.kit.clock import ManualClock


class _NoWait(selectors.DefaultSelector):
    """Looks, and lets the clock pass instead of waiting."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("nothing is ready and no timer is set: this would wait for ever.")
        self._clock.advance(max(0.0, timeout))
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its `time` is that of a clock which moves by itself."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        super().__init__(_NoWait(self.clock))

    def time(self) -> float:
        return self.clock.monotonic()


def lived(life: Callable[[ManualClock], Awaitable[Any]]) -> None:
    """Runs it from beginning to end in made-up time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)

        async def whole() -> None:
            await life(loop.clock)

        runner.run(whole())
