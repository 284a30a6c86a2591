"""The bank's arithmetic: one sample for each of many series at once, in place, in single precision.

Only + - * / min max abs and comparisons: these give the same bits for a lone value and for a vector of them, so that
results cannot depend on how batches were cut. A `Block` is a view of the state (or gathered copies of it) for at most
`BLOCK` series; each function is one stage and leaves its result in the block's scratch rows.

How a sample is judged. `expected` mixes the recent level with the mean of this hour of the week, by which of the two
has erred less; `z` is the distance from it in units of the series' own spread. Three thresholds on z are steered so
that the series' own past exceeded them in 1 of 10, 100 and 1,000 samples, whatever its distribution (online quantiles,
Gibbs and Candès 2021, adaptive conformal inference, with a multiplicative step). Each sample is then a fair bet against
"as it always was": the stake `bet` is multiplied by 4 or 0.47 at each threshold (`a/p` with p = 0.15 > 0.1, kept on the
safe side). `bet = max(bet, 1) · factor` is a CUSUM of evidence (e-detector, Shin, Ramdas and Rinaldo 2022): on data as
it always was it reaches 1/p only once in 1/p samples on average, so the limit "samples a week / stated rate" holds the
rate.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cemd.analyze.columns import Array

BLOCK = 32_768
EARLY = 16.0  # samples before which nothing is clipped
LEVEL_RATE = 0.05  # level and spread remember some 20 samples
ERROR_RATE = 0.02  # the comparison of the two predictors remembers some 50
SLOT_RATE = 1.0 / 128.0  # an hour of the week remembers some 128 samples, over several weeks
CLIP = 3.0  # of the scale: more than this teaches no more than this
STEP = 0.1  # of a threshold, at each sample, times (exceeded - share)
SHARES = (0.1, 0.01, 0.001)
TRUSTED_AFTER = (0.0, 300.0, 3000.0)  # samples before a threshold may be bet on: some three exceedances of it
IN_ALARM = 0.125  # share of the learning rate while alarming: an outage is not soon the new normal, yet bounded
WIN, LOSE = 0.6 / 0.15, 0.4 / 0.85
FACTORS = np.array([LOSE, WIN, WIN * LOSE, WIN * WIN, WIN * WIN * LOSE, WIN**3], np.float32)
"""By how far the sample went: below the first threshold; above it and the second not trusted yet; and so on."""

RELATIVE_FLOOR = 1e-4  # spread is never below this share of the value: a constant series has no spread of its own
ABSOLUTE_FLOOR = 1e-9
UNCLIPPED = 1e30
FULL_SLOT = 8.0

STATE = ("n", "level", "spread", "t1", "t2", "t3", "bet", "level_error", "slot_error", "interval", "long_gap", "z", "x")
SEASON = ("slot_mean", "slot_spread", "slot_count")


class Block:
    """State rows of one call and scratch of the same length."""

    __slots__ = ("alarm", "flag", "flag2", "held", "learn_samples", "rate", "tmp", "where")

    def __init__(
        self, held: Mapping[str, Array], alarm: Array, scratch: Scratch, *, learn_samples: float, rate: float
    ) -> None:
        size = len(alarm)
        self.held = held
        self.alarm = alarm
        self.tmp = [one[:size] for one in scratch.floats]
        self.flag, self.flag2, self.where = (one[:size] for one in scratch.flags)
        self.learn_samples = learn_samples
        self.rate = rate  # samples per alarm x seconds per sample: seconds of a week / stated rate


class Scratch:
    """Rows that every call overwrites; never part of the state."""

    def __init__(self) -> None:
        self.floats = [np.empty(BLOCK, np.float32) for _ in range(12)]
        self.flags = [np.empty(BLOCK, np.bool_) for _ in range(3)]


def run(b: Block, size: Array, gap: Array) -> None:
    """Judges the samples `held["x"]` and learns from them.

    Args:
        b: The block; x is relative to each series' base.
        size: Absolute value of the samples, float32; overwritten.
        gap: Seconds since the sample before, float32; overwritten.
    """
    d, dg, e, clipped, scale, share = b.tmp[:6]
    _pace(b, gap)
    _predict(b, d, dg, e, share)
    _measure(b, e, scale, size, clipped)
    _bet(b)
    _learn(b, d, dg, e, clipped, scale)
    _calibrate(b)
    n = b.held["n"]
    np.add(n, 1.0, out=n)
    np.minimum(n, 1e6, out=n)


def _pace(b: Block, gap: Array) -> None:
    """The series' own interval, and the longest gap that is still usual for it."""
    n, interval, long_gap = b.held["n"], b.held["interval"], b.held["long_gap"]
    early, t = b.tmp[0], b.tmp[1]
    np.less(n, EARLY, out=b.flag)
    np.multiply(b.flag, np.float32(UNCLIPPED), out=early)
    np.multiply(long_gap, 1.5, out=t)
    np.add(t, early, out=t)
    np.minimum(gap, t, out=t)
    np.multiply(long_gap, 0.99, out=long_gap)
    np.maximum(long_gap, t, out=long_gap)
    np.multiply(interval, 4.0, out=t)
    np.add(t, early, out=t)
    np.minimum(gap, t, out=t)
    np.subtract(t, interval, out=t)
    np.maximum(n, 1.0, out=early)
    np.divide(1.0, early, out=early)
    np.maximum(early, LEVEL_RATE, out=early)
    np.multiply(t, early, out=t)
    np.add(interval, t, out=interval)


