"""What cannot hang together, by the order in which it showed.

A cause that is down takes what stands on it down with it, and shows it as soon as it is looked at. So whatever was
down while a service was still seen well is not down because of that service; and what is hurt because of one service
says nothing against another that neither stands on the first nor carries it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

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


class Early:
    """Findings that may have been there before others, as far as is asked of all of them together."""

    __slots__ = ("down", "first", "last", "open")

    def __init__(self, findings: Iterable[AttachedFinding] = ()) -> None:
        self.open = self.down = 0
        self.first, self.last = math.inf, -math.inf  # onset of those that are down
        for one in findings:
            self.add(one)

    def add(self, one: AttachedFinding) -> None:
        self.open += one.open
        if _is_down(one):
            self.down += 1
            self.first, self.last = min(self.first, one.onset), max(self.last, one.onset)

    def show(self) -> bool:
        """They were down, at least half of those that are open, and began at once: then one more that begins later is
        a surprise."""
        return self.down > 0 and 2 * self.down >= self.open and self.last - self.first <= AT_ONCE_SECONDS


def came_apart(
    some: Sequence[AttachedFinding],
    others: Sequence[AttachedFinding],
    picture: Picture,
    *,
    early: Early | None = None,
) -> bool:
    """Whether all of the ones were still seen well while the others were down already, or the other way round. Of those
    that were first at least half must be down: what only got worse says nothing. `early`: of `some`, where it is known.
    """

    def is_later(early: Early, late: Sequence[AttachedFinding]) -> bool:
        return early.show() and bool(late) and all(_came_later(one, early.last, picture) for one in late)

    return is_later(early or Early(some), others) or is_later(Early(others), some)


def _is_down(finding: AttachedFinding) -> bool:
    return finding.open and finding.finding.quality is Quality.DOWN


def _came_later(finding: AttachedFinding, since: Instant, picture: Picture) -> bool:
    """Whether it would have shown long before, had it begun then."""
    if finding.onset <= since:
        return False
    shows_after = picture.watch.shows_after(finding.finding)
    return shows_after is not None and finding.onset - since > SLACK * shows_after


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
