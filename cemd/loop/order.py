"""Order: gives every payload a seq and a core time. Core time never goes back, whatever the wall clock does.

A wall clock that jumps is noticed by the monotonic clock beside it and said in an entry. After a jump forward core time
follows at once; after a jump back it goes on at half speed until the wall clock is even, so that timers keep running.
While nobody ran there was no monotonic clock: then a wall clock that is behind core time by another distance than was
known has been put back meanwhile. One that was put forward cannot be told from a long rest, and need not be.
"""

from __future__ import annotations

from collections.abc import Sequence

from cemd.model.entry import ClockStepped, Entry, Payload
from cemd.model.identity import Instant

STEP_SECONDS = 2.0
"""Slewing by NTP stays far below this; a jump beyond it is a step."""


class Order:
    """The next seq and time. Not shared between threads.

    `ahead_seconds`: how far core time was ahead of the wall clock when the last entry was logged, as far as was known.
    """

    def __init__(self, seq: int, at: Instant, *, ahead_seconds: float = 0.0) -> None:
        self.seq = seq
        self.at = at
        self._ahead_seconds = ahead_seconds
        self._wall: float | None = None
        self._monotonic = 0.0

    def stamp(self, payloads: Sequence[Payload], *, wall: float, monotonic: float) -> list[Entry]:
        """Entries for the payloads, perhaps after one that says that the clock stepped.

        Nothing is kept until `accept`: a group that could not be logged leaves no gap.
        """
        step = self._step(wall, monotonic)
        at = self._core_time(wall, monotonic)
        stamped = [ClockStepped(seconds=step), *payloads] if step else payloads
        return [Entry(seq=self.seq + place, at=at, payload=payload) for place, payload in enumerate(stamped, 1)]

    def accept(self, entries: Sequence[Entry], *, wall: float, monotonic: float) -> None:
        """The entries are in the log: time and seq go on from them."""
        if entries:
            self.seq, self.at = entries[-1].seq, entries[-1].at
        self._wall, self._monotonic = wall, monotonic

    def _step(self, wall: float, monotonic: float) -> float:
        if self._wall is None:
            known = max(0.0, self._ahead_seconds - max(0.0, wall - self.at))  # at the instant where time goes on
            step = known - max(0.0, self.at - wall)
        else:
            step = wall - self._wall - (monotonic - self._monotonic)
        return step if abs(step) > STEP_SECONDS else 0.0

    def _core_time(self, wall: float, monotonic: float) -> Instant:
        """At half speed as long as that is ahead of the wall clock: analyze counts on it."""
        passed = monotonic - self._monotonic if self._wall is not None else 0.0
        return max(wall, self.at + passed / 2)
