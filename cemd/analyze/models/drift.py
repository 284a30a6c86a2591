"""Drift: an indicator's mean has moved and stays, by river's ADWIN on one value a window.

ADWIN keeps a window of values whose length it adapts: it is cut where the means of its two parts differ by more than
chance allows. Its state cannot be read, only pickled, so a model here is *made from what it was given*: the values
since its last cut, at most `MOST`, in columns; beyond that it begins anew from the newest `KEPT`, in every process at
the same value. So a snapshot holds numbers, and a restored model has the same bits as one that lived.

Traps of the library: one NaN spoils ADWIN for ever (unknown values are never given), a detection is told by one update
only (its count of them is worth nothing), it begins empty after one, and it assumes values of about one unit: they are
placed between `worst` (0) and `best` (1) of the indicator, and cut off one such range beyond either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array, Columns, Field
from cemd.analyze.models.forecast import next_look
from cemd.config.detection import Drift

MOST = 512
KEPT = 256
CLOCK = 4
"""Values between two tests: ADWIN's usual 32 would be half a day of five-minute windows."""
GRACE = 16
"""Values after a cut before it tests again."""
MOST_DOUBT = 6
"""A person who says false halves `confidence`, so many times at most."""
FIELDS = {
    "next_at": Field("<f8", -np.inf),
    "count": Field("<i4"),  # of the values held
    "at": Field("<f8", 0, (MOST,)),
    "value": Field("<f8", 0, (MOST,)),
    "doubts": Field("<i4"),
    "said": Field("|b1"),
    "kept": Field("|b1"),  # a person said true: not accepted as the new normal
    "before": Field("<f8", np.nan),  # mean before the move, as placed
    "after": Field("<f8", np.nan),
    "since": Field("<f8", np.nan),
    "moved_at": Field("<f8", np.nan),
}


@dataclass(frozen=True, slots=True)
class Moves:
    """Numbers of the instances whose drift turned at a tick."""

    began: NDArray[np.intp]
    ended: NDArray[np.intp]


class Drifts:
    """One row per indicator instance, by its number."""

    def __init__(self) -> None:
        self.columns = Columns(FIELDS)
        self._models: dict[int, Any] = {}  # made from the columns when needed

    def reach(self, instances: int) -> None:
        """Rows for all instances."""
        if instances > len(self.columns):
            self.columns.add(instances - len(self.columns))

    def tick(self, now: float, given: Mapping[str, Array], rules: Drift) -> Moves:
        """Takes the values that are due.

        Args:
            now: Core time.
            given: Columns by instance: `placed` (value between worst 0 and best 1; NaN: unknown or not watched), `pace`
                (seconds between two values), `phase` (0..1, its own place in the pace).
            rules: How sure, how large, how long.
        """
        c = self.columns
        before = c["said"].copy()
        due = np.flatnonzero(now >= c["next_at"])
        pace = given["pace"][due]
        c["next_at"][due] = next_look(now, pace, given["phase"][due])
        due = due[~np.isnan(given["placed"][due])]
        values = np.clip(given["placed"][due], -1.0, 2.0)
        for row, value in zip(due.tolist(), values.tolist(), strict=True):
            self._take(row, now, value, rules)
        return Moves(np.flatnonzero(c["said"] & ~before), np.flatnonzero(before & ~c["said"]))

    def _take(self, row: int, now: float, value: float, rules: Drift) -> None:
        c = self.columns
        if c["count"][row] == MOST:
            for name in ("at", "value"):
                c[name][row, :KEPT] = c[name][row, MOST - KEPT :].copy()
            c["count"][row] = KEPT
            self._models.pop(row, None)
        model = self._model(row, rules)
        moved = bool(model.update(value))
        count = int(c["count"][row])
        c["at"][row, count], c["value"][row, count] = now, value
        c["count"][row] = count + 1
        if moved:
            self._cut(row, now, rules)
        elif c["said"][row]:
            self._settle(row, now, rules)

    def _model(self, row: int, rules: Drift) -> Any:
        """ADWIN that was given the row's values."""
        model = self._models.get(row)
        if model is None:
            from river._river_rust.drift import AdaptiveWindowing  # `river.drift` imports all of scipy: five seconds

            delta = rules.confidence / 2.0 ** int(self.columns["doubts"][row])
            model = self._models[row] = AdaptiveWindowing(
                delta=delta, clock=CLOCK, grace_period=GRACE, min_window_length=8
            )
            for value in self.columns["value"][row, : self.columns["count"][row]].tolist():
                model.update(value)
        return model

    def _cut(self, row: int, now: float, rules: Drift) -> None:
        """The mean has moved: what lies before the best single step is what was, the rest is what is now.

        ADWIN itself would begin empty after a detection, and its cut lies at the edge of one of its buckets.
        """
        c = self.columns
        count = int(c["count"][row])
        newer = count - best_step(c["value"][row, :count])
        values, times = c["value"][row, :count].copy(), c["at"][row, :count].copy()
        was, is_now = float(values[: count - newer].mean()), float(values[count - newer :].mean())
        c["value"][row, :newer], c["at"][row, :newer] = values[count - newer :], times[count - newer :]
        c["count"][row] = newer
        self._models.pop(row, None)  # made anew from the newer part
        if c["said"][row]:
            was = float(c["before"][row])  # still the same episode: measured from where it began
        c["after"][row], c["moved_at"][row] = is_now, now
        if was - is_now >= rules.smallest_move:
            if not c["said"][row]:
                c["before"][row], c["since"][row] = was, times[count - newer]
            c["said"][row] = True
        else:
            c["said"][row] = c["kept"][row] = False

    def _settle(self, row: int, now: float, rules: Drift) -> None:
        """Long without another move: the new normal, unless a person said that it is true."""
        c = self.columns
        if not c["kept"][row] and now - c["moved_at"][row] >= rules.accept_after_seconds:
            c["said"][row] = False

    def keep(self, row: int) -> None:
        """A person said true: it ends when the values come back, not by habit."""
        self.columns["kept"][row] = True

    def accept(self, row: int) -> None:
        """A person said benign: what is now is normal."""
        self.columns["said"][row] = self.columns["kept"][row] = False

    def doubt(self, row: int) -> None:
        """A person said false: half the chance from now on, down to a bound."""
        self.accept(row)
        self.columns["doubts"][row] = min(int(self.columns["doubts"][row]) + 1, MOST_DOUBT)
        self._models.pop(row, None)

    def shift(self, seconds: float) -> None:
        """The clock jumped ahead: nothing is older by it."""
        for name in ("at", "since", "moved_at"):
            self.columns[name][:] += seconds

    def take_over(self, other: Drifts, pairs: Sequence[tuple[int, int]]) -> None:
        """After a reload: (here, there) instances that did not change keep everything."""
        here = np.array([one[0] for one in pairs], np.intp)
        there = np.array([one[1] for one in pairs], np.intp)
        for name in FIELDS:
            self.columns.copy_rows(name, here, other.columns, there)

    def dump(self) -> dict[str, bytes]:
        return {"rows": len(self.columns).to_bytes(8, "little"), **self.columns.dump()}

    def load(self, dumped: Mapping[str, bytes]) -> None:
        self.columns.load(int.from_bytes(dumped["rows"], "little"), dumped)
        self._models.clear()


def best_step(values: Array) -> int:
    """Where one step explains the most: the number of values before it, at least 1 and less than all."""
    off = np.cumsum(values - values.mean())[:-1]
    before = np.arange(1, len(values))
    return int((off * off * (1.0 / before + 1.0 / (len(values) - before))).argmax()) + 1
