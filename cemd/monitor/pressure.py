"""Pressure: a prober that is busy measures itself, so it works at half of what it could do at most, and says so.

What it could do is measured: runs begun over the processor time that the prober's thread spent. Beyond half of that,
runs are given up before they begin, of each probe the same share of its own, and moments of truth only when nothing
else is left. So it is where the prober comes too late because others have the processor. Pure: times are arguments.
"""

from __future__ import annotations

from array import array
from math import inf

CAP_SHARE = 0.5
"""Of one processor: above it, waiting for ourselves shows in what we measure (performance at half load is flat)."""
_SMOOTHING = 0.5
_APART = 0.6180339887498949
"""Golden section: multiples of it lie evenly between whole numbers, however many there are."""
_IDLE_SHARE = 0.1
"""Below this the capacity is not judged: the few runs would be charged with everything else the thread does."""


class Pressure:
    """Told about once a second what happened; asked at each run, while some are given up, whether this one is."""

    def __init__(self, cap_share: float = CAP_SHARE) -> None:
        self._cap_share = cap_share
        self._capacity = inf
        self._keep = [1.0, 1.0]
        self._debts = array("f")
        """By probe, what is to be given up of it: a whole run at 1. Probes come in the same order again and again, so
        one account for all would always give up the same ones."""
        self._offered = [0, 0]
        self._begun = 0
        self.shed_total = 0
        self.shed_important_total = 0

    @property
    def cap_per_second(self) -> float:
        """Runs a second that are begun at most; infinite until the prober was busy enough to know."""
        return self._capacity * self._cap_share

    def begun(self, count: int) -> None:
        """So many runs begin without being asked about: nothing is given up at the moment."""
        self._offered[0] += count
        self._begun += count

    def sheds(self, probe: int, *, important: bool) -> bool:
        """Whether this run of a probe (a small number) must be given up; counts it."""
        rank = int(important)
        self._offered[rank] += 1
        keep = self._keep[rank]
        if keep < 1.0:
            debts = self._debts
            if probe >= len(debts):
                debts.extend(number * _APART % 1.0 for number in range(len(debts), probe + 1))
            debt = debts[probe] + 1.0 - keep
            if debt >= 1.0:
                debts[probe] = debt - 1.0
                self.shed_total += 1
                self.shed_important_total += rank
                return True
            debts[probe] = debt
        self._begun += 1
        return False

    def observe(self, busy_seconds: float, wall_seconds: float, *, behind: bool = False) -> bool:
        """What the thread's processor time was since the last call, and whether it came too late, whoever had the
        processor: then half of what is asked for is given up. Answers whether runs are being given up now."""
        if behind:
            self._keep_of(self._cap_share * sum(self._offered))
        else:
            self._measure(busy_seconds, wall_seconds)
        self._offered, self._begun = [0, 0], 0
        return min(self._keep) < 1.0

    def _measure(self, busy_seconds: float, wall_seconds: float) -> None:
        if busy_seconds > _IDLE_SHARE * wall_seconds and self._begun:
            seen = self._begun / busy_seconds
            known = seen if self._capacity == inf else self._capacity
            self._capacity = known + _SMOOTHING * (seen - known)
        if min(self._keep) < 1.0 or busy_seconds > self._cap_share * wall_seconds:
            self._keep_of(self.cap_per_second * wall_seconds)

    def _keep_of(self, allowed: float) -> None:
        """So many of the runs that are asked for are begun, moments of truth first."""
        ordinary, important = self._offered
        self._keep = [_share(allowed - important, ordinary), _share(allowed, important)]


def _share(allowed: float, offered: int) -> float:
    return 1.0 if allowed >= offered else max(0.0, allowed / offered)
