"""Bulkheads: what may run at once, so that a target that hangs delays nobody but itself.

Walls stand around a *group* (one host and port: more runs at once would measure our own pressure on it), around a
*kind*, and around everything (what the process has descriptors for, so that running out of them is no way to fail).
Behind each of the last two, whoever hung at its last run gets at most half of the places: a third of all targets may
hang until their timeouts and still hold no place that those that live need. Whoever hung but once is let in before
those that hang again and again: it may well live.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GROUP_AT_ONCE = 20
KIND_AT_ONCE = 200
MOST_AT_ONCE = 4_000
LIGHT_TIMES = 7
"""So many times as many light runs find a place in a group: each is a datagram on its way and holds nothing here. What
leaves at once still fits into the far end's buffer, which holds some 160 small datagrams where nobody enlarged it."""
_LEAST_WALLS = 64
_ONE = np.int32(1)
"""Of the column's own type, and places as numpy counts them: otherwise counting many takes ten times as long."""


class Bulkheads:
    """Counts of what runs; each wall is a number, and a group's number leads to its kind's."""

    ALL, HUNG = 0, 1

    def __init__(self, *, kind_at_once: int, group_at_once: int, most_at_once: int) -> None:
        self.kind_at_once = kind_at_once
        self._group_at_once = group_at_once
        self._most = most_at_once
        self._kinds: dict[str, int] = {}
        self._groups: dict[tuple[int, bool], dict[str, int]] = {}
        self._walls = 2
        self._running, self._kind_of, self._limit = array("i"), array("i"), array("i")
        self._grow(_LEAST_WALLS)

    def group(self, kind: str, group: str, *, light: bool = False) -> int:
        """The number of the wall around a group of a kind; light runs have one of their own."""
        if (outer := self._kinds.get(kind)) is None:
            outer = self._kinds[kind] = self._new_wall()
            self._new_wall()  # the one around those of the kind that hung
        known = self._groups.setdefault((outer, light), {})
        if (number := known.get(group)) is None:
            number = known[group] = self._new_wall()
            self._kind_of[number] = outer
            self._limit[number] = self._group_at_once * (LIGHT_TIMES if light else 1)
        return number

    def enter(self, group: int, *, hung: bool = False) -> int | None:
        """Begins a run, or answers the wall that it would have to wait for."""
        running, kind = self._running, self._kind_of[group]
        if running[group] >= self._limit[group]:
            return group
        if running[kind] >= self.kind_at_once:
            return kind
        if running[self.ALL] >= self._most:
            return self.ALL
        if hung:
            if running[kind + 1] >= max(1, self.kind_at_once // 2):
                return kind + 1
            if running[self.HUNG] >= max(1, self._most // 2):
                return self.HUNG
            self._count(group, hung, 1)
            return None
        running[group] += 1
        running[kind] += 1
        running[0] += 1
        return None

    def enter_each(self, groups: Sequence[int]) -> list[bool]:
        """Begins those runs that find a place, in their order, of which none hung at its last; answers which."""
        running, limit, kind_of = self._running, self._limit, self._kind_of
        room, kind, places, begun = self._most - running[self.ALL], -1, 0, 0
        entered = []
        for group in groups:
            if kind_of[group] != kind:  # seldom: what is due at one moment is mostly of one kind
                if begun:
                    running[kind] += begun
                    room -= begun
                kind, begun = kind_of[group], 0
                places = min(self.kind_at_once - running[kind], room)
            held = running[group]
            fits = held < limit[group] and begun < places
            if fits:
                running[group] = held + 1
                begun += 1
            entered.append(fits)
        if begun:
            running[kind] += begun
        running[self.ALL] += sum(entered)
        return entered

    def enter_all(self, groups: NDArray[np.intp]) -> bool:
        """Begins runs of which none hung at its last, where all of them find a place; else none."""
        running, kinds = self._running_column, self._kind_column[groups].astype(np.intp)
        together = self._running[self.ALL] + len(groups)
        if together > self._most:
            return False
        np.add.at(running, groups, _ONE)
        np.add.at(running, kinds, _ONE)
        self._running[self.ALL] = together
        over = (running[groups] > self._limit_column[groups]).nonzero()[0].size
        if not over and together > self.kind_at_once:
            over = (running[kinds] > self.kind_at_once).nonzero()[0].size
        if over:
            self.leave_all(groups)
        return not over

    def leave(self, group: int, *, hung: bool) -> None:
        """A run is over."""
        if hung:
            self._count(group, hung, -1)
            return
        running = self._running
        running[group] -= 1
        running[self._kind_of[group]] -= 1
        running[0] -= 1

    def leave_few(self, groups: list[int]) -> None:
        """As `leave_all`."""
        running, kind_of = self._running, self._kind_of
        kind, left = 0, 0
        for group in groups:
            running[group] -= 1
            if kind_of[group] != kind:
                running[kind] -= left
                kind, left = kind_of[group], 0
            left += 1
        running[kind] -= left
        running[self.ALL] -= len(groups)

    def leave_all(self, groups: NDArray[np.intp]) -> None:
        """Runs of which none was let in as one that hung are over."""
        np.subtract.at(self._running_column, groups, _ONE)
        np.subtract.at(self._running_column, self._kind_column[groups].astype(np.intp), _ONE)
        self._running[self.ALL] -= len(groups)

    def move(self, before: int, after: int, *, hung: bool) -> None:
        """A run goes on behind other walls, be they full."""
        self._count(before, hung, -1)
        self._count(after, hung, 1)

    def around(self, group: int, *, hung: bool) -> tuple[int, ...]:
        """All walls around such a run."""
        kind = self._kind_of[group]
        return (group, kind, self.ALL, kind + 1, self.HUNG) if hung else (group, kind, self.ALL)

    def is_lane(self, wall: int, group: int) -> bool:
        """Whether it is one of the two walls around those that hung, a group's own kind's or all."""
        return wall in (self.HUNG, self._kind_of[group] + 1)

    def running(self) -> int:
        """Runs that have begun and are not over."""
        return self._running[self.ALL]

    def _count(self, group: int, hung: bool, by: int) -> None:
        running, kind = self._running, self._kind_of[group]
        running[group] += by
        running[kind] += by
        running[0] += by
        if hung:
            running[kind + 1] += by
            running[self.HUNG] += by

    def _new_wall(self) -> int:
        if self._walls == len(self._running):
            self._grow(self._walls * 3 // 2)
        self._walls += 1
        return self._walls - 1

    def _grow(self, walls: int) -> None:
        """Each column twice: as an array for single places, and as numpy sees the same memory, for many."""
        for name in ("_running", "_kind_of", "_limit"):
            grown, held = array("i", [0]) * walls, getattr(self, name)
            grown[: len(held)] = held
            setattr(self, name, grown)
        self._running_column: NDArray[np.int32] = np.frombuffer(self._running, dtype=np.int32)
        self._kind_column: NDArray[np.int32] = np.frombuffer(self._kind_of, dtype=np.int32)
        self._limit_column: NDArray[np.int32] = np.frombuffer(self._limit, dtype=np.int32)
