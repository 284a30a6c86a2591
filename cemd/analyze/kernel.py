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


def _number(value: float) -> Array:
    """A constant as an array without dimensions: numpy takes it quicker than a number."""
    return np.array(value, np.float32)


ONE, HALF = _number(1.0), _number(0.5)
EARLY = 16.0  # samples before which nothing is clipped
LEVEL_RATE = _number(0.05)  # the level remembers some 20 samples
SPREAD_RATE = _number(0.02)  # the spread some 50: were it quicker, its own noise would make exceedances come in runs
WIN_RATE = _number(0.02)  # which of the two predictors is nearer is remembered over some 50 samples
SLOT_RATE = _number(1.0 / 128.0)  # an hour of the week remembers some 128 samples, over several weeks
LONGER, SHORTENED = _number(1.5), _number(0.99)  # a gap is usual up to 1.5 times the longest, which fades
FORGETS = _number(0.999)  # how far the series has been, over some 1,000 samples
CLIP = _number(3.0)  # of the scale: more than this teaches no more than this
STEP = 0.1  # of a threshold, at each sample, times (exceeded - share); never below 1, the usual spread
SHARES = (0.05, 0.005, 0.0005)
MINUS_SHARES = -np.array(SHARES, np.float32)
FAR = _number(8.0)  # a sample beyond this many times a threshold doubles it: with rare spikes 10 % would take weeks
TRUSTED_AFTER = (1000.0, 10_000.0)  # samples before the second and third may be bet on: five exceedances
TRUSTED = np.array(TRUSTED_AFTER, np.float32)[:, None]
IN_ALARM = _number(0.125)  # share of the learning rate in an alarm: an outage is not soon the new normal, yet bounded
FIRST_WIN, FIRST_LOSE = 0.5 / 0.125, 0.5 / 0.875  # a/p and (1 - a)/(1 - p), p above the share to be on the safe side
WIN, LOSE = 0.6 / 0.2, 0.4 / 0.8  # of those beyond one threshold 1 in 10 is beyond the next
DEEPER = (1.0, LOSE, WIN, WIN * LOSE, WIN * WIN)
FACTORS = np.array([FIRST_LOSE, *(FIRST_WIN * factor for factor in DEEPER)], np.float32)
"""By how far the sample went: 0 not beyond the first threshold, 1 beyond it and the second not trusted yet, 2 not
beyond the second, 3 beyond it and the third not trusted yet, 4 not beyond the third, 5 beyond it."""
WIN_ABOVE_LOSE = _number(FACTORS[2] - FACTORS[0])

RELATIVE_FLOOR = _number(1e-4)  # spread is never below this share of how far the series has been from its first value
ABSOLUTE_FLOOR = _number(1e-9)
UNCLIPPED = _number(1e30)
FULL_SLOT = 8.0
MOST_COUNTED = 255

STATE = ("n", "level", "spread", "bet", "slot_wins", "reach", "interval", "long_gap", "z", "x")


class Block:
    """State rows of one call and scratch of the same length.

    `youngest` is the least count of samples in the block: a stage takes a short cut where no series is young or none
    alarms. Short cuts change no bit: what they skip is a factor of 1, or one number in the place of equal numbers.
    """

    __slots__ = (
        "alarm",
        "beyond",
        "early",
        "flag",
        "held",
        "learn_samples",
        "limit_seconds",
        "ones",
        "tmp",
        "youngest",
    )

    def __init__(
        self, held: Mapping[str, Array], alarm: Array, scratch: Scratch, *, learn_samples: float, limit_seconds: float
    ) -> None:
        size = len(alarm)
        self.held = held
        self.alarm = alarm
        self.tmp = [one[:size] for one in scratch.floats[1:]]
        self.early = self.tmp.pop()
        self.flag, self.beyond = (one[:size] for one in scratch.flags)
        self.learn_samples = learn_samples
        self.limit_seconds = limit_seconds  # a week / stated rate; by the interval: samples per alarm
        self.youngest = float(held["n"].min())
        self.ones = scratch.ones[:size]


