"""The record: results of attempts become samples for the backlog and evidence for people."""

from __future__ import annotations

from collections import Counter, deque
from math import nan

from cemd.model.measurement import SUCCESS, SeriesKey
from cemd.model.quality import Outcome
from cemd.monitor import wire
from cemd.monitor.backlog import Backlog
from cemd.monitor.probes.base import Reason, Result
from cemd.monitor.roster import Post

MOST_ATTEMPTS = 500
"""Pieces of evidence that wait for the daemon; beyond it the oldest go."""
MOST_SERIES = 500
"""Series of one probe; labels beyond them (a plugin that invents names) are counted and dropped."""
_EVIDENCE_VALUES = 20


class Record:
    """Writes down what was measured from one vantage point."""

    def __init__(self, backlog: Backlog, vantage: str) -> None:
        self._backlog = backlog
        self._vantage = vantage
        self._attempts: deque[wire.AttemptNote] = deque(maxlen=MOST_ATTEMPTS)
        self._runs: Counter[str] = Counter()
        self._refused_readings = 0

    def take(self, post: Post, at: float, result: Result) -> None:
        """One attempt that began at `at` (wall clock). Failures, and the first success after one, are evidence."""
        self._runs[result.outcome.name.lower()] += 1
        for reading in result.readings:
            if len(post.locals) < MOST_SERIES or (reading.metric, reading.labels) in post.locals:
                local = self._local(post, reading.metric, reading.labels)
                self._backlog.add(local, at, reading.value, result.outcome)
            else:
                self._refused_readings += 1
        if result.outcome is Outcome.BLIND:
            self._backlog.add(self._local(post, SUCCESS, ()), at, nan, Outcome.BLIND)
        if result.outcome is not Outcome.OK or post.failing:
            self._attempts.append(_note(post, at, result))
        post.failing = result.outcome is not Outcome.OK

    def skipped(self, post: Post, at: float) -> None:
        """A run did not happen because the prober was busy: we did not look, which is blind."""
        self.take(post, at, Result(outcome=Outcome.BLIND, reason=Reason.PROBER_BUSY, detail="the run was skipped."))

    def take_attempts(self) -> tuple[wire.AttemptNote, ...]:
        """The evidence since the last call."""
        notes = tuple(self._attempts)
        self._attempts.clear()
        return notes

    def counters(self) -> dict[str, float]:
        """Totals since the prober began."""
        counters = {f"runs_{outcome}": float(count) for outcome, count in self._runs.items()}
        return {**counters, "refused_readings": float(self._refused_readings)}

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
