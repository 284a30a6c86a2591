"""The bank's arithmetic: one sample for each of many series at once, in place, in single precision.

Only + - * / min max abs and comparisons: these give the same bits for a lone value and for a vector of them, so that
results cannot depend on how batches were cut. A `Block` is a view of the state (or gathered copies of it) for at most
`BLOCK` series; each function is one stage and leaves its result in the block's scratch rows.

How a sample is judged. `expected` mixes the recent level with the mean of this hour of the week, by which of the two
has erred less; `z` is the distance from it in units of the series' own spread. Three thresholds on z are steered so
that the series' own past exceeded them in 1 of 20, 200 and 2,000 samples, whatever its distribution (online quantiles,
Gibbs and Candès 2021, adaptive conformal inference, with a multiplicative step). Each sample is then a fair bet against
"as it always was": the stake `bet` is multiplied by more than 1 beyond a threshold, by less below it. `bet = max(bet,
1) · factor` is a CUSUM of evidence (e-detector, Shin, Ramdas and Rinaldo 2022): on data as it always was it reaches 1/p
only once in 1/p samples on average, so the limit "samples a week / stated rate" holds the rate.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array, aligned_zeros

BLOCK = 33_792  # series a call: whole pages of single precision, and 100,000 series make three calls
EARLY = 16.0  # samples before which nothing is clipped
LEVEL_RATE = 0.05  # the level remembers some 20 samples
SPREAD_RATE = 0.02  # the spread some 50: were it quicker, its own noise would make exceedances come in runs
WIN_RATE = 0.02  # which of the two predictors is nearer is remembered over some 50 samples
SLOT_RATE = 1.0 / 128.0  # an hour of the week remembers some 128 samples, over several weeks
CLIP = 3.0  # of the scale: more than this teaches no more than this
STEP = 0.1  # of a threshold, at each sample, times (exceeded - share); never below 1, the usual spread
SHARES = (0.05, 0.005, 0.0005)
MINUS_SHARES = -np.array(SHARES, np.float32)[:, None]
FAR = 8.0  # a sample beyond this many times a threshold doubles it: with rare spikes steps of 10 % would take weeks
TRUSTED_AFTER = (1000.0, 10_000.0)  # samples before the second and third may be bet on: five exceedances
TRUSTED = np.array(TRUSTED_AFTER, np.float32)[:, None]
IN_ALARM = 0.125  # share of the learning rate while alarming: an outage is not soon the new normal, yet bounded
FIRST_WIN, FIRST_LOSE = 0.5 / 0.125, 0.5 / 0.875  # a/p and (1 - a)/(1 - p), p above the share to be on the safe side
WIN, LOSE = 0.6 / 0.2, 0.4 / 0.8  # of those beyond one threshold 1 in 10 is beyond the next
DEEPER = (1.0, LOSE, WIN, WIN * LOSE, WIN * WIN)
FACTORS = np.array([FIRST_LOSE, *(FIRST_WIN * factor for factor in DEEPER)], np.float32)
"""By how far the sample went: 0 not beyond the first threshold, 1 beyond it and the second not trusted yet, 2 not
beyond the second, 3 beyond it and the third not trusted yet, 4 not beyond the third, 5 beyond it."""

RELATIVE_FLOOR = 1e-4  # spread is never below this share of how far the series has been from its first value
ABSOLUTE_FLOOR = 1e-9
UNCLIPPED = 1e30
FULL_SLOT = 8.0
MOST_COUNTED = 255

STATE = ("n", "level", "spread", "bet", "slot_wins", "reach", "interval", "long_gap", "z", "x")


class Block:
    """State rows of one call and scratch of the same length.

    `youngest` is the least count of samples in the block: a stage takes a short cut where no series is young or none
    alarms. Short cuts change no bit: what they skip is a factor of 1, or one number in the place of equal numbers.
    """

    __slots__ = ("alarm", "early", "flag", "held", "learn_samples", "limit_seconds", "ones", "tmp", "where", "youngest")

    def __init__(
        self, held: Mapping[str, Array], alarm: Array, scratch: Scratch, *, learn_samples: float, limit_seconds: float
    ) -> None:
        size = len(alarm)
        self.held = held
        self.alarm = alarm
        self.tmp = [one[:size] for one in scratch.floats[1:]]
        self.early = self.tmp.pop()
        self.flag, self.where = (one[:size] for one in scratch.flags)
        self.learn_samples = learn_samples
        self.limit_seconds = limit_seconds  # a week / stated rate; by the interval: samples per alarm
        self.youngest = float(held["n"].min())
        self.ones = scratch.ones[:size]


class Scratch:
    """Rows that every call overwrites; never part of the state."""

    def __init__(self) -> None:
        self.floats = [aligned_zeros((BLOCK,), "<f4") for _ in range(10)]
        self.ones = aligned_zeros((BLOCK,), "<f4") + np.float32(1.0)  # a row is quicker to compare with than a number
        self.flags = [aligned_zeros((BLOCK,), "|b1") for _ in range(2)]


def run(b: Block, gap: Array) -> None:
    """Judges the samples `held["x"]` and learns from them.

    Args:
        b: The block; x is relative to each series' base.
        gap: Seconds since the sample before, float32; overwritten.
    """
    d, dg, e, count, scale = b.tmp[:5]
    _pace(b, gap)
    _predict(b, d, dg, e, count, scale)
    _measure(b, e, scale)
    _calibrate(b, *_bet(b))
    _learn(b, d, dg, e, count, scale)
    np.add(b.held["n"], 1.0, out=b.held["n"])  # stops by itself at 2^24


def _rate(b: Block, out: Array, least: float) -> Array | np.float32:
    """1/(n+1), at least `least`: one number where every series is old enough."""
    if b.youngest >= 1.0 / least:
        return np.float32(least)
    np.add(b.held["n"], 1.0, out=out)
    np.divide(1.0, out, out=out)
    return np.maximum(out, least, out=out)


def _pace(b: Block, gap: Array) -> None:
    """The series' own interval, and the longest gap that is still usual for it."""
    n, interval, long_gap = b.held["n"], b.held["interval"], b.held["long_gap"]
    t, young = b.tmp[0], b.youngest < EARLY
    if young:
        np.less(n, EARLY, out=b.flag)
        np.multiply(b.flag, np.float32(UNCLIPPED), out=b.early)
    np.multiply(long_gap, 1.5, out=t)
    if young:
        np.add(t, b.early, out=t)
    np.minimum(gap, t, out=t)
    np.multiply(long_gap, 0.99, out=long_gap)
    np.maximum(long_gap, t, out=long_gap)
    np.subtract(t, interval, out=t)
    np.multiply(t, _rate(b, b.tmp[1], LEVEL_RATE), out=t)
    np.add(interval, t, out=interval)


