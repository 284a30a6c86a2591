"""The bank's arithmetic: one sample for each of many series at once, in place, in single precision.

Only + - * / min max abs, comparisons and integers: these give the same bits for a lone value and for a vector of them,
so that results cannot depend on how batches were cut. `passes` does what every series needs, in whole rows of numbers;
what is beyond the first threshold (3 samples in 100) is taken out and done with care here (`judge`).

How a sample is judged. `level` foretells it: an exponential mean that moves on with the season (see `season`). `z` is
the distance from it in units of the series' own spread at this hour. Three thresholds on z are steered so that the
series' own past exceeded them in 3, 0.3 and 0.03 % of samples, whatever its distribution (online quantiles, Gibbs and
Candès 2021, adaptive conformal inference, with multiplicative steps; the second is steered by what exceeds the first,
the third by what exceeds the second). Evidence, in bits, is a CUSUM of fair bets on that tail probability p: a sample
is worth log2(1 / (2 sqrt p)), one below the first threshold costs `LOSS` (e-detector, Shin, Ramdas and Rinaldo 2022).
Beyond the third threshold p falls as a power whose exponent is what second and third say, so that magnitude counts.
How much evidence makes an alarm is the series' own matter too: see `episodes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.bank import episodes
from cemd.analyze.columns import Array, number

JUDGED = 16_384  # samples beyond the first threshold that wait for each other
BLOCK = 50_176  # series a call: whole pages of single precision, and 100,000 series make two calls
Rows = NDArray[np.intp]


def span_of(rows: Rows) -> Rows | slice:
    """A slice where the rows, which ascend, follow each other, so that views will do; else the rows."""
    if len(rows) and int(rows[-1]) - int(rows[0]) + 1 == len(rows):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


NOBODY: Rows = np.zeros(0, np.intp)
ONE, HALF = number(1.0), number(0.5)
EARLY = 16.0  # samples before which no distance is clipped
LEVEL_RATE = number(0.05)  # the level remembers some 20 samples
SPREAD_RATE = number(0.02)  # the spread some 50: were it quicker, its own noise would make exceedances come in runs
SPREAD_KEPT = number(1.0 - 0.02)
STEP = 0.1  # of the first threshold, at each sample, times (exceeded - share); never below 1, the usual spread
SHARE = 0.03
KEEP, STEPS, RAISES = number(1.0 - STEP * SHARE), number(STEP), number(1.0 - SHARE)
# Of those beyond one threshold 1 in 10 is beyond the next.
NEST_UP, NEST_DOWN = number(1.0 + 0.1 * 0.9), number(1.0 - 0.1 * 0.1)
LESS, MORE = number(0.75), number(1.25)  # of the interval: a gap between says nothing new
LONGER = number(1.5)  # a gap is usual up to 1.5 times the longest before it
YOUNG = 40.0  # samples until which thresholds move faster
OLD = 50.0  # samples after which nothing moves faster
FAR, FAR_STEP = number(8.0), number(2.0)  # beyond 8 times a threshold doubles it: rare spikes would take weeks
FARTHEST = number(64.0)
"""Spreads beyond which nothing is usual. A series that mostly stands still (loss) has next to no spread between what it
shows at times, so that this lies at any number of spreads and a total loss is no farther."""
IN_ALARM = number(0.125)  # share of the learning rate in an alarm: an outage is not soon the new normal
DOUBTS = number(0.03)  # with evidence a sample beyond the threshold teaches less: half at 33 bits
RELATIVE_FLOOR, ABSOLUTE_FLOOR = number(1e-4), number(1e-9)
"""Spread is never below this share of how far the level is from the first value."""
UNCLIPPED = number(1e30)
LOSS = number(0.28)
"""Bits that an ordinary sample costs; a fair bet would cost 0.23."""
GAIN, MOST_GAIN = number(1.53), 16.0  # bits at the first threshold, log2(1 / (2 sqrt p)); at most
DECADE = number(1.66)  # bits between two thresholds: half a decade of p
MOST_DECADES = number((MOST_GAIN - 1.53) / 1.66)
APART = number(1.001)  # thresholds are at least by so much
TAIL_LEAST, TAIL_MOST = number(0.3), number(2.4)
"""Decades of p a doubling of z: the tail's power is kept between 1 and 8."""


