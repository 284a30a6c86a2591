"""Indicators: windows judged against objectives, as columns; one instance per indicator and (service, site,
touchpoint).

At a tick every instance gets a value, a score and a quality, and moves along its objective: broken for `for_seconds`
opens, good (by the hysteresis) for `clear_for_seconds` ends; beyond `warn_at` the same way one step earlier. Too few
samples, or only blind attempts: `unknown`, which neither opens nor ends anything and starts the waiting anew; but what
enough good samples began to mend goes on mending over instants with too few, as long as those are good. Where a window
never holds enough (a slow probe), so many bad samples in a row are enough, however far apart, and so many good ones.
One sample alone breaks no ratio and no mean (the value must be bad without its worst sample too), and nothing of the
kind begins to break while the newest samples are good, as many as series stand behind it: a hiccup that a window still
remembers is over, and one vantage point of three that fails is not hidden by the two after it.
These, and a median of few samples, break it only when they are more than chance for their series (`chance.py`);
attempts of which all failed are.
What was measured under announced work counts only until the work is over: then a window that holds something bad of it
restarts, what broke in it ends, and what is still bad breaks anew by its first sample.
Surprising: a changed definition restarts its window, but what it had open stays open until there is proof that it
ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array, Columns
from cemd.analyze.indicators import chance
from cemd.analyze.indicators.budgets import DEGRADED as BURNS_FAST
from cemd.analyze.indicators.budgets import Budgets, Burning
from cemd.analyze.indicators.index import Index
from cemd.analyze.indicators.instances import (
    AT_RISK,
    DEGRADED,
    DOWN,
    FIELDS,
    HEALTHY,
    QUALITIES,
    SEEN,
    STREAKS,
    UNKNOWN,
    Instance,
    definition,
    matches,
)
from cemd.analyze.indicators.kept import Kept
from cemd.analyze.indicators.streaks import count_in_row, enough_in_row, streak
from cemd.analyze.indicators.windows import BUCKETS, Windows
from cemd.analyze.indicators.work import AnnouncedWork
from cemd.analyze.series import SeriesTable
from cemd.config.rules import Indicator
from cemd.config.selectors import Selectors
from cemd.config.topology import Topology
from cemd.model.quality import Quality

Tail = Callable[[NDArray[np.intp]], Array]


def unknown_tail(rows: NDArray[np.intp]) -> Array:
    """Nothing is known of what these series usually show."""
    return np.full(len(rows), np.nan)


@dataclass(frozen=True, slots=True)
class Turns:
    """Numbers of the instances that turned at a tick."""

    broke: NDArray[np.intp]
    worsened: NDArray[np.intp]  # open and now down, or down and now only degraded
    mended: NDArray[np.intp]
    warned: NDArray[np.intp]
    calmed: NDArray[np.intp]
    restarted: NDArray[np.intp]  # work that was announced is over: among `mended` and `calmed`, if they were open
    burning: Burning  # rows of the budgets


class Indicators:
    """All instances under one configuration."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.instances: list[Instance] = []
        self.number: dict[str, int] = {}
        self.columns = Columns(FIELDS)
        self.windows = Windows()
        self.budgets = Budgets()
        self._work = AnnouncedWork(topology)
        self._places: list[tuple[str, str]] = []
        self._pushed_of: dict[str, list[int]] = {}
        by_metric: dict[str, list[Indicator]] = {}
        for indicator in topology.configuration.indicators:
            by_metric.setdefault(indicator.of.metric, []).append(indicator)
        self._of_metric = {metric: (those, Selectors([one.of for one in those])) for metric, those in by_metric.items()}
        self._pairs: list[tuple[int, int]] = []  # (row, instance) in order of rows
        self._index: Index | None = None
        self.readings: Kept[Any] = Kept()  # of the roll-ups
        self.views: Kept[Any] = Kept()  # of whoever looks

    def add_series(self, table: SeriesTable, rows: Sequence[int]) -> None:
        """Joins rows (greater than all before) to the instances that look at them, opening new instances."""
        fresh: list[Instance] = []
        for row in rows:
            series, place = table.series[row], table.places[row]
            if place is None or series.key.metric not in self._of_metric:
                continue
            indicators, selectors = self._of_metric[series.key.metric]
            names = (place.probe, place.probe_name)
            for which in selectors.candidates(probes=names, service=place.service, kind=place.kind):
                indicator = indicators[which]
                if not matches(indicator.of, series, place, self.topology):
                    continue
                instance = Instance(indicator, place.service, place.site, place.touchpoint)
                number = self.number.get(instance.key)
                if number is None:
                    number = self.number[instance.key] = len(self.instances) + len(fresh)
                    fresh.append(instance)
                self._pairs.append((row, number))
        self._open(fresh)
        self._index = None

    def _open(self, fresh: Sequence[Instance]) -> None:
        first = len(self.instances)
        self.instances.extend(fresh)
        self._places.extend((one.service, one.site) for one in fresh)
        self.columns.add(len(fresh))
        self.windows.open([(one.indicator.summary, one.indicator.window_seconds) for one in fresh])
        for number, one in enumerate(fresh, first):
            if one.indicator.of.source is not None:
                self._pushed_of.setdefault(one.service, []).append(number)
            for name, value in definition(one.indicator).items():
                self.columns[name][number] = value
            objective = one.indicator.objective
            if objective is not None and objective.budget is not None:
                self.budgets.open(number, objective.budget, objective.clear_for_seconds)

    @property
    def index(self) -> Index:
        if self._index is None:
            self._index = Index(self._pairs, len(self.instances))
        return self._index

    def series_of(self, number: int) -> NDArray[np.intp]:
        """Rows that an instance looks at."""
        return self.index.rows_of(number)

    def pushed_of(self, service: str) -> Sequence[int]:
        """Instances that look at what a source pushes about a service."""
        return self._pushed_of.get(service, ())

    def pushed(self) -> Sequence[int]:
        """Instances that look at what a source pushes."""
        return [number for numbers in self._pushed_of.values() for number in numbers]

    def is_mixed(self, number: int) -> bool:
        """Good samples came among the bad ones since it is bad, and the newest is bad again: what only recovers is not
        mixed."""
        return bool(self.columns["mixed"][number] and self.columns["good_in_row"][number] == 0)

    def rows_looked_at(self) -> NDArray[np.intp]:
        """Rows that at least one instance looks at, ascending."""
        return np.unique(np.array([row for row, _ in self._pairs], np.intp))

    def observe(self, rows: NDArray[np.intp], at: Array, value: Array, tail: Tail = unknown_tail) -> None:
        """Adds samples with finite values to every window that looks at their rows.

        `tail`: for rows, how usual their newest sample is for their own past, 1 = ordinary; NaN: not known yet.
        """
        place, window = self.index.expand(rows)
        c = self.columns
        counts = at[place] >= c["counts_from"][window]
        if not counts.all():
            place, window = place[counts], window[counts]
        at, value = at[place], value[place]
        self.windows.add(window, at, value)
        count_in_row(c, window, at, value)
        self._weigh(rows[place], window, value, tail)
        good = (c["sign"][window] * value >= c["target"][window]) & (at >= c["bad_since"][window])
        c["mixed"][window[good]] = True
        promised = ~((at >= c["work_from"][window]) & (at < c["work_until"][window]))  # work is no part of the promise
        self.budgets.observe(window[promised], at[promised], value[promised])

    def _weigh(self, rows: NDArray[np.intp], window: NDArray[np.intp], value: Array, tail: Tail) -> None:
        """Whether what lies beyond the objective is more than chance, for those whose few samples decide."""
        c = self.columns
        beyond = c["sign"][window] * value < c["target"][window]
        counts = ~c["means"][window] | beyond | (c["evidence"][window] > 0)  # a mean is asked only where it is thin
        asked = np.flatnonzero(c["needs_fresh"][window] & counts)
        if len(asked):
            window, beyond = window[asked], beyond[asked]
            usual = tail(rows[asked[beyond]]) if beyond.any() else np.zeros(0)
            chance.weigh(c["evidence"], window, beyond, usual)

    def tick(self, now: float, blind: Array) -> Turns:
        """Evaluates and moves along the objectives. `blind`: per row, the newest attempt could not look."""
        c = self.columns
        restarted = self._end_work(now)
        due = self.windows.due(now)
        if len(due):
            c["value"][due], c["samples"][due] = self.windows.evaluate(due, now)
            means = due[c["means"][due]]
            means = means[c["sign"][means] * c["value"][means] < c["target"][means]]  # elsewhere nobody asks
            if len(means):
                c["spared"][means] = self.windows.without_worst(means, now, c["sign"][means])
        after_work = c["after_work"]
        after_work &= c["good_in_row"] == 0
        known = ((c["samples"] >= c["min_samples"]) | (after_work & (c["samples"] >= 1))) & ~np.isnan(c["value"])
        seen = (c["samples"] >= 1) & ~np.isnan(c["value"])
        # as many bad samples in a row as are asked for speak, though no window holds so many; what is no attempt that
        # failed must be more than chance
        row = ~known & seen & c["needs_fresh"] & (c["bad_in_row"] >= enough_in_row(c, self.index.series_count))
        row &= c["ratio"] | c["broken"] | (c["evidence"] >= chance.CERTAIN_IN_ROW)
        known |= row
        thin = ~known
        if blind.any():
            sighted = ~self.index.all_of(blind)
            thin &= sighted
            known &= sighted
            seen &= sighted
        good = c["sign"] * c["value"]
        bad = known & (good < c["target"])
        bad &= ~c["means"] | (c["sign"] * c["spared"] < c["target"]) | after_work | row
        streak(c["bad_since"], bad, now)
        np.copyto(c["bad_since"], np.fmin(c["bad_since"], c["row_at"]), where=row & bad)
        c["mixed"][~bad] = False
        streak(c["good_since"], (good >= c["clear"]) & (known | (seen & ~np.isnan(c["good_since"]))), now)
        warning = known & (good < c["warn"])
        streak(c["warn_since"], warning, now)
        streak(c["calm_since"], (good >= c["calm"]) & (known | (seen & ~np.isnan(c["calm_since"]))), now)
        is_down = bad & (good <= c["down"])
        streak(c["up_since"], known & ~is_down, now)
        self._remember_worst(np.where(known, good, np.nan))
        return self._turn(now, known=known, thin=thin, bad=bad, warning=warning, is_down=is_down, restarted=restarted)

    def _end_work(self, now: float) -> NDArray[np.bool_]:
        """Restarts what was bad under announced work that is over, but for what was broken before it; which ones."""
        c = self.columns
        plan = self._work.plan(self._places, now)
        covers = plan.begins <= now
        over = np.flatnonzero((c["work_from"] <= now) & ~covers)
        c["broke_before"][:] = (c["broke_before"] | (covers & ~c["under_work"])) & c["broken"]
        c["under_work"][:] = covers
        ended_at = np.minimum(c["work_until"][over], now)
        c["counts_from"][over] = ended_at
        bad = (c["bad_at"][over] >= c["work_from"][over]) | c["broken"][over]
        again = bad & ~c["broke_before"][over]
        over, ended_at = over[again], ended_at[again]
        c["after_work"][over] = c["needs_fresh"][over] & (c["means"] | c["broken"])[over]
        self.windows.forget(over, ended_at)
        for name in STREAKS:
            c[name][over] = np.nan
        c["bad_in_row"][over], c["row_at"][over] = 0, np.inf
        c["work_from"][:], c["work_until"][:] = plan
        restarted = np.zeros(len(self.instances), np.bool_)
        restarted[over] = True
        return restarted

    def _turn(  # noqa: PLR0913, RUF100 -- everything that moves an objective
        self,
        now: float,
        *,
        known: Array,
        thin: Array,
        bad: Array,
        warning: Array,
        is_down: Array,
        restarted: Array,
    ) -> Turns:
        c = self.columns
        broken, warned, down_now = c["broken"], c["warned"], c["down_now"]
        fresh = ~c["needs_fresh"] | (c["good_in_row"] < self.index.series_count)
        few = c["needs_fresh"] & ~c["means"] & (c["samples"] < chance.FEW_SAMPLES) & ~c["after_work"]
        certain = ~few | (c["evidence"] >= chance.CERTAIN)
        broke = ~broken & bad & fresh & certain & (now - c["bad_since"] >= c["for_seconds"])
        mended = broken & known & (now - c["good_since"] >= c["clear_seconds"])
        # its window never holds enough (a slow probe opened it by quick looks): as many good samples in a row will do
        mended |= broken & thin & c["needs_fresh"] & (c["good_in_row"] >= enough_in_row(c, self.index.series_count))
        mended |= broken & restarted
        stays = (broken | broke) & ~mended
        down = stays & (is_down | (down_now & ~(now - c["up_since"] >= c["clear_seconds"])))
        worsened = broken & stays & (down != down_now)
        due = warning & (now - c["warn_since"] >= c["for_seconds"]) & ~stays
        calm = restarted | (known & (now - c["calm_since"] >= c["clear_seconds"])) | stays
        calmed, warns = warned & calm, ~warned & due
        broken[:], down_now[:] = stays, down
        c["after_work"][broken] = False
        c["evidence"][broken] = 0.0  # what comes back is asked anew
        warned[:] = (warned & ~calm) | due
        quality = np.where(known, HEALTHY, UNKNOWN)
        quality[known & (bad | warning | warned)] = AT_RISK
        quality[known & broken] = DEGRADED
        quality[known & down_now] = DOWN
        burning = self.budgets.tick(now)
        for row in np.flatnonzero(self.budgets.columns["said"]).tolist():
            number = self.budgets.instances[row]
            least = DEGRADED if self.budgets.columns["said"][row] == BURNS_FAST else AT_RISK
            if known[number]:
                quality[number] = max(int(quality[number]), least)
        c["quality"][:] = quality
        return Turns(
            broke=np.flatnonzero(broke),
            worsened=np.flatnonzero(worsened),
            mended=np.flatnonzero(mended),
            warned=np.flatnonzero(warns),
            calmed=np.flatnonzero(calmed),
            restarted=np.flatnonzero(restarted),
            burning=burning,
        )

    def _remember_worst(self, good: Array) -> None:
        c = self.columns
        beyond = c["broken"] | c["warned"] | ~np.isnan(c["bad_since"]) | ~np.isnan(c["warn_since"])
        c["lowest"][:] = np.where(beyond, np.fmin(c["lowest"], good), np.nan)

    def worst_of(self, number: int) -> float:
        """The worst value since the instance went beyond its warning or objective; NaN where it did not."""
        return float(self.columns["lowest"][number] * self.columns["sign"][number])

    def forget_worst(self, numbers: NDArray[np.intp]) -> None:
        """What comes after is another episode."""
        self.columns["lowest"][numbers] = np.nan

    def scores(self) -> Array:
        """0 at `worst`, 100 at `best`, straight between; NaN where unknown."""
        c = self.columns
        share = (c["value"] - c["worst"]) / (c["best"] - c["worst"])
        return np.where(c["quality"] == UNKNOWN, np.nan, np.clip(share, 0.0, 1.0) * 100.0)

    def quality_of(self, number: int) -> Quality:
        return QUALITIES[int(self.columns["quality"][number])]

    def shift(self, seconds: float) -> None:
        """The clock jumped ahead: what was waited for does not come sooner by it."""
        for name in (*STREAKS, "row_at"):
            self.columns[name][:] += seconds
        self.budgets.shift(seconds)

    def take_over(self, old: Indicators) -> list[str]:
        """After a reload: unchanged instances keep everything, changed ones what they have open; returns the keys of
        instances that are gone."""
        kept: list[tuple[int, int]] = []
        changed: list[tuple[int, int]] = []
        for key, there in old.number.items():
            here = self.number.get(key)
            if here is None:
                continue
            same = old.instances[there].indicator == self.instances[here].indicator
            (kept if same else changed).append((here, there))
        for name in SEEN:
            for here, there in kept:
                self.columns[name][here] = old.columns[name][there]
        for here, there in changed:
            for name in ("work_from", "work_until", "under_work", "broke_before"):
                self.columns[name][here] = old.columns[name][there]
            if self.instances[here].indicator.objective is not None:
                for name in ("broken", "down_now", "warned"):
                    self.columns[name][here] = old.columns[name][there]
        self.windows.move_from(old.windows, kept)
        self.budgets.take_over(old.budgets, kept)
        return [key for key in old.number if key not in self.number]

    def dump(self) -> dict[str, bytes]:
        budgets = {f"budget.{name}": body for name, body in self.budgets.dump().items()}
        return {**{f"seen.{name}": self.columns[name].tobytes() for name in SEEN}, **self.windows.dump(), **budgets}

    def load(self, dumped: Mapping[str, bytes]) -> None:
        """Fills the instances, which stand in the order of the dump."""
        for name in SEEN:
            if (body := dumped.get(f"seen.{name}")) is not None:  # an older version knew fewer columns
                self.columns[name][:] = np.frombuffer(body, FIELDS[name].dtype)
        self.windows.load(dumped)
        held = {name.removeprefix("budget."): body for name, body in dumped.items() if name.startswith("budget.")}
        self.budgets.load(held)


def window_seconds(indicators: Indicators, number: int) -> float:
    return float(indicators.windows.columns["width"][number]) * BUCKETS
