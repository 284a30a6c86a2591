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

from cemd.analyze import episodes
from cemd.analyze.columns import Array, aligned_zeros
from cemd.analyze.realised import Realised

BLOCK = 50_176  # series a call: whole pages of single precision, and 100,000 series make two calls
Rows = NDArray[np.intp]


def number(value: float) -> Array:
    """A constant as an array without dimensions: numpy takes it quicker than a number."""
    return np.array(value, np.float32)


ONE = number(1.0)
EARLY = 16.0  # samples before which nothing is clipped
LEVEL_RATE = number(0.05)  # the level remembers some 20 samples
SPREAD_RATE = number(0.02)  # the spread some 50: were it quicker, its own noise would make exceedances come in runs
SPREAD_KEPT = number(1.0 - 0.02)
STEP = 0.1  # of the first threshold, at each sample, times (exceeded - share); never below 1, the usual spread
SHARE = 0.03
KEEP = number(1.0 - STEP * SHARE)
# Of those beyond one threshold 1 in 10 is beyond the next.
NEST_UP, NEST_DOWN = np.float32(1.0 + 0.1 * 0.9), np.float32(1.0 - 0.1 * 0.1)
LESS, MORE = np.float32(0.75), np.float32(1.25)  # of the interval: a gap between says nothing new
LONGER = np.float32(1.5)  # a gap is usual up to 1.5 times the longest before it
YOUNG = 40.0  # samples until which thresholds move faster
FAR, FAR_STEP = np.float32(8.0), np.float32(2.0)  # beyond 8 times a threshold doubles it: rare spikes would take weeks
IN_ALARM = np.float32(0.125)  # share of the learning rate in an alarm: an outage is not soon the new normal
DOUBTS = np.float32(0.03)  # with evidence a sample beyond the threshold teaches less: half at 33 bits
RELATIVE_FLOOR, ABSOLUTE_FLOOR = np.float32(1e-4), np.float32(1e-9)
"""Spread is never below this share of how far the level is from the first value."""
UNCLIPPED = np.float32(1e30)
LOSS = number(0.28)
"""Bits that an ordinary sample costs; a fair bet would cost 0.23."""
GAINS = np.array([1.53, 3.19, 4.85], np.float32)
"""Bits at the three thresholds: log2(1 / (2 sqrt p))."""
MOST_GAIN = np.float32(16.0)
DECADE = np.float32(1.66)  # bits between two thresholds: half a decade of p
TAIL_LEAST, TAIL_MOST = np.float32(0.3), np.float32(2.4)
"""Decades of p a doubling of z: the tail's power is kept between 1 and 8."""

DENSE = (
    *("n", "level", "spread", "floor", "evidence", "slope", "evenness"),
    *("hour_sum", "hour_dev", "interval", "long_gap", "first", "z", "x"),
)
"""What every sample reads and writes, in whole rows; the rest only few need."""


class Scratch:
    """Rows that every call overwrites; never part of the state. They are few, and used again as soon as they are free,
    so that they stay in the processor's cache."""

    def __init__(self) -> None:
        self.doubles = aligned_zeros((BLOCK,), "<f8")
        self.floats = [aligned_zeros((BLOCK,), "<f4") for _ in range(5)]
        self.ones = aligned_zeros((BLOCK,), "<f4") + ONE  # a row is quicker to compare with than a number
        self.zeros = aligned_zeros((BLOCK,), "<f4")
        self.flag = aligned_zeros((BLOCK,), "|b1")


class Block:
    """One sample each for at most `BLOCK` series.

    `held` are the dense columns of these series (views, or gathered copies), `columns` all columns of the bank, and
    `rows` where in them the series are. `youngest` is the least count of samples: a short cut is taken where no series
    is young. Short cuts change no bit: what they skip is one number in the place of equal numbers.
    """

    __slots__ = (
        *("columns", "flag", "gap", "held", "learn_samples", "limit_seconds"),
        *("ones", "realised", "rows", "tmp", "x", "youngest", "zeros"),
    )

    def __init__(
        self,
        held: Mapping[str, Array],
        columns: Mapping[str, Array],
        rows: Rows,
        scratch: Scratch,
        realised: Realised,
        *,
        learn_samples: float,
        limit_seconds: float,
    ) -> None:
        size = len(rows)
        self.held, self.columns, self.rows = held, columns, rows
        self.x, self.gap, *self.tmp = (one[:size] for one in scratch.floats)
        self.flag, self.ones, self.zeros = scratch.flag[:size], scratch.ones[:size], scratch.zeros[:size]
        self.realised = realised
        self.learn_samples = learn_samples
        self.limit_seconds = limit_seconds  # a week / stated rate; by the interval: samples per alarm
        self.youngest = float(np.minimum.reduce(held["n"]))


