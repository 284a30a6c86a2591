"""The agenda: what is due next among very many, as columns; pure, times are monotonic seconds.

Every slot has one regular time in a column. Of those only the near future is kept in order: a slice of a fraction of
a second is cut out of the column and sorted at once, which costs a microsecond for a hundred slots and needs no object
for each of them. What is asked for out of turn (a quick look after a failure, run now) waits in a small heap beside it.
"""

from __future__ import annotations

import heapq
from array import array
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

SLICE_SECONDS: Final = 0.25
"""Long enough that cutting costs nothing, short enough that the slice of a million probes is small."""


class Agenda:
    """Slots are small numbers from 0; a slot without a time is never due."""

    def __init__(self) -> None:
        self._times = array("d", [inf]) * 64
        self._planned: NDArray[np.float64] = np.frombuffer(self._times)
        """The same column, for looking at all of it."""
        self._near: list[tuple[float, int]] = []
        """Regular times before `_horizon`, latest first, so that the next one is popped from the end."""
        self._horizon = -inf
        self._soon: list[tuple[float, int]] = []
        """Regular times before `_horizon` that were given after it was cut: a heap."""
        self._asked: list[tuple[float, int]] = []

    def planned(self, slot: int) -> float:
        """The slot's next regular time."""
        return self._times[slot]

    def plan(self, slot: int, at: float) -> None:
        """Gives a slot its next regular time; `inf` takes it out."""
        if slot >= len(self._times):
            self._grow(slot)
        self._times[slot] = at
        if at < self._horizon:
            heapq.heappush(self._soon, (at, slot))

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

    def pop(self, now: float) -> list[tuple[float, int, bool]]:
        """All that is due by now, earliest first: (time, slot, whether it is the regular time)."""
        due: list[tuple[float, int, bool]] = []
        times = self._times
        while True:
            regular = self._next_regular()
            while self._asked and self._asked[0][0] <= min(now, regular):
                at, slot = heapq.heappop(self._asked)
                due.append((at, slot, False))
            if regular > now:
                return due
            near, until = self._near, min(now, self._soon[0][0] if self._soon else inf)
            until = min(until, self._asked[0][0]) if self._asked else until
            while near and near[-1][0] <= until:
                at, slot = near.pop()
                if times[slot] == at:
                    times[slot] = inf
                    due.append((at, slot, True))
            if self._soon and self._soon[0][0] <= min(now, near[-1][0] if near else inf):
                at, slot = heapq.heappop(self._soon)
                if times[slot] == at:
                    times[slot] = inf
                    due.append((at, slot, True))

    def _next_regular(self) -> float:
        """The earliest regular time; entries that were planned anew since are dropped on the way."""
        while True:
            while self._near and self._times[self._near[-1][1]] != self._near[-1][0]:
                self._near.pop()
            while self._soon and self._times[self._soon[0][1]] != self._soon[0][0]:
                heapq.heappop(self._soon)
            if self._near:
                return min(self._near[-1][0], self._soon[0][0]) if self._soon else self._near[-1][0]
            if self._soon:
                return self._soon[0][0]
            if not self._cut():
                return inf

    def _cut(self) -> bool:
        """Sorts the next slice out of the column; False where the column is empty."""
        first = float(self._planned.min())
        if first == inf:
            return False
        self._horizon = max(first, self._horizon) + SLICE_SECONDS
        slots = np.flatnonzero(self._planned < self._horizon)
        times = self._planned[slots]
        order = np.argsort(-times, kind="stable")
        self._near = list(zip(times[order].tolist(), slots[order].tolist(), strict=True))
        return True

    def _grow(self, slot: int) -> None:
        grown = array("d", [inf]) * max(slot + 1, len(self._times) * 3 // 2)
        grown[: len(self._times)] = self._times
        self._times, self._planned = grown, np.frombuffer(grown)
