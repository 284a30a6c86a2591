"""What is shown of each indicator instance, made anew only where something of it changed: at a tick most stay as they
were, and whoever looks gets all of them after each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from cemd.analyze.columns import Array, Columns

V = TypeVar("V")

CHANGES = ("value", "samples", "quality")
"""Columns that it is made of; all else of an instance is settled when it is opened."""


class Kept(Generic[V]):
    """One frozen record an instance."""

    def __init__(self) -> None:
        self._made: list[V] = []
        self._of: dict[str, Array] = {}
        self._looked_at: object = None

    def all(self, columns: Columns, looked_at: object, make: Callable[[int], V]) -> tuple[V, ...]:
        """Of every instance, in order. `looked_at` stands for the series behind them: another when those did."""
        size = len(columns)
        now = {name: columns[name].copy() for name in CHANGES}
        if self._looked_at is looked_at and len(self._made) == size:
            changed = np.zeros(size, np.bool_)
            for name, column in now.items():
                changed |= (column != self._of[name]) & ~((column != column) & (self._of[name] != self._of[name]))
            numbers = changed.nonzero()[0].tolist()
        else:
            self._made, numbers = [make(number) for number in range(size)], []
        for number in numbers:
            self._made[number] = make(number)
        self._of, self._looked_at = now, looked_at
        return tuple(self._made)
