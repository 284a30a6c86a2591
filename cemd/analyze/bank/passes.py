"""The kernel in whole rows of numbers, some twenty passes of numpy.

Short cuts are taken where no series of a block is young. They change no bit: what they skip is one number in the place
of equal numbers. Series that follow each other are worked on in place (views); others are gathered and put back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.bank import flat
from cemd.analyze.bank.kernel import (
    BLOCK,
    DOUBTS,
    EARLY,
    HALF,
    IN_ALARM,
    KEEP,
    LESS,
    LEVEL_RATE,
    LONGER,
    LOSS,
    MORE,
    NOBODY,
    OLD,
    ONE,
    SHARE,
    SPREAD_KEPT,
    SPREAD_RATE,
    STEP,
    UNCLIPPED,
    YOUNG,
    Beyond,
    Looked,
    Lot,
    Rows,
    Zeros,
    span_of,
)
from cemd.analyze.columns import BLIND, Array, aligned_zeros

WRITTEN = ("n", "level", "spread", "evidence", "hour_sum", "hour_dev", "first", "z")
DENSE = (*WRITTEN, "floor", "slope", "x")
"""What every sample reads and writes, in whole rows; the rest only few need."""
OF_BINARY = ("n", "level", "evidence", "z")
MOST_VIEWS = 256  # blocks whose views are kept
SMALL = 4096  # so few gathered series are known again by their rows: with few it is looking them up anew that costs


class Scratch:
    """Rows that every call overwrites; never part of the state. They are few, and used again as soon as they are free,
    so that they stay in the processor's cache."""

    def __init__(self) -> None:
        self.doubles = aligned_zeros((BLOCK,), "<f8")
        self.floats = [aligned_zeros((BLOCK,), "<f4") for _ in range(5)]
        self.zeros = aligned_zeros((BLOCK,), "<f4")  # a row is quicker to compare with than a number
        self.flag = aligned_zeros((BLOCK,), "|b1")


class Block(Lot):
    """One sample each for at most `BLOCK` series.

    `held` are the dense columns of these series: views, or copies that are gathered when they are needed. `youngest` is
    the least count of samples.
    """

    __slots__ = ("flag", "held", "learn_samples", "longest", "shortest", "tmp", "version", "youngest", "zeros")

    def __init__(self, columns: Mapping[str, Array], rows: Rows, span: Rows | slice, scratch: Scratch) -> None:
        size = len(rows)
        gap, x, *tmp = (one[:size] for one in scratch.floats)
        super().__init__(columns, rows, span, gap, x)
        self.held = {name: columns[name][span] for name in DENSE} if isinstance(span, slice) else {}
        self.version = -1
        self.tmp, self.flag, self.zeros = tmp, scratch.flag[:size], scratch.zeros[:size]
        self.learn_samples = self.youngest = self.shortest = self.longest = 0.0

    def begin(self, rows: Rows, learn_samples: float, version: int) -> None:
        """The next sample of each. What holds for all series together is looked up where it may have changed: `version`
        says so."""
        self.rows, self.learn_samples = rows, learn_samples
        if self.version != version or self.youngest < max(OLD, learn_samples):
            self.youngest = float(np.minimum.reduce(self.columns["n"][self.span]))
            interval = self.columns["interval"][self.span]
            self.shortest, self.longest = float(np.minimum.reduce(interval)), float(np.maximum.reduce(interval))
            self.season_due = -np.inf
            self.version = version

    def gather(self, names: tuple[str, ...]) -> None:
        """Copies of these columns, where views will not do."""
        if not isinstance(self.span, slice):
            self.held = {name: self.columns[name][self.span] for name in names}

    def put_back(self, names: tuple[str, ...]) -> None:
        if not isinstance(self.span, slice):
            for name in names:
                self.columns[name][self.span] = self.held[name]

    def learn(self, beyond: Beyond) -> None:
        self.gather(DENSE)
        flat.notice(self)
        self.columns["x"][self.span] = self.x
        run(self, beyond)
        self.put_back(WRITTEN)


