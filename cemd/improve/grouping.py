"""Which incident a finding belongs to: one incident per common cause and place, two unrelated faults stay two.

Findings are related when one stands on the other, or when both stand on something that may well be the cause: it does
not measure healthy itself, and not most of what stands on it is fine. The relation is a word, so that the time line
can say why a finding joined (`joining` has the words).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from cemd.config.rules import Grouping
from cemd.config.topology import Topology
from cemd.improve.cases import Case
from cemd.improve.lifecycle import OVER, can_reopen
from cemd.improve.picture import Picture, services_of
from cemd.improve.precedence import AT_ONCE_SECONDS, came_apart, has_its_own_reason, seen_hurt, was_well_meanwhile
from cemd.improve.records import Among, AttachedFinding
from cemd.model.finding import Finding
from cemd.model.incident import Incident

MOST_HEALTHY = 0.5
"""A service is no common cause while at least this share of what is watched above it is fine."""


class Relation(IntEnum):
    """Why a finding joins an incident; the higher the stronger."""

    NONE = 0
    AGAIN = 1
    COMMON_CAUSE = 2
    DEEPER = 3
    RELAPSE = 4
    EXPLAINED = 5


def deepest_first(findings: Sequence[AttachedFinding], topology: Topology) -> list[AttachedFinding]:
    """The order in which findings of one tick are placed: causes before consequences, early before late."""

    def place(attached: AttachedFinding) -> tuple[int, float, str]:
        depth = max((topology.depth(name) for name in services_of(attached.finding, topology)), default=0)
        return (-depth, attached.onset, attached.finding.id)

    return sorted(findings, key=place)


def placing_order(
    findings: Sequence[AttachedFinding],
    incidents: Sequence[tuple[Incident, Case]],
    picture: Picture,
    grouping: Grouping,
) -> list[AttachedFinding]:
    """Deepest first, but before all others what comes back of an incident that is over: what else shows at once then
    finds it living."""
    over = [pair for pair in incidents if pair[0].state in OVER]

    def is_new(one: AttachedFinding) -> bool:
        return all(relation_of(one, *pair, picture, grouping) is not Relation.RELAPSE for pair in over)

    return sorted(deepest_first(findings, picture.topology), key=is_new)


def best_incident(
    finding: AttachedFinding,
    incidents: Sequence[tuple[Incident, Case]],
    picture: Picture,
    grouping: Grouping,
) -> tuple[Incident, Relation] | None:
    """The incident that the finding belongs to and why; of equally related ones that in which something below it is
    seen hurt now, before one with a cause that it could have as well; of those the oldest."""
    services, site = services_of(finding.finding, picture.topology), finding.finding.subject.site

    def sees(case: Case) -> bool:
        return case.is_near(finding, grouping.join_within_seconds) and _stands_on_hurt(
            services, site, case, picture.topology
        )

    ranked = [
        (relation, sees(case), incident)
        for incident, case in incidents
        if (relation := relation_of(finding, incident, case, picture, grouping))
    ]
    if not ranked:
        return None
    relation, _, incident = max(ranked, key=lambda rank: rank[:2])  # max keeps the first of equals: the oldest
    return incident, relation


def relation_of(
    finding: AttachedFinding,
    incident: Incident,
    case: Case,
    picture: Picture,
    grouping: Grouping,
) -> Relation:
    """How the finding is related to the incident, whose findings that hurt are the `case`."""
    services = services_of(finding.finding, picture.topology)
    site, hurt = finding.finding.subject.site, case.hurt
    if incident.state in OVER:
        relapsed = can_reopen(incident, picture.at, grouping.relapse_within_seconds) and (
            was_cause(finding, incident, picture) or any(case.reaches(service, site) for service in services)
        )
        return Relation.RELAPSE if relapsed else Relation.NONE
    near = case.is_near(finding, grouping.join_within_seconds)
    if _explains(incident, finding, case, picture, near=near):
        return Relation.EXPLAINED
    if not near:
        return Relation.AGAIN if _was_just_hurt(finding, hurt, grouping) else Relation.NONE
    seen = seen_hurt(hurt)
    if any(
        stands_on(one.finding, services, site, picture.topology)
        and not was_well_meanwhile(finding, one, picture)
        and not has_its_own_reason(one, services, finding.onset, seen, picture.topology)
        for one in hurt
    ):
        return Relation.DEEPER
    if common_cause(finding, services, of_now(incident, hurt), picture):
        return Relation.COMMON_CAUSE
    return Relation.AGAIN if _was_just_hurt(finding, hurt, grouping) else Relation.NONE


def of_now(incident: Incident, hurt: Sequence[AttachedFinding]) -> Sequence[AttachedFinding]:
    """Of an incident that came back what has hurt since: it may well be something else."""
    still = [one for one in hurt if one.open]
    if not (incident.reopened and still):
        return hurt
    since = min(one.onset for one in still)
    return [one for one in hurt if one.open or one.finding.at > since]


def was_cause(finding: AttachedFinding, incident: Incident, picture: Picture) -> bool:
    """Whether the finding is about the cause of the incident, in its place."""
    cause, topology = incident.cause, picture.topology
    here = topology.overlap(cause.site, finding.finding.subject.site)
    return cause.service in services_of(finding.finding, topology) and here


def _was_just_hurt(finding: AttachedFinding, hurt: Sequence[AttachedFinding], grouping: Grouping) -> bool:
    """Whether the very same was hurt in the incident, which is hurt still, shortly before: where not everything fails,
    one place is well for a while when others are not."""
    return any(
        one.finding.subject == finding.finding.subject
        and finding.onset - one.finding.at <= grouping.relapse_within_seconds
        for one in hurt
        if not one.open
    )


def _explains(incident: Incident, finding: AttachedFinding, case: Case, picture: Picture, *, near: bool) -> bool:
    """True when the finding's service stands on the incident's cause, or on its subject as long as that is part of
    what hurts since it came back last, or (while it is near in time) on anything that is hurt in it."""
    topology = picture.topology
    services, site = services_of(finding.finding, topology), finding.finding.subject.site
    needs = {need for service in services for need in topology.needs(service)}
    cause = incident.cause
    if cause.service and cause.service in needs and topology.overlap(cause.site, site):
        here = case.reaches(cause.service, site)
        seen, early = case.of(cause.service), case.early(cause.service)
        if here or not came_apart(seen, [finding], picture, early=early):
            return True
    subject = incident.subject
    if (
        subject.name in needs
        and topology.overlap(subject.site, site)
        and any(one.finding.subject == subject for one in of_now(incident, case.hurt))
    ):
        return True
    return near and _stands_on_hurt(services, site, case, topology)


def _stands_on_hurt(services: Sequence[str], site: str, case: Case, topology: Topology) -> bool:
    needs = dict.fromkeys(need for service in services for need in topology.needs(service))
    return any(case.reaches(need, site) for need in needs)


def stands_on(hurt: Finding, services: Sequence[str], site: str, topology: Topology) -> bool:
    """True when what is hurt needs one of the services at the site."""
    return topology.overlap(hurt.subject.site, site) and any(
        service in topology.needs(above) for above in services_of(hurt, topology) for service in services
    )


def common_cause(
    finding: AttachedFinding,
    services: Sequence[str],
    hurt: Sequence[AttachedFinding],
    picture: Picture,
    *,
    early: bool = False,
) -> str:
    """The service below both the finding and at least half of what is hurt that may well be the cause; ""."""
    topology = picture.topology
    below = dict.fromkeys(need for service in services for need in topology.needs(service))
    seen = seen_hurt(hurt)
    for candidate in below:
        shared = [
            one
            for one in hurt
            if any(candidate in topology.needs(service) for service in services_of(one.finding, topology))
            and not has_its_own_reason(one, [candidate], finding.onset, seen, topology)
        ]
        explained = [finding, *shared]
        if not shared or came_apart(shared, [finding], picture):
            continue
        if 2 * len(shared) >= len(hurt) and _is_plausible(candidate, explained, picture, early=early):
            return candidate
    return ""


def _is_plausible(
    candidate: str, explained: Sequence[AttachedFinding], picture: Picture, *, early: bool = False
) -> bool:
    """`early`: whoever has not had the time to show it may still be the cause."""
    topology = picture.topology
    sites = [one.finding.subject.site for one in explained]
    place = picture.common_place(sites)
    known = Among(explained)
    own = [one for one in picture.hurting(candidate, place) if one not in known]
    if any(all(topology.overlap(one.finding.subject.site, site) for site in sites) for one in own):
        return True
    since = min(one.onset for one in explained)
    if picture.is_surely_healthy(candidate, place, since) or (not early and picture.is_healthy(candidate, place)):
        return False
    if not _meet(sites, topology):
        # two places that are hurt so close together hardly are by chance; else it takes three
        together = max(one.onset for one in explained) - since <= AT_ONCE_SECONDS or _are_neighbours(sites, topology)
        itself = all(candidate in services_of(one.finding, topology) for one in explained)
        speaking = (candidate,) if itself else topology.dependents(candidate)
        return _mostly_hurt(speaking, place, since, picture, least=2 if together else 3)
    if own:  # it must reach both places: a fault in the east explains nothing in the west
        return False
    healthy, hurt = picture.contrary(candidate, place, since)
    return len(healthy) < MOST_HEALTHY * max(1, len(healthy) + len(hurt))


def _meet(sites: Sequence[str], topology: Topology) -> bool:
    return all(topology.overlap(sites[0], site) for site in sites[1:])


def _are_neighbours(sites: Sequence[str], topology: Topology) -> bool:
    """Places that lie in the same place."""
    return len({topology.around(site)[1:2] for site in sites}) == 1


def _mostly_hurt(speaking: Sequence[str], place: str, since: float, picture: Picture, *, least: int) -> bool:
    """For places apart: more than half of the places where the services that speak of it are watched are hurt, and at
    least so many. Where only pushed figures speak of it, nobody knows what is well: so many hurt places suffice.

    Who speaks of a service that is hurt itself in each place is the service alone: what stands on it may have another
    way, and be well. Of a service that nobody saw hurt speaks what stands on it."""
    standing = picture.standing(tuple(speaking), place)
    if standing is None:
        hurt_places = {one.finding.subject.site for name in speaking for one in picture.hurting(name, place)} - {""}
        return len(hurt_places) >= least
    return standing.hurt_sites >= least and standing.hurt > standing.surely_healthy(picture.at - since)
