"""What hurts on although the cause of its incident is well again: it has another cause, which the first one hid.

Seen is that only of what was hurt before the cause was well, once it had the time to recover, and not of a cause that
comes and goes.
"""

from __future__ import annotations

from collections.abc import Sequence

from cemd.improve.picture import SLACK, Picture, services_of
from cemd.improve.records import AttachedFinding
from cemd.model.finding import Condition
from cemd.model.identity import Instant
from cemd.model.incident import Incident
from cemd.model.subject import SubjectKind


def outlived(
    incident: Incident, attached: Sequence[AttachedFinding], picture: Picture
) -> tuple[Instant, list[AttachedFinding]]:
    """(since when the cause is well, the findings that should have ended since and did not).

    Args:
        incident: With a cause; one that was never seen hurt itself parts from nothing.
        attached: Findings of the incident, open or ended.
        picture: What is known now.
    """
    cause, topology = incident.cause, picture.topology
    own = [
        one
        for one in attached
        if one.finding.condition is Condition.OBJECTIVE_BROKEN
        and one.finding.subject.kind is SubjectKind.SERVICE
        and one.finding.subject.name == cause.service
        and topology.overlap(one.finding.subject.site, cause.site)
    ]
    if not own or picture.hurting(cause.service, cause.site) or _comes_and_goes(own):
        return 0.0, []
    since = max(one.finding.at for one in own)
    return since, [
        one
        for one in attached
        if one.open
        and one.onset <= since
        and one.finding.condition is Condition.OBJECTIVE_BROKEN
        and any(cause.service in topology.needs(service) for service in services_of(one.finding, topology))
        and picture.at - since > SLACK * picture.watch.recovers_after(one.finding)
    ]


def _comes_and_goes(own: Sequence[AttachedFinding]) -> bool:
    """Whether it was well in between already."""
    return any(not one.open and one.finding.at <= other.onset for one in own for other in own)
