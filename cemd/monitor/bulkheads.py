"""Bulkheads: what may run at once, so that a target that hangs delays nobody but itself.

Walls stand around a *group* (one host and port: more runs at once would measure our own pressure on it), around a
*kind*, and around everything (what the process has descriptors for, so that running out of them is no way to fail).
Behind each of the last two, whoever hung at its last run gets at most half of the places: a third of all targets may
hang until their timeouts and still hold no place that those that live need.
"""

from __future__ import annotations

GROUP_AT_ONCE = 20
KIND_AT_ONCE = 200
MOST_AT_ONCE = 4_000


class Bulkheads:
    """Counts of what runs; each wall is a number."""

    ALL, HUNG = 0, 1

    def __init__(self, *, kind_at_once: int, group_at_once: int, most_at_once: int) -> None:
        self.kind_at_once = kind_at_once
        self._group_at_once = group_at_once
        self._most = most_at_once
        self._numbers: dict[tuple[str, ...], int] = {}
        self._running = [0, 0]

    def walls(self, kind: str, group: str) -> tuple[int, int]:
        """The numbers of a kind's wall and of a group's; one more is the wall around those of a kind that hung."""
        return self._number((kind,)), self._number((kind, group))

    def enter(self, kind: int, group: int, *, hung: bool) -> int | None:
        """Begins a run, or answers the wall that it would have to wait for."""
        running = self._running
        if running[group] >= self._group_at_once:
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
        self._count(kind, group, hung, 1)
        return None

    def leave(self, kind: int, group: int, *, hung: bool) -> None:
        """A run is over."""
        self._count(kind, group, hung, -1)

    def move(self, before: tuple[int, int], after: tuple[int, int], *, hung: bool) -> None:
        """A run goes on behind other walls, be they full."""
        self._count(*before, hung, -1)
        self._count(*after, hung, 1)

    def around(self, kind: int, group: int, *, hung: bool) -> tuple[int, ...]:
        """All walls around such a run."""
        return (group, kind, self.ALL, kind + 1, self.HUNG) if hung else (group, kind, self.ALL)

    def running(self) -> int:
        """Runs that have begun and are not over."""
        return self._running[self.ALL]

    def _count(self, kind: int, group: int, hung: bool, by: int) -> None:
        running = self._running
        running[group] += by
        running[kind] += by
        running[self.ALL] += by
        if hung:
            running[kind + 1] += by
            running[self.HUNG] += by

    def _number(self, name: tuple[str, ...]) -> int:
        number = self._numbers.setdefault(name, len(self._running))
        if number == len(self._running):
            self._running += [0, 0]
        return number
