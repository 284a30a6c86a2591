"""How long the stages of the loop take, and when each last did its work: for the daemon's metrics."""

from __future__ import annotations

from bisect import bisect_left

from cemd.kit.clock import Clock
from cemd.loop.stages import Stage

BOUNDS = (0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the histogram, seconds."""


class Taken:
    """What one stage took so far. Written by the core's thread, read by any."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)  # by bound, not cumulative; the last is beyond them all
        self.seconds = 0.0
        self.last_at: float | None = None

    def add(self, seconds: float, at: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds
        self.last_at = at


class Stopwatch:
    """Watches one core."""

    def __init__(self, clock: Clock) -> None:
        self.taken = {stage: Taken() for stage in Stage}
        self._clock = clock
        self._since = clock.monotonic()

    def __call__(self, stage: Stage | None) -> None:
        now = self._clock.monotonic()
        if stage is not None:
            self.taken[stage].add(now - self._since, self._clock.now())
        self._since = now
