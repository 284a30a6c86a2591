"""Staff alerts about vantage points that are not heard: a matter of operations, which no customer ever hears of.

A row holds each that is silent, so that a route that a reload brings hears of it too, and a start knows which of them
were heard again meanwhile. The rest is as with incidents: a firing that was sent gets its resolve.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from cemd.config.channels import Route
from cemd.config.topology import Topology
from cemd.model.finding import Finding, FindingPhase
from cemd.model.identity import Instant
from cemd.model.notice import Alert
from cemd.model.subject import SubjectKind
from cemd.report import alerts
from cemd.report.state import ReportState


def take(state: ReportState, findings: Sequence[Finding], topology: Topology, at: Instant) -> None:
    """Findings that arose now; of services they are none of this."""
    for finding in findings:
        if finding.subject.kind is not SubjectKind.VANTAGE:
            continue
        if finding.phase is FindingPhase.ENDED:
            _end(state, finding, topology, at)
        else:
            state.silent.put(finding.id, finding)
            _tell(state, finding, topology, at)


def start(state: ReportState, stated: Sequence[Finding], topology: Topology, at: Instant) -> None:
    """After a start all open findings are stated anew: what is not among them has ended meanwhile."""
    ids = {finding.id for finding in stated}
    for finding in state.silent:
        if finding.id not in ids:
            _end(state, finding, topology, at)


def reload(state: ReportState, topology: Topology, at: Instant) -> None:
    """Other routes may be told of what is silent."""
    for finding in state.silent:
        _tell(state, finding, topology, at)


def is_wanted(route: Route) -> bool:
    """Whether a route hears of vantage points: one of some services or owners alone does not."""
    return route.vantage_points and not route.services and not route.owners


def _tell(state: ReportState, finding: Finding, topology: Topology, at: Instant) -> None:
    for route in topology.configuration.routes:
        fresh = _fresh(route, finding, topology, at)
        row = state.alerts.get(fresh.id)
        if is_wanted(route):
            alerts.fire(state.alerts, fresh, at)
        elif row is not None and row.firing:
            words = f"{row.summary}; no longer told through route {row.route}"
            alerts.stop(state.alerts, replace(row, summary=words), at)


def _end(state: ReportState, finding: Finding, topology: Topology, at: Instant) -> None:
    state.silent.delete(finding.id)
    said = f"{_named(finding, topology)} is heard again"
    if finding.subject.name not in topology.posts:
        said = f"{_named(finding, topology)} has nothing to measure any more"
    for row in state.alerts:
        if row.incident == finding.id and row.firing:
            told = {**row.annotations, "until": alerts.clock(at, topology)}
            alerts.stop(state.alerts, replace(row, summary=said, annotations=told), at)


def _fresh(route: Route, finding: Finding, topology: Topology, at: Instant) -> Alert:
    since = finding.evidence.since or finding.began_at
    return Alert(
        id=f"{route.name}/{route.channel}/{finding.id}",
        trace=finding.trace,
        route=route.name,
        channel=route.channel,
        incident=finding.id,
        firing=True,
        due_at=at,
        summary=f"{_named(finding, topology)} is not heard",
        labels={
            "alertname": "CemdVantagePoint",
            "finding": finding.id,
            "vantage": finding.subject.name,
            "route": route.name,
        },
        annotations={"since": alerts.clock(since, topology), "until": "", "about": finding.evidence.note},
        starts_at=since,
    )


def _named(finding: Finding, topology: Topology) -> str:
    post = topology.posts.get(finding.subject.name)
    return f"vantage point {post.title if post else finding.subject.name}"