def _predict(b: Block, d: Array, dg: Array, e: Array, count: Array, scale: Array) -> None:
    """Residuals from level (d), slot (dg) and their mixture (e), and the scale, half of which is the hour's own where
    that is known: both by the share to which the slot is full."""
    h = b.held
    t, u, wins = b.tmp[5], b.tmp[6], h["slot_wins"]
    full = h["slot_count"].min() >= FULL_SLOT
    np.subtract(h["x"], h["level"], out=d)
    np.subtract(h["x"], h["slot_mean"], out=dg)
    np.subtract(dg, d, out=e)
    np.subtract(h["slot_spread"], h["spread"], out=scale)
    np.multiply(scale, 0.5, out=scale)
    if full:
        np.multiply(e, wins, out=e)
    else:
        np.copyto(count, h["slot_count"])
        np.multiply(count, 1.0 / FULL_SLOT, out=u)
        np.minimum(u, b.ones, out=u)
        np.multiply(wins, u, out=t)
        np.multiply(e, t, out=e)
        np.multiply(scale, u, out=scale)
    np.add(e, d, out=e)
    np.add(scale, h["spread"], out=scale)
    np.absolute(d, out=t)
    np.absolute(dg, out=u)
    np.less(u, t, out=b.flag)
    np.copyto(t, b.flag)
    np.subtract(t, wins, out=t)
    np.multiply(t, WIN_RATE, out=t)
    np.add(wins, t, out=wins)


