"""Time to breach: where the straight trend of an indicator leads, over three spans at once.

Each instance with an objective has three rings of 48 values: one value half a window, the mean of eight of those, and
the mean of eight of these; with a window of five minutes they reach back over two hours, sixteen hours and five days.
What is usual at this time of day is taken out first, once a day was seen, and added again ahead (`profile`). At each
new value of a full ring the trend is worked out; a ring *sees a breach* when its slope leads down, is not what noise
makes at the stated rate, still goes on (a step does not), and trend and day together meet the target within as much
time as the ring reaches back. `hold_samples` such looks in a row begin a warning, `clear_samples` without end it, and
so does the breach. The newer half of a ring is looked at by itself too, for a trend that has just begun; a ring that
is not half full says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array, Columns, Field
from cemd.analyze.models import profile
from cemd.analyze.models.profile import PROFILE_FIELDS
from cemd.analyze.models.trend import Trend, goes_on, trends
from cemd.config.detection import Forecast

POINTS = 48
"""Values of a ring: an effective dozen even where neighbours overlap by half."""
SPANS = 3
COARSER = 8
SHARE_OF_WINDOW = 0.5
"""Of the indicator's window between two values: less would only repeat samples."""
WEEK_SECONDS = 604_800.0
GRID = 48
"""Steps in which the way ahead is looked at."""

FIELDS = {
    "next_at": Field("<f8", -np.inf),  # of the finest ring
    **PROFILE_FIELDS,
    "head": Field("<i8", 0, (SPANS,)),  # values ever kept
    "sum": Field("<f8", 0, (SPANS,)),  # of values on their way to a coarser ring
    "count": Field("<i8", 0, (SPANS,)),
    "at": Field("<f8", 0, (SPANS, POINTS)),
    "value": Field("<f8", 0, (SPANS, POINTS)),
    "agreed": Field("<i4", 0, (SPANS,)),  # looks in a row that see a breach
    "clear": Field("<i4", 0, (SPANS,)),  # and that do not
    "leads": Field("|b1", 0, (SPANS,)),  # the span warns
    "alike": Field("<f8", 0, (SPANS,)),  # mean lag-1 correlation of full rings around their lines
    "looks": Field("<f8", 0, (SPANS,)),  # at full rings, so far
    "breach_at": Field("<f8", np.nan, (SPANS,)),
    "slope": Field("<f8", np.nan, (SPANS,)),
    "confidence": Field("<f8", np.nan, (SPANS,)),
    "patience": Field("<f8", 1.0),  # a person said false: limit on z is multiplied by it, at most 1.5
    "said": Field("|b1"),
}
MOST_PATIENCE = 1.5
FEW_HOURS_SECONDS = 4 * 3600.0
"""A rhythm of a day moves by less than its half range in as long: only what is foretold further may be one."""
NEWEST_SECONDS = 5400.0
"""What is called "now" where the lowest of a day is compared with it."""
UNSURE_SPREADS = 2.0
"""Spreads of a ring's value that "now" must lie below: the lowest of some hours is known no better."""
MOST_RINGS = 16
"""Rings whose correlation is remembered: a day and a half of the finest."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a warning stands on."""

    breach_at: float
    slope_per_hour: float
    confidence: float
    span_seconds: float
    points: int


@dataclass(frozen=True, slots=True)
class Warnings:
    """Numbers of the instances whose warning turned at a tick."""

    began: NDArray[np.intp]
    ended: NDArray[np.intp]


