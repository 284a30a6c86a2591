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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array, aligned_zeros

BLOCK = 50_176  # series a call: whole pages of single precision, and 100,000 series make two calls


def _number(value: float) -> Array:
    """A constant as an array without dimensions: numpy takes it quicker than a number."""
    return np.array(value, np.float32)


HALF, ONE, TWO = _number(0.5), _number(1.0), _number(2.0)
EARLY = 16.0  # samples before which nothing is clipped
LEVEL_RATE = _number(0.05)  # the level remembers some 20 samples
SPREAD_RATE = _number(0.02)  # the spread some 50: were it quicker, its own noise would make exceedances come in runs
WIN_RATE = _number(0.02)  # which of the two predictors is nearer is remembered over some 50 samples
SLOT_RATE = _number(1.0 / 128.0)  # an hour of the week remembers some 128 samples, over several weeks
LONGER, SHORTENED = _number(1.5), _number(0.99)  # a gap is usual up to 1.5 times the longest, which fades
CLIP = _number(3.0)  # of the scale: more than this teaches no more than this
STEP = 0.1  # of a threshold, at each sample, times (exceeded - share); never below 1, the usual spread
SHARES = (0.05, 0.005, 0.0005)
MINUS_SHARES = -np.array(SHARES, np.float32)[:, None]
FAR = _number(8.0)  # a sample beyond this many times a threshold doubles it: with rare spikes 10 % would take weeks
TRUSTED_AFTER = (1000.0, 10_000.0)  # samples before the second and third may be bet on: five exceedances
IN_ALARM = _number(0.125)  # share of the learning rate in an alarm: an outage is not soon the new normal, yet bounded
FIRST_WIN, FIRST_LOSE = 0.5 / 0.125, 0.5 / 0.875  # a/p and (1 - a)/(1 - p), p above the share to be on the safe side
WIN, LOSE = 0.6 / 0.2, 0.4 / 0.8  # of those beyond one threshold 1 in 10 is beyond the next


def _factor(code: int) -> float:
    """What a sample is worth; bits of `code`: beyond the first, second, third threshold; second, third trusted."""
    first, second, third, second_trusted, third_trusted = (bool(code >> bit & 1) for bit in range(5))
    if not first:
        return FIRST_LOSE
    if not second_trusted:
        return FIRST_WIN
    if not second:
        return FIRST_WIN * LOSE
    if not third_trusted:
        return FIRST_WIN * WIN
    return FIRST_WIN * WIN * (WIN if third else LOSE)


FACTORS = np.array([_factor(code) for code in range(32)], np.float32)
LOST, WON = _number(_factor(0b11000)), _factor(0b11001)  # the two that are common
WON_ABOVE_LOST = _number(WON - float(LOST))

KEEP = _number(STEP) * MINUS_SHARES + ONE  # of a threshold that is not exceeded
RELATIVE_FLOOR = _number(1e-4)  # spread is never below this share of how far the level is from the first value
ABSOLUTE_FLOOR = _number(1e-9)
UNCLIPPED = _number(1e30)
FULL_SLOT = 8.0
GAP = 7
MOST_COUNTED = 255

STATE = ("n", "level", "spread", "bet", "slot_wins", "interval", "long_gap", "z", "x")


class Block:
    """State rows of one call and scratch of the same length.

    `youngest` is the least count of samples in the block: a stage takes a short cut where no series is young or none
    alarms. Short cuts change no bit: what they skip is a factor of 1, or one number in the place of equal numbers.
    """

    __slots__ = (
        "alarm",
        "alarms",
        "beyond",
        "flag",
        "held",
        "learn_samples",
        "least_seen",
        "limit_seconds",
        "ones",
        "tmp",
        "youngest",
    )

    def __init__(
        self, held: Mapping[str, Array], alarm: Array, scratch: Scratch, *, learn_samples: float, limit_seconds: float
    ) -> None:
        self.held = held
        self.alarm = alarm
        self.alarms = bool(np.logical_or.reduce(alarm))
        self.tmp, (self.flag, self.beyond), self.ones = scratch.of(len(alarm))
        self.learn_samples = learn_samples
        self.limit_seconds = limit_seconds  # a week / stated rate; by the interval: samples per alarm
        self.least_seen = 0  # samples of this hour of the week
        self.youngest = float(np.minimum.reduce(held["n"]))


