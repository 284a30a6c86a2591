"""Why a finding joins an incident, in words for the time line: the relation that the grouping found, told of the very
services that make it true."""

from __future__ import annotations

from cemd.config.topology import Topology
from cemd.improve.cases import Case
from cemd.improve.grouping import Relation, common_cause, stands_on
from cemd.improve.picture import Picture, services_of
from cemd.improve.records import AttachedFinding
from cemd.model.finding import Finding
from cemd.model.incident import Incident
from cemd.model.subject import SubjectKind


def why_joins(  # noqa: PLR0913, RUF100 -- the two sides of the relation, and what is known
    relation: Relation,
    joining: AttachedFinding,
    incident: Incident,
    case: Case,
    picture: Picture,
) -> str:
    """The rest of the sentence "SUBJECT joins: it ...", with its full stop.

    Args:
        relation: What the grouping found between the two; not `NONE`.
        joining: The finding.
        incident: As it was before.
        case: Its findings that hurt, without the one that joins.
        picture: What was known when the relation was found.
    """
    finding, topology = joining.finding, picture.topology
    hurt = case.hurt
    match relation:
        case Relation.EXPLAINED:
            return _explained(finding, incident, case, topology)
        case Relation.RELAPSE:
            return "was its cause." if _is(finding, incident.cause.service, topology) else "was hurt in it before."
        case Relation.AGAIN:
            return "was hurt in it a while ago."
        case Relation.DEEPER:
            services, site = services_of(finding, topology), finding.subject.site
            above = next((one for one in hurt if stands_on(one.finding, services, site, topology)), None)
            return f"is what {above.finding.subject.name if above else incident.subject.name} stands on."
        case _:
            shared = common_cause(joining, services_of(finding, topology), hurt, picture)
            return f"may share its cause{f', {shared}' if shared else ''}."


def _explained(finding: Finding, incident: Incident, case: Case, topology: Topology) -> str:
    """Its cause itself, what is hurt already, or what stands on one of them there."""
    site = finding.subject.site
    cause = incident.cause.service if topology.overlap(incident.cause.site, site) else ""
    if _is(finding, cause, topology):
        return "is its probable cause."
    services = services_of(finding, topology)
    own = any(_is(finding, service, topology) and case.reaches(service, site) for service in services)
    if own or _is(finding, incident.subject.name, topology):
        return "is hurt in it already."
    needs = {need for service in services for need in topology.needs(service)}
    if cause and cause in needs:
        return f"stands on {cause}, its probable cause."
    here = (one.finding for one in case.hurt if topology.overlap(one.finding.subject.site, site))
    below = (service for one in here for service in services_of(one, topology) if service in needs)
    return f"stands on {next(below, incident.subject.name)}, which is hurt in it."


def _is(finding: Finding, service: str, topology: Topology) -> bool:
    """The finding is about this service itself; touchpoints and journeys only stand on theirs."""
    only_stands = finding.subject.kind in (SubjectKind.TOUCHPOINT, SubjectKind.JOURNEY)
    return bool(service) and not only_stands and service in services_of(finding, topology)
