"""How samples teach the bank: block by block through the kernel, and the season where an hour begins; then, for all
blocks together, what stands out (`kernel.judge`) and what is in an alarm (`episodes`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.bank import episodes, kernel
from cemd.analyze.bank import season as seasons
from cemd.analyze.bank.kernel import BLOCK, Beyond, Kernel, Lot, Rows, span_of
from cemd.analyze.bank.realised import Realised
from cemd.analyze.bank.season import NEVER
from cemd.analyze.columns import Array
from cemd.config.rules import Detector

WEEK_SECONDS = 604_800.0
HOUR_SECONDS = 3600.0
FULL, SET_BACK = np.float32(2.0**23), np.float32(2.0**22)  # samples: 97 days at one a second


class Lessons:
    """Takes samples of series that differ and ascend; `columns` and `season` are the bank's, as `fix` handed them."""

    def __init__(self, kernel: Kernel, realised: Realised) -> None:
        self._kernel, self._realised = kernel, realised
        self._columns: Mapping[str, Array] = {}
        self._season: Mapping[str, Array] = {}
        self._beyond = Beyond()
        self._terms = (0.0, 0.0)  # samples to learn from; a week / stated rate

    def fix(self, columns: Mapping[str, Array], season: Mapping[str, Array]) -> None:
        """These are the columns now, each as a view of the rows in use; of the memory of episodes by name as well."""
        self._columns, self._season = columns, season
        self._kernel.fix(columns)

    def use(self, kernel: Kernel) -> None:
        kernel.fix(self._columns)
        self._kernel = kernel

    def altered(self) -> None:
        """Somebody else wrote to columns."""
        self._kernel.altered()

    def take(self, rows: Rows, at: Array, value: Array, outcome: Array, detector: Detector) -> None:
        self._terms = float(detector.learn_samples), WEEK_SECONDS / detector.false_alarms_per_series_week
        taught: list[Rows] = []
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            taught += self._look(rows[part], at[part], value[part], outcome[part])
            if self._beyond.size > kernel.JUDGED or start + BLOCK >= len(rows):
                self._judge(taught)
                taught = []

    def _judge(self, taught: list[Rows]) -> None:
        if self._beyond.size:
            kernel.judge(self._columns, self._beyond, self._terms_of(self._beyond.youngest))
        for rows in taught:
            episodes.follow(self._columns, rows)

    def _terms_of(self, youngest: float) -> episodes.Terms:
        return episodes.Terms(youngest, *self._terms, self._realised)

    def _look(self, rows: Rows, at: Array, value: Array, outcome: Array) -> list[Rows]:
        """At most BLOCK rows.

        Returns:
            Those that wait to be judged.
        """
        lot, binary, zeros = self._kernel.look(rows, at, value, outcome, self._terms[0])
        if zeros is not None:
            kernel.judge_binary(self._columns, zeros, self._terms_of(zeros.youngest))
        if len(binary):
            episodes.end(self._columns, binary)
        if lot is None:
            return []
        self._turn_hour(lot)
        lot.learn(self._beyond)
        return [lot.rows]

    def _turn_hour(self, lot: Lot) -> None:
        """Where a series enters another hour of the week, or it is its time to look ahead to the next: the season."""
        at = lot.at
        newest = np.maximum.reduce(at)
        if newest < lot.season_due:
            return
        seasons.look_ahead(lot)
        if newest < lot.season_due:
            return
        hour = np.floor(at / HOUR_SECONDS).astype(np.int32)  # a sixth of the time of `//`
        since = at - hour * HOUR_SECONDS
        turns = hour != self._columns["hour"][lot.span]
        if newest >= lot.hour_ends:  # time never goes back here, so that nobody is in an earlier one
            self._kernel.altered()
            self._begin_hour(lot, turns.nonzero()[0], hour, since)
        self._settle(lot, ~turns, since)
        seasons.look_ahead(lot)

    def _settle(self, lot: Lot, stays: Array, since: Array) -> None:
        """Of the series that stay in their hour, those whose time it is."""
        waits = (stays & ~self._columns["foreseen"][lot.span]).nonzero()[0]
        rows = lot.rows[waits]
        rows = rows[since[waits] >= seasons.due_after(rows)]
        for start in range(0, len(rows), seasons.BLOCK):
            seasons.settle(self._season, self._columns, span_of(rows[start : start + seasons.BLOCK]))

    def settle(self, rows: Rows) -> None:
        """What waits of the season of these rows is learnt now."""
        waits = rows[~self._columns["foreseen"][rows] & (self._columns["hour"][rows] != NEVER)]
        seasons.settle(self._season, self._columns, waits)

    def _begin_hour(self, lot: Lot, turns: NDArray[np.intp], hour: Array, since: Array) -> None:
        self._count_anew(lot.rows[turns])
        for start in range(0, len(turns), seasons.BLOCK):
            places = turns[start : start + seasons.BLOCK]
            where = span_of(places)
            rows = span_of(lot.rows[where])
            seasons.turn(self._season, lot, where, rows, hour[where], since[where].astype(np.float32))

    def _count_anew(self, rows: Rows) -> None:
        """Sets counts back, and what was noted by them, before single precision counts no further (2^24)."""
        c = self._columns
        full = rows[c["n"][span_of(rows)] > FULL]
        if len(full):
            for name in ("n", "hour_from"):
                c[name][full] -= SET_BACK
            c["episode"][full[:, None], episodes.COUNTED] -= SET_BACK
