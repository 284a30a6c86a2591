"""Samples on their way to the daemon: pending, cut into numbered batches, kept until acknowledged, bounded by bytes.

When the bound is reached our own polls give way, oldest first and moments of truth last; what was given up is told
as `blind` as soon as there is room, so that a gap of ours never reads as silence of the target. A batch that was once
sent is never changed: the daemon may have logged it and only its acknowledgement been lost.
"""

from __future__ import annotations

import struct
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from math import nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cemd.kit.files import write_durably
from cemd.model.measurement import SUCCESS, SeriesKey
from cemd.model.quality import Outcome
from cemd.monitor.wire import MAX_DECLARED, MAX_SAMPLES, Declare, Measured

SAMPLE_BYTES = 21
MOST_BYTES = 16 * 1024 * 1024
WINDOW = 16
"""Batches sent and not yet acknowledged: enough to fill the way, few enough that shedding finds unsent ones."""
_RESERVED = 10_000
_ROWS = 100
"""Rows taken at once: of two hundred samples each, they and what is pending still fit in a batch."""


class Numbers:
    """Numbers of batches that only grow, also through crashes and a clock put back: blocks are reserved in a file.

    They start at the wall clock in milliseconds, so that a lost state folder does not begin below the old ones.
    """

    def __init__(self, file: Path, wall_seconds: float) -> None:
        self._file = file
        reserved = _number_in(file)
        self._next = max(reserved, int(wall_seconds * 1000))
        self._reserved = 0

    def take(self) -> int:
        """The next number, above every one before."""
        self._next += 1
        if self._next > self._reserved:
            try:
                write_durably(self._file, str(self._next + _RESERVED).encode())
                self._reserved = self._next + _RESERVED
            except OSError:
                pass  # a full disk must not stop measuring: the wall clock still keeps numbers growing
        return self._next

    @property
    def last(self) -> int:
        """No number to come is at or below this one."""
        return self._next


