"""A token bucket: so many a second, and a burst of one second at most."""

from __future__ import annotations

import asyncio

from cemd.kit.clock import Clock


class Bucket:
    """Lets `per_second` through; who comes too early waits its turn."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._rate = per_second
        self._most = max(1.0, per_second)
        self._tokens = self._most
        self._clock = clock
        self._last = clock.monotonic()

    async def take(self) -> None:
        """Returns when one more may go."""
        now = self._clock.monotonic()
        self._tokens = min(self._most, self._tokens + (now - self._last) * self._rate) - 1.0
        self._last = now
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._rate)