class Scratch:
    """Rows that every call overwrites; never part of the state. They are few, and used again as soon as they are free,
    so that they stay in the processor's cache."""

    def __init__(self) -> None:
        self.doubles = aligned_zeros((BLOCK,), "<f8")  # its memory serves as two rows of single precision afterwards
        self.floats = [*self.doubles.view("<f4").reshape(2, BLOCK), *(aligned_zeros((BLOCK,), "<f4") for _ in range(6))]
        self.ones = aligned_zeros((BLOCK,), "<f4") + ONE  # a row is quicker to compare with than a number
        self.flags = [aligned_zeros((BLOCK,), "|b1") for _ in range(2)]

        self._cut: tuple[list[Array], list[Array], Array] = ([], [], self.ones[:0])

    def of(self, size: int) -> tuple[list[Array], list[Array], Array]:
        """Rows of this length: floats, flags, ones."""
        if len(self._cut[2]) != size:
            self._cut = [one[:size] for one in self.floats], [one[:size] for one in self.flags], self.ones[:size]
        return self._cut


def run(b: Block) -> None:
    """Judges the samples `held["x"]`, relative to each series' base, and learns from them.

    `tmp[GAP]` holds the seconds since the sample before and is overwritten.
    """
    d, dg, e, scale, off = b.tmp[:5]
    _pace(b)
    _predict(b, d, dg, e, scale)
    _measure(b, e, scale, off)
    _calibrate(b, _bet(b))
    _learn(b, d, dg, e, scale, off)
    np.add(b.held["n"], ONE, out=b.held["n"])  # stops by itself at 2^24


def _rate(b: Block, out: Array, least: Array) -> Array:
    """1/(n+1), at least `least`: one number where every series is old enough."""
    if b.youngest >= 1.0 / float(least):
        return least
    np.add(b.held["n"], ONE, out=out)
    np.divide(ONE, out, out=out)
    return np.maximum(out, least, out=out)


def _pace(b: Block) -> None:
    """The series' own interval, and the longest gap that is still usual for it."""
    n, interval, long_gap = b.held["n"], b.held["interval"], b.held["long_gap"]
    gap, t = b.tmp[GAP], b.tmp[5]
    np.multiply(long_gap, LONGER, out=t)
    if b.youngest < EARLY:
        np.add(t, (n < EARLY) * UNCLIPPED, out=t)
    np.minimum(gap, t, out=t)
    np.multiply(long_gap, SHORTENED, out=long_gap)
    np.maximum(long_gap, t, out=long_gap)
    np.subtract(t, interval, out=t)
    np.multiply(t, _rate(b, gap, LEVEL_RATE), out=t)
    np.add(interval, t, out=interval)


def _predict(b: Block, d: Array, dg: Array, e: Array, scale: Array) -> None:
    """Residuals from level (d), slot (dg) and their mixture (e), and the scale, half of which is the hour's own where
    that is known: both by the share to which the slot is full."""
    h = b.held
    t, u, wins = b.tmp[5], b.tmp[6], h["slot_wins"]
    b.least_seen = int(np.minimum.reduce(h["slot_count"]))
    np.subtract(h["x"], h["level"], out=d)
    np.subtract(h["x"], h["slot_mean"], out=dg)
    np.subtract(dg, d, out=e)
    if b.least_seen >= FULL_SLOT:
        np.multiply(e, wins, out=e)
        np.add(h["slot_spread"], h["spread"], out=scale)
    else:
        np.copyto(u, h["slot_count"])
        np.multiply(u, np.float32(1.0 / FULL_SLOT), out=u)
        np.minimum(u, b.ones, out=u)
        np.multiply(wins, u, out=t)
        np.multiply(e, t, out=e)
        np.multiply(h["slot_spread"], u, out=scale)
        np.subtract(TWO, u, out=u)
        np.multiply(h["spread"], u, out=u)
        np.add(scale, u, out=scale)
    np.add(e, d, out=e)
    np.multiply(scale, HALF, out=scale)
    np.absolute(d, out=t)
    np.absolute(dg, out=u)
    np.less(u, t, out=b.flag)
    np.copyto(t, b.flag)
    np.subtract(t, wins, out=t)
    np.multiply(t, WIN_RATE, out=t)
    np.add(wins, t, out=wins)


