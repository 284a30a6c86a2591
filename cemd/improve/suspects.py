"""What may be the cause of a finding and of an open incident, and has not had the time to show it: until then the
finding waits, so that one fault is one incident.
"""

from __future__ import annotations

from collections.abc import Sequence

from cemd.config.rules import Grouping
from cemd.improve.cases import Case
from cemd.improve.grouping import common_cause, of_now
from cemd.improve.lifecycle import OVER
from cemd.improve.picture import SLACK, Picture, services_of
from cemd.improve.precedence import AT_ONCE_SECONDS
from cemd.improve.records import AttachedFinding
from cemd.model.incident import Incident


def shared_suspect(
    finding: AttachedFinding,
    incidents: Sequence[tuple[Incident, Case]],
    picture: Picture,
    grouping: Grouping,
) -> tuple[Incident, str] | None:
    """An open incident that may have the same cause as the finding, and the service that would be it, which its own
    probes have not had the time to show: what stands on a cause is often measured sooner than the cause."""
    services = services_of(finding.finding, picture.topology)
    for incident, case in incidents:
        hurt = of_now(incident, case.hurt)
        if incident.state in OVER or not hurt:
            continue
        if min(abs(finding.onset - one.onset) for one in hurt) > grouping.join_within_seconds:
            continue
        suspect = common_cause(finding, services, hurt, picture, early=True)
        suspect = suspect or _unusual_below(finding, services, hurt, picture, grouping)
        if suspect := suspect or _unusual_beside(finding, services, hurt, picture):
            return incident, suspect
    return None


def _unusual_below(
    finding: AttachedFinding,
    services: Sequence[str],
    hurt: Sequence[AttachedFinding],
    picture: Picture,
    grouping: Grouping,
) -> str:
    """The service below the finding and something that is hurt, which has just become unusual where both are, and will
    soon show whether it is hurt; "". What grows slowly breaks here and there before all can see where it comes from."""
    topology, site = picture.topology, finding.finding.subject.site
    below = dict.fromkeys(need for service in services for need in topology.needs(service) if need not in services)
    for candidate in below:
        above = [
            one.finding.subject.site
            for one in hurt
            if one.open and any(candidate in topology.needs(service) for service in services_of(one.finding, topology))
        ]
        unusual = any(
            abs(one.onset - finding.onset) <= grouping.join_within_seconds
            and topology.overlap(one.finding.subject.site, site)
            and any(topology.overlap(one.finding.subject.site, other) for other in above)
            for one in picture.supporting(candidate, site)
        )
        if unusual and _will_soon_show(candidate, finding, picture):
            return candidate
    return ""


def _unusual_beside(
    finding: AttachedFinding, services: Sequence[str], hurt: Sequence[AttachedFinding], picture: Picture
) -> str:
    """The service of the finding, where it has just become unusual beside it as well as beside where it is hurt
    already: it may well be ill in all places of these, and more of them will soon show it; ""."""
    topology, site = picture.topology, finding.finding.subject.site
    for service in services:
        places = [
            one.finding.subject.site for one in hurt if one.open and service in services_of(one.finding, topology)
        ]
        fresh = [
            topology.around(one.finding.subject.site)[1:2]
            for one in picture.supporting(service, "")
            if one.finding.subject.site not in (site, *places) and abs(one.onset - finding.onset) <= AT_ONCE_SECONDS
        ]
        beside = bool(site) and topology.around(site)[1:2] in fresh
        soon = _will_soon_show(service, finding, picture)
        if soon and beside and any(topology.around(place)[1:2] in fresh for place in places):
            return service
    return ""


def _will_soon_show(service: str, finding: AttachedFinding, picture: Picture) -> bool:
    """Whether who watches the service at the finding's place has not had the time to say that it is hurt too."""
    delays = [look.delay_seconds for look in picture.lookouts(service, finding.finding.subject.site)]
    return bool(delays) and picture.at - finding.onset <= SLACK * min(delays)
