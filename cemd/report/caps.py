"""Frequency caps over rolling windows: how many notices each customer was given lately, as columns.

Every outbox row that could leave counts at the instant of its decision, whatever became of it: a cap protects people,
so it errs towards silence. The slot of the end is not counted here; whoever asks adds what open communications still
owe. Restored from outbox rows, in their order of time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cemd.model.identity import Instant


class Window:
    """Counts per customer of the rows younger than `seconds`; `start` is the oldest row still inside."""

    __slots__ = ("counts", "seconds", "start")

    def __init__(self, seconds: float, size: int) -> None:
        self.seconds = seconds
        self.start = 0
        self.counts: NDArray[np.uint16] = np.zeros(size, np.uint16)


class Ledger:
    """All counted notices by time, and the windows that somebody asked for."""

    def __init__(self) -> None:
        self._at: NDArray[np.float64] = np.zeros(0, np.float64)
        self._customer: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._length = 0
        self._windows: dict[float, Window] = {}

    def __len__(self) -> int:
        return self._length

    def add(self, at: Instant, customer: NDArray[np.uint32]) -> None:
        """Counts one notice for each of `customer`; `at` never goes back."""
        end = self._length + len(customer)
        if end > len(self._at):
            room = max(end, len(self._at) + len(self._at) // 2, 1024)
            self._at = np.resize(self._at, room)
            self._customer = np.resize(self._customer, room)
        self._at[self._length : end] = at
        self._customer[self._length : end] = customer
        self._length = end
        for window in self._windows.values():
            self._grow(window, customer)
            np.add.at(window.counts, customer, 1)

    def load(self, at: NDArray[np.float64], customer: NDArray[np.uint32]) -> None:
        """Takes rows of the outbox, in any order, into an empty ledger."""
        order = np.argsort(at, kind="stable")
        self._at, self._customer, self._length = at[order].copy(), customer[order].copy(), len(at)
        self._windows = {}

    def count(self, numbers: NDArray[np.uint32], seconds: float, at: Instant) -> NDArray[np.uint16]:
        """Notices of each customer in the last `seconds`."""
        window = self._window(seconds)
        end = int(np.searchsorted(self._at[: self._length], at - seconds, side="right"))
        if end > window.start:
            np.subtract.at(window.counts, self._customer[window.start : end], 1)
            window.start = end
        self._grow(window, numbers)
        return window.counts[numbers]

    def _window(self, seconds: float) -> Window:
        if seconds not in self._windows:
            window = self._windows[seconds] = Window(seconds, 0)
            customer = self._customer[: self._length]
            self._grow(window, customer)
            np.add.at(window.counts, customer, 1)
        return self._windows[seconds]

    def _grow(self, window: Window, numbers: NDArray[np.uint32]) -> None:
        need = int(numbers.max()) + 1 if len(numbers) else 0
        if need > len(window.counts):
            window.counts = np.concatenate([window.counts, np.zeros(need - len(window.counts), np.uint16)])
