"""The bank's arithmetic: one sample for each of many series at once, in place, in single precision.

Only + - * / min max abs, comparisons and integers: these give the same bits for a lone value and for a vector of them,
so that results cannot depend on how batches were cut. Whole rows of numbers (`run`) do what every series needs, some
twenty passes; what is beyond the first threshold (3 samples in 100) is taken out and done with care (`_judge`).

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

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.bank import episodes
from cemd.analyze.columns import Array, aligned_zeros, number

JUDGED = 16_384  # samples beyond the first threshold that wait for each other
BLOCK = 50_176  # series a call: whole pages of single precision, and 100,000 series make two calls
Rows = NDArray[np.intp]


def span_of(rows: Rows) -> Rows | slice:
    """A slice where the rows, which ascend, follow each other, so that views will do; else the rows."""
    if len(rows) and int(rows[-1]) - int(rows[0]) + 1 == len(rows):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


ONE = number(1.0)
EARLY = 16.0  # samples before which nothing is clipped
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

DENSE = (
    *("n", "level", "spread", "floor", "evidence", "slope"),
    *("hour_sum", "hour_dev", "interval", "long_gap", "first", "z", "x"),
)
"""What every sample reads and writes, in whole rows; the rest only few need."""


class Scratch:
    """Rows that every call overwrites; never part of the state. They are few, and used again as soon as they are free,
    so that they stay in the processor's cache."""

    def __init__(self) -> None:
        self.doubles = aligned_zeros((BLOCK,), "<f8")
        self.floats = [aligned_zeros((BLOCK,), "<f4") for _ in range(5)]
        self.zeros = aligned_zeros((BLOCK,), "<f4")  # a row is quicker to compare with than a number
        self.flag = aligned_zeros((BLOCK,), "|b1")


class Block:
    """One sample each for at most `BLOCK` series.

    `held` are the dense columns of these series (views, or gathered copies), `columns` all columns of the bank, and
    `rows` where in them the series are. `youngest` is the least count of samples: a short cut is taken where no series
    is young. Short cuts change no bit: what they skip is one number in the place of equal numbers.
    """

    __slots__ = (
        *("columns", "flag", "gap", "held", "hour_ends", "learn_samples", "longest"),
        *("rows", "season_due", "shortest", "span", "tmp", "version", "x", "youngest", "zeros"),
    )

    def __init__(self, columns: Mapping[str, Array], rows: Rows, scratch: Scratch) -> None:
        size = len(rows)
        self.columns, self.rows, self.span = columns, rows, span_of(rows)
        self.held = {name: columns[name][self.span] for name in DENSE}
        self.version = -1
        self.x, self.gap, *self.tmp = (one[:size] for one in scratch.floats)
        self.flag, self.zeros = scratch.flag[:size], scratch.zeros[:size]
        self.learn_samples = self.youngest = self.shortest = self.longest = self.hour_ends = 0.0
        self.season_due = -np.inf  # instant before which the season asks for nothing

    def begin(self, rows: Rows, learn_samples: float, version: int) -> None:
        """The next sample of each. What holds for all series together is looked up where it may have changed: the
        bank's `version` says so."""
        self.rows, self.learn_samples = rows, learn_samples
        if self.version != version or self.youngest < max(OLD, learn_samples):
            self.youngest = float(np.minimum.reduce(self.held["n"]))
            interval = self.held["interval"]
            self.shortest, self.longest = float(np.minimum.reduce(interval)), float(np.maximum.reduce(interval))
            self.season_due = -np.inf
            self.version = version


class Beyond:
    """Samples beyond the first threshold, and what held before they taught: they wait to be judged together."""

    __slots__ = ("alarm", "evidence", "first", "level", "rows", "size", "slow", "youngest", "z")

    def __init__(self) -> None:
        room = JUDGED + BLOCK
        self.rows = np.zeros(room, np.intp)
        self.alarm = np.zeros(room, np.bool_)
        self.z, self.first, self.evidence, self.level, self.slow = (np.zeros(room, np.float32) for _ in range(5))
        self.size, self.youngest = 0, np.inf


