"""What cannot hang together, by the order in which it showed.

A cause that is down takes what stands on it down with it, and shows it as soon as it is looked at. So whatever was
down while a service was still seen well is not down because of that service; and what is hurt because of one service
says nothing against another that neither stands on the first nor carries it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cemd.config.topology import Topology
from cemd.improve.picture import SLACK, Picture, services_of
from cemd.improve.records import AttachedFinding
from cemd.model.identity import Instant
from cemd.model.quality import Quality
from cemd.model.subject import SubjectKind

AT_ONCE_SECONDS = 120.0
"""What shows so close together began together: it lies within what probes need to come round."""


def was_well_meanwhile(later: AttachedFinding, earlier: AttachedFinding, picture: Picture) -> bool:
    """Whether what the later finding is about was still seen well when the earlier was down already: had both begun
    together, whoever saw the later would have seen it long before. What only got worse by and by says nothing."""
    return _is_down(earlier) and _came_later(later, earlier.onset, picture)


def came_apart(some: Sequence[AttachedFinding], others: Sequence[AttachedFinding], picture: Picture) -> bool:
    """Whether all of the ones were still seen well while the others were down already, or the other way round. Of those
    that were first at least half must be down: what only got worse says nothing."""

    def is_later(early: Sequence[AttachedFinding], late: Sequence[AttachedFinding]) -> bool:
        down = [one for one in early if _is_down(one)]
        if not late or not down or 2 * len(down) < sum(one.open for one in early) or spread_by_and_by(down):
            return False
        since = max(one.onset for one in down)
        return all(_came_later(one, since, picture) for one in late)

    return is_later(some, others) or is_later(others, some)


def _is_down(finding: AttachedFinding) -> bool:
    return finding.open and finding.finding.quality is Quality.DOWN


def _came_later(finding: AttachedFinding, since: Instant, picture: Picture) -> bool:
    """Whether it would have shown long before, had it begun then."""
    if finding.onset <= since:
        return False
    shows_after = picture.watch.shows_after(finding.finding)
    return shows_after is not None and finding.onset - since > SLACK * shows_after


def spread_by_and_by(hurt: Sequence[AttachedFinding]) -> bool:
    """Whether what is hurt did not begin at once: then one more that begins later is no surprise."""
    onsets = [one.onset for one in hurt]
    return max(onsets) - min(onsets) > AT_ONCE_SECONDS


def seen_hurt(hurt: Sequence[AttachedFinding]) -> Mapping[str, Sequence[AttachedFinding]]:
    """Which services are hurt themselves now, with what says so."""
    seen: dict[str, list[AttachedFinding]] = {}
    for one in hurt:
        if one.open and one.finding.subject.kind is SubjectKind.SERVICE:
            seen.setdefault(one.finding.subject.name, []).append(one)
    return seen


def has_its_own_reason(
    above: AttachedFinding,
    candidates: Sequence[str],
    before: Instant,
    seen: Mapping[str, Sequence[AttachedFinding]],
    topology: Topology,
) -> bool:
    """Whether what is hurt `above` these candidates for a cause stands on something else that is hurt there, was so at
    that time already, and has nothing to do with any of them: then it says nothing for them."""
    top, site = services_of(above.finding, topology), above.finding.subject.site
    needs = dict.fromkeys(need for service in top for need in topology.needs(service) if need not in top)
    return any(
        one.onset <= before and topology.overlap(one.finding.subject.site, site)
        for need in needs
        if need in seen and not any(_are_related(need, service, topology) for service in candidates)
        for one in seen[need]
    )


def _are_related(one: str, other: str, topology: Topology) -> bool:
    return one in topology.needs(other) or other in topology.needs(one)
