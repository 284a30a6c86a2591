"""Flat line: a value that does not move although it always did.

A run of equal values is stuck when it is much longer than the longest that the series has shown before, and the series
has moved for longer than that. Zero is idle, not stuck; what never moved is constant, not stuck.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cemd.analyze.bank.episodes import HOLD, fire
from cemd.analyze.columns import Array

if TYPE_CHECKING:
    from cemd.analyze.bank.passes import Block

STUCK_AFTER, TIMES_LONGEST = np.float32(40.0), np.float32(4.0)
MOVED_FOR = np.float32(4.0)  # times the run, of samples before it
MOST = np.uint16(60_000)
ONE = np.uint16(1)


def limit(longest: Array) -> Array:
    """Equal values in a row that are as yet usual."""
    return STUCK_AFTER + TIMES_LONGEST * longest.astype(np.float32)


def notice(b: Block) -> None:
    """Counts equal values; gives those that are stuck the evidence of an alarm."""
    c, flag = b.columns, b.flag
    run = c["run"][b.span]
    np.equal(b.x, b.held["x"], out=flag)
    same = np.logical_or.reduce(flag)
    if not same and not np.maximum.reduce(run):
        return
    ended = ((run > c["longest"][b.span]) & ~flag).nonzero()[0]
    if len(ended):
        rows = b.rows[ended]
        c["longest"][rows] = run[ended]
    run = np.minimum(run + ONE, MOST) * flag
    c["run"][b.span] = run
    if np.maximum.reduce(run) >= STUCK_AFTER:
        _hold_stuck(b, run)


def _hold_stuck(b: Block, run: Array) -> None:
    c = b.columns
    places = (run >= STUCK_AFTER).nonzero()[0]
    rows, length, n = b.rows[places], run[places].astype(np.float32), b.held["n"].take(places)
    stuck = (length >= limit(c["longest"].take(rows))) & (n - length >= MOVED_FOR * length) & (n >= b.learn_samples)
    stuck &= (b.x.take(places) + c["base"].take(rows)) != 0.0
    places, rows = places[stuck], rows[stuck]
    if not len(places):
        return
    fires = ~c["alarm"].take(rows)
    c["alarm_from"][rows[fires]] = b.held["n"].take(places[fires])
    fire(c, rows[fires])
    b.held["evidence"][places] = c["limit"][rows] + HOLD
