"""The kernel sample by sample: what `passes` does in whole rows, with the same bits, for numba to compile.

Here is no numba: these are plain functions of numbers and arrays, which run as they are too (a test compares them with
`passes` on the same samples). `compiled` makes machine code of them, without fast-math and without joining a
multiplication to an addition, so that each step is rounded as numpy rounds it. What is single precision there is so
here: every constant is, and no whole number ever meets it. Both functions are long, for what they called would have to
be compiled before them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cemd.analyze.bank import flat, kernel, season
from cemd.analyze.bank.episodes import EPISODE
from cemd.analyze.bank.episodes import HOLD as HELD_ABOVE
from cemd.analyze.columns import BLIND, Array

ZERO, HALF, ONE, TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
EARLY, YOUNG = np.float32(kernel.EARLY), np.float32(kernel.YOUNG)
LESS, MORE, LONGER = np.float32(kernel.LESS), np.float32(kernel.MORE), np.float32(kernel.LONGER)
UNCLIPPED, LEVEL_RATE = np.float32(kernel.UNCLIPPED), np.float32(kernel.LEVEL_RATE)
SPREAD_RATE, SPREAD_KEPT = np.float32(kernel.SPREAD_RATE), np.float32(kernel.SPREAD_KEPT)
LOSS, DOUBTS, IN_ALARM = np.float32(kernel.LOSS), np.float32(kernel.DOUBTS), np.float32(kernel.IN_ALARM)
KEEP, MOST_FALL = np.float32(kernel.KEEP), np.float32(0.5 * kernel.SHARE)
FALL = np.float32(kernel.YOUNG * kernel.STEP * kernel.SHARE)
REMEMBERED, LEAST_RATE = np.float32(500.0), np.float32(0.002)
STUCK_AFTER, TIMES_LONGEST, MOVED_FOR = flat.STUCK_AFTER, flat.TIMES_LONGEST, flat.MOVED_FOR
MOST_EQUAL = int(flat.MOST)
HOLD = np.float32(HELD_ABOVE)
LIMIT, ALARM_FROM, CANDIDATE = (EPISODE.index(name) for name in ("limit", "alarm_from", "candidate"))
NEIGHBOURS, SPREAD_OUT = season.BLOCK, season.SPREAD_OUT
UNSET = np.float32(np.nan)


class Held(NamedTuple):
    """The columns of the bank that loops read and write."""

    base: Array
    last_at: Array
    n: Array
    level: Array
    spread: Array
    floor: Array
    slope: Array
    evidence: Array
    z: Array
    x: Array
    first: Array
    interval: Array
    long_gap: Array
    lone_gap: Array
    hour: Array
    hour_sum: Array
    hour_dev: Array
    foreseen: Array
    episode: Array
    run: Array
    longest: Array
    outcome: Array
    binary: Array
    alarm: Array


class Room(NamedTuple):
    """What a look leaves of the series that are not 0 and 1 (`rows`, `at`, `gap`, `x`), of those that are (`binary`),
    and of these the ones that show a zero (`zeros`), with their evidence before."""

    rows: Array
    at: Array
    gap: Array
    x: Array
    binary: Array
    zeros: Array
    before: Array


class Waiting(NamedTuple):
    """Room for samples beyond the first threshold; `kernel.Beyond` in columns."""

    rows: Array
    alarm: Array
    z: Array
    first: Array
    evidence: Array
    level: Array
    slow: Array


def look(c: Held, rows: Array, at: Array, value: Array, outcome: Array, to: Room) -> tuple[int, int, int, float, float]:
    """Time passes for each series; those of 0 and 1 learn.

    Returns:
        How many series are in `to`: of any value, of 0 and 1, with a zero; when the first of those of any value enters
        another hour, and when the season asks for the first of them.
    """
    numbers, binaries, zeros = 0, 0, 0
    ends, due = math.inf, math.inf
    for place in range(len(rows)):
        row, when, seen = rows[place], at[place], value[place]
        c.outcome[row] = outcome[place]
        if outcome[place] == BLIND or not math.isfinite(seen):
            c.last_at[row] = max(c.last_at[row], when)
            continue
        n = c.n[row]
        if n == ZERO:
            c.base[row] = 0.0 if c.binary[row] else seen
            c.last_at[row] = when
        when = max(c.last_at[row], when)
        gap = np.float32(when - c.last_at[row])
        c.last_at[row] = when
        interval = c.interval[row]
        if gap < interval * LESS or gap > interval * MORE:
            usual, lone = c.long_gap[row], c.lone_gap[row]
            bound = (lone if n < EARLY else max(usual, interval)) * LONGER
            counts = min(gap, bound if bound > ZERO else UNCLIPPED)
            c.long_gap[row] = max(usual, min(gap, lone) if n < EARLY else counts)
            c.lone_gap[row] = max(gap, lone) if n < EARLY else lone
            before = n - ONE if n < EARLY else n
            c.interval[row] = interval + (counts - interval) * max(ONE / max(before, ONE), LEVEL_RATE)
        x = np.float32(seen - c.base[row])
        if not c.binary[row]:
            to.rows[numbers], to.at[numbers], to.gap[numbers], to.x[numbers] = row, when, gap, x
            numbers += 1
            begins = c.hour[row] * 3600.0
            ends = min(ends, begins + 3600.0)
            if not c.foreseen[row]:
                due = min(due, begins + row // NEIGHBOURS * SPREAD_OUT % 3600)
            continue
        to.binary[binaries] = row
        binaries += 1
        c.x[row] = x
        level, evidence = c.level[row], c.evidence[row]
        known = min(max(n, ONE), REMEMBERED)
        p = max(ONE - level, ZERO)
        p = min(p + np.sqrt(p / known) * TWO + TWO / known, ONE)
        c.z[row] = p
        if x < HALF and p <= HALF:
            to.zeros[zeros], to.before[zeros] = row, evidence
            zeros += 1
        c.evidence[row] = max(evidence - ONE, ZERO)
        rate = max(ONE / (n + TWO), LEAST_RATE) * (IN_ALARM if c.alarm[row] else ONE)
        c.level[row] = level + (x - level) * rate
        c.n[row] = n + ONE
    return numbers, binaries, zeros, ends, min(ends, due)


def learn(c: Held, lot: Room, size: int, beyond: Waiting, waits: int, learn_samples: np.float32) -> tuple[int, float]:
    """Learns from the first `size` samples of the lot; those beyond the first threshold go behind the `waits` others.

    Returns:
        How many wait now, and the least count of samples among the new ones.
    """
    youngest = math.inf
    for place in range(size):
        row, x = lot.rows[place], lot.x[place]
        n, evidence = c.n[row], c.evidence[row]
        # a value that does not move
        run, before = int(c.run[row]), c.x[row]
        c.x[row] = x
        if x == before:
            run = min(run + 1, MOST_EQUAL)
            c.run[row] = run
            if run >= STUCK_AFTER:
                length = np.float32(run)
                usual = STUCK_AFTER + TIMES_LONGEST * np.float32(c.longest[row])
                moved = n - length >= MOVED_FOR * length and n >= learn_samples
                if length >= usual and moved and x + c.base[row] != 0.0:
                    if not c.alarm[row]:
                        c.episode[row, ALARM_FROM] = n
                        c.episode[row, CANDIDATE] = UNSET
                        c.alarm[row] = True
                    evidence = c.episode[row, LIMIT] + HOLD
        elif run:
            if run > c.longest[row]:
                c.longest[row] = run
            c.run[row] = 0
        # how far it is from what is expected
        level, spread, first = c.level[row] + c.slope[row] * lot.gap[place], c.spread[row], c.first[row]
        off = x - level
        far = abs(off)
        z = far / spread
        c.z[row] = z
        evidence = evidence - LOSS
        pull, widens = off, far
        if z > first and z > ONE:
            least = max(first, ONE)
            weighs = evidence + LOSS
            slow = IN_ALARM if c.alarm[row] else ONE / (weighs * DOUBTS + ONE)
            beyond.rows[waits], beyond.alarm[waits], beyond.z[waits] = row, c.alarm[row], z
            beyond.first[waits], beyond.evidence[waits] = least, weighs
            beyond.level[waits], beyond.slow[waits] = level, slow
            waits += 1
            if n < youngest:
                youngest = n
            share = ONE if n < EARLY else least / z
            pull, far = off * share, far * share
            x = level + pull
            pull = pull * slow
            widens = spread + (far - spread) * slow
        # what it teaches
        early = ONE / (n + ONE)
        rate = max(early, SPREAD_RATE)
        kept = SPREAD_KEPT if rate == SPREAD_RATE else ONE - rate
        c.level[row] = level + pull * max(early, LEVEL_RATE)
        c.hour_sum[row] += x
        c.hour_dev[row] += far
        c.spread[row] = max(spread * kept + widens * rate, c.floor[row])
        if n >= YOUNG:
            first = first * KEEP
        elif n >= EARLY:
            first = first * (ONE - min(FALL / n, MOST_FALL))
        c.first[row] = first
        c.evidence[row] = max(evidence, ZERO)
        c.n[row] = n + ONE
    return waits, float(youngest)