def run(b: Block) -> None:
    """Judges the samples `b.x` (relative to the series' base), `b.gap` seconds after those before; learns from them."""
    h = b.held
    e, u, t = b.tmp
    level, spread, evidence, first = h["level"], h["spread"], h["evidence"], h["first"]
    np.multiply(h["slope"], b.gap, out=t)
    np.add(level, t, out=level)
    np.subtract(b.x, level, out=e)
    np.absolute(e, out=u)
    np.multiply(u, h["evenness"], out=u)
    np.divide(u, spread, out=h["z"])
    np.greater(h["z"], first, out=b.flag)
    special = _specials(b, b.flag.nonzero()[0], e, u)
    np.multiply(e, _rate(b, t, LEVEL_RATE), out=e)
    np.add(level, e, out=level)
    np.add(h["hour_dev"], u, out=h["hour_dev"])
    _widen(b, u, t, e)
    np.add(h["hour_sum"], b.x, out=h["hour_sum"])
    np.multiply(first, _keep(b, t), out=first)
    np.maximum(first, b.ones, out=first)
    np.subtract(evidence, LOSS, out=evidence)
    np.maximum(evidence, b.zeros, out=evidence)
    if special is not None:
        _judge(b, special)
    episodes.follow(b.columns, b.rows, evidence, b.x, b.held)
    np.add(h["n"], ONE, out=h["n"])  # stops by itself at 2^24


def pace(b: Block) -> None:
    """The series' own interval, and the longest gap that is still usual for it: `b.gap` within a quarter of the
    interval says nothing new."""
    h = b.held
    gap, interval = b.gap, h["interval"]
    least, most = np.minimum.reduce(interval), np.maximum.reduce(interval)
    if np.maximum.reduce(gap) <= least * MORE and np.minimum.reduce(gap) >= most * LESS:
        return
    low, high = b.tmp[:2]
    np.multiply(interval, LESS, out=low)
    np.multiply(interval, MORE, out=high)
    np.less(gap, low, out=b.flag)
    places = (b.flag | (gap > high)).nonzero()[0]
    if not len(places):
        return
    n, new, long_gap = h["n"].take(places), gap.take(places), h["long_gap"].take(places)
    new = np.minimum(new, np.where(n < EARLY, UNCLIPPED, long_gap * LONGER))
    h["long_gap"][places] = np.maximum(long_gap, new)
    rate = np.maximum(ONE / np.maximum(n, ONE), LEVEL_RATE)
    interval[places] += (new - interval.take(places)) * rate


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


class Special:
    """Series whose sample exceeds the first threshold, as they were before it."""

    __slots__ = ("alarm", "e", "local", "rows", "values")

    def __init__(self, b: Block, local: Rows, e: Array, u: Array) -> None:
        h = b.held
        self.local = local
        self.rows: Rows = b.rows.take(local)
        self.values = {name: h[name].take(local) for name in SPECIAL}
        self.values["e"], self.values["u"] = e.take(local), u.take(local)
        self.alarm: Array = b.columns["alarm"].take(self.rows)


SPECIAL = ("n", "level", "spread", "evidence", "first", "z", "hour_sum", "hour_dev")


def _specials(b: Block, local: Rows, e: Array, u: Array) -> Special | None:
    return Special(b, local, e, u) if len(local) else None


def _judge(b: Block, s: Special) -> None:
    """Those beyond the first threshold: what they are worth, and what they teach: no more than at the threshold."""
    v, h, local = s.values, b.held, s.local
    n, first, spread = v["n"], v["first"], v["spread"]
    slow = ONE / (v["evidence"] * DOUBTS + ONE)
    if np.logical_or.reduce(s.alarm):
        slow[s.alarm] = IN_ALARM
    gain = _gain(b, s, slow)
    share, rate, spread_rate = first / v["z"], LEVEL_RATE, SPREAD_RATE
    if b.youngest < 1.0 / float(SPREAD_RATE):
        share = np.where(n < EARLY, ONE, share)
        own = ONE / (n + ONE)
        rate, spread_rate = np.maximum(own, rate), np.maximum(own, spread_rate)
    pull, teaches = v["e"] * share, v["u"] * share
    h["level"][local] = v["level"] + pull * (rate * slow)
    h["spread"][local] = np.maximum(spread + (teaches - spread) * (spread_rate * slow), h["floor"].take(local))
    h["hour_sum"][local] = v["hour_sum"] + (v["level"] + pull)
    h["hour_dev"][local] = v["hour_dev"] + teaches
    h["evidence"][local] = episodes.gather(b, local, v["evidence"], gain, n, s.alarm)


