"""The servers behind the channels: each is in nobody's reach for a while, again and again, by the seed."""

from __future__ import annotations

from bisect import bisect_right

from cemd.simulation.fakes import FakeClock, entropy
from cemd.simulation.plan import Plan

UP_SECONDS = (300.0, 9_000.0)
DOWN_SECONDS = (15.0, 60.0, 300.0, 900.0, 2_400.0)
"""From one that was started anew to one that somebody has to mend."""


class Servers:
    """Of one life; from its end on all of them work, so that what began can end."""

    def __init__(self, plan: Plan, clock: FakeClock, end: float) -> None:
        self._plan = plan
        self._clock = clock
        self._begin, self._end = clock.monotonic, end
        self._turns: dict[str, list[float]] = {}  # by channel: when its server falls, comes back, falls, ...

    def is_dead(self, channel: str) -> bool:
        """Whether nothing can leave by this channel now."""
        now = self._clock.monotonic
        if now >= self._end or not self._plan.has("dead-servers"):
            return False
        if channel not in self._turns:
            self._turns[channel] = self._drawn(channel)
        return bisect_right(self._turns[channel], now) % 2 == 1

    def _drawn(self, channel: str) -> list[float]:
        chance = entropy(self._plan.seed, f"server {channel}")
        turns, at = [], self._begin
        while at < self._end:
            at += chance.uniform(*UP_SECONDS)
            turns.append(at)
            at += chance.choice(DOWN_SECONDS) * chance.uniform(0.5, 1.5)
            turns.append(at)
        return turns