def _measure(b: Block, e: Array, scale: Array) -> None:
    """z: distance from the expected value in units of the scale, which has a floor."""
    h = b.held
    t, z = b.tmp[5], h["z"]
    np.multiply(h["reach"], 0.999, out=h["reach"])
    np.absolute(h["x"], out=t)
    np.maximum(h["reach"], t, out=h["reach"])
    np.multiply(h["reach"], RELATIVE_FLOOR, out=t)
    np.add(t, ABSOLUTE_FLOOR, out=t)
    np.maximum(scale, t, out=scale)
    np.absolute(e, out=z)
    np.divide(z, scale, out=z)


def _bet(b: Block) -> tuple[NDArray[np.intp], Array]:
    """Multiplies the stake by what this sample is worth and opens or ends alarms.

    Returns:
        The series beyond their first threshold or in an alarm, and their thresholds before this sample, (3, n).
    """
    h = b.held
    bet, thresholds = h["bet"], h["thresholds"]
    np.greater(h["z"], thresholds[0], out=b.flag)
    over = np.flatnonzero(np.logical_or(b.flag, b.alarm, out=b.flag))
    before = thresholds[:, over]
    np.maximum(bet, b.ones, out=bet)
    z, stake = h["z"][over], bet[over]
    np.multiply(bet, FIRST_LOSE, out=bet)
    first, *deeper = z > before
    trusted = h["n"][over] >= TRUSTED
    # 0: not beyond the first; 1: beyond, the second not trusted yet; 2: not beyond it; 3: beyond, the third not trusted
    second = first & trusted[0]
    beyond = second & deeper[0]
    third = beyond & trusted[1]
    depth = first.astype(np.intp) + second + beyond + third + (third & deeper[1])
    _settle(b, over, stake * FACTORS[depth])
    return over, before


def _settle(b: Block, rows: NDArray[np.intp], stake: Array) -> None:
    """Bounds the grown stakes of these rows, holds them at 1 until enough was seen, and opens or ends alarms."""
    h = b.held
    bet, interval = h["bet"], h["interval"]
    limit = np.float32(b.limit_seconds) / np.maximum(interval[rows], np.float32(1e-3))
    learnt = h["n"][rows] >= b.learn_samples
    stake = np.minimum(stake, np.where(learnt, limit * np.float32(8.0), np.float32(1.0)))
    bet[rows] = stake
    if b.alarm.any():
        alarming = np.flatnonzero(b.alarm)
        enough = np.float32(b.limit_seconds) / np.maximum(interval[alarming], np.float32(1e-3))
        b.alarm[alarming] = np.square(bet[alarming]) > enough  # an alarm ends below the root of the limit
    b.alarm[rows[learnt & (stake >= limit)]] = True


def _calibrate(b: Block, over: NDArray[np.intp], before: Array) -> None:
    """Steers each threshold to its share of exceedances; slowly in an alarm, not before the spread is fit."""
    thresholds = b.held["thresholds"]
    gain = _gain(b)
    z = b.held["z"][over]
    if isinstance(gain, np.ndarray):
        own: Array = gain[over]
        for threshold, share in zip(thresholds, MINUS_SHARES, strict=True):
            np.multiply(threshold, gain * share + np.float32(1.0), out=threshold)
    else:
        own = np.full(len(over), gain)
        np.multiply(thresholds, gain * MINUS_SHARES + np.float32(1.0), out=thresholds)
    own[b.alarm[over]] *= np.float32(IN_ALARM)
    step = ((z > before) + MINUS_SHARES) * own + np.float32(1.0)
    step[(z > before * np.float32(FAR)) & (own > 0)] = 2.0
    thresholds[:, over] = before * step
    np.maximum(thresholds, b.ones, out=thresholds)


def _gain(b: Block) -> Array | np.float32:
    """Step of the thresholds: larger for young series, none before EARLY."""
    if b.youngest >= 40.0:
        return np.float32(STEP)
    gain, n = b.tmp[5], b.held["n"]
    np.maximum(n, 1.0, out=gain)
    np.divide(40.0 * STEP, gain, out=gain)
    np.maximum(gain, STEP, out=gain)
    np.minimum(gain, 0.5, out=gain)
    if b.youngest < EARLY:
        np.less(n, EARLY, out=b.where)
        np.copyto(gain, 0.0, where=b.where)
    return gain


