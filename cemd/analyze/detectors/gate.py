"""The gate: scores become episodes that fire, hold, escalate and end; the last ones are remembered.

An episode fires when the score reaches 1, holds until the score was below CALM for some samples, and is not fired anew
for a while after the last alarm unless it is more than half as strong again: nobody looks twice for the same thing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cemd.analyze.columns import Array, Columns, Field
from cemd.analyze.detectors.base import Held

CALM = 0.7
"""Score below which an episode calms down: well below 1, so that it does not flap."""
CALM_SAMPLES = 6
"""Calm samples that end an episode."""
QUIET_SAMPLES = 80
"""Samples without an alarm before the next one fires by itself: seven hours of five minutes."""
ESCALATES = 1.6
"""An alarm this many times as strong as the last episode fires in any case."""
PAST = 12
"""Episodes that are remembered."""
FIELDS = {
    "open": Field("|b1"),
    "peak": Field("<f8"),  # highest score of the last episode
    "calm": Field("<i4"),  # samples below CALM in a row
    "since_alarm": Field("<i4", QUIET_SAMPLES + 1),  # samples since the score was 1 or more
    "episodes": Field("<i4"),  # that fired so far
    "past_at": Field("<f8", np.nan, (PAST,)),  # of the episode n: place n % PAST
    "past_until": Field("<f8", np.nan, (PAST,)),
    "past_peak": Field("<f4", 0, (PAST,)),
    "past_kind": Field("|i1", 0, (PAST,)),  # number of the strongest kind + 1; its sign: which way
}


class Episode(NamedTuple):
    """One time when a series was unusual."""

    at: float
    until: float
    peak: float
    kind: int
    """Number of the strongest kind."""
    rises: bool


class Gate:
    """The episodes of all series, in the columns handed in."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def pass_through(self, held: Held, rows: Array, score: Array, at: Array) -> Array:
        """Moves episodes along by the scores of one round; returns bool[R]: an episode fired, or escalated."""
        alarm = score >= 1.0
        quiet, was = held["since_alarm"].copy(), held["open"].copy()
        peak = np.where(quiet > QUIET_SAMPLES, 0.0, held["peak"])
        fires: Array = alarm & ((quiet > QUIET_SAMPLES) | (score >= ESCALATES * peak))
        calm = np.where(score < CALM, held["calm"] + 1, 0)
        held["calm"] = calm
        held["open"] = (was & (calm < CALM_SAMPLES)) | fires
        held["peak"] = np.where(alarm, np.maximum(peak, score), peak)
        held["since_alarm"] = np.where(alarm, 0, np.minimum(quiet + 1, QUIET_SAMPLES + 1))
        self._remember(rows, fires & ~was, (was | fires) & alarm, score, at)
        return fires

    def _remember(self, rows: Array, new: Array, more: Array, score: Array, at: Array) -> None:
        c = self._columns
        for place in np.flatnonzero(new | more).tolist():
            row = int(rows[place])
            if new[place]:
                c["episodes"][row] += 1
                number = int(c["episodes"][row]) % PAST
                surprise = c["surprise"][row]
                strongest = int(np.argmax(np.abs(surprise)))
                c["past_at"][row, number] = at[place]
                c["past_peak"][row, number] = 0.0
                c["past_kind"][row, number] = -(strongest + 1) if np.signbit(surprise[strongest]) else strongest + 1
            number = int(c["episodes"][row]) % PAST
            c["past_until"][row, number] = at[place]
            c["past_peak"][row, number] = max(float(c["past_peak"][row, number]), float(score[place]))

    def past(self, row: int) -> list[Episode]:
        """The remembered episodes of one series, oldest first; the last one may be open."""
        c = self._columns
        last = int(c["episodes"][row])
        found = []
        for number in range(max(last - PAST, 0) + 1, last + 1):
            at, until, peak, kind = (
                c[name][row, number % PAST] for name in ("past_at", "past_until", "past_peak", "past_kind")
            )
            found.append(Episode(float(at), float(until), float(peak), abs(int(kind)) - 1, int(kind) > 0))
        return found