class Forecasts:
    """One row per indicator instance, by its number."""

    def __init__(self) -> None:
        self.columns = Columns(FIELDS)

    def reach(self, instances: int) -> None:
        """Rows for all instances."""
        if instances > len(self.columns):
            self.columns.add(instances - len(self.columns))

    def tick(self, now: float, given: Mapping[str, Array], rules: Forecast) -> Warnings:
        """Takes the values that are due and looks ahead.

        Args:
            now: Core time.
            given: Columns by instance: `value` (NaN: unknown), `sign` (0: no objective), `target` (in the sense that
                less is bad, as `sign · value`), `pace` (seconds between two values), `phase` (0..1, its own place in
                the pace, so that not all look at once), `broken` (bool).
            rules: Stated rate and hysteresis.
        """
        c = self.columns
        before = c["said"].copy()
        due = np.flatnonzero(now >= c["next_at"])
        pace = given["pace"][due]
        c["next_at"][due] = next_look(now, pace, given["phase"][due])
        due = due[(given["sign"][due] != 0) & ~np.isnan(given["value"][due])]
        if len(due):
            self._take(due, now, given, rules)
        c["leads"][given["broken"] | (given["sign"] == 0)] = False
        c["agreed"][given["broken"]] = 0
        c["said"][:] = c["leads"].any(axis=1)
        return Warnings(np.flatnonzero(c["said"] & ~before), np.flatnonzero(before & ~c["said"]))

    def _take(self, due: NDArray[np.intp], now: float, given: Mapping[str, Array], rules: Forecast) -> None:
        """Values into the finest ring; every eighth mean into the next one. Then whatever grew is looked at."""
        c = self.columns
        rows, values = due, (given["sign"] * given["value"])[due]
        profile.learn(c, rows, now, values)
        grown: list[NDArray[np.intp]] = []
        for span in range(SPANS):
            if not len(rows):
                break
            place = c["head"][rows, span] % POINTS
            c["at"][rows, span, place], c["value"][rows, span, place] = now, values
            c["head"][rows, span] += 1
            grown.append(rows)
            c["sum"][rows, span] += values
            c["count"][rows, span] += 1
            rows = rows[c["count"][rows, span] == COARSER]
            values = c["sum"][rows, span] / COARSER
            c["sum"][rows, span], c["count"][rows, span] = 0.0, 0
        spans = np.repeat(np.arange(len(grown)), [len(rows) for rows in grown])
        self._look(np.concatenate(grown), spans, now, given, rules)

    def _look(
        self, rows: NDArray[np.intp], span: NDArray[np.intp], now: float, given: Mapping[str, Array], rules: Forecast
    ) -> None:
        """Where rings lead, each that of a row and a span."""
        head = self.columns["head"][rows, span]
        some = (head >= POINTS // 2) & ~given["broken"][rows]
        if not some.any():
            return
        rows, span = rows[some], span[some]
        sees = self._sees(rows, span, POINTS // 2, now, given, rules)
        full = head[some] >= POINTS
        if full.any():
            sees[full] |= self._sees(rows[full], span[full], POINTS, now, given, rules)
        self._note(rows, span, sees, rules)

    def _sees(  # noqa: PLR0913, RUF100 -- a look has so many sides
        self,
        rows: NDArray[np.intp],
        span: NDArray[np.intp],
        points: int,
        now: float,
        given: Mapping[str, Array],
        rules: Forecast,
    ) -> Array:
        """Whether the newest `points` of each ring see a breach; what they see is kept."""
        c = self.columns
        turn = (c["head"][rows, span][:, None] - points + np.arange(points)) % POINTS
        times = c["at"][rows[:, None], span[:, None], turn] - now
        values = c["value"][rows[:, None], span[:, None], turn]
        pace = given["pace"][rows] * COARSER**span
        centre = now - 0.5 * pace * (span > 0)  # a mean speaks for the middle of its time
        usual = profile.at(c, rows, times + np.reshape(centre, (-1, 1)))
        rings = np.minimum(c["looks"][rows, span] / POINTS, MOST_RINGS)
        found = trends(times, values - usual, c["alike"][rows, span], rings)
        reach = -times[:, 0]
        limit = limit_of(pace, rules.false_alarms_per_indicator_week) * c["patience"][rows]
        dense = reach <= 2.0 * points * pace  # a ring with a great hole tells of another time
        if points == POINTS:
            self._learn_alike(rows, span, found.alike)
        sees = (found.slope < 0) & (-found.z >= limit) & dense
        few = np.flatnonzero(sees)
        if not len(few):  # as a rule; only for the few the rest is worked out
            return np.asarray(sees)
        sees[few] = goes_on(times[few], values[few] - usual[few], found.slope[few])
        if len(few := np.flatnonzero(sees)):
            sees[few] = self._is_no_rhythm(rows[few], reach[few], values[few], pace[few], now, found.of(few))
        if len(few := np.flatnonzero(sees)):
            sees[few] = self._meets(rows[few], span[few], found.of(few), reach[few], now, given)
        return np.asarray(sees)

    def _meets(  # noqa: PLR0913, RUF100 -- a look has so many sides
        self,
        rows: NDArray[np.intp],
        span: NDArray[np.intp],
        found: Trend,
        reach: Array,
        now: float,
        given: Mapping[str, Array],
    ) -> Array:
        """Whether trend and day together meet the target within as much time as the ring reaches back; what is seen is
        kept."""
        c = self.columns
        steps = np.arange(GRID + 1) / GRID * reach[:, None]
        gap = found.level[:, None] + found.slope[:, None] * steps + profile.at(c, rows, now + steps)
        gap -= given["target"][rows][:, None]
        ahead = _first_below(gap, steps)
        meets = np.isfinite(ahead)
        rows, span, found = rows[meets], span[meets], found.of(meets)
        c["breach_at"][rows, span] = now + ahead[meets]
        c["slope"][rows, span] = found.slope * given["sign"][rows]
        c["confidence"][rows, span] = _confidence(found, steps[meets], gap[meets])
        return np.asarray(meets)

    def _is_no_rhythm(
        self, rows: NDArray[np.intp], reach: Array, values: Array, pace: Array, now: float, found: Trend
    ) -> Array:
        """Whether the newest values lie lower than a daily rhythm would take them that nobody knows yet.

        Over a few hours a rhythm goes not far, and one that is known was taken out.
        """
        newest = np.clip(np.round(NEWEST_SECONDS / pace), 1, values.shape[1] // 4).astype(np.intp)
        kept = np.arange(values.shape[1]) >= values.shape[1] - newest[:, None]
        now_at = (values * kept).sum(axis=1) / newest
        lower = now_at + UNSURE_SPREADS * found.spread < profile.depth(self.columns, rows, now)
        return np.asarray((reach <= FEW_HOURS_SECONDS) | profile.known(self.columns, rows) | lower)

    def _learn_alike(self, rows: NDArray[np.intp], span: NDArray[np.intp], alike: Array) -> None:
        c = self.columns
        looks = c["looks"][rows, span]
        rate = 1.0 / np.minimum(looks + 1.0, MOST_RINGS * POINTS)
        c["alike"][rows, span] += (alike - c["alike"][rows, span]) * rate
        c["looks"][rows, span] = looks + 1.0

    def _note(self, rows: NDArray[np.intp], span: NDArray[np.intp], sees: Array, rules: Forecast) -> None:
        c = self.columns
        c["agreed"][rows, span] = np.where(sees, c["agreed"][rows, span] + 1, 0)
        c["clear"][rows, span] = np.where(sees, 0, c["clear"][rows, span] + 1)
        leads = c["leads"][rows, span]
        leads |= c["agreed"][rows, span] >= rules.hold_samples
        c["leads"][rows, span] = leads & (c["clear"][rows, span] < rules.clear_samples)

    def ahead(self, number: int, pace: float) -> Ahead:
        """What the nearest warning of an instance stands on (also one that has just ended)."""
        c = self.columns
        held = c["leads"][number] if c["leads"][number].any() else ~np.isnan(c["breach_at"][number])
        at = np.where(held, c["breach_at"][number], np.inf)
        span = int(at.argmin())
        return Ahead(
            breach_at=float(c["breach_at"][number, span]),
            slope_per_hour=float(c["slope"][number, span]) * 3600.0,
            confidence=float(c["confidence"][number, span]),
            span_seconds=pace * COARSER**span * POINTS,
            points=POINTS,
        )

    def doubt(self, number: int) -> None:
        """A person said that a warning was false: from now on it takes a clearer trend, up to a bound."""
        patience = self.columns["patience"]
        patience[number] = min(float(patience[number]) * 1.15, MOST_PATIENCE)
        self.forget(number)

    def forget(self, number: int) -> None:
        """The way until now leads nowhere: rings begin anew."""
        for name in ("head", "sum", "count", "agreed", "clear", "leads"):
            self.columns[name][number] = 0

    def shift(self, seconds: float) -> None:
        """The clock jumped ahead: the rings move along, so that no hole of that length is in them."""
        self.columns["at"][:] += seconds
        self.columns["breach_at"][:] += seconds

    def take_over(self, other: Forecasts, pairs: Sequence[tuple[int, int]]) -> None:
        """After a reload: (here, there) instances that did not change keep everything."""
        here = np.array([one[0] for one in pairs], np.intp)
        there = np.array([one[1] for one in pairs], np.intp)
        for name in FIELDS:
            self.columns.copy_rows(name, here, other.columns, there)

    def dump(self) -> dict[str, bytes]:
        return {"rows": len(self.columns).to_bytes(8, "little"), **self.columns.dump()}

    def load(self, dumped: Mapping[str, bytes]) -> None:
        self.columns.load(int.from_bytes(dumped["rows"], "little"), dumped)


def next_look(now: float, pace: Array, phase: Array) -> Array:
    """The next instant of each row's own rhythm."""
    at: Array = (np.floor(now / pace - phase) + 1.0 + phase) * pace
    return at


def limit_of(pace: Array, rate: float) -> Array:
    """Normal deviate that a slope without a trend exceeds, on the one side that matters, `rate` times a week over all
    three spans."""
    looks = WEEK_SECONDS / pace * SPANS  # neighbours share 47 of 48 values: the true number of chances is smaller
    return _deviate(np.minimum(rate / looks, 0.1))


def _deviate(chance: Array) -> Array:
    """Upper quantile of the normal distribution, within 0.00045 (Abramowitz and Stegun 26.2.23)."""
    t = np.sqrt(-2.0 * np.log(chance))
    top = 2.515517 + t * (0.802853 + t * 0.010328)
    z: Array = t - top / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    return z


def _first_below(gap: Array, steps: Array) -> Array:
    """When the way ahead first meets the target, between two steps; infinite: it does not, or is beyond it now."""
    below = gap <= 0
    first = below.argmax(axis=1)
    rows = np.arange(len(gap))
    before = np.maximum(first - 1, 0)
    high, low = gap[rows, before], gap[rows, first]
    share = high / np.where(high > low, high - low, 1.0)
    at = steps[rows, before] + share * (steps[rows, first] - steps[rows, before])
    return np.where(below.any(axis=1) & (first > 0), at, np.inf)


def _confidence(found: Trend, steps: Array, gap: Array) -> Array:
    """Chance that the value is beyond the target at the worst instant looked ahead to."""
    rows, worst = np.arange(len(gap)), gap.argmin(axis=1)
    wide = found.spread_at(steps[rows, worst], np.zeros(len(gap)))
    z = -gap[rows, worst] / np.maximum(wide, 1e-300)
    return np.array([0.5 * math.erfc(-one / math.sqrt(2.0)) for one in z.tolist()])