def _predict(b: Block, d: Array, dg: Array, e: Array, share: Array) -> None:
    """Residuals from level (d), slot (dg) and their mixture (e); `share` is how full the slot is (0 to 1)."""
    h = b.held
    t = b.tmp[6]
    np.subtract(h["x"], h["level"], out=d)
    np.subtract(h["x"], h["slot_mean"], out=dg)
    np.copyto(b.tmp[10], h["slot_count"])
    np.multiply(b.tmp[10], 1.0 / FULL_SLOT, out=share)
    np.minimum(share, 1.0, out=share)
    np.multiply(h["level_error"], h["level_error"], out=t)
    np.multiply(h["slot_error"], h["slot_error"], out=e)
    np.add(e, t, out=e)
    np.add(e, 1e-30, out=e)
    np.divide(t, e, out=t)
    np.multiply(t, share, out=t)
    np.subtract(dg, d, out=e)
    np.multiply(e, t, out=e)
    np.add(e, d, out=e)


def _measure(b: Block, e: Array, scale: Array, size: Array, absolute: Array) -> None:
    """z: distance from the expected value in units of the scale, which is half the hour's own where that is known."""
    h = b.held
    share = b.tmp[5]
    np.subtract(h["slot_spread"], h["spread"], out=scale)
    np.multiply(scale, share, out=scale)
    np.multiply(scale, 0.5, out=scale)
    np.add(scale, h["spread"], out=scale)
    np.multiply(size, RELATIVE_FLOOR, out=size)
    np.add(size, ABSOLUTE_FLOOR, out=size)
    np.maximum(scale, size, out=scale)
    np.absolute(e, out=absolute)
    np.divide(absolute, scale, out=h["z"])


def _bet(b: Block) -> None:
    """Multiplies the stake by what this sample is worth, and says whether the series alarms."""
    h = b.held
    n, z, bet = h["n"], h["z"], h["bet"]
    limit, factor = b.tmp[6], b.tmp[7]
    depth, deep = b.flag.view(np.uint8), b.flag2.view(np.uint8)
    np.greater(z, h["t1"], out=b.flag2)  # beyond the first threshold
    np.copyto(depth, deep)
    for threshold, trusted in zip(("t2", "t3"), TRUSTED_AFTER[1:], strict=True):
        np.greater_equal(n, trusted, out=b.where)
        np.logical_and(b.flag2, b.where, out=b.flag2)  # so deep, and the next threshold may be bet on
        np.add(depth, deep, out=depth)
        np.greater(z, h[threshold], out=b.where)
        np.logical_and(b.flag2, b.where, out=b.flag2)
        np.add(depth, deep, out=depth)
    FACTORS.take(depth, out=factor, mode="clip")
    np.maximum(bet, 1.0, out=bet)
    np.multiply(bet, factor, out=bet)
    settle(b, limit)


def settle(b: Block, limit: Array) -> None:
    """Bounds the stake, holds it at 1 until enough was seen, and opens or ends the alarm."""
    h = b.held
    n, bet = h["n"], h["bet"]
    t = b.tmp[7]
    np.maximum(h["interval"], 1e-3, out=t)
    np.divide(b.rate, t, out=limit)
    np.greater_equal(n, b.learn_samples, out=b.where)
    np.multiply(limit, b.where, out=t)
    np.multiply(t, 8.0, out=t)
    np.maximum(t, 1.0, out=t)
    np.minimum(bet, t, out=bet)
    np.multiply(bet, bet, out=t)
    np.greater(t, limit, out=b.flag2)
    np.logical_and(b.alarm, b.flag2, out=b.alarm)  # goes on while the stake is above the root of the limit
    np.greater_equal(bet, limit, out=b.flag2)
    np.logical_or(b.alarm, b.flag2, out=b.alarm)


