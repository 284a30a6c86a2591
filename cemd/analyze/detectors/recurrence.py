"""What comes again at the same time of day: a nightly job, a shop that opens, a batch that waits for another one.

A job that starts some minutes earlier or later than yesterday is new to every kind of evidence that looks at this very
minute, and rare for those that count samples: a quarter of an hour a day is one sample in a hundred, yet it comes
every day. So what was an alarm, or nearly one, is noted by half hour, and what two earlier days brought as strongly
within an hour of this time is no alarm: it is usual here. What is stronger than on all of those days but one still is.

Only strong samples are written, and only what would alarm is looked up, so that the rest costs one comparison. What a
person calls true is forgotten here, and said again.
"""

from __future__ import annotations

import numpy as np

from cemd.analyze.columns import Array, Columns, Field

HALF_HOUR = 1800.0
PER_DAY = 48
DAYS = 14
"""Days that the ring reaches back: two of each weekday, the present day included."""
AROUND = 2
"""Half hours before and after: what jitters by an hour is the same thing."""
TWICE = 2
"""Earlier days that must have had as much: one is a coincidence, or the same fault on a second day."""
NOTED = 0.5
"""Score from which it is noted: a finding of the daemon needs at least so much (`stated.LEAST`)."""
RING = DAYS * PER_DAY
FIELDS = {
    "again_score": Field("<f2", 0, (RING,)),  # highest score of the half hour, at its number modulo RING
    "again_turn": Field("<u2", 0, (RING,)),  # how often the ring had gone round by then, modulo 65,536
}
TURNS = 1 << 16


class Recurrence:
    """The strong half hours of all series, in the columns handed in."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        days, around = np.arange(1, DAYS)[:, None], np.arange(-AROUND, AROUND + 1)[None, :]
        self._back = around - PER_DAY * days

    def usual(self, rows: Array, score: Array, needed: Array | float, at: Array) -> Array:
        """bool[R]: two earlier days had as much at this time; notes the scores (0: nothing) of one round.

        Asked for is only what reaches `needed`, what an alarm needs: anything else is False.
        """
        found = np.zeros(len(rows), np.bool_)
        strong = np.flatnonzero(score >= NOTED)
        if len(strong):
            half_hour = (at // HALF_HOUR).astype(np.int64)
            asked = np.flatnonzero(score >= needed)
            if len(asked):
                found[asked] = self._earlier(rows[asked], half_hour[asked]) > score[asked]
            self._note(rows[strong], half_hour[strong], score[strong])
        return found

    def _earlier(self, rows: Array, half_hour: Array) -> Array:
        """What the second strongest of the earlier days had around this time."""
        then = half_hour[:, None, None] + self._back
        place = then % RING
        score, turn = (self._columns[name][rows[:, None, None], place] for name in FIELDS)
        of_day = np.where(turn == then // RING % TURNS, score, np.float16(0)).max(axis=2)
        second: Array = np.partition(of_day, DAYS - 1 - TWICE, axis=1)[:, DAYS - 1 - TWICE].astype(np.float64)
        return second

    def _note(self, rows: Array, half_hour: Array, score: Array) -> None:
        scores, turns = (self._columns[name] for name in FIELDS)
        place, turn = half_hour % RING, (half_hour // RING % TURNS).astype(np.uint16)
        before = np.where(turns[rows, place] == turn, scores[rows, place], np.float16(0))
        scores[rows, place] = np.maximum(before, score.astype(np.float16))
        turns[rows, place] = turn

    def forget(self, row: int) -> None:
        """What came again was true each time."""
        self._columns["again_score"][row] = 0.0
