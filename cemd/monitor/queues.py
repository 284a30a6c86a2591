"""Queues behind walls: runs that are due and found no place, in the order in which they are let in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from math import inf

from cemd.monitor.plans import Due

SWEEP_SECONDS = 0.5
"""Those who wait are looked at for being too late at least this often."""


class Queues:
    """A wall is a number of `Bulkheads`."""

    def __init__(self) -> None:
        self.waiting: dict[int, deque[Due]] = {}
        """By wall; empty where nobody waits, which is asked at each run."""
        self._open: set[int] = set()
        """Walls at which a place has become free since they were last served."""
        self._swept_at = -inf

    @property
    def may_go_on(self) -> bool:
        """Whether a place has become free that somebody may wait for."""
        return bool(self._open)

    def join(self, wall: int, due: Due, *, first: bool) -> None:
        """Waits for a place behind this wall, as the last or the first of all."""
        queue = self.waiting.setdefault(wall, deque())
        if first:
            queue.appendleft(due)
        else:
            queue.append(due)

    def leave(self, slot: int) -> None:
        """This slot waits no more."""
        for queue in self.waiting.values():
            for due in [due for due in queue if due.slot == slot]:
                queue.remove(due)

    def opened(self, walls: Iterable[int]) -> None:
        """A place has become free behind each of these walls."""
        self._open.update(walls)

    def opened_all(self) -> None:
        """The same, behind any wall."""
        self._open.update(self.waiting)

    def serve(self, now: float, too_late: Callable[[Due], bool], offer: Callable[[Due], int | None]) -> list[Due]:
        """Offers a place, in order, to who waited for one that is free now; answers who waited too long. `offer`
        answers the wall behind which it waits on, having joined there, or None."""
        given_up: list[Due] = []
        if now - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = now
            self.opened_all()
            self._sweep(too_late, given_up)
        opened, self._open = self._open, set()
        for wall in sorted(opened & self.waiting.keys()):
            queue = self.waiting[wall]
            while queue:
                due = queue.popleft()
                if too_late(due):
                    given_up.append(due)
                elif offer(due) == wall:
                    if queue[-1] is due:
                        queue.rotate(1)  # it waits on, first in the row again
                    break
        for wall in [wall for wall, queue in self.waiting.items() if not queue]:
            del self.waiting[wall]
        return given_up

    def _sweep(self, too_late: Callable[[Due], bool], given_up: list[Due]) -> None:
        for queue in self.waiting.values():
            late = [due for due in queue if too_late(due)]
            if late:
                given_up += late
                on_time = [due for due in queue if not too_late(due)]
                queue.clear()
                queue.extend(on_time)
