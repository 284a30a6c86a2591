"""Time is handed in. Only `SystemClock` asks the machine; everything else at the edges gets a `Clock`.

`now` is the wall clock and may jump; durations and schedules use `monotonic`, which never does.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two times: one for people and records, one for durations."""

    def now(self) -> float:
        """Seconds since 1970-01-01T00:00:00Z."""

    def monotonic(self) -> float:
        """Seconds since some moment in the past; only differences mean something."""


class SystemClock:
    """The machine's own time; asked several times for each run of a probe, so without a frame of Python between."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class ManualClock:
    """A clock that moves when told; for simulation and tests."""

    def __init__(self, now: float = 1_700_000_000.0, monotonic: float = 1_000.0) -> None:
        self._now = now
        self._monotonic = monotonic

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Lets both times pass.

        Raises:
            ValueError: `seconds` is negative; use `step_wall` for a wall clock that is put back.
        """
        if seconds < 0:
            raise ValueError(f"time cannot pass by {seconds} s; step the wall clock instead.")
        self._now += seconds
        self._monotonic += seconds

    def step_wall(self, seconds: float) -> None:
        """Puts the wall clock forward or back; durations do not notice."""
        self._now += seconds