def _gain(b: Block, s: Special, slow: Array) -> Array:
    """Bits that each sample is worth; steers the thresholds that it was compared with."""
    v, columns = s.values, b.columns
    z, first, n = v["z"], v["first"], v["n"]
    step = np.float32(STEP) * slow
    if b.youngest < YOUNG:
        step = np.minimum(np.float32(YOUNG * STEP) / np.maximum(n, ONE), np.float32(0.5))
        step = np.where(n < EARLY, np.float32(0.0), np.maximum(step, np.float32(STEP)) * slow)
    raised = np.maximum(first * (step * np.float32(1.0 - SHARE) + ONE), ONE)
    second = columns["second"].take(s.rows)
    gain = (z - first) / np.maximum(second - first, ABSOLUTE_FLOOR)
    moved = np.maximum(second * NEST_DOWN, first)
    deep = (z > second).nonzero()[0]
    if len(deep):
        _deep(b, s, deep, gain, second, raised, moved)
    b.held["first"][s.local] = raised
    keeps = s.alarm if b.youngest >= EARLY else s.alarm | (n < EARLY)
    columns["second"][s.rows] = np.where(keeps, second, moved)
    np.minimum(gain, np.float32((MOST_GAIN - GAINS[0]) / DECADE), out=gain)
    bits: Array = GAINS[0] + DECADE * gain
    return bits


def _deep(b: Block, s: Special, deep: Rows, gain: Array, second: Array, raised: Array, moved: Array) -> None:
    """Those beyond the second threshold as well; `gain` is in decades above the first."""
    v, columns, rows = s.values, b.columns, s.rows[deep]
    z, first, low, third, n = v["z"][deep], v["first"][deep], second[deep], columns["third"].take(rows), v["n"][deep]
    keeps = s.alarm[deep] | (n < EARLY)
    gain[deep] = _deep_decades(z, low, third)
    raised[deep] = np.where((z > first * FAR) & (n >= EARLY), first * FAR_STEP, raised[deep])
    up = np.where(z > low * FAR, low * FAR_STEP, low * NEST_UP)
    moved[deep] = up
    higher = np.where(z > third * FAR, third * FAR_STEP, third * np.where(z > third, NEST_UP, NEST_DOWN))
    columns["third"][rows] = np.where(keeps, third, np.maximum(higher, up))
    level = v["level"][deep]
    b.held["floor"][s.local[deep]] = np.absolute(level) * RELATIVE_FLOOR + ABSOLUTE_FLOOR


def _deep_decades(z: Array, second: Array, third: Array) -> Array:
    """Decades of p above the first threshold: one or two at the next two, then by the tail's power between them."""
    power = np.float32(1.0) / episodes.log2(np.maximum(third / second, np.float32(1.001)))
    power = np.minimum(np.maximum(power, TAIL_LEAST), TAIL_MOST)
    between = (z - second) / np.maximum(third - second, ABSOLUTE_FLOOR)
    tail = power * episodes.log2(np.maximum(z / third, np.float32(1.0)))
    return ONE + np.where(z > third, ONE + tail, between)


def run_binary(b: Block) -> None:
    """The same for series of 0 and 1 (`success`): a bet on the rate of zeros instead of a residual.

    `level` is the rate of ones, remembered over some 500 samples; a zero is worth log2(a/p) bits with p the upper bound
    of the rate of zeros so far and a half-way from p to 1; a one costs one bit, for (1 - a)/(1 - p) = 1/2. More than
    half zeros is nothing to bet on any more. `z` keeps the tail probability of a zero.
    """
    h, c = b.held, b.columns
    n, level, p, evidence = h["n"], h["level"], h["z"], h["evidence"]
    seen = np.minimum(np.maximum(n, np.float32(1.0)), np.float32(500.0))
    np.maximum(ONE - level, np.float32(0.0), out=p)
    np.minimum(p + np.sqrt(p / seen) * np.float32(2.0) + np.float32(2.0) / seen, np.float32(1.0), out=p)
    alarm = c["alarm"][b.rows]
    zeros = ((b.x < np.float32(0.5)) & (p <= np.float32(0.5))).nonzero()[0]
    before = evidence.take(zeros)
    np.maximum(evidence - ONE, np.float32(0.0), out=evidence)
    if len(zeros):
        gain = episodes.log2((np.float32(0.5) + np.float32(0.5) * p[zeros]) / p[zeros])
        evidence[zeros] = episodes.gather(b, zeros, before, gain, n.take(zeros), alarm[zeros])
    episodes.end(c, b.rows, evidence)
    rate = np.maximum(ONE / (n + np.float32(2.0)), np.float32(0.002)) * np.where(alarm, IN_ALARM, np.float32(1.0))
    np.add(level, (b.x - level) * rate, out=level)
    np.add(n, ONE, out=n)