def _measure(b: Block, e: Array, scale: Array, off: Array) -> None:
    """z: distance from the expected value (off) in units of the scale, which has a floor."""
    np.absolute(b.held["level"], out=off)
    np.multiply(off, RELATIVE_FLOOR, out=off)
    np.add(off, ABSOLUTE_FLOOR, out=off)
    np.maximum(scale, off, out=scale)
    np.absolute(e, out=off)
    np.divide(off, scale, out=b.held["z"])


class Special(NamedTuple):
    """Series that are judged one by one: beyond the second threshold, beyond the first while young, or in an alarm."""

    rows: NDArray[np.intp]
    z: Array
    before: Array  # (3, n) thresholds before this sample
    over: Array  # (3, n) beyond them


def _specials(b: Block, rows: NDArray[np.intp]) -> Special:
    z, before = b.held["z"].take(rows), np.empty((3, len(rows)), np.float32)
    for own, threshold in zip(before, b.held["thresholds"], strict=True):
        threshold.take(rows, out=own, mode="clip")  # mode: "raise" would copy once more
    return Special(rows, z, before, z > before)


def _bet(b: Block) -> Special:
    """Multiplies the stake by what this sample is worth and opens or ends alarms; leaves in `tmp[6]` 1 where the first
    threshold was exceeded, else 0.

    All series are taken as "not beyond the first" or "beyond it, not beyond the second", in whole rows; those for which
    this does not hold are done again one by one, so that few have to be sought out.
    """
    h = b.held
    z, bet, thresholds, exceeded, factor = h["z"], h["bet"], h["thresholds"], b.tmp[6], b.tmp[5]
    np.greater(z, thresholds[0], out=b.beyond)
    np.greater(z, thresholds[1], out=b.flag)
    if b.alarms:
        np.logical_or(b.flag, b.alarm, out=b.flag)
    apprentice = max(TRUSTED_AFTER[0], b.learn_samples)
    if b.youngest < apprentice:
        np.logical_or(b.flag, (h["n"] < apprentice) & b.beyond, out=b.flag)
    special = _specials(b, b.flag.nonzero()[0])
    np.copyto(exceeded, b.beyond)
    np.maximum(bet, b.ones, out=bet)
    stake = bet.take(special.rows)
    np.multiply(exceeded, WON_ABOVE_LOST, out=factor)
    np.add(factor, LOST, out=factor)
    np.multiply(bet, factor, out=bet)
    stake *= _factors(b, special)
    if b.youngest < b.learn_samples:
        np.minimum(stake, np.where(h["n"][special.rows] >= b.learn_samples, UNCLIPPED, ONE), out=stake)
    bet[special.rows] = stake
    if _settle(b):
        return _specials(b, (b.flag | b.alarm).nonzero()[0])
    return special


def _factors(b: Block, special: Special) -> Array:
    """What the samples of these series are worth, by how far they went."""
    first, second, third = special.over.view(np.uint8)
    code = first + (second << 1) + (third << 2)
    if b.youngest >= TRUSTED_AFTER[1]:
        code += 24
    else:
        n = b.held["n"].take(special.rows)
        code += (n >= TRUSTED_AFTER[0]).view(np.uint8) << 3
        code += (n >= TRUSTED_AFTER[1]).view(np.uint8) << 4
    factors: Array = FACTORS.take(code)
    return factors