class Scratch:
    """Rows that every call overwrites; never part of the state."""

    def __init__(self) -> None:
        self.floats = [aligned_zeros((BLOCK,), "<f4") for _ in range(10)]
        self.doubles = aligned_zeros((BLOCK,), "<f8")
        self.ones = aligned_zeros((BLOCK,), "<f4") + ONE  # a row is quicker to compare with than a number
        self.flags = [aligned_zeros((BLOCK,), "|b1") for _ in range(2)]


def run(b: Block, gap: Array) -> None:
    """Judges the samples `held["x"]` and learns from them.

    Args:
        b: The block; x is relative to each series' base.
        gap: Seconds since the sample before, float32; overwritten.
    """
    d, dg, e, count, scale, off = b.tmp[:6]
    _pace(b, gap)
    _predict(b, d, dg, e, count, scale)
    _measure(b, e, scale, off)
    _calibrate(b, _bet(b))
    _learn(b, d, dg, e, count, scale, off)
    np.add(b.held["n"], ONE, out=b.held["n"])  # stops by itself at 2^24


def _rate(b: Block, out: Array, least: Array) -> Array:
    """1/(n+1), at least `least`: one number where every series is old enough."""
    if b.youngest >= 1.0 / float(least):
        return least
    np.add(b.held["n"], ONE, out=out)
    np.divide(ONE, out, out=out)
    return np.maximum(out, least, out=out)


def _pace(b: Block, gap: Array) -> None:
    """The series' own interval, and the longest gap that is still usual for it."""
    n, interval, long_gap = b.held["n"], b.held["interval"], b.held["long_gap"]
    t, young = b.tmp[0], b.youngest < EARLY
    if young:
        np.less(n, EARLY, out=b.flag)
        np.multiply(b.flag, UNCLIPPED, out=b.early)
    np.multiply(long_gap, LONGER, out=t)
    if young:
        np.add(t, b.early, out=t)
    np.minimum(gap, t, out=t)
    np.multiply(long_gap, SHORTENED, out=long_gap)
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
    np.multiply(scale, HALF, out=scale)
    if full:
        np.multiply(e, wins, out=e)
    else:
        np.copyto(count, h["slot_count"])
        np.multiply(count, np.float32(1.0 / FULL_SLOT), out=u)
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


def _measure(b: Block, e: Array, scale: Array, off: Array) -> None:
    """z: distance from the expected value (off) in units of the scale, which has a floor."""
    reach = b.held["reach"]
    np.multiply(reach, FORGETS, out=reach)
    np.absolute(b.held["x"], out=off)
    np.maximum(reach, off, out=reach)
    np.multiply(reach, RELATIVE_FLOOR, out=off)
    np.add(off, ABSOLUTE_FLOOR, out=off)
    np.maximum(scale, off, out=scale)
    np.absolute(e, out=off)
    np.divide(off, scale, out=b.held["z"])


def _bet(b: Block) -> NDArray[np.intp]:
    """Multiplies the stake by what this sample is worth and opens or ends alarms; leaves in `tmp[6]` 1 where the first
    threshold was exceeded, else 0.

    All series are taken as "not beyond the first" or "beyond it, not beyond the second", in whole rows; those for which
    this does not hold are done again one by one, so that few have to be sought out.

    Returns:
        The series beyond their second threshold, or beyond the first while young, or in an alarm.
    """
    h = b.held
    z, bet, thresholds, exceeded, factor = h["z"], h["bet"], h["thresholds"], b.tmp[6], b.early
    young = b.youngest < max(TRUSTED_AFTER[0], b.learn_samples)
    np.greater(z, thresholds[0], out=b.beyond)
    np.greater(z, thresholds[1], out=b.flag)
    np.logical_or(b.flag, b.alarm, out=b.flag)
    if young:
        few = h["n"] < max(TRUSTED_AFTER[0], b.learn_samples)
        np.logical_or(b.flag, np.logical_and(few, b.beyond, out=few), out=b.flag)
    special = np.flatnonzero(b.flag)
    np.copyto(exceeded, b.beyond)
    np.maximum(bet, b.ones, out=bet)
    stake = bet[special]
    np.multiply(exceeded, WIN_ABOVE_LOSE, out=factor)
    np.add(factor, FACTORS[0], out=factor)
    np.multiply(bet, factor, out=bet)
    if len(special):
        stake *= FACTORS[_depth(z[special], thresholds[:, special], h["n"][special])]
        if young:
            np.minimum(stake, np.where(h["n"][special] >= b.learn_samples, UNCLIPPED, ONE), out=stake)
        bet[special] = stake
    return _settle(b, special)