class Lot:
    """Samples that teach, one each of series that are not 0 and 1; time has passed for these, the season comes next.

    Attributes:
        columns: All columns of the bank.
        rows: Where in them the series are, ascending; `span` is the same, as a slice where they follow each other.
        at: Times, float64, that never go back.
        gap: Seconds since the sample before, float32; 0 where the season has moved the level on already.
        x: Values relative to each series' base, float32.
        hour_ends: Instant at which the first of them enters another hour.
        season_due: Instant before which the season asks for nothing.
    """

    __slots__ = ("at", "columns", "gap", "hour_ends", "rows", "season_due", "span", "x")

    def __init__(self, columns: Mapping[str, Array], rows: Rows, span: Rows | slice, gap: Array, x: Array) -> None:
        self.columns, self.rows, self.span, self.gap, self.x = columns, rows, span, gap, x
        self.at: Array = NOBODY
        self.hour_ends, self.season_due = 0.0, -np.inf

    def learn(self, beyond: Beyond) -> None:
        """Learns from the samples; those beyond the first threshold are for `judge`, before anything else is asked of
        these series."""
        raise NotImplementedError


class Zeros(NamedTuple):
    """Samples of series of 0 and 1 that were 0, which `judge_binary` is to judge; `z` has their tail probability."""

    rows: Rows
    before: Array  # evidence
    youngest: float  # at most the least count of samples among them


class Looked(NamedTuple):
    """What became of some samples at first sight; those that were blind or have no value teach nothing."""

    lot: Lot | None
    binary: Rows  # series of 0 and 1: these have learnt
    zeros: Zeros | None


class Kernel(Protocol):
    """How the arithmetic that every sample needs is carried out."""

    def fix(self, columns: Mapping[str, Array]) -> None:
        """These are the columns now."""

    def altered(self) -> None:
        """Somebody else wrote to columns."""

    def look(self, rows: Rows, at: Array, value: Array, outcome: Array, learn_samples: float) -> Looked:
        """At most `BLOCK` rows, which ascend and differ."""


class Beyond:
    """Samples beyond the first threshold, and what held before they taught: they wait to be judged together."""

    __slots__ = ("alarm", "evidence", "first", "level", "rows", "size", "slow", "youngest", "z")

    def __init__(self) -> None:
        room = JUDGED + BLOCK
        self.rows = np.zeros(room, np.intp)
        self.alarm = np.zeros(room, np.bool_)
        self.z, self.first, self.evidence, self.level, self.slow = (np.zeros(room, np.float32) for _ in range(5))
        self.size, self.youngest = 0, np.inf


def judge(c: Mapping[str, Array], s: Beyond, terms: episodes.Terms) -> None:
    """What the samples that waited are worth; nothing waits any more."""
    part = slice(0, s.size)
    rows, alarm = s.rows[part], s.alarm[part]
    n = c["n"].take(rows) - ONE if s.youngest < OLD else number(s.youngest)  # old is old
    gain = _gain(c, s, n)
    c["evidence"][rows] = episodes.gather(c, rows, s.evidence[part], gain, alarm, terms)
    s.size, s.youngest = 0, np.inf


