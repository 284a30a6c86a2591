"""The agenda: what is to be done at which instant of virtual time, in one order. Simulation and day go by it."""

from __future__ import annotations

import heapq
from collections.abc import Callable

ANY = -1


class Agenda:
    """Things to do, by monotonic instant; of equal instants the first come first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, Callable[[], None]]] = []
        self._count = 0

    def put(self, when: float, what: Callable[[], None], *, life: int = ANY) -> None:
        """Something to do at an instant; with a life, only if the process still lives that life then."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, life, what))

    def next_at(self) -> float:
        """When something is to be done next; infinite when nothing is."""
        return self._heap[0][0] if self._heap else float("inf")

    def do_due(self, now: float, is_lived: Callable[[int], bool] = lambda _: True) -> None:
        """Does all that is due, and what becomes due by it; a life that is over by then does nothing."""
        while self.next_at() <= now:
            _, _, life, what = heapq.heappop(self._heap)
            if life == ANY or is_lived(life):
                what()
