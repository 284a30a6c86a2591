"""The record: results of attempts become samples for the backlog and evidence for people."""

from __future__ import annotations

from array import array
from collections import Counter, deque
from math import nan

from cemd.kit.heap import settle
from cemd.model.measurement import SUCCESS, SeriesKey
from cemd.model.quality import Outcome
from cemd.monitor import wire
from cemd.monitor.backlog import Backlog
from cemd.monitor.probes.attempts import with_common
from cemd.monitor.probes.base import Reason, Result, Values
from cemd.monitor.probes.engines.errands import AnyErrand, Landed
from cemd.monitor.roster import Post

MOST_ATTEMPTS = 500
"""Pieces of evidence that wait for the daemon; beyond it the oldest go."""
SETTLED_SERIES = 1_000
"""So many new series are taken out of the collector's sight together: of a hundred thousand that begin within a minute
it would look at some fifty thousand objects at a time, twenty milliseconds, and all of them in the end."""
MOST_SERIES = 500
"""Series of one probe; labels beyond them (a plugin that invents names) are counted and dropped."""
SAY_SECONDS = 600.0
"""So often it is evidence that a run of a probe did not happen. A prober at its cap gives up every other run of every
probe, and what is said of one that was given up, and of the next that was not, costs as much as both."""
_EVIDENCE_VALUES = 20
_OK = Outcome.OK
"""Looked up once: to find a member of an enumeration costs as much as a call."""
_NOT_RUN = {
    Reason.PROBER_BUSY: "the run was skipped.",
    Reason.SHED: "the run was given up because the prober is at its cap.",
    Reason.NOT_ACTIVE: "outside the probe's active windows.",
}


class Record:
    """Writes down what was measured from one vantage point."""

    def __init__(self, backlog: Backlog, vantage: str) -> None:
        self._backlog = backlog
        self._vantage = vantage
        self._attempts: deque[wire.AttemptNote] = deque(maxlen=MOST_ATTEMPTS)
        self._runs: Counter[Outcome] = Counter()
        self._refused_readings = 0

    def take(self, post: Post, at: float, result: Result) -> None:
        """One attempt that began at `at` (wall clock). Failures, and the first success after one, are evidence."""
        outcome = result.outcome
        self._runs[outcome] += 1
        if type(result.readings) is Values:
            rows = post.rows.get(result.readings.metrics) or self._row(post, result.readings.metrics)
            self._backlog.add_row(rows, at, result.readings.values, outcome)
        else:
            self._take_readings(post, at, result)
        if outcome is not _OK or post.failing:
            if outcome is Outcome.BLIND:
                self._backlog.add(self._local(post, SUCCESS, ()), at, nan, Outcome.BLIND)
            self._attempts.append(_note(post, at, result))
        self._mark(post, failing=outcome is not _OK)

    def take_good(self, landed: Landed) -> None:
        """Attempts that went well, as columns."""
        rows = [errand.row or self._looked_at(landed, place) for place, errand in enumerate(landed.errands)]
        self._backlog.add_rows(rows, landed.at, landed.values, _OK)
        self._runs[_OK] += len(rows)

    def _looked_at(self, landed: Landed, place: int) -> bytes:
        """Makes a row that is missing; the first success after a failure is evidence."""
        post, at, result = landed.result(place)
        if post.failing:
            self._attempts.append(_note(post, at, result))
        self._mark(post, failing=False)
        return self._row_of(landed.errands[place])

    def _mark(self, post: Post, *, failing: bool) -> None:
        post.failing = failing
        if post.errand is not None:
            post.errand.row = None if failing else post.errand.row or self._row_of(post.errand)

    def _row_of(self, errand: AnyErrand) -> bytes:
        return array("i", self._row(errand.owner, with_common(errand.metrics))).tobytes()

    def _take_readings(self, post: Post, at: float, result: Result) -> None:
        for reading in result.readings:
            if len(post.locals) < MOST_SERIES or (reading.metric, reading.labels) in post.locals:
                local = self._local(post, reading.metric, reading.labels)
                self._backlog.add(local, at, reading.value, result.outcome)
            else:
                self._refused_readings += 1

    def not_run(self, post: Post, at: float, why: Reason) -> None:
        """A run did not happen, for a reason of ours: we did not look, which is blind."""
        if not post.failing and not 0.0 <= at - post.unrun_said_at < SAY_SECONDS:
            post.unrun_said_at = at
            self.take(post, at, Result(outcome=Outcome.BLIND, reason=why, detail=_NOT_RUN.get(why, "")))
        else:
            self._runs[Outcome.BLIND] += 1
            self._backlog.add(self._local(post, SUCCESS, ()), at, nan, Outcome.BLIND)

    def take_attempts(self) -> tuple[wire.AttemptNote, ...]:
        """The evidence since the last call."""
        notes = tuple(self._attempts)
        self._attempts.clear()
        return notes

    def counters(self) -> dict[str, float]:
        """Totals since the prober began."""
        counters = {f"runs_{outcome.name.lower()}": float(count) for outcome, count in self._runs.items()}
        return {**counters, "refused_readings": float(self._refused_readings)}

    def _row(self, post: Post, metrics: tuple[str, ...]) -> tuple[int, ...]:
        """The numbers of a whole row of series, kept by the post."""
        row = post.rows[metrics] = tuple(self._local(post, metric, ()) for metric in metrics)
        return row

    def _local(self, post: Post, metric: str, labels: tuple[tuple[str, str], ...]) -> int:
        local = post.locals.get((metric, labels))
        if local is None:
            key = SeriesKey(
                probe=post.probe.identity(),
                metric=metric,
                vantage=self._vantage,
                target=post.kind.target,
                labels=tuple(sorted({**post.probe.labels, **dict(labels)}.items())),
            )
            local = self._backlog.local(key, important=post.probe.moment_of_truth)
            post.locals[metric, labels] = local
            if local % SETTLED_SERIES == SETTLED_SERIES - 1:
                settle()
        return local


def _note(post: Post, at: float, result: Result) -> wire.AttemptNote:
    return wire.AttemptNote(
        probe=post.probe.identity(),
        at=at,
        seconds=result.seconds,
        outcome=result.outcome.name.lower(),
        reason=result.reason,
        detail=result.detail,
        values={reading.metric: reading.value for reading in result.readings[:_EVIDENCE_VALUES]},
    )