def _gain(c: Mapping[str, Array], s: Beyond, n: Array) -> Array:
    """Bits that each sample is worth; steers the thresholds that it was compared with."""
    part = slice(0, s.size)
    rows, alarm, z, first, slow = s.rows[part], s.alarm[part], s.z[part], s.first[part], s.slow[part]
    step = slow * STEPS
    if s.youngest < YOUNG:
        step = np.minimum(np.float32(YOUNG * STEP) / np.maximum(n, ONE), np.float32(0.5))
        step = np.where(n < EARLY, np.float32(0.0), np.maximum(step, np.float32(STEP)) * slow)
    step *= RAISES
    step += ONE
    raised = np.maximum(first * step, ONE)
    second = c["second"].take(rows)
    gain = (z - first) / np.maximum(second - first, ABSOLUTE_FLOOR)
    moved = np.maximum(second * NEST_DOWN, first)
    deep = (z > second).nonzero()[0]
    if len(deep):
        _deep(c, s, deep, n, gain, second, raised, moved)
    c["first"][rows] = raised
    keeps = alarm if s.youngest >= EARLY else alarm | (n < EARLY)
    c["second"][rows] = np.where(keeps, second, moved)
    np.minimum(gain, MOST_DECADES, out=gain)
    gain *= DECADE
    gain += GAIN
    return gain


def _deep(
    c: Mapping[str, Array], s: Beyond, deep: Rows, n: Array, gain: Array, second: Array, raised: Array, moved: Array
) -> None:
    """Those beyond the second threshold as well; `gain` is in decades above the first."""
    rows = s.rows[deep]
    z, first, low, third = s.z[deep], s.first[deep], second[deep], c["third"].take(rows)
    keeps, far = s.alarm[deep], z > first * FAR
    if s.youngest < EARLY:
        early = n[deep] < EARLY
        keeps, far = keeps | early, far & ~early
    gain[deep] = _deep_decades(z, low, third)
    raised[deep] = np.where(far, first * FAR_STEP, raised[deep])
    up = np.where(z > low * FAR, low * FAR_STEP, low * NEST_UP)
    moved[deep] = up
    higher = np.where(z > third * FAR, third * FAR_STEP, third * np.where(z > third, NEST_UP, NEST_DOWN))
    c["third"][rows] = np.where(keeps, third, np.maximum(higher, up))
    floor = (np.absolute(s.level[deep]) * RELATIVE_FLOOR + ABSOLUTE_FLOOR) / c["evenness"].take(rows)
    c["floor"][rows] = floor = np.maximum(c["floor"].take(rows), floor)
    c["spread"][rows] = np.maximum(c["spread"].take(rows), floor)
    _measure_anew(c, rows, deep, raised, moved)


def _measure_anew(c: Mapping[str, Array], rows: Rows, deep: Rows, first: Array, second: Array) -> None:
    """Where what stands out always lies beyond `FARTHEST`, spread and thresholds are told in a larger unit, which
    holds as the spread's floor; `first` and `second` are those of these series at the places `deep`."""
    times = c["third"].take(rows) / FARTHEST
    far = (times > ONE).nonzero()[0]
    if not len(far):
        return
    rows, deep, times = rows[far], deep[far], times[far]
    c["spread"][rows] *= times
    c["floor"][rows] = c["spread"].take(rows)
    c["third"][rows] = FARTHEST
    first[deep] = np.maximum(first[deep] / times, ONE)
    second[deep] = np.maximum(second[deep] / times, first[deep])


def _deep_decades(z: Array, second: Array, third: Array) -> Array:
    """Decades of p above the first threshold: one or two at the next two, then by the tail's power between them."""
    power = ONE / episodes.log2(np.maximum(third / second, APART))
    power = np.minimum(np.maximum(power, TAIL_LEAST), TAIL_MOST)
    between = (z - second) / np.maximum(third - second, ABSOLUTE_FLOOR)
    tail = power * episodes.log2(np.maximum(z / third, ONE))
    return ONE + np.where(z > third, ONE + tail, between)


def judge_binary(c: Mapping[str, Array], zeros: Zeros, terms: episodes.Terms) -> None:
    """What zeros are worth: log2(a/p) bits, with p the upper bound of the rate of zeros so far, and a half-way from p
    to 1."""
    p, alarm = c["z"].take(zeros.rows), c["alarm"].take(zeros.rows)
    gain = episodes.log2((HALF + HALF * p) / p)
    c["evidence"][zeros.rows] = episodes.gather(c, zeros.rows, zeros.before, gain, alarm, terms)