class Passes:
    """The kernel for columns of any size; keeps views of them."""

    def __init__(self) -> None:
        self._scratch = Scratch()
        self._columns: Mapping[str, Array] = {}
        self._blocks: dict[tuple[int, int], Block] = {}
        self._version = 0
        self._binary_before: NDArray[np.intp] = np.zeros(1, np.intp)

    def fix(self, columns: Mapping[str, Array]) -> None:
        self._columns, self._blocks = columns, {}
        self._binary_before = np.append(0, np.cumsum(columns["binary"], dtype=np.intp))

    def altered(self) -> None:
        """What was known of blocks as a whole may be so no more."""
        self._version += 1

    def look(self, rows: Rows, at: Array, value: Array, outcome: Array, learn_samples: float) -> Looked:
        c, binary, zeros = self._columns, NOBODY, None
        c["outcome"][span_of(rows)] = outcome
        # quicker than to look at each
        if not math.isfinite(np.add.reduce(value)) or np.maximum.reduce(outcome) >= BLIND:
            teaches = np.isfinite(value) & (outcome != BLIND)
            looked = rows[~teaches]
            c["last_at"][looked] = np.maximum(c["last_at"][looked], at[~teaches])
            rows, at, value = _of(teaches, rows, at, value)
        if self._any_binary(rows):
            is_binary = c["binary"][span_of(rows)]
            binary, its_at, its_value = _of(is_binary, rows, at, value)
            if len(binary):
                zeros = self._bet(binary, its_at, its_value, learn_samples)
                rows, at, value = _of(~is_binary, rows, at, value)
        if not len(rows):
            return Looked(None, binary, zeros)
        return Looked(self._take(rows, at, value, learn_samples), binary, zeros)

    def _any_binary(self, rows: Rows) -> bool:
        """Whether there may be a series of 0 and 1 among the rows, which ascend."""
        before = self._binary_before
        return bool(len(rows) and before[rows[-1] + 1] > before[rows[0]])

    def _bet(self, rows: Rows, at: Array, value: Array, learn_samples: float) -> Zeros | None:
        block = self._take(rows, at, value, learn_samples)
        self._columns["x"][block.span] = block.x
        block.gather(OF_BINARY)
        zeros = run_binary(block)
        block.put_back(OF_BINARY)
        return zeros

    def _block(self, rows: Rows, learn_samples: float) -> Block:
        """Views of series that follow each other are kept: mostly the same ones come together again."""
        span = span_of(rows)
        if isinstance(span, slice):
            known = self._blocks.get((span.start, span.stop))
            if known is None:
                if len(self._blocks) >= MOST_VIEWS:
                    self._blocks.clear()
                known = self._blocks[span.start, span.stop] = Block(self._columns, rows, span, self._scratch)
        elif len(rows) > SMALL:
            known = Block(self._columns, rows, span, self._scratch)
        else:
            place = (int(rows[0]), -len(rows))  # no slice ends below 0
            known = self._blocks.get(place)
            if known is None or not np.logical_and.reduce(known.rows == rows):
                if len(self._blocks) >= MOST_VIEWS:
                    self._blocks.clear()
                known = self._blocks[place] = Block(self._columns, rows, span, self._scratch)
        known.begin(rows, learn_samples, self._version)
        return known

    def _take(self, rows: Rows, at: Array, value: Array, learn_samples: float) -> Block:
        """Time passes: learns the interval, keeps the newest time."""
        block = self._block(rows, learn_samples)
        c, span, gap, exact = self._columns, block.span, block.gap, self._scratch.doubles[: len(at)]
        if block.youngest == 0:
            fresh = c["n"][span] == 0
            new = rows[fresh]
            c["base"][new] = np.where(c["binary"][new], 0.0, value[fresh])
            c["last_at"][new] = at[fresh]
        last_at = c["last_at"][span]
        np.subtract(at, last_at, out=exact)  # and then to single precision: in one go it would be slower
        np.copyto(gap, exact, casting="same_kind")
        least = float(np.minimum.reduce(gap))
        if least < 0.0:
            np.maximum(gap, np.float32(0.0), out=gap)
            at, least = np.maximum(last_at, at), 0.0
        c["last_at"][span] = block.at = at
        if pace(block, least):
            self.altered()
        np.subtract(value, c["base"][span], out=exact)
        np.copyto(block.x, exact, casting="same_kind")
        return block


