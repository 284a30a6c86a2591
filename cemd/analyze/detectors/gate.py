"""The gate: scores become episodes that fire, hold, escalate and end; the last ones are remembered.

An episode fires when the score reaches 1 and the sample is not small, holds until the score was below CALM for some
samples, and is not fired anew for a while after the last alarm unless it is more than half as strong again: nobody
looks twice for the same thing. One that is large as well, the first in such a while, opens an episode even so: what was
rare and small was told to nobody, and must not hide it. What comes at this time of day anyway (`recurrence`) fires
nothing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array, Columns, Field
from cemd.analyze.detectors.base import Held

LARGE = 0.6
"""Severity that an alarm must have: what is rare, yet of the size of every week, is nothing to look at."""
CALM = 0.7
"""Score below which an episode calms down: well below 1, so that it does not flap."""
MOST_TOLERATED = 3.0
"""However often a person says "false": three times the threshold is always an alarm."""
MARGIN = 1.1
"""An alarm must be so much higher than the one that was false."""
LATE_SECONDS, LATE_SAMPLES = 3600.0, 12.0
"""A finding may begin so long after the last alarm of its episode: samples of some feeds come late."""
CALM_SAMPLES = 6
"""Calm samples that end an episode."""
QUIET_SAMPLES = 96
"""Samples without an alarm before the next one fires by itself: eight hours of five minutes, a shift."""
ESCALATES = 1.6
"""An alarm this many times as strong as the last episode fires in any case."""
PAST = 12
"""Episodes that are remembered."""
FIELDS = {
    "open": Field("|b1"),
    "grave": Field("|b1"),  # severity reached 1 in this episode as well
    "said": Field("|b1"),  # grave, when `turned` was asked last
    "peak": Field("<f8"),  # highest score of the last episode
    "calm": Field("<i4"),  # samples below CALM in a row
    "since_alarm": Field("<i4", QUIET_SAMPLES + 1),  # samples since the last alarm
    "since_large": Field("<i4", QUIET_SAMPLES + 1),  # samples since the last one whose severity reached 1
    "tolerated": Field("<f4", 1),  # score that an alarm must reach: what a person called false was as high
    "episodes": Field("<i4"),  # that fired so far
    "past_at": Field("<f8", np.nan, (PAST,)),  # of the episode n: place n % PAST
    "past_until": Field("<f8", np.nan, (PAST,)),
    "past_peak": Field("<f4", 0, (PAST,)),
    "past_kind": Field("|i1", 0, (PAST,)),  # number of the strongest kind + 1; its sign: which way
    "past_said": Field("|i1", 0, (PAST,)),  # what a person called it, as `Called`
}


class Called(IntEnum):
    """What a person called an episode."""

    NOTHING = 0
    TRUE = 1
    FALSE = 2
    BENIGN = 3


class Episode(NamedTuple):
    """One time when a series was unusual."""

    number: int

    at: float
    until: float
    peak: float
    kind: int
    """Number of the strongest kind."""
    rises: bool
    called: Called


class Gate:
    """The episodes of all series, in the columns handed in."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def pass_through(self, held: Held, rows: Array, score: Array, severity: Array, usual: Array, at: Array) -> Array:
        """Moves episodes along by the scores of one round; returns bool[R]: an episode fired, or escalated.

        What is `usual` at this time of day (bool[R]) is no alarm.
        """
        alarm = (score >= held["tolerated"]) & (severity >= LARGE) & ~usual
        quiet, was = held["since_alarm"].copy(), held["open"].copy()
        peak = np.where(quiet > QUIET_SAMPLES, 0.0, held["peak"])
        fires: Array = alarm & ((quiet > QUIET_SAMPLES) | (score >= ESCALATES * peak))
        calm = np.where(score < CALM, held["calm"] + 1, 0)
        held["calm"] = calm
        large = alarm & (severity >= 1.0)
        since_large = held["since_large"].copy()
        opens = fires | (large & (since_large > QUIET_SAMPLES))
        held["since_large"] = np.where(large, 0, np.minimum(since_large + 1, QUIET_SAMPLES + 1))
        held["open"] = now = (was & (calm < CALM_SAMPLES)) | opens
        held["grave"] = now & (held["grave"] | (severity >= 1.0))
        held["peak"] = np.where(alarm, np.maximum(peak, score), peak)
        held["since_alarm"] = np.where(alarm, 0, np.minimum(quiet + 1, QUIET_SAMPLES + 1))
        self._remember(rows, opens & ~was, (was | opens) & alarm, score, at)
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
                c["past_said"][row, number] = Called.NOTHING
                c["past_kind"][row, number] = -(strongest + 1) if np.signbit(surprise[strongest]) else strongest + 1
            number = int(c["episodes"][row]) % PAST
            c["past_until"][row, number] = at[place]
            if score[place] > c["past_peak"][row, number]:
                c["past_peak"][row, number] = score[place]
                for name in ("surprise", "now", "expected", "reach"):
                    c[f"worst_{name}"][row] = c[name][row]

    def turned(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Series whose episode became grave (rare *and* large) since the last call, and those whose grave one ended."""
        grave, said = self._columns["grave"], self._columns["said"]
        turned = np.flatnonzero(grave != said)
        said[turned] = grave[turned]
        now = grave[turned]
        return turned[now], turned[~now]

    def during(self, row: int, since: float, until: float) -> Episode | None:
        """The newest remembered episode that began before `until` and was not over long before `since`."""
        late = max(LATE_SECONDS, LATE_SAMPLES * float(self._columns["interval"][row]))
        found = [one for one in self.past(row) if one.at <= until and one.until >= since - late]
        return found[-1] if found else None

    def doubt(self, row: int, episode: Episode, called: Called) -> None:
        """A person called the episode false, or benign after its end: what is no higher is no alarm; nor is what is
        open by now, if it is no higher either."""
        c = self._columns
        c["past_said"][row, episode.number % PAST] = called
        c["tolerated"][row] = min(max(float(c["tolerated"][row]), episode.peak * MARGIN), MOST_TOLERATED)
        if c["past_peak"][row, int(c["episodes"][row]) % PAST] <= c["tolerated"][row]:
            self.forget(np.array([row], np.intp))

    def confirm(self, row: int, episode: Episode) -> None:
        """A person called the episode true: what is as high is an alarm, whatever was tolerated before."""
        c = self._columns
        c["past_said"][row, episode.number % PAST] = Called.TRUE
        c["tolerated"][row] = max(min(float(c["tolerated"][row]), episode.peak), 1.0)

    def forget(self, rows: Array) -> None:
        """The series are watched no more: nothing is open on them; `turned` still tells what ended by it."""
        for name in ("open", "grave"):
            self._columns[name][rows] = False

    def past(self, row: int) -> list[Episode]:
        """The remembered episodes of one series, oldest first; the last one may be open."""
        c = self._columns
        last = int(c["episodes"][row])
        found = []
        for number in range(max(last - PAST, 0) + 1, last + 1):
            at, until, peak, kind, called = (
                c[name][row, number % PAST] for name in ("past_at", "past_until", "past_peak", "past_kind", "past_said")
            )
            which = abs(int(kind)) - 1
            found.append(
                Episode(number, float(at), float(until), float(peak), which, int(kind) > 0, Called(int(called)))
            )
        return found