def _depth(z: Array, thresholds: Array, n: Array) -> NDArray[np.intp]:
    """How far samples went, as an index of FACTORS."""
    first, *deeper = z > thresholds
    trusted = n >= TRUSTED
    second = first & trusted[0]
    beyond = second & deeper[0]
    third = beyond & trusted[1]
    depth: NDArray[np.intp] = first.astype(np.intp) + second + beyond + third + (third & deeper[1])
    return depth


def _settle(b: Block, special: NDArray[np.intp]) -> NDArray[np.intp]:
    """Bounds the stakes, ends alarms, and opens them where `beyond` made the stake exceed the limit.

    Returns:
        `special` and the series whose alarm opened.
    """
    bet, interval, alarm = b.held["bet"], b.held["interval"], b.alarm
    alarming = np.flatnonzero(alarm)
    if len(alarming):
        alarm[alarming] = np.square(bet[alarming]) > _limit(b, interval[alarming])  # ends below the root of the limit
    if float(bet.max()) < float(_limit(b, interval.max())):
        return special
    rich = np.flatnonzero((bet >= _limit(b, interval)) & b.beyond)
    limit = _limit(b, interval[rich])
    bet[rich] = np.minimum(bet[rich], limit * np.float32(8.0))
    alarm[rich[b.held["n"][rich] >= b.learn_samples]] = True
    return np.union1d(special, rich)


def _limit(b: Block, interval: Array) -> Array:
    """Samples per alarm by the stated rate."""
    limit: Array = np.float32(b.limit_seconds) / np.maximum(interval, np.float32(1e-3))
    return limit


def _calibrate(b: Block, special: NDArray[np.intp]) -> None:
    """Steers each threshold to its share of exceedances; slowly in an alarm, not before the spread is fit."""
    first, second, third = thresholds = b.held["thresholds"]
    exceeded, gain = b.tmp[6], _gain(b)
    before = thresholds[:, special]
    keep = [gain * share + ONE for share in MINUS_SHARES]
    np.multiply(exceeded, gain, out=exceeded)
    np.add(exceeded, keep[0], out=exceeded)
    np.multiply(first, exceeded, out=first)
    np.multiply(second, keep[1], out=second)
    np.multiply(third, keep[2], out=third)
    if len(special):
        z = b.held["z"][special]
        own = gain[special] if gain.ndim else np.full(len(special), gain)
        own[b.alarm[special]] *= IN_ALARM
        step = (z > before) * own + (own * MINUS_SHARES[:, None] + ONE)
        step[(z > before * FAR) & (own > 0)] = 2.0
        thresholds[:, special] = before * step
    for threshold in thresholds:
        np.maximum(threshold, b.ones, out=threshold)


def _gain(b: Block) -> Array:
    """Step of the thresholds: larger for young series, none before EARLY."""
    if b.youngest >= 40.0:
        return _number(STEP)
    gain, n = b.tmp[7], b.held["n"]
    np.maximum(n, 1.0, out=gain)
    np.divide(40.0 * STEP, gain, out=gain)
    np.maximum(gain, STEP, out=gain)
    np.minimum(gain, 0.5, out=gain)
    if b.youngest < EARLY:
        gain[n < EARLY] = 0.0
    return gain


