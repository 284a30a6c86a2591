"""Samples that are not sealed yet: in memory and in the log, nowhere else.

Arrivals are appended as they come and dealt out into 1,024 groups by series number now and then; a group is due once an
hour, each at its own moment (staggered), and a series that has 120 samples is due at once. 25 bytes a sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemd.model.identity import SERIAL_MASK, Instant
from cemd.model.measurement import Samples

GROUPS = 1024
PART_SAMPLES = 120
DEAL_ROWS = 65_536
TAKE_ROWS = 32_768
ROW = np.dtype([("series", "<i8"), ("at", "<f8"), ("value", "<f8"), ("outcome", "|u1")])
NEVER = np.iinfo(np.int64).max

Rows = NDArray[np.void]


class OpenHour:
    """Not shared between threads; the owner holds a lock."""

    def __init__(self, sealed: dict[int, int]) -> None:
        """`sealed`: per series number the seq up to which its samples are in chunks."""
        self._sealed = np.zeros(1024, np.int64)
        self._first = np.full(1024, NEVER, np.int64)  # seq of the oldest open sample per serial
        self._last = np.zeros(1024, np.int64)  # and of the newest
        self._count = np.zeros(1024, np.int64)
        self._arrived: list[tuple[int, Rows]] = []
        self._arrived_rows = 0
        self._groups: list[list[Rows]] = [[] for _ in range(GROUPS)]
        self._due: dict[int, bool] = {}  # group -> all of it (else full series only), in order
        self._slot: int | None = None
        self._newest_sealed = max(sealed.values(), default=0)
        if sealed:
            serials = np.fromiter(sealed, np.int64, len(sealed)) & SERIAL_MASK
            self._reach(int(serials.max()))
            self._sealed[serials] = np.fromiter(sealed.values(), np.int64, len(sealed))

    def add(self, samples: Samples, seq: int) -> None:
        rows = np.empty(len(samples), ROW)
        rows["series"], rows["at"] = samples.series, samples.at
        rows["value"], rows["outcome"] = samples.value, samples.outcome
        if seq <= self._newest_sealed and len(rows):
            serials = rows["series"] & SERIAL_MASK
            self._reach(int(serials.max()))
            rows = rows[self._sealed[serials] < seq]
        if len(rows):
            self._arrived.append((seq, rows))
            self._arrived_rows += len(rows)
            if self._arrived_rows >= DEAL_ROWS:
                self.deal()

    def oldest(self) -> int | None:
        """Lowest seq with an open sample."""
        oldest = min(int(self._first.min()), self._arrived[0][0] if self._arrived else NEVER)
        return None if oldest == NEVER else oldest

    def of(self, series: int) -> Rows:
        """Open samples of one series, in order of arrival."""
        slices = [*self._groups[(series & SERIAL_MASK) % GROUPS], *(rows for _, rows in self._arrived)]
        return _joined([rows[rows["series"] == series] for rows in slices])

    def deal(self) -> None:
        """Moves what arrived into the groups; series with enough samples become due."""
        if not self._arrived:
            return
        rows = _joined([rows for _, rows in self._arrived])
        seqs = np.repeat([seq for seq, _ in self._arrived], [len(rows) for _, rows in self._arrived])
        self._arrived, self._arrived_rows = [], 0
        serials = rows["series"] & SERIAL_MASK
        self._reach(int(serials.max()))
        self._note(serials, seqs)
        groups = serials % GROUPS
        order = np.argsort(groups, kind="stable")
        rows, groups = rows[order], groups[order]
        starts = np.flatnonzero(np.diff(groups, prepend=-1))
        for group, part in zip(groups[starts].tolist(), np.split(rows, starts[1:]), strict=True):
            self._groups[group].append(part.copy())  # a view would keep the other groups' rows alive for an hour
        full = np.unique(serials[self._count[serials] >= PART_SAMPLES])
        for group in np.unique(full % GROUPS).tolist():
            self._due.setdefault(group, False)

    def pass_time(self, now: Instant) -> None:
        """Groups whose moment of the hour has passed since the last call become due."""
        slot = int(now * GROUPS / 3600)
        if self._slot is not None and slot > self._slot:
            for passed in range(max(self._slot + 1, slot - GROUPS + 1), slot + 1):
                self._due[passed % GROUPS] = True
        if self._slot is None or slot > self._slot:
            self._slot = slot

    def all_due(self) -> None:
        """Everything is due, for a clean end."""
        self.deal()
        self._due.update({group: True for group, slices in enumerate(self._groups) if slices})

    def take_due(self) -> tuple[int, Rows] | None:
        """(group, its due rows by series, then time); they stay open until `close_rows`. None: nothing is due."""
        while self._due:
            group = next(iter(self._due))
            whole = self._due[group]
            rows = _joined(self._groups[group])
            self._groups[group] = [rows] if len(rows) else []
            if not whole:
                rows = rows[self._count[rows["series"] & SERIAL_MASK] >= PART_SAMPLES]
            if len(rows):
                rows = rows[np.lexsort((rows["at"], rows["series"]))]
                return group, rows[: _end_of_series(rows["series"], TAKE_ROWS)]
            del self._due[group]
        return None

    def sealed_seq(self, series: int) -> int:
        """Up to which seq the samples of a series are taken when its open rows are sealed now."""
        return int(self._last[series & SERIAL_MASK])

    def close_rows(self, group: int, series: list[int]) -> None:
        """The open rows of these series are in chunks now."""
        gone = np.array(series, np.int64)
        serials = gone & SERIAL_MASK
        self._sealed[serials] = self._last[serials]
        self._newest_sealed = max(self._newest_sealed, int(self._last[serials].max()))
        self._first[serials], self._count[serials] = NEVER, 0
        rows = _joined(self._groups[group])
        rows = rows[~np.isin(rows["series"], gone)]
        self._groups[group] = [rows] if len(rows) else []

    def __len__(self) -> int:
        return self._arrived_rows + int(self._count.sum())

    def _note(self, serials: NDArray[np.int64], seqs: NDArray[Any]) -> None:
        self._last[serials] = seqs  # the last one of a repeated index stays: seqs only grow
        fresh = self._first[serials] == NEVER
        self._first[serials[fresh][::-1]] = seqs[fresh][::-1]
        self._count += np.bincount(serials, minlength=len(self._count))

    def _reach(self, serial: int) -> None:
        if serial >= len(self._count):
            size = max(serial + 1, len(self._count) * 3 // 2)
            self._sealed = _grown(self._sealed, size, 0)
            self._first = _grown(self._first, size, NEVER)
            self._last = _grown(self._last, size, 0)
            self._count = _grown(self._count, size, 0)


def _end_of_series(series: NDArray[np.int64], wanted: int) -> int:
    """Where to cut sorted rows so that about `wanted` come before it and no series is halved."""
    if len(series) <= wanted:
        return len(series)
    return int(np.searchsorted(series, series[wanted], side="right"))


def _grown(column: NDArray[np.int64], size: int, filler: int) -> NDArray[np.int64]:
    grown = np.full(size, filler, np.int64)
    grown[: len(column)] = column
    return grown


def _joined(slices: list[Rows]) -> Rows:
    if len(slices) == 1:
        return slices[0]
    return np.concatenate(slices) if slices else np.empty(0, ROW)
