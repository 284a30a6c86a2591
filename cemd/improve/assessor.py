"""What an incident amounts to: its findings counted, its cause and impact judged, its user-minutes accrued.

Reads the state and writes only grounds and surplus findings; whoever asks puts the incident into the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cemd.config.rules import Grouping
from cemd.config.topology import Topology
from cemd.improve import lifecycle
from cemd.improve.cause import probable_cause
from cemd.improve.grouping import of_now
from cemd.improve.hearing import Takers, felt_services
from cemd.improve.impact import accrued, impact_of, urgency
from cemd.improve.picture import Picture, is_of_vantage
from cemd.improve.records import AttachedFinding, ServiceChange, hurts
from cemd.improve.state import ImproveState
from cemd.model.customers import Customers
from cemd.model.finding import Finding
from cemd.model.identity import Instant
from cemd.model.incident import Cause, Confidence, Incident
from cemd.model.quality import worst

KEPT_PAST = 200
"""Ids of ended findings that an incident names, and their rows; older ones are in history."""

_replace = msgspec.structs.replace


class Assessor:
    """Judges incidents at one instant, under one configuration."""

    def __init__(self, state: ImproveState, at: Instant, topology: Topology, customers: Customers) -> None:
        self.state = state
        self.at = at
        self.topology = topology
        self.customers = customers
        self.grouping: Grouping = topology.configuration.grouping
        self.watch = state.watch(topology)
        self.takers = Takers(topology, state.census(customers, topology))
        self.fresh: list[Finding] = []
        """Findings that began with this entry."""

    def picture(self) -> Picture:
        """What is open now, over the dependency graph."""
        return Picture(
            self.topology,
            self.watch,
            [one for one in self.state.findings if one.open],
            at=self.at,
            anomaly_opens=self.grouping.anomaly_opens,
        )

    def hurts(self, attached: AttachedFinding) -> bool:
        """Whether a finding makes an incident, rather than only supporting one."""
        return hurts(attached.finding, anomaly_opens=self.grouping.anomaly_opens)

    def supports(self, attached: AttachedFinding) -> bool:
        """Whether a finding may be evidence of an incident that it does not make."""
        return not self.hurts(attached) and not is_of_vantage(attached.finding)

    def counted(self, incident: Incident) -> Incident:
        """The incident with the ids and the worst quality of its findings as they are now."""
        attached = self.state.attached(incident.id)
        ended = [one for one in attached if not one.open]
        for one in ended[:-KEPT_PAST]:
            self.state.drop(one.finding.id)
        now = dict.fromkeys(one.finding.id for one in attached if one.open)
        past = dict.fromkeys((*incident.past_findings, *incident.findings, *(one.finding.id for one in ended)))
        qualities = [one.finding.quality for one in attached if one.open and self.hurts(one)]
        return _replace(
            incident,
            findings=tuple(now),
            past_findings=tuple(key for key in past if key not in now)[-KEPT_PAST:],
            quality=worst(qualities) if qualities else incident.quality,
        )

    def judged(self, incident: Incident, picture: Picture) -> Incident:
        """Cause, impact and urgency worked out anew."""
        attached = [one for one in self.state.attached(incident.id) if self.hurts(one)]
        if not attached:
            return incident
        attached = self._of_now(incident, attached, picture)
        cause, recovering = incident.cause, self._is_recovering(attached)
        if not self.state.grounds[incident.id].cause_by and not (cause.service and recovering):
            changes: dict[str, ServiceChange] = self._changes()
            cause = probable_cause(attached, picture, self.grouping, changes)
            cause = confirmed(cause) if incident.confirmed_at is not None and cause.service else cause
        hurt = [one for one in attached if one.open] or attached
        felt = felt_services(hurt, picture, self.takers, self.grouping.alone_hears_customers_seconds)
        impact, critical = impact_of(
            hurt, cause, picture, self.customers, self.state.counts, incident.impact, recovering=recovering, felt=felt
        )
        factor, priority = urgency(impact, incident.quality, critical, self.topology, self.customers)
        return _replace(incident, cause=cause, impact=impact, importance_factor=factor, priority=priority)

    def _of_now(self, incident: Incident, attached: list[AttachedFinding], picture: Picture) -> list[AttachedFinding]:
        """What cause and impact are judged by: all that hurts; of one that came back only what has hurt since, unless
        what caused it before may be hurt again: it may well be something else."""
        now = of_now(incident, attached)
        if len(now) == len(attached):
            return attached
        cause, since = incident.cause, min(one.onset for one in attached if one.open)
        again = cause.service and not picture.shows_nothing(cause.service, cause.site, since)
        return attached if again else list(now)

    def _is_recovering(self, attached: Sequence[AttachedFinding]) -> bool:
        """Some of it is well again and nothing new came: that what stands on the cause is fine now is no evidence
        against it."""
        new = {finding.id for finding in self.fresh}
        return any(not one.open for one in attached) and not any(one.finding.id in new for one in attached)

    def _changes(self) -> dict[str, ServiceChange]:
        return {name: change for name in self.topology.services if (change := self.state.changes.get(name)) is not None}

    def accrue(self, incident: Incident) -> Incident:
        """Counts user-minutes up to now; nothing accrues while it is clear."""
        grounds = self.state.grounds.get(incident.id)
        if grounds is None or incident.clear_since is not None or incident.state in lifecycle.OVER:
            return incident
        impact = accrued(incident.impact, grounds.accrued_at, self.at)
        self.state.grounds.put(incident.id, _replace(grounds, accrued_at=self.at))
        return _replace(incident, impact=impact)

    def as_confirmed(self, incident: Incident, by: str) -> Incident:
        """In progress and confirmed by these; a cause that is named is confirmed with it."""
        cause = confirmed(incident.cause) if incident.cause.service else incident.cause
        return _replace(lifecycle.working(incident), confirmed_at=self.at, confirmed_by=by, cause=cause)


def confirmed(cause: Cause) -> Cause:
    """The same cause, no longer only probable."""
    return _replace(cause, confidence=Confidence.CONFIRMED)
