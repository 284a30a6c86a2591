"""The agenda: what is due next among very many, as columns; pure, times are monotonic seconds.

Every slot has one regular time in a column. Of those only the near future is kept in order: a slice of a fraction of
a second is cut out of the column and sorted at once, which costs a microsecond for a hundred slots and needs no object
for each of them; what is due is a piece of that slice. What is asked for out of turn (a quick look after a failure, run
now) waits in a small heap beside it.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import compress
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

SLICE_SECONDS: Final = 0.25
"""Long enough that cutting costs nothing, short enough that the slice of a million probes is small."""
_LEAST_SLOTS: Final = 64


class Agenda:
    """Slots are small numbers from 0; a slot without a time is never due."""

    def __init__(self) -> None:
        self._times = array("d", [inf]) * _LEAST_SLOTS
        self._planned: NDArray[np.float64] = np.frombuffer(self._times)
        """The same column, for looking at many of it."""
        self._near: list[float] = []
        """Regular times before `_horizon`, earliest first; those before `_cursor` are worked off."""
        self._near_slots: list[int] = []
        self._cursor = 0
        self._horizon = -inf
        self._soon: list[tuple[float, int]] = []
        """Regular times before `_horizon` that were given after it was cut: a heap."""
        self._asked: list[tuple[float, int]] = []

    def reserve(self, slots: int) -> None:
        """Makes room for so many slots, neither more nor less than it takes."""
        if slots > len(self._times):
            grown = array("d", [inf]) * slots
            grown[: len(self._times)] = self._times
            self._times, self._planned = grown, np.frombuffer(grown)

    def planned(self, slot: int) -> float:
        """The slot's next regular time."""
        return self._times[slot]

    def plan(self, slot: int, at: float) -> None:
        """Gives a slot its next regular time; `inf` takes it out."""
        if slot >= len(self._times):
            self.reserve(max(slot + 1, len(self._times) * 3 // 2))
        self._times[slot] = at
        if at < self._horizon - 2 * SLICE_SECONDS:
            # Cut when nothing nearer was known, as while a set is put in the order of its phases: all that comes now
            # would wait in the heap, and nothing could be let in ahead. The column knows all, and is cut anew.
            self._near, self._near_slots, self._cursor, self._horizon = [], [], 0, -inf
            self._soon.clear()
        elif at < self._horizon:
            heapq.heappush(self._soon, (at, slot))

    def plan_each(self, slots: Iterable[int], at: Iterable[float]) -> None:
        """The same for slots that have been planned before."""
        times, horizon = self._times, self._horizon
        for slot, following in zip(slots, at, strict=True):
            times[slot] = following
            if following < horizon:
                heapq.heappush(self._soon, (following, slot))

    def plan_many(self, slots: NDArray[np.intp], at: NDArray[np.float64], *, soonest: float) -> None:
        """Gives slots that have been planned before, each at most once, their next regular times, none before
        `soonest`."""
        self._planned[slots] = at
        if soonest < self._horizon:
            near = at < self._horizon
            for soon in zip(at[near].tolist(), slots[near].tolist(), strict=True):
                heapq.heappush(self._soon, soon)

    def ask(self, slot: int, at: float) -> None:
        """One more time, beside the regular one."""
        heapq.heappush(self._asked, (at, slot))

    def forget(self, slot: int) -> None:
        """Takes out the regular time and all that was asked for."""
        self._times[slot] = inf
        if any(other == slot for _, other in self._asked):
            self._asked = [entry for entry in self._asked if entry[1] != slot]
            heapq.heapify(self._asked)

    def next_at(self) -> float | None:
        """When something is next due, None where nothing ever is."""
        regular = self._next_regular()
        at = min(regular, self._asked[0][0]) if self._asked else regular
        return None if at == inf else at

    def pop(self, now: float) -> tuple[list[float], list[int]]:
        """Regular times up to now, earliest first, and their slots, which have no time from then on."""
        times: list[float] = []
        slots: list[int] = []
        while self._next_regular() <= now:
            upto = bisect_right(self._near, now, self._cursor)
            piece = slice(self._cursor, upto)
            self._take(zip(self._near[piece], self._near_slots[piece], strict=True), times, slots)
            self._cursor = upto
            if self._soon and self._soon[0][0] <= now:
                soon = []
                while self._soon and self._soon[0][0] <= now:
                    soon.append(heapq.heappop(self._soon))
                self._take(soon, times, slots)
                order = sorted(range(len(times)), key=times.__getitem__)
                times, slots = [times[place] for place in order], [slots[place] for place in order]
        return times, slots

    def near(self, until: float, most: int, wanted: Sequence[int]) -> tuple[list[float], list[int]]:
        """The next regular times up to `until`, earliest first, and their slots, of those that are `wanted` (by slot, 0
        where not), out of the next so many, maybe fewer than there are. They stay; who takes one plans it anew."""
        first, planned = self._cursor, self._times
        piece = slice(first, min(bisect_right(self._near, until, first), first + most))
        times, slots = self._near[piece], self._near_slots[piece]
        good = [wanted[slot] and planned[slot] == at for at, slot in zip(times, slots, strict=True)]
        return list(compress(times, good)), list(compress(slots, good))

    def pop_asked(self, now: float) -> list[tuple[float, int]]:
        """What was asked for up to now, earliest first: (time, slot)."""
        asked = []
        while self._asked and self._asked[0][0] <= now:
            asked.append(heapq.heappop(self._asked))
        return asked

    def _take(self, entries: Iterable[tuple[float, int]], times: list[float], slots: list[int]) -> None:
        """Takes entries out, without those that were planned anew since."""
        planned = self._times
        for at, slot in entries:
            if planned[slot] == at:
                planned[slot] = inf
                times.append(at)
                slots.append(slot)

    def _next_regular(self) -> float:
        """The earliest regular time; entries that were planned anew since are dropped on the way."""
        times, near = self._times, self._near
        while True:
            while self._cursor < len(near) and times[self._near_slots[self._cursor]] != near[self._cursor]:
                self._cursor += 1
            while self._soon and times[self._soon[0][1]] != self._soon[0][0]:
                heapq.heappop(self._soon)
            if self._cursor < len(near):
                return min(near[self._cursor], self._soon[0][0]) if self._soon else near[self._cursor]
            if self._soon:
                return self._soon[0][0]
            if not self._cut():
                return inf
            near = self._near

    def _cut(self) -> bool:
        """Sorts the next slice out of the column; False where the column is empty."""
        first = float(self._planned.min())
        if first == inf:
            return False
        self._horizon = max(first, self._horizon) + SLICE_SECONDS
        slots = np.flatnonzero(self._planned < self._horizon)
        times = self._planned[slots]
        order = np.argsort(times, kind="stable")
        self._near, self._near_slots, self._cursor = times[order].tolist(), slots[order].tolist(), 0
        return True
