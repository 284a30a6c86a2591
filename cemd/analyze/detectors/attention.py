"""Attention: which series the deep detector serves, and what it was given since the last tick.

It serves every series that an indicator looks at, for journeys, RATER and the index stand on indicators; but not those
of 0 and 1 (`success`), on which the bank's bet is exact. Samples wait until the tick (or a snapshot) and are then
taken in rounds: what comes out does not depend on when. A series that no indicator looks at any more keeps what it
has learnt.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array
from cemd.analyze.detectors.deep import Deep
from cemd.analyze.detectors.explain import Why, explain
from cemd.analyze.detectors.gate import Called, Episode
from cemd.config.rules import Detector

NOT_SERVED = -1


class Attention:
    """The deep detector's series, by row of the table."""

    def __init__(self) -> None:
        self.deep = Deep()
        self.rows: NDArray[np.intp] = np.zeros(0, np.intp)  # of each series of the detector
        self._number: NDArray[np.int32] = np.zeros(0, np.int32)  # of each row: series of the detector, or NOT_SERVED
        self._served: Array = np.zeros(0, np.bool_)  # by series of the detector: an indicator looks at it
        self._waiting: list[tuple[Array, Array, Array]] = []

    def serve(self, rows: Array, table_size: int, rules: Detector) -> None:
        """From now on these rows, and no others, of a table of `table_size` are served: as many at a time, and with as
        many false findings, as the rules allow."""
        self.settle()
        self.deep.stated.rate = rules.deep_false_alarms_per_series_week
        grown = np.full(table_size, NOT_SERVED, np.int32)
        grown[: len(self._number)] = self._number
        self._number = grown
        wanted = np.unique(rows)
        known = wanted[self._number[wanted] >= 0]
        fresh = wanted[self._number[wanted] < 0][: max(rules.deep_series - len(known), 0)]
        self._number[fresh] = len(self.rows) + np.arange(len(fresh), dtype=np.int32)
        self.rows = np.concatenate([self.rows, fresh])
        self.deep.add(len(fresh))
        served = np.zeros(len(self.rows), np.bool_)
        served[self._number[known]] = True
        served[self._number[fresh]] = True
        self._served = served
        self.deep.gate.forget(np.flatnonzero(~served))

    def observe(self, rows: Array, at: Array, value: Array) -> None:
        """Keeps what belongs to served rows until `settle`; values are finite."""
        number = self._number[rows]
        mine = number >= 0
        mine[mine] = self._served[number[mine]]
        if mine.any():
            self._waiting.append((number[mine].astype(np.intp), at[mine], value[mine]))

    def settle(self) -> None:
        """Gives the detector all that waits."""
        if self._waiting:
            number, at, value = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
            self._waiting.clear()
            self.deep.observe(number, at, value)

    def turned(self, at: float) -> tuple[list[int], list[int]]:
        """Rows whose grave episode began, and rows whose ended, since the last tick; `at` is this one's time."""
        self.settle()
        self.deep.stated.alike.judge(at)
        began, ended = self.deep.gate.turned()
        return self.rows[began].tolist(), self.rows[ended].tolist()

    def is_open(self, row: int) -> bool:
        """A grave episode of the row is open."""
        number = self._number_of(row)
        return bool(number >= 0 and self.deep.columns["grave"][number])

    def why(self, row: int) -> Why:
        """Raises KeyError where the row is not served."""
        if (number := self._number_of(row)) < 0:
            raise KeyError(row)
        return explain(self.deep, number)

    def called_true(self, row: int, since: float, until: float) -> None:
        """A person called the row's anomaly of that time a fault: what is as strong is said again."""
        if (found := self._episode(row, since, until)) is not None:
            self.deep.gate.confirm(*found)
            self.deep.recurrence.forget(found[0])

    def called_false(self, row: int, since: float, until: float) -> None:
        """A person called it no fault, while it is open or after its end: what is no stronger is not said."""
        if (found := self._episode(row, since, until)) is not None:
            self.deep.gate.doubt(*found, Called.FALSE)

    def called_benign(self, row: int, since: float, until: float, *, is_open: bool) -> None:
        """A person called it the new normal: the row begins anew. What is over already may come again, and is not said
        then; the row keeps what it knows."""
        if (found := self._episode(row, since, until)) is not None and not is_open:
            self.deep.gate.doubt(*found, Called.BENIGN)
        elif is_open and (number := self._number_of(row)) >= 0:
            self.settle()
            self.deep.begin_anew(number)

    def _episode(self, row: int, since: float, until: float) -> tuple[int, Episode] | None:
        if (number := self._number_of(row)) < 0:
            return None
        self.settle()
        episode = self.deep.gate.during(number, since, until)
        return None if episode is None else (number, episode)

    def _number_of(self, row: int) -> int:
        return int(self._number[row]) if row < len(self._number) else NOT_SERVED

    def shift(self, seconds: float) -> None:
        """The clock jumped ahead: nothing came for that time, and nothing was missing."""
        self.settle()
        self.deep.columns["last_at"][:] += seconds

    def dump(self) -> dict[str, bytes]:
        self.settle()
        return {
            "number": self._number.tobytes(),
            "of": self.rows.astype("<i8").tobytes(),
            "served": self._served.tobytes(),
            **self.deep.dump(),
        }

    def load(self, dumped: Mapping[str, bytes]) -> None:
        self._number = np.frombuffer(dumped["number"], np.int32).copy()
        self.rows = np.frombuffer(dumped["of"], "<i8").astype(np.intp)
        self._served = np.frombuffer(dumped["served"], np.bool_).copy()
        self.deep.load(dumped)
