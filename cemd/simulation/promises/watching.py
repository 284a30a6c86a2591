"""Promises about who is not heard (design 5 and 6)."""

from __future__ import annotations

import msgspec

from cemd.analyze.vantages import LEAST_SECONDS
from cemd.improve.records import AttachedFinding
from cemd.model.entry import Tick
from cemd.model.finding import Condition, Finding, FindingPhase
from cemd.model.measurement import PROBER, prober_at
from cemd.model.subject import SubjectKind
from cemd.simulation.book import Book
from cemd.simulation.promises.moments import Sentences, Stepped


def a_silent_vantage_point_silences_no_service(book: Book, now: Stepped) -> Sentences:
    """Whoever stops measuring altogether is one finding about the vantage point, and of no incident, so that no
    customer hears of it: no service falls silent because nobody looks at it from there (5, 6)."""
    for finding in now.effects.findings:
        if finding.condition is not Condition.SILENCE or finding.phase is not FindingPhase.BEGAN:
            continue
        every = _every_seconds(finding.probe, now)
        for series in map(int, finding.evidence.series):
            source = book.source_of.get(series, "")
            later = book.spoke_at.get(source, 0.0) - book.arrived_at(series)
            if prober_at(source) and later < every:
                yield f"{finding.subject} is called silent, but nothing else came of {source} either since then."
    for row in now.effects.rows:
        if row.table == "incident_finding" and row.body is not None and b'"vantage"' in row.body:
            kept = msgspec.json.decode(row.body, type=AttachedFinding)
            if kept.incident and _is_of_vantage(kept.finding):
                yield f"{kept.finding.subject} is not heard, and that is part of {kept.incident}."


def a_vantage_point_that_is_not_heard_is_said(book: Book, now: Stepped) -> Sentences:
    """A vantage point that is to measure and of which nothing has come, ever or for long, is said at a tick, and once
    (5)."""
    entry, state = now.entry, now.core.state
    if not isinstance(entry.payload, Tick):
        return
    said = [one.subject.name for one in state.analyze.findings.of(Condition.SILENCE) if _is_of_vantage(one)]
    detector = state.topology.configuration.detector
    for name, post in state.topology.posts.items():
        patience = max(LEAST_SECONDS, detector.silence_intervals * post.every_seconds)
        silent = entry.at - max(book.spoke_at.get(f"{PROBER}{name}", 0.0), book.begun_at)
        if silent > patience and name not in said:
            yield f"nothing came of vantage point {name} for {silent:.0f} s, and nobody says so."
    for name in dict.fromkeys(said):
        if said.count(name) > 1 or name not in state.topology.posts:
            yield f"vantage point {name}: {said.count(name)} findings say that it is silent, and it may have no probe."


def _every_seconds(probe: str, now: Stepped) -> float:
    probes = now.core.state.topology.configuration.probes
    return next((one.every_seconds for one in probes if one.identity() == probe), 0.0)


def _is_of_vantage(finding: Finding) -> bool:
    return finding.subject.kind is SubjectKind.VANTAGE