def _settle(b: Block) -> bool:
    """Bounds the stakes, ends alarms, and opens them where `beyond` made the stake exceed the limit.

    Returns:
        Whether one opened.
    """
    bet, interval, alarm = b.held["bet"], b.held["interval"], b.alarm
    if b.alarms:
        alarming = alarm.nonzero()[0]
        alarm[alarming] = np.square(bet[alarming]) > _limit(b, interval[alarming])  # ends below the root of the limit
    if (
        float(np.maximum.reduce(bet)) * float(np.maximum.reduce(interval)) < 0.99 * b.limit_seconds
    ):  # nobody's can exceed: as a rule
        return False
    rich = ((bet >= _limit(b, interval)) & b.beyond).nonzero()[0]
    limit = _limit(b, interval[rich])
    bet[rich] = np.minimum(bet[rich], limit * np.float32(8.0))
    rich = rich[b.held["n"][rich] >= b.learn_samples]
    alarm[rich] = True
    b.alarms = b.alarms or len(rich) > 0
    return len(rich) > 0


def _limit(b: Block, interval: Array) -> Array:
    """Samples per alarm by the stated rate."""
    limit: Array = np.float32(b.limit_seconds) / np.maximum(interval, np.float32(1e-3))
    return limit


def _calibrate(b: Block, special: Special) -> None:
    """Steers each threshold to its share of exceedances; slowly in an alarm, not before the spread is fit."""
    first, second, third = thresholds = b.held["thresholds"]
    exceeded, rows = b.tmp[6], special.rows
    gain = own = _gain(b)
    keep = KEEP
    if gain.ndim:
        own, keep = gain.take(rows), gain * MINUS_SHARES + ONE
    np.multiply(exceeded, gain, out=exceeded)
    np.add(exceeded, keep[0], out=exceeded)
    np.multiply(first, exceeded, out=first)
    np.multiply(second, keep[1], out=second)
    np.multiply(third, keep[2], out=third)
    if b.alarms:
        own = np.where(b.alarm.take(rows), own * IN_ALARM, own)
    far = special.z > special.before * FAR
    step = special.over * own
    step += own * MINUS_SHARES + ONE
    if far.any():
        step[far & (own > 0)] = 2.0
    step *= special.before
    for threshold, changed in zip(thresholds, step, strict=True):
        threshold[rows] = changed
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


def _learn(b: Block, d: Array, dg: Array, e: Array, scale: Array, off: Array) -> None:
    """Level, spread, and this hour of the week; what alarms takes an eighth of each step."""
    h = b.held
    t, low, clip = b.tmp[6], b.tmp[5], scale
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
    if b.alarms:
        slow = b.alarm.nonzero()[0]
        fresh = slow[h["slot_count"][slow] == 0]  # a first sample is taken whole, also during an alarm
        whole = dg[fresh], off[fresh]
    share = _slot_rate(b, low)
    np.multiply(dg, share, out=dg)
    np.subtract(off, h["slot_spread"], out=e)
    np.multiply(e, share, out=e)
    np.subtract(off, h["spread"], out=off)
    np.multiply(off, _rate(b, t, SPREAD_RATE), out=off)
    if b.alarms:
        for step in (d, dg, e, off):
            step[slow] *= IN_ALARM
        dg[fresh], e[fresh] = whole
    np.add(h["level"], d, out=h["level"])
    np.add(h["slot_mean"], dg, out=h["slot_mean"])
    np.add(h["slot_spread"], e, out=h["slot_spread"])
    np.add(h["spread"], off, out=h["spread"])


def _slot_rate(b: Block, rate: Array) -> Array:
    """How much the hour learns from this sample; counts it."""
    seen, least = b.held["slot_count"], b.least_seen
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


def run_binary(b: Block) -> None:
    """The same for series of 0 and 1 (`success`): a bet on the rate of zeros instead of a residual.

    `level` is the rate of ones, remembered over some 200 samples; a zero multiplies the stake by a/p with p the upper
    bound of the rate of zeros so far and a half-way from p to 1; a one halves it, for (1 - a)/(1 - p) = 1/2. More than
    half zeros is nothing to bet on any more.
    """
    h = b.held
    n, level, p, bet = h["n"], h["level"], h["z"], h["bet"]  # p is kept as the tail probability of a zero
    t, u = b.tmp[1:3]
    _pace(b)
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
    _settle(b)
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
