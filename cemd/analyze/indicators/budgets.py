"""Error budgets: how fast each promised ratio spends what may fail, over pairs of a long and a short window.

`burn = share of failures / (1 - promised)`: at 1 the budget lasts exactly its period. A pair fires when both of its
windows burn at `budget_share · period / long` or more: the long one says that it matters, the short one that it still
goes on. A window that has not seen its whole length counts what it has not seen as good, so that a daemon that has just
started cries over what is spent and not over what might be. Few attempts, or few failures, say nothing.
The windows are those of `windows`; one row per indicator instance with a budget.

Source: Beyer and others, The Site Reliability Workbook (2018), chapter 5, multiwindow multi-burn-rate alerts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array, Columns, Field
from cemd.analyze.indicators.windows import Windows
from cemd.config.detection import Budget, BurnRate
from cemd.config.rules import Summary

NONE, AT_RISK, DEGRADED = 0, 1, 2
FIELDS = {
    "since": Field("<f8", np.nan),  # first attempt ever taken
    "said": Field("|u1"),  # NONE, AT_RISK or DEGRADED: what is open
    "rate": Field("|i1", -1),  # number of the burn rate that fires hardest now, -1: none
    "burn": Field("<f8", np.nan),  # of its long window; NaN: nothing fires
    "worst": Field("<f8", np.nan),  # highest burn of the episode
    "samples": Field("<f8"),
    "quiet_since": Field("<f8", np.nan),
}


def threshold(budget: Budget, rate: BurnRate) -> float:
    """Burn rate from which a pair fires.

    >>> budget = Budget(promised=0.999)
    >>> [round(threshold(budget, rate), 3) for rate in budget.burn_rates]
    [14.4, 6.0, 3.0, 1.0]
    """
    return rate.budget_share * budget.period_seconds / rate.long_seconds


@dataclass(frozen=True, slots=True)
class Burning:
    """Rows that turned at a tick: began, changed their quality, ended."""

    began: NDArray[np.intp]
    changed: NDArray[np.intp]
    ended: NDArray[np.intp]


class Budgets:
    """State of all budgets; `instances[row]` is the number of the indicator instance."""

    def __init__(self) -> None:
        self.columns = Columns(FIELDS)
        self.windows = Windows()
        self.instances: list[int] = []
        self.budgets: list[Budget] = []
        self.clear_seconds: list[float] = []
        self._first: list[int] = []  # first window of each row; long and short of each rate follow in turn
        self._row_of = np.full(0, -1, np.int64)

    def __len__(self) -> int:
        return len(self.instances)

    def open(self, instance: int, budget: Budget, clear_seconds: float) -> None:
        """Appends the budget of an instance."""
        spans = [seconds for rate in budget.burn_rates for seconds in (rate.long_seconds, rate.short_seconds)]
        self._first.append(self.windows.open([(Summary.MEAN, seconds) for seconds in spans]).start)
        self.columns.add(1)
        grown = np.full(instance + 1, -1, np.int64)
        grown[: len(self._row_of)] = self._row_of
        grown[instance] = len(self)
        self._row_of = grown
        self.instances.append(instance)
        self.budgets.append(budget)
        self.clear_seconds.append(clear_seconds)

    def row_of(self, instance: int) -> int:
        """-1: the instance has no budget."""
        return int(self._row_of[instance]) if instance < len(self._row_of) else -1

    def observe(self, instance: NDArray[np.intp], at: Array, value: Array) -> None:
        """Takes attempts (1 good, 0 failed) in the order in which they came; those of other instances are ignored."""
        if not len(self):
            return
        row = np.where(instance < len(self._row_of), self._row_of[np.minimum(instance, len(self._row_of) - 1)], -1)
        mine = row >= 0
        if not mine.any():
            return
        row, at, value = row[mine], at[mine], value[mine]
        np.fmin.at(self.columns["since"], row, at)
        count = np.array([2 * len(one.burn_rates) for one in self.budgets], np.intp)[row]
        place = np.repeat(np.arange(len(row)), count)
        within = np.arange(len(place)) - np.repeat(np.cumsum(count) - count, count)
        self.windows.add(np.array(self._first, np.intp)[row][place] + within, at[place], value[place])

    def tick(self, now: float) -> Burning:
        """Evaluates every budget and moves it along."""
        if not len(self):
            nothing = np.zeros(0, np.intp)
            return Burning(nothing, nothing, nothing)
        before = self.columns["said"].copy()
        value, samples = self.windows.evaluate(np.arange(len(self.windows.columns)), now)
        for row, budget in enumerate(self.budgets):
            first = self._first[row]
            part = slice(first, first + 2 * len(budget.burn_rates))
            self._judge(row, budget, value[part], samples[part], now)
        after = self.columns["said"]
        return Burning(
            np.flatnonzero((before == NONE) & (after != NONE)),
            np.flatnonzero((before != NONE) & (after != NONE) & (before != after)),
            np.flatnonzero((before != NONE) & (after == NONE)),
        )

    def _judge(self, row: int, budget: Budget, value: Array, samples: Array, now: float) -> None:
        """What is said rises at once, and falls to what still fires when nothing as bad has fired for the clear time:
        the slow pairs fire for hours after a fast burn is over, and that is a warning then, no degradation."""
        c = self.columns
        fires = self._firing(row, budget, value, samples, now)
        c["burn"][row] = max((burn for _, burn in fires), default=np.nan)
        c["samples"][row] = float(samples[0])
        level = NONE
        if fires:
            number = max(fires, key=lambda one: (budget.burn_rates[one[0]].quality == "degraded", one[1]))[0]
            level = DEGRADED if budget.burn_rates[number].quality == "degraded" else AT_RISK
            c["rate"][row], c["samples"][row] = number, float(samples[2 * number])
            c["worst"][row] = np.fmax(c["worst"][row], c["burn"][row])
        if level >= c["said"][row]:
            c["said"][row], c["quiet_since"][row] = level, np.nan
            return
        if np.isnan(c["quiet_since"][row]):
            c["quiet_since"][row] = now
        if now - c["quiet_since"][row] >= self.clear_seconds[row]:
            c["said"][row], c["quiet_since"][row] = level, np.nan

    def _firing(self, row: int, budget: Budget, value: Array, samples: Array, now: float) -> list[tuple[int, float]]:
        """(number, burn of the long window) of each pair that fires."""
        fires: list[tuple[int, float]] = []
        seen = now - float(self.columns["since"][row])
        for number, rate in enumerate(budget.burn_rates):
            long, short = 2 * number, 2 * number + 1
            if not (samples[long] >= budget.min_samples and samples[short] > 0):
                continue
            failed = 1.0 - value[[long, short]]
            if failed[0] * samples[long] < budget.min_failures - 1e-9:
                continue
            burn = failed / (1.0 - budget.promised) * np.minimum(1.0, seen / rate.long_seconds)
            if burn[0] >= threshold(budget, rate) and burn[1] >= threshold(budget, rate):
                fires.append((number, float(burn[0])))
        return fires

    def forget_worst(self, rows: NDArray[np.intp]) -> None:
        """What comes after is another episode."""
        self.columns["worst"][rows] = np.nan

    def take_over(self, other: Budgets, pairs: Sequence[tuple[int, int]]) -> None:
        """After a reload: pairs of instances (here, there) that did not change keep everything."""
        windows: list[tuple[int, int]] = []
        for here, there in pairs:
            mine, theirs = self.row_of(here), other.row_of(there)
            if mine >= 0 and theirs >= 0 and self.budgets[mine] == other.budgets[theirs]:
                for name in FIELDS:
                    self.columns[name][mine] = other.columns[name][theirs]
                count = 2 * len(self.budgets[mine].burn_rates)
                windows += [(self._first[mine] + n, other._first[theirs] + n) for n in range(count)]
        if windows:
            self.windows.move_from(other.windows, windows)

    def shift(self, seconds: float) -> None:
        """The clock jumped ahead."""
        self.columns["quiet_since"][:] += seconds

    def dump(self) -> dict[str, bytes]:
        parts = {f"seen.{name}": body for name, body in self.columns.dump().items()}
        return {**parts, **{f"windows.{name}": body for name, body in self.windows.dump().items()}}

    def load(self, dumped: Mapping[str, bytes]) -> None:
        """Fills the budgets, which stand in the order of the dump."""
        if not dumped:
            return
        self.columns.load(len(self), _under("seen.", dumped))
        self.windows.load(_under("windows.", dumped))


def _under(prefix: str, dumped: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name.removeprefix(prefix): body for name, body in dumped.items() if name.startswith(prefix)}
