"""What hurts on although the cause of its incident is well again: it has another cause, which the first one hid.

Seen is that only of what was hurt before the cause was well, once it had the time to recover, and not of a cause that
comes and goes. A cause that hurt many places is well where most of them are: what is still down in one has its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cemd.config.topology import Topology
from cemd.improve.picture import SLACK, Picture, services_of
from cemd.improve.places import Places
from cemd.improve.records import Among, AttachedFinding
from cemd.model.finding import Condition
from cemd.model.identity import Instant
from cemd.model.incident import Incident
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind


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
    still = picture.hurting(cause.service, cause.site)
    mine = Among(own)
    if not own or _comes_and_goes(own) or any(one not in mine for one in still):
        return 0.0, []
    well = dict.fromkeys(one.finding.subject.site for one in own if not one.open)
    behind = dict.fromkeys(one.finding.subject.site for one in still)
    if still and (2 * len(behind) > len(well) or any(map(Places(behind, topology).meet, well))):
        return 0.0, []  # it is there still
    since = max(one.finding.at for one in own if not one.open)
    measured = _by_probe(attached)
    left = [
        one
        for one in attached
        if one.open
        and one.onset <= since
        and one.finding.condition is Condition.OBJECTIVE_BROKEN
        and any(cause.service in topology.needs(service) for service in services_of(one.finding, topology))
        and picture.at - since > SLACK * picture.watch.recovers_after(one.finding)
        and (not behind or _is_down_at(one, behind, topology))
        and not _answers_again(one, measured.get((one.finding.probe, one.finding.subject), ()), since)
    ]
    there = Among(still)
    if still and not any(one in there for one in left):
        return 0.0, []  # what stands on it there parts with it, not before
    return since, left


def _by_probe(attached: Sequence[AttachedFinding]) -> dict[tuple[str, Subject], list[AttachedFinding]]:
    """Findings of probes, by probe and what they are about."""
    found: dict[tuple[str, Subject], list[AttachedFinding]] = {}
    for one in attached:
        if one.finding.probe:
            found.setdefault((one.finding.probe, one.finding.subject), []).append(one)
    return found


def _answers_again(one: AttachedFinding, mine: Sequence[AttachedFinding], since: Instant) -> bool:
    """What is down by one measure, though its probe (of which `mine` are, about the same) has been content by another
    since, only takes longer to say so: a slow probe needs some good looks in a row."""
    content = {each.finding.indicator for each in mine if not each.open and each.finding.at >= since}
    return one.finding.quality is Quality.DOWN and bool(
        content - {each.finding.indicator for each in mine if each.open}
    )


def _is_down_at(one: AttachedFinding, sites: Iterable[str], topology: Topology) -> bool:
    """What only got worse there is well again when it is."""
    site = one.finding.subject.site
    return one.finding.quality is Quality.DOWN and any(topology.overlap(site, each) for each in sites)


def _comes_and_goes(own: Sequence[AttachedFinding]) -> bool:
    """Whether it was well in between already."""
    ended = [one.finding.at for one in own if not one.open]
    return bool(ended) and min(ended) <= max(one.onset for one in own)