def run(b: Block, beyond: Beyond) -> None:
    """Learns from the samples `b.x` (relative to the series' base), `b.gap` seconds after those before; those beyond
    the first threshold are for `judge`, before anything else is asked of these series."""
    h = b.held
    e, u, t = b.tmp
    level, evidence = h["level"], h["evidence"]
    np.multiply(h["slope"], b.gap, out=t)
    np.add(level, t, out=level)
    np.subtract(b.x, level, out=e)
    np.absolute(e, out=u)
    np.divide(u, h["spread"], out=h["z"])
    np.greater(h["z"], h["first"], out=b.flag)
    np.subtract(evidence, LOSS, out=evidence)
    local, widening = _hold_back(b, e, u, beyond)
    np.multiply(e, _rate(b, t, LEVEL_RATE), out=e)
    np.add(level, e, out=level)
    np.add(h["hour_sum"], b.x, out=h["hour_sum"])
    np.add(h["hour_dev"], u, out=h["hour_dev"])
    u[local] = widening
    _widen(b, u, t, e)
    np.multiply(h["first"], _keep(b, t), out=h["first"])  # below 1 it counts as 1; `season` sets it so once an hour
    np.maximum(evidence, b.zeros, out=evidence)
    np.add(h["n"], ONE, out=h["n"])  # stops by itself at 2^24


def pace(b: Block, least: float) -> bool:
    """The series' own interval, and the longest gap that is still usual for it: `b.gap` within a quarter of the
    interval says nothing new.

    Returns:
        Whether it said something new. `least` is the shortest gap.
    """
    h = b.held
    gap, interval = b.gap, h["interval"]
    if least >= b.longest * float(LESS) and np.maximum.reduce(gap) <= b.shortest * float(MORE):
        return False
    low, high = b.tmp[:2]
    np.multiply(interval, LESS, out=low)
    np.multiply(interval, MORE, out=high)
    np.less(gap, low, out=b.flag)
    places = (b.flag | (gap > high)).nonzero()[0]
    if not len(places):
        return False
    n, new, long_gap = h["n"].take(places), gap.take(places), h["long_gap"].take(places)
    new = np.minimum(new, np.where(n < EARLY, UNCLIPPED, long_gap * LONGER))
    h["long_gap"][places] = np.maximum(long_gap, new)
    rate = np.maximum(ONE / np.maximum(n, ONE), LEVEL_RATE)
    interval[places] += (new - interval.take(places)) * rate
    return True


def _rate(b: Block, out: Array, least: Array) -> Array:
    """1/(n+1), at least `least`: one number where every series is old enough."""
    if b.youngest >= 1.0 / float(least):
        return least
    np.add(b.held["n"], ONE, out=out)
    np.divide(ONE, out, out=out)
    return np.maximum(out, least, out=out)


def _widen(b: Block, u: Array, t: Array, v: Array) -> None:
    """The spread learns from the distances u."""
    spread = b.held["spread"]
    if b.youngest >= 1.0 / float(SPREAD_RATE):
        np.multiply(u, SPREAD_RATE, out=u)
        np.multiply(spread, SPREAD_KEPT, out=spread)
    else:
        rate = _rate(b, t, SPREAD_RATE)
        np.multiply(u, rate, out=u)
        np.subtract(ONE, rate, out=v)
        np.copyto(v, SPREAD_KEPT, where=rate == SPREAD_RATE)
        np.multiply(spread, v, out=spread)
    np.add(spread, u, out=spread)
    np.maximum(spread, b.held["floor"], out=spread)


def _keep(b: Block, out: Array) -> Array:
    """What the first threshold is multiplied by where it is not exceeded."""
    if b.youngest >= YOUNG:
        return KEEP
    np.maximum(b.held["n"], np.float32(1.0), out=out)
    np.divide(np.float32(YOUNG * STEP * SHARE), out, out=out)
    np.minimum(out, np.float32(0.5 * SHARE), out=out)
    np.subtract(ONE, out, out=out)
    out[b.held["n"] < EARLY] = 1.0
    out[b.held["n"] >= YOUNG] = KEEP
    return out