def _number_in(file: Path) -> int:
    """The number that a file holds, 0 where it is missing or damaged."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0


class _Columns:
    """Samples as columns, without an object per sample; what all samples of an attempt share is held once, until the
    batch is written."""

    def __init__(self) -> None:
        self.series, self.value = array("i"), array("d")
        """By sample."""
        self._at, self._outcome, self._samples = array("d"), array("B"), array("i")
        """By attempt: when, how it went, and how many samples it gave."""

    def __len__(self) -> int:
        return len(self.series)

    def add(self, series: int, at: float, value: float, outcome: int) -> None:
        self.series.append(series)
        self.value.append(value)
        self._attempt(at, outcome, 1)

    def add_row(self, series: tuple[int, ...], at: float, values: tuple[float, ...], outcome: int) -> None:
        self.series.extend(series)
        self.value.extend(values)
        self._attempt(at, outcome, len(series))

    def add_rows(
        self, series: Sequence[bytes], at: Sequence[float], values: Sequence[Sequence[float]], outcome: int
    ) -> None:
        samples = list(map(len, values))
        self.series.frombytes(b"".join(series))
        # An array that takes numbers from an iterator grows with each: three times as long as one that takes bytes.
        self.value.frombytes(struct.pack(f"{sum(samples)}d", *chain.from_iterable(values)))
        self._at.fromlist(list(at))
        self._outcome.frombytes(bytes((outcome,)) * len(samples))
        self._samples.fromlist(samples)

    def _attempt(self, at: float, outcome: int, samples: int) -> None:
        self._at.append(at)
        self._outcome.append(outcome)
        self._samples.append(samples)

    def at(self) -> NDArray[np.float64]:
        """When, by sample."""
        return np.repeat(np.frombuffer(self._at), np.frombuffer(self._samples, dtype=np.int32))

    def outcome(self) -> NDArray[np.uint8]:
        """How the attempt went, by sample."""
        return np.repeat(np.frombuffer(self._outcome, dtype=np.uint8), np.frombuffer(self._samples, dtype=np.int32))

    def rows(self) -> Iterator[tuple[int, float, float, int]]:
        return zip(self.series, self.at().tolist(), self.value, self.outcome().tolist(), strict=True)


@dataclass(slots=True)
class _Batch:
    number: int
    columns: _Columns
    in_flight: bool = False
    ever_sent: bool = False


class Backlog:
    """All that the prober owes the daemon."""

    def __init__(self, numbers: Numbers, *, most_bytes: int = MOST_BYTES) -> None:
        self._numbers = numbers
        self._most = most_bytes // SAMPLE_BYTES
        self._keys: list[SeriesKey] = []
        self._important: list[bool] = []
        self._local: dict[SeriesKey, int] = {}
        self._pending = _Columns()
        self._batches: deque[_Batch] = deque()
        self._declared = 0
        self._given_up: dict[int, float] = {}
        self.shed_total = 0

    def local(self, key: SeriesKey, *, important: bool) -> int:
        """The number of a series on this side; given once."""
        number = self._local.setdefault(key, len(self._keys))
        if number == len(self._keys):
            self._keys.append(key)
            self._important.append(important)
        self._important[number] = important
        return number

    def add(self, local: int, at: float, value: float, outcome: Outcome) -> None:
        """Takes one sample; it is cut into a batch at the next `cut`."""
        self._pending.add(local, at, value, outcome)
        if len(self._pending) >= MAX_SAMPLES:
            self.cut()

    def add_row(self, locals_: tuple[int, ...], at: float, values: tuple[float, ...], outcome: Outcome) -> None:
        """Takes the samples of one attempt: a value for each series."""
        self._pending.add_row(locals_, at, values, outcome)
        if len(self._pending) >= MAX_SAMPLES - 1000:
            self.cut()

    def add_rows(
        self, locals_: Sequence[bytes], at: Sequence[float], values: Sequence[Sequence[float]], outcome: Outcome
    ) -> None:
        """Takes many attempts of one outcome; `locals_` are their series' numbers, as arrays of `i` hold them."""
        for first in range(0, len(locals_), _ROWS):
            if len(self._pending) >= MAX_SAMPLES // 2:
                self.cut()
            piece = slice(first, first + _ROWS)
            self._pending.add_rows(locals_[piece], at[piece], values[piece], outcome)

    def cut(self) -> None:
        """Makes a numbered batch of what is pending, and tells what was shed where there is room again."""
        if self._given_up and self._samples() < self._most // 2:
            for local in list(islice(self._given_up, max(0, MAX_SAMPLES - len(self._pending)))):
                self._pending.add(local, self._given_up.pop(local), nan, Outcome.BLIND)
        if len(self._pending):
            self._batches.append(_Batch(self._numbers.take(), self._pending))
            self._pending = _Columns()
        if self._samples() > self._most:
            self._shed(important=False)
        if self._samples() > self._most:
            self._shed(important=True)

    def reconnected(self) -> None:
        """A new connection knows no series and may have missed everything unacknowledged."""
        self._declared = 0
        for batch in self._batches:
            batch.in_flight = False

    def to_send(self) -> Iterator[Declare | Measured]:
        """Frames to write now, in order: names first, then batches up to the window."""
        flying = sum(batch.in_flight for batch in self._batches)
        for batch in list(self._batches):
            if flying >= WINDOW:
                return
            if batch.in_flight:
                continue
            while self._declared < len(self._keys):
                upto = min(len(self._keys), self._declared + MAX_DECLARED)
                frame = Declare(first=self._declared, keys=tuple(self._keys[self._declared : upto]))
                self._declared = upto
                yield frame
            batch.in_flight = batch.ever_sent = True
            flying += 1
            yield _frame(batch)

    def acknowledged(self, number: int) -> None:
        """Everything up to `number` is in the log."""
        while self._batches and self._batches[0].number <= number and self._batches[0].ever_sent:
            self._batches.popleft()

    def unacknowledged(self) -> int:
        """Batches that the daemon has not acknowledged."""
        return len(self._batches)

    @property
    def last_number(self) -> int:
        return self._numbers.last

    def _samples(self) -> int:
        return len(self._pending) + sum(len(batch.columns) for batch in self._batches)

    def _shed(self, *, important: bool) -> None:
        """Gives up samples of one rank in batches never sent, oldest first, until the bound holds."""
        excess = self._samples() - self._most
        for batch in list(self._batches):
            if excess <= 0:
                return
            if batch.ever_sent:
                continue
            kept = _Columns()
            for local, at, value, outcome in batch.columns.rows():
                if self._important[local] is important:
                    self.shed_total += 1
                    if self._keys[local].metric == SUCCESS:
                        self._given_up[local] = at
                else:
                    kept.add(local, at, value, outcome)
            excess -= len(batch.columns) - len(kept)
            batch.columns = kept
            if not len(kept):
                self._batches.remove(batch)


def _frame(batch: _Batch) -> Measured:
    return Measured(
        number=batch.number,
        series=np.asarray(batch.columns.series, dtype="<i4").tobytes(),
        at=batch.columns.at().astype("<f8", copy=False).tobytes(),
        value=np.asarray(batch.columns.value, dtype="<f8").tobytes(),
        outcome=batch.columns.outcome().tobytes(),
    )
