"""The agenda: what is due next among very many, as columns; pure, times are monotonic seconds.

Every slot has an interval and one regular time, in columns. Of those only the near future is kept in order: a slice of
a fraction of a second is cut out of the column and sorted at once, and all that is in it gets its following time in
the same stroke. So what is due is a piece of that slice, which nobody need plan anew: a turn costs nearly the same for
one slot as for a hundred. What is asked for out of turn (a quick look after a failure, run now) waits in a small heap.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_left, bisect_right
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

SLICE_SECONDS: Final = 0.25
"""Long enough that cutting costs nothing, short enough that the slice of a million probes is small."""
_ROUNDING_SECONDS: Final = 1e-6
"""More than the sum of a time and an interval is off."""
_LEAST_SLOTS: Final = 64


class Agenda:
    """Slots are small numbers from 0; a slot without a time is never due."""

    def __init__(self) -> None:
        self._times, self._every = array("d"), array("d")
        """By slot: the next regular time that is not in the slice, and the interval."""
        self.reserve(_LEAST_SLOTS)
        self._near: list[float] = []
        """The slice: regular times before `_horizon`, earliest first; those before `_cursor` are worked off."""
        self._near_slots: list[int] = []
        self._cursor = 0
        self._struck: set[int] = set()
        """Slots that were planned anew since the slice was cut: what it says of them no longer holds."""
        self._horizon = -inf
        self._soon: list[tuple[float, int]] = []
        """Times before `_horizon` given since it was cut: a heap; one that is not its slot's own no longer holds."""
        self.asked: list[tuple[float, int]] = []
        """What was asked for beside the regular times, (time, slot): a heap, mostly empty, as each turn asks."""
        self.shortest = inf
        """The shortest interval ever planned."""
        self._missed = 0

    def reserve(self, slots: int) -> None:
        """Makes room for so many slots, neither more nor less than it takes."""
        if (held := len(self._times)) < slots:
            times, every = array("d", [inf]) * slots, array("d", [0.0]) * slots
            times[:held], every[:held] = self._times, self._every
            self._times, self._every = times, every
            self._times_column: NDArray[np.float64] = np.frombuffer(times)
            self._every_column: NDArray[np.float64] = np.frombuffer(every)

    def every(self, slot: int) -> float:
        """The slot's interval, 0 where it has none."""
        return self._every[slot]

    def planned(self, slot: int) -> float:
        """The slot's next regular time that nobody has taken, `inf` where it has none."""
        if self._struck:
            self._strike()
        following = self._times[slot]
        before = following - self._every[slot]
        place = bisect_left(self._near, before - _ROUNDING_SECONDS, self._cursor)
        while place < len(self._near) and self._near[place] < before + _ROUNDING_SECONDS:
            if self._near_slots[place] == slot:
                return self._near[place]
            place += 1
        return following

    def plan(self, slot: int, at: float, every: float) -> None:
        """Gives a slot its next regular time and its interval."""
        if slot >= len(self._times):
            self.reserve(max(slot + 1, len(self._times) * 3 // 2))
        if self._every[slot]:
            self._struck.add(slot)
        self._times[slot], self._every[slot] = at, every
        self.shortest = min(self.shortest, every)
        if at < self._horizon - 2 * SLICE_SECONDS:
            # Cut when nothing nearer was known, as while a set is put in the order of its phases: all that comes now
            # would wait in the heap, and nothing could be let in ahead. The column is to know all, and is cut anew.
            self._put_back()
        elif at < self._horizon:
            heapq.heappush(self._soon, (at, slot))

    def forget(self, slot: int) -> None:
        """Takes out the regular time and all that was asked for."""
        self._struck.add(slot)
        self._times[slot], self._every[slot] = inf, 0.0
        if any(other == slot for _, other in self.asked):
            self.asked = [entry for entry in self.asked if entry[1] != slot]
            heapq.heapify(self.asked)

    def ask(self, slot: int, at: float) -> None:
        """One more time, beside the regular one."""
        heapq.heappush(self.asked, (at, slot))

    def next_at(self) -> float | None:
        """When something is next due, None where nothing ever is."""
        regular = self._next_regular()
        at = min(regular, self.asked[0][0]) if self.asked else regular
        return None if at == inf else at

    def pop(self, now: float) -> tuple[list[float], list[int]]:
        """Regular times up to now, earliest first, and their slots, each once: a slot's next time is after now."""
        times: list[float] = []
        slots: list[int] = []
        while True:
            if self._struck:
                self._strike()
            upto = bisect_right(self._near, now, self._cursor)
            if upto > self._cursor:
                piece = slice(self._cursor, upto)
                times += self._near[piece]
                slots += self._near_slots[piece]
                if self._near[self._cursor] + self.shortest <= now:
                    self._catch_up(self._near_slots[piece], now)
                self._cursor = upto
            if self._soon and self._soon[0][0] <= now:
                self._pop_soon(now, times, slots)
            if now < self._horizon or not self._cut():
                return times, slots

    def ahead(self, until: float, most: int) -> tuple[list[float], list[int]]:
        """Regular times up to `until`, earliest first, and their slots: the next so many, maybe fewer than there are.
        They stay; `take_ahead` takes them."""
        if self._struck:
            self._strike()
        first = self._cursor
        piece = slice(first, min(bisect_right(self._near, until, first), first + most))
        return self._near[piece], self._near_slots[piece]

    def take_ahead(self, count: int, times: list[float], slots: list[int]) -> None:
        """Takes so many of those that `ahead` has just answered, except these."""
        piece = slice(self._cursor, self._cursor + count)
        self._near[piece], self._near_slots[piece] = times, slots

    def take_missed(self) -> int:
        """How many times went by, each with its whole interval, before anybody looked, since the last call."""
        missed, self._missed = self._missed, 0
        return missed

    def pop_asked(self, now: float) -> list[tuple[float, int]]:
        """What was asked for up to now, earliest first: (time, slot)."""
        asked = []
        while self.asked and self.asked[0][0] <= now:
            asked.append(heapq.heappop(self.asked))
        return asked

    def _pop_soon(self, now: float, times: list[float], slots: list[int]) -> None:
        """Adds what is due of the heap, in its place."""
        came = []
        while self._soon and self._soon[0][0] <= now:
            at, slot = heapq.heappop(self._soon)
            if self._times[slot] == at:
                self._move_on(slot, at + self._every[slot], now)
                came.append((at, slot))
        merged = sorted([*zip(times, slots, strict=True), *came], key=lambda entry: entry[0]) if times else came
        times[:], slots[:] = [at for at, _ in merged], [slot for _, slot in merged]

    def _catch_up(self, slots: list[int], now: float) -> None:
        """Somebody may have missed a whole interval."""
        for slot in slots:
            if self._times[slot] <= now:
                self._move_on(slot, self._times[slot], now)

    def _move_on(self, slot: int, following: float, now: float) -> None:
        """Gives a slot the first of its times from `following` on that is after now."""
        if following <= now:
            every = self._every[slot]
            missed = int((now - following) / every) + 1
            following += missed * every
            if following <= now:  # a rounding
                following, missed = following + every, missed + 1
            self._missed += missed
        self._times[slot] = following
        if following < self._horizon:
            heapq.heappush(self._soon, (following, slot))

    def _next_regular(self) -> float:
        """The earliest regular time."""
        if self._struck:
            self._strike()
        while self._soon and self._times[self._soon[0][1]] != self._soon[0][0]:
            heapq.heappop(self._soon)
        if self._cursor < len(self._near):
            near = self._near[self._cursor]
            return min(near, self._soon[0][0]) if self._soon else near
        if self._soon:
            return self._soon[0][0]
        return self._near[0] if self._cut() else inf

    def _strike(self) -> None:
        """Leaves out of the slice what no longer holds."""
        struck, self._struck = self._struck, set()
        rest = zip(self._near[self._cursor :], self._near_slots[self._cursor :], strict=True)
        holds = [(at, slot) for at, slot in rest if slot not in struck]
        self._near, self._near_slots, self._cursor = [at for at, _ in holds], [slot for _, slot in holds], 0

    def _put_back(self) -> None:
        """Nothing is near any more: all is in the column again."""
        self._strike()
        for at, slot in zip(self._near, self._near_slots, strict=True):
            self._times[slot] = at
        self._near, self._near_slots, self._cursor, self._horizon = [], [], 0, -inf
        self._soon.clear()

    def _cut(self) -> bool:
        """Sorts the next slice out of the column; False where the column is empty."""
        first = float(self._times_column.min())
        if first == inf:
            return False
        self._horizon = max(first, self._horizon) + SLICE_SECONDS
        slots = np.flatnonzero(self._times_column < self._horizon)
        times = self._times_column[slots]
        order = np.argsort(times, kind="stable")
        self._near, self._near_slots, self._cursor = times[order].tolist(), slots[order].tolist(), 0
        following = times + self._every_column[slots]
        self._times_column[slots] = following
        again = following < self._horizon
        if again.any():
            for entry in zip(following[again].tolist(), slots[again].tolist(), strict=True):
                heapq.heappush(self._soon, entry)
        return True
