"""Which instances of indicators look at a series, and which series an instance looks at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array


class Index:
    """Which instances look at a row, and which rows an instance looks at, as flat arrays."""

    def __init__(self, pairs: Sequence[tuple[int, int]], instances: int) -> None:
        flat = np.array(pairs, np.intp).reshape(-1, 2)
        self._row, self._instance = flat[:, 0], flat[:, 1]
        self._order = np.argsort(self._instance, kind="stable")
        self._starts = np.searchsorted(self._instance[self._order], np.arange(instances + 1))
        top = int(self._row.max()) + 1 if len(flat) else 0
        self._first = np.searchsorted(self._row, np.arange(top + 1))
        self._instances = instances
        self.series_count = np.diff(self._starts)
        """Series that each instance looks at."""

    def rows_of(self, number: int) -> NDArray[np.intp]:
        return self._row[self._order[self._starts[number] : self._starts[number + 1]]]

    def expand(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Every (place in `rows`, instance) pair, in order of places."""
        top = len(self._first) - 1
        inside = np.minimum(rows, top)
        start = self._first[inside]
        count = self._first[np.minimum(inside + 1, top)] - start
        place = np.repeat(np.arange(len(rows)), count)
        ends = np.cumsum(count)
        within = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - count, count)
        return place, self._instance[np.repeat(start, count) + within]

    def all_of(self, flags: Array) -> Array:
        """Per instance: the flag holds for all of its rows (and there is one)."""
        holds = np.bincount(self._instance, weights=flags[self._row], minlength=self._instances)
        every: Array = (holds > 0) & (holds == self.series_count)
        return every