def _learn(b: Block, d: Array, dg: Array, e: Array, count: Array, scale: Array, off: Array) -> None:
    """Level, spread, and this hour of the week; what alarms takes an eighth of each step."""
    h = b.held
    t, low, clip = b.tmp[6], b.tmp[7], scale
    slow = np.flatnonzero(b.alarm)
    np.multiply(scale, CLIP, out=clip)
    if b.youngest < EARLY:
        np.add(clip, (h["n"] < EARLY) * UNCLIPPED, out=clip)
    np.negative(clip, out=low)
    # level from its own residual, drawn in to the clip
    np.minimum(d, clip, out=d)
    np.maximum(d, low, out=d)
    np.multiply(d, _rate(b, t, LEVEL_RATE), out=d)
    # a sample beyond the clip teaches hour and spread as if it lay on it
    np.minimum(e, clip, out=t)
    np.maximum(t, low, out=t)
    np.subtract(t, e, out=t)
    np.add(dg, t, out=dg)
    np.minimum(off, clip, out=off)
    fresh = slow[h["slot_count"][slow] == 0]  # a first sample is taken whole, also during an alarm
    whole = dg[fresh], off[fresh]
    share = _slot_rate(b, count)
    np.multiply(dg, share, out=dg)
    np.subtract(off, h["slot_spread"], out=e)
    np.multiply(e, share, out=e)
    np.subtract(off, h["spread"], out=off)
    np.multiply(off, _rate(b, t, SPREAD_RATE), out=off)
    if len(slow):
        for step in (d, dg, e, off):
            step[slow] *= IN_ALARM
        dg[fresh], e[fresh] = whole
    np.add(h["level"], d, out=h["level"])
    np.add(h["slot_mean"], dg, out=h["slot_mean"])
    np.add(h["slot_spread"], e, out=h["slot_spread"])
    np.add(h["spread"], off, out=h["spread"])


def _slot_rate(b: Block, rate: Array) -> Array:
    """How much the hour learns from this sample; counts it."""
    seen = b.held["slot_count"]
    least = int(seen.min())
    share: Array = SLOT_RATE
    if least < 1.0 / float(SLOT_RATE):
        np.copyto(rate, seen)
        np.add(rate, ONE, out=rate)
        np.divide(ONE, rate, out=rate)
        share = np.maximum(rate, SLOT_RATE, out=rate)
    if least < MOST_COUNTED:
        np.less(seen, MOST_COUNTED, out=b.flag)
        np.add(seen, b.flag.view(np.uint8), out=seen)
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
    np.maximum(u, ONE, out=u)
    np.subtract(ONE, level, out=p)
    np.maximum(p, 0.0, out=p)
    np.divide(p, u, out=t)
    np.sqrt(t, out=t)
    np.add(p, t, out=p)
    np.add(p, t, out=p)
    np.divide(2.0, u, out=t)
    np.add(p, t, out=p)
    np.minimum(p, ONE, out=p)
    np.less(h["x"], HALF, out=b.beyond)
    np.logical_and(b.beyond, p <= HALF, out=b.beyond)
    zeros = np.flatnonzero(b.beyond)
    np.maximum(bet, b.ones, out=bet)
    stake = bet[zeros] * ((HALF + HALF * p[zeros]) / p[zeros])
    np.multiply(bet, HALF, out=bet)
    bet[zeros] = np.minimum(stake, np.where(n[zeros] >= b.learn_samples, UNCLIPPED, ONE))
    _settle(b, zeros)
    np.copyto(t, ONE)
    np.copyto(t, IN_ALARM, where=b.alarm)
    np.add(n, 2.0, out=u)
    np.divide(ONE, u, out=u)
    np.maximum(u, np.float32(0.005), out=u)
    np.multiply(u, t, out=u)
    np.subtract(h["x"], level, out=t)
    np.multiply(t, u, out=t)
    np.add(level, t, out=level)
    np.add(n, ONE, out=n)