def _learn(b: Block, d: Array, dg: Array, e: Array, count: Array, scale: Array) -> None:
    """Level, spread, and this hour of the week; what alarms takes an eighth of each step."""
    h = b.held
    t, low, clip = b.tmp[5], b.early, scale
    slow, eighth = np.flatnonzero(b.alarm), np.float32(IN_ALARM)  # a power of two: exact
    np.multiply(scale, CLIP, out=clip)
    if b.youngest < EARLY:
        np.add(clip, b.early, out=clip)
    np.negative(clip, out=low)
    # level from its own residual, drawn in to the clip
    np.minimum(d, clip, out=d)
    np.maximum(d, low, out=d)
    np.multiply(d, _rate(b, b.tmp[6], LEVEL_RATE), out=d)
    d[slow] *= eighth
    np.add(h["level"], d, out=h["level"])
    # a sample beyond the clip teaches hour and spread as if it lay on it
    wild = np.flatnonzero(np.greater(np.absolute(e, out=t), clip, out=b.flag))
    dg[wild] += np.copysign(clip[wild], e[wild]) - e[wild]
    t[wild] = clip[wild]
    new_hour = h["slot_count"][slow] == 0  # a first sample is taken whole, also during an alarm
    share = _slot_rate(b, count)
    np.multiply(dg, share, out=dg)
    np.subtract(t, h["slot_spread"], out=e)
    np.multiply(e, share, out=e)
    known = slow[~new_hour]
    dg[known] *= eighth
    e[known] *= eighth
    np.add(h["slot_mean"], dg, out=h["slot_mean"])
    np.add(h["slot_spread"], e, out=h["slot_spread"])
    np.subtract(t, h["spread"], out=t)
    np.multiply(t, _rate(b, b.tmp[6], SPREAD_RATE), out=t)
    t[slow] *= eighth
    np.add(h["spread"], t, out=h["spread"])


def _slot_rate(b: Block, rate: Array) -> Array | np.float32:
    """How much the hour learns from this sample; counts it."""
    seen = b.held["slot_count"]
    least = int(seen.min())
    share: Array | np.float32 = np.float32(SLOT_RATE)
    if least < 1.0 / SLOT_RATE:
        np.copyto(rate, seen)
        np.add(rate, 1.0, out=rate)
        np.divide(1.0, rate, out=rate)
        share = np.maximum(rate, SLOT_RATE, out=rate)
    if least < MOST_COUNTED:
        np.less(seen, MOST_COUNTED, out=b.where)
        np.add(seen, b.where.view(np.uint8), out=seen)
    return share


def run_binary(b: Block, gap: Array) -> None:
    """The same for series of 0 and 1 (`success`): a bet on the rate of zeros instead of a residual.

    `level` is the rate of ones, remembered over some 200 samples; a zero multiplies the stake by a/p with p the upper
    bound of the rate of zeros so far and a half-way from p to 1; a one halves it, for (1 - a)/(1 - p) = 1/2. More than
    half zeros is nothing to bet on any more.
    """
    h = b.held
    n, level, p, bet = h["n"], h["level"], h["z"], h["bet"]  # p is kept as the tail probability of a zero
    t, u = b.tmp[1:3]
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
    zeros = np.flatnonzero((h["x"] < 0.5) & (p <= 0.5))
    np.maximum(bet, 1.0, out=bet)
    half = np.float32(0.5)
    stake = bet[zeros] * ((half + half * p[zeros]) / p[zeros])
    np.multiply(bet, half, out=bet)
    _settle(b, zeros, stake)
    np.copyto(t, 1.0)
    np.copyto(t, IN_ALARM, where=b.alarm)
    np.add(n, 2.0, out=u)
    np.divide(1.0, u, out=u)
    np.maximum(u, 0.005, out=u)
    np.multiply(u, t, out=u)
    np.subtract(h["x"], level, out=t)
    np.multiply(t, u, out=t)
    np.add(level, t, out=level)
    np.add(n, 1.0, out=n)
