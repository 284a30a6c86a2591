"""News: what the log says of incidents and communications, one line for each change that a person would call news.

Compares views, so nothing of the core waits for it. What a former process said is not said again: a start says in one
line what it goes on with, and then only what changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from cemd.daemon.published import Published
from cemd.model.finding import Finding
from cemd.model.incident import Incident, IncidentState
from cemd.model.view import ReportView, VantageView, Views

LOOK_SECONDS = 1.0
OVER = (IncidentState.RESOLVED, IncidentState.CLOSED, IncidentState.CANCELLED, IncidentState.REJECTED)


class News:
    """Remembers what was said last of each record that is still shown."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._seq = -1
        self._incidents: dict[str, tuple[object, ...]] = {}
        self._communications: dict[str, tuple[object, ...]] = {}
        self._switches = (False, False)
        self._silent: dict[str, None] = {}

    def go_on(
        self, incidents: Sequence[Incident], report: ReportView, *, said_seq: int, silent: Iterable[Finding] = ()
    ) -> None:
        """Takes what was loaded for said, as far as it was so at `said_seq`; what came later is still to be said.
        `silent`: findings about vantage points that were not heard."""
        for one in incidents:
            if one.seq <= said_seq:
                self._incidents[one.id] = _standing(one)
            elif one.timeline and one.timeline[0].seq <= said_seq:
                self._incidents[one.id] = ()  # was open, and changed since
        told = [view.communication for view in report.communications if view.communication.seq <= said_seq]
        self._communications = {each.id: (each.state, each.reopened) for each in told}
        self._switches = (report.killed, report.sending_held)
        self._silent = {one.subject.name: None for one in silent if one.seq <= said_seq}
        open_incidents = [one.id for one in incidents if one.state not in OVER and one.id in self._incidents]
        open_communications = [each.id for each in told if each.ended_at is None]
        if open_incidents or open_communications or any(self._switches) or self._silent:
            self._log.info(
                "goes_on", incidents=open_incidents, communications=open_communications,
                killed=report.killed, held=report.sending_held, silent=list(self._silent),
            )  # fmt: skip

    async def run(self, published: Published) -> None:
        """Looks at each new view until it is cancelled."""
        while True:
            views = published.views
            if views is not None and views.seq != self._seq:
                self._seq = views.seq
                self.look(views)
            await asyncio.sleep(LOOK_SECONDS)

    def look(self, views: Views) -> None:
        """Says what is new in a view."""
        incidents = {one.id: one for one in views.incidents}
        for incident in sorted(incidents.values(), key=lambda one: one.opened_at):
            self._incident(incident)
        self._incidents = {name: said for name, said in self._incidents.items() if name in incidents}
        communications = {one.communication.id: one for one in views.report.communications}
        for name, view in sorted(communications.items()):
            one = view.communication
            said = (one.state, one.reopened)
            if self._communications.get(name) != said and (name in self._communications or one.ended_at is None):
                self._log.info(
                    "communication", id=name, state=one.state.value, mode=one.mode.value, told=view.told,
                    services=list(one.services), incidents=list(one.incidents),
                )  # fmt: skip
            self._communications[name] = said
        self._communications = {name: said for name, said in self._communications.items() if name in communications}
        self._vantages(views.analyze.vantages)
        switches = (views.report.killed, views.report.sending_held)
        if switches != self._switches:
            self._switches = switches
            self._log.warning("sending", killed=switches[0], held=switches[1], killed_by=views.report.killed_by)

    def _vantages(self, vantages: Sequence[VantageView]) -> None:
        """Which of them fell silent, and which are heard again."""
        silent = {one.name: one for one in vantages if one.silent_since is not None}
        for name, one in silent.items():
            if name not in self._silent:
                self._log.warning("vantage_point.silent", vantage=name, since=one.silent_since, heard_at=one.heard_at)
        for name in self._silent:
            if name not in silent:
                self._log.info("vantage_point.heard", vantage=name)
        self._silent = dict.fromkeys(silent)

    def _incident(self, one: Incident) -> None:
        over = one.state in OVER
        said = _standing(one)
        before = self._incidents.get(one.id)
        self._incidents[one.id] = said
        if before == said or (before is None and over):
            return
        if over:
            self._log.info("incident.over", id=one.id, state=one.state.value, service=one.subject.name)
            return
        self._log.warning(
            "incident.open" if before is None else "incident.changed",
            id=one.id, service=one.subject.name, quality=one.quality.value, cause=one.cause.service or "undetermined",
            confidence=one.cause.confidence.value, customers=one.impact.customers, journeys=list(one.impact.journeys),
            acknowledged_by=one.acknowledged_by,
        )  # fmt: skip


def _standing(one: Incident) -> tuple[object, ...]:
    """What people would call the state of an incident."""
    return (one.state, one.quality, one.cause.service, one.cause.confidence, one.acknowledged_by, one.reopened)