def _of(chosen: Array, *of: Array) -> tuple[Array, ...]:
    """Those of each that are chosen, by their places: a mask costs a wrong guess of the processor for each change."""
    places = chosen.nonzero()[0]
    return tuple(one.take(places) for one in of)


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
    interval says nothing new. Of the first samples a gap is usual when another one was as long (`lone_gap` is the
    longest), and the first is forgotten with the next: a silence among them would hide the next for hours. Later it is
    up to `LONGER` times the longest before.

    Returns:
        Whether it said something new. `least` is the shortest gap.
    """
    c, gap = b.columns, b.gap
    if least >= b.longest * float(LESS) and np.maximum.reduce(gap) <= b.shortest * float(MORE):
        return False
    interval = c["interval"][b.span]
    low, high = b.tmp[:2]
    np.multiply(interval, LESS, out=low)
    np.multiply(interval, MORE, out=high)
    np.less(gap, low, out=b.flag)
    places = (b.flag | (gap > high)).nonzero()[0]
    if not len(places):
        return False
    rows, new = b.rows.take(places), gap.take(places)
    n, long_gap, usual = c["n"].take(rows), c["long_gap"].take(rows), interval.take(places)
    lone, young = c["lone_gap"].take(rows), n < EARLY
    bound = np.where(young, lone, np.maximum(long_gap, usual)) * LONGER
    counts = np.minimum(new, np.where(bound > np.float32(0.0), bound, UNCLIPPED))
    c["long_gap"][rows] = np.maximum(long_gap, np.where(young, np.minimum(new, lone), counts))
    c["lone_gap"][rows] = np.where(young, np.maximum(new, lone), lone)
    rate = np.maximum(ONE / np.maximum(n - young, ONE), LEVEL_RATE)
    c["interval"][rows] = usual + (counts - usual) * rate
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


def run_binary(b: Block) -> Zeros | None:
    """The same for series of 0 and 1 (`success`): a bet on the rate of zeros instead of a residual.

    `level` is the rate of ones, remembered over some 500 samples; `judge_binary` says what a zero is worth. A one costs
    one bit, for (1 - a)/(1 - p) = 1/2. More than half zeros is nothing to bet on any more. `z` keeps p, the upper bound
    of the rate of zeros: the tail probability of a zero.
    """
    h = b.held
    n, level, p, evidence, found = h["n"], h["level"], h["z"], h["evidence"], None
    seen = np.minimum(np.maximum(n, np.float32(1.0)), np.float32(500.0))
    np.maximum(ONE - level, np.float32(0.0), out=p)
    np.minimum(p + np.sqrt(p / seen) * np.float32(2.0) + np.float32(2.0) / seen, np.float32(1.0), out=p)
    zeros = ((b.x < HALF) & (p <= HALF)).nonzero()[0]
    if len(zeros):
        found = Zeros(b.rows.take(zeros), evidence.take(zeros), b.youngest)
    np.maximum(evidence - ONE, np.float32(0.0), out=evidence)
    alarm = b.columns["alarm"][b.span]
    rate = np.maximum(ONE / (n + np.float32(2.0)), np.float32(0.002)) * np.where(alarm, IN_ALARM, ONE)
    np.add(level, (b.x - level) * rate, out=level)
    np.add(n, ONE, out=n)
    return found