def _learn(b: Block, d: Array, dg: Array, e: Array, absolute: Array, scale: Array) -> None:
    """Level, spread, errors of both predictors, and this hour of the week."""
    h = b.held
    n = h["n"]
    clip, pace, rate, t, u = b.tmp[5], b.tmp[6], b.tmp[7], b.tmp[8], b.tmp[9]
    np.less(n, EARLY, out=b.flag2)
    np.multiply(b.flag2, np.float32(UNCLIPPED), out=t)
    np.multiply(scale, CLIP, out=clip)
    np.add(clip, t, out=clip)
    np.multiply(b.alarm, np.float32(IN_ALARM - 1.0), out=pace)
    np.add(pace, 1.0, out=pace)
    np.add(n, 1.0, out=rate)
    np.divide(1.0, rate, out=rate)
    np.maximum(rate, LEVEL_RATE, out=rate)
    np.multiply(rate, pace, out=rate)
    # spread from the residual; level from the level's own
    np.minimum(absolute, clip, out=absolute)
    np.subtract(absolute, h["spread"], out=t)
    np.multiply(t, rate, out=t)
    np.add(h["spread"], t, out=h["spread"])
    np.absolute(d, out=t)
    np.minimum(t, clip, out=t)
    np.copysign(t, d, out=u)
    np.multiply(u, rate, out=u)
    np.add(h["level"], u, out=h["level"])
    np.subtract(t, h["level_error"], out=t)
    np.multiply(t, ERROR_RATE, out=t)
    np.add(h["level_error"], t, out=h["level_error"])
    np.absolute(dg, out=t)
    np.minimum(t, clip, out=t)
    np.subtract(t, h["slot_error"], out=t)
    np.multiply(t, ERROR_RATE, out=t)
    np.add(h["slot_error"], t, out=h["slot_error"])
    # the hour learns the sample drawn in to the clip
    count = h["slot_count"]
    np.add(b.tmp[10], 1.0, out=rate)
    np.divide(1.0, rate, out=rate)
    np.maximum(rate, SLOT_RATE, out=rate)
    np.multiply(rate, pace, out=rate)
    np.equal(count, 0, out=b.where)
    np.copyto(t, b.where)
    np.maximum(rate, t, out=rate)  # a first sample is taken whole, also during an alarm
    np.copysign(absolute, e, out=t)
    np.subtract(t, e, out=t)
    np.add(dg, t, out=t)
    np.multiply(t, rate, out=t)
    np.add(h["slot_mean"], t, out=h["slot_mean"])
    np.subtract(absolute, h["slot_spread"], out=t)
    np.multiply(t, rate, out=t)
    np.add(h["slot_spread"], t, out=h["slot_spread"])
    np.less(count, 255, out=b.where)
    np.add(count, b.where.view(np.uint8), out=count)


def _calibrate(b: Block) -> None:
    """Steers each threshold to its share of exceedances; stands still in an alarm and before the spread is fit."""
    h = b.held
    n, z = h["n"], h["z"]
    gain, t = b.tmp[0], b.tmp[1]
    np.add(n, 1.0, out=gain)
    np.divide(40.0 * STEP, gain, out=gain)
    np.add(gain, STEP, out=gain)
    np.minimum(gain, 0.5, out=gain)
    np.greater_equal(n, EARLY, out=b.where)
    np.greater(b.where, b.alarm, out=b.where)
    np.multiply(gain, b.where, out=gain)
    for name, share in zip(("t1", "t2", "t3"), SHARES, strict=True):
        threshold = h[name]
        np.greater(z, threshold, out=b.where)
        np.copyto(t, b.where)
        np.subtract(t, share, out=t)
        np.multiply(t, gain, out=t)
        np.multiply(t, threshold, out=t)
        np.add(threshold, t, out=threshold)
        np.maximum(threshold, 1e-3, out=threshold)


def run_binary(b: Block, gap: Array) -> None:
    """The same for series of 0 and 1 (`success`): a bet on the rate of zeros instead of a residual.

    `level` is the rate of ones, remembered over some 200 samples; a zero multiplies the stake by a/p with p the upper
    bound of the rate of zeros so far and a half-way from p to 1. More than half zeros is nothing to bet on any more.
    """
    h = b.held
    n, level, z, bet = h["n"], h["level"], h["z"], h["bet"]
    p, a, t, u = b.tmp[2], b.tmp[3], b.tmp[4], b.tmp[5]
    _pace(b, gap)
    np.minimum(n, 200.0, out=u)
    np.maximum(u, 1.0, out=u)
    np.subtract(1.0, level, out=p)
    np.maximum(p, 0.0, out=p)
    np.divide(p, u, out=t)
    np.sqrt(t, out=t)
    np.add(p, t, out=p)
    np.add(p, t, out=p)
    np.divide(2.0, u, out=t)
    np.add(p, t, out=p)
    np.minimum(p, 1.0, out=p)
    np.copyto(z, p)  # kept for the tail probability
    np.multiply(p, 0.5, out=t)
    np.add(t, 0.5, out=t)
    np.divide(t, p, out=t)
    np.less(h["x"], 0.5, out=b.where)
    a.fill(0.5)  # what a one is worth: (1 - a) / (1 - p)
    np.copyto(a, t, where=b.where)
    np.greater(p, 0.5, out=b.where)
    np.copyto(a, 0.5, where=b.where)
    np.maximum(bet, 1.0, out=bet)
    np.multiply(bet, a, out=bet)
    settle(b, b.tmp[6])
    np.multiply(b.alarm, np.float32(IN_ALARM - 1.0), out=t)
    np.add(t, 1.0, out=t)
    np.add(n, 2.0, out=u)
    np.divide(1.0, u, out=u)
    np.maximum(u, 0.005, out=u)
    np.multiply(u, t, out=u)
    np.subtract(h["x"], level, out=t)
    np.multiply(t, u, out=t)
    np.add(level, t, out=level)
    np.add(n, 1.0, out=n)
    np.minimum(n, 1e6, out=n)
