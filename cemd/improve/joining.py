"""Why a finding joins an incident, in words for the time line: the relation that the grouping found, told of the very
services that make it true."""

from __future__ import annotations

from collections.abc import Sequence

from cemd.config.rules import Grouping
from cemd.config.topology import Topology
from cemd.improve.grouping import Relation, common_cause, stands_on
from cemd.improve.picture import Picture, services_of
from cemd.improve.records import AttachedFinding, hurts
from cemd.model.finding import Finding
from cemd.model.incident import Incident
from cemd.model.subject import SubjectKind


def why_joins(  # noqa: PLR0913, RUF100 -- the two sides of the relation, and what is known
    relation: Relation,
    joining: AttachedFinding,
    incident: Incident,
    attached: Sequence[AttachedFinding],
    picture: Picture,
    grouping: Grouping,
) -> str:
    """The rest of the sentence "SUBJECT joins: it ...", with its full stop.

    Args:
        relation: What the grouping found between the two; not `NONE`.
        joining: The finding.
        incident: As it was before.
        attached: Its findings, without the one that joins.
        picture: What was known when the relation was found.
        grouping: Under which it was found.
    """
    finding, topology = joining.finding, picture.topology
    hurt = [one for one in attached if hurts(one.finding, anomaly_opens=grouping.anomaly_opens)]
    match relation:
        case Relation.EXPLAINED:
            return _explained(finding, incident, [one.finding for one in hurt], topology)
        case Relation.RELAPSE:
            return "was its cause." if _is(finding, incident.cause.service, topology) else "was hurt in it before."
        case Relation.AGAIN:
            return "was hurt in it a while ago."
        case Relation.DEEPER:
            services, site = services_of(finding, topology), finding.subject.site
            above = [one.finding for one in hurt if stands_on(one.finding, services, site, topology)]
            return f"is what {above[0].subject.name if above else incident.subject.name} stands on."
        case _:
            shared = common_cause(joining, services_of(finding, topology), hurt, picture)
            return f"may share its cause{f', {shared}' if shared else ''}."


def _explained(finding: Finding, incident: Incident, hurt: Sequence[Finding], topology: Topology) -> str:
    """Its cause itself, what is hurt already, or what stands on one of them there."""
    site = finding.subject.site
    here = [one for one in hurt if topology.overlap(one.subject.site, site)]
    cause = incident.cause.service if topology.overlap(incident.cause.site, site) else ""
    if _is(finding, cause, topology):
        return "is its probable cause."
    own = [service for one in here for service in services_of(one, topology) if _is(finding, service, topology)]
    if own or _is(finding, incident.subject.name, topology):
        return "is hurt in it already."
    needs = {need for service in services_of(finding, topology) for need in topology.needs(service)}
    if cause and cause in needs:
        return f"stands on {cause}, its probable cause."
    below = [service for one in here for service in services_of(one, topology) if service in needs]
    return f"stands on {below[0] if below else incident.subject.name}, which is hurt in it."


def _is(finding: Finding, service: str, topology: Topology) -> bool:
    """The finding is about this service itself; touchpoints and journeys only stand on theirs."""
    only_stands = finding.subject.kind in (SubjectKind.TOUCHPOINT, SubjectKind.JOURNEY)
    return bool(service) and not only_stands and service in services_of(finding, topology)