def _hold_back(b: Block, e: Array, u: Array, beyond: Beyond) -> tuple[Rows, Array]:
    """Samples beyond the first threshold (`b.flag`) teach no more than at it, less with evidence or in an alarm.

    Returns:
        (places, what widens the spread there).
    """
    h = b.held
    local = places_of(b.flag)
    z, first = h["z"].take(local), h["first"].take(local)
    if len(local) and np.minimum.reduce(first) < ONE:
        np.maximum(first, ONE, out=first)
        chosen = (z > first).nonzero()[0]
        local, z, first = local[chosen], z[chosen], first[chosen]
    if not len(local):
        return local, z
    part = slice(beyond.size, beyond.size + len(local))
    rows, alarm, evidence, slow = beyond.rows[part], beyond.alarm[part], beyond.evidence[part], beyond.slow[part]
    level, spread = beyond.level[part], h["spread"].take(local)
    beyond.size, beyond.youngest = part.stop, min(beyond.youngest, b.youngest)
    beyond.z[part], beyond.first[part] = z, first
    if isinstance(b.span, slice):
        np.add(local, b.span.start, out=rows)
    else:
        b.rows.take(local, out=rows, mode="clip")
    b.columns["alarm"].take(rows, out=alarm, mode="clip")  # with another mode, `out` is written to twice
    h["level"].take(local, out=level, mode="clip")
    np.add(h["evidence"].take(local), LOSS, out=evidence)
    np.multiply(evidence, DOUBTS, out=slow)
    np.add(slow, ONE, out=slow)
    np.divide(ONE, slow, out=slow)
    if np.logical_or.reduce(alarm):
        slow[alarm] = IN_ALARM
    share = first / z
    if b.youngest < EARLY:
        share = np.where(h["n"].take(local) < EARLY, ONE, share)
    pull, teaches = e.take(local) * share, u.take(local) * share
    b.x[local] = level + pull
    e[local] = pull * slow
    u[local] = teaches
    return local, spread + (teaches - spread) * slow


def places_of(flag: Array) -> Rows:
    """Where a row of the scratch is set; by eights, since a sparse row costs a wrong guess of the processor each."""
    if len(flag) % 8:
        return flag.nonzero()[0]
    eights = flag.view(np.uint64)
    some = (eights != 0).nonzero()[0]
    within: Rows = eights.take(some).view(np.bool_).nonzero()[0]
    places: Rows = some.take(within >> 3)
    places <<= 3
    within &= 7
    places += within
    return places


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
    c["floor"][rows] = floor
    c["spread"][rows] = np.maximum(c["spread"].take(rows), floor)


def _deep_decades(z: Array, second: Array, third: Array) -> Array:
    """Decades of p above the first threshold: one or two at the next two, then by the tail's power between them."""
    power = ONE / episodes.log2(np.maximum(third / second, APART))
    power = np.minimum(np.maximum(power, TAIL_LEAST), TAIL_MOST)
    between = (z - second) / np.maximum(third - second, ABSOLUTE_FLOOR)
    tail = power * episodes.log2(np.maximum(z / third, ONE))
    return ONE + np.where(z > third, ONE + tail, between)


def run_binary(b: Block) -> tuple[Rows, Array, Array, Array] | None:
    """The same for series of 0 and 1 (`success`): a bet on the rate of zeros instead of a residual.

    `level` is the rate of ones, remembered over some 500 samples; a zero is worth log2(a/p) bits with p the upper bound
    of the rate of zeros so far and a half-way from p to 1; a one costs one bit, for (1 - a)/(1 - p) = 1/2. More than
    half zeros is nothing to bet on any more. `z` keeps the tail probability of a zero.

    Returns:
        Zeros for `judge_binary`: rows, evidence before, bits, whether in alarm.
    """
    h = b.held
    n, level, p, evidence, found = h["n"], h["level"], h["z"], h["evidence"], None
    seen = np.minimum(np.maximum(n, np.float32(1.0)), np.float32(500.0))
    np.maximum(ONE - level, np.float32(0.0), out=p)
    np.minimum(p + np.sqrt(p / seen) * np.float32(2.0) + np.float32(2.0) / seen, np.float32(1.0), out=p)
    alarm = b.columns["alarm"][b.rows]
    zeros = ((b.x < np.float32(0.5)) & (p <= np.float32(0.5))).nonzero()[0]
    if len(zeros):
        gain = episodes.log2((np.float32(0.5) + np.float32(0.5) * p[zeros]) / p[zeros])
        found = b.rows.take(zeros), evidence.take(zeros), gain, alarm.take(zeros)
    np.maximum(evidence - ONE, np.float32(0.0), out=evidence)
    rate = np.maximum(ONE / (n + np.float32(2.0)), np.float32(0.002)) * np.where(alarm, IN_ALARM, np.float32(1.0))
    np.add(level, (b.x - level) * rate, out=level)
    np.add(n, ONE, out=n)
    return found


def judge_binary(c: Mapping[str, Array], found: tuple[Rows, Array, Array, Array], terms: episodes.Terms) -> None:
    """What zeros are worth."""
    rows, before, gain, alarm = found
    c["evidence"][rows] = episodes.gather(c, rows, before, gain, alarm, terms)
