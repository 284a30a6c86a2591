"""The probable cause of an incident, or `undetermined`.

Candidates are all services below what is hurt. Each gets a score from what speaks for it (it explains the findings, it
is hurt itself, it began first, it lies deep, it was changed shortly before) less what speaks against it (what stands on
it is fine); who measures healthy is no candidate at all. The best must lead the second by the margin of the grouping,
because a wrong cause named to customers is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cemd.config.rules import Grouping
from cemd.improve.picture import Picture, services_of
from cemd.improve.places import Places
from cemd.improve.precedence import was_well_meanwhile
from cemd.improve.records import Among, AttachedFinding, ServiceChange
from cemd.model.identity import Instant
from cemd.model.incident import Cause, Confidence
from cemd.model.quality import Quality

EXPLAINS = 0.50
OWN_FINDING = 0.30
DEPTH = 0.10
ONSET = 0.05
CHANGE = 0.10
CONTRARY = 0.35
"""Weights. Chosen so that a shared dependency that nobody measures beats two hurt services that each explain only
themselves, and loses that lead as soon as a third of what stands on it is fine."""

RECENT_SECONDS = 1800.0
"""A change this long before the first sign may be the reason."""
KEPT_RIVALS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    service: str
    site: str
    score: float
    reasons: tuple[str, ...]
    seen: bool = False  # it is hurt itself


def probable_cause(
    hurt: Sequence[AttachedFinding], picture: Picture, grouping: Grouping, changes: Mapping[str, ServiceChange]
) -> Cause:
    """The cause of what is hurt.

    Args:
        hurt: Findings of the incident that hurt, open or ended, at least one.
        picture: Everything known now.
        grouping: Rules; `cause_margin` decides how clear the lead must be.
        changes: When each service was last changed.

    Returns:
        A `probable` cause with reasons and rivals, or an `undetermined` one that names the candidates.
    """
    ranked = _ranked(hurt, picture, changes)
    if not ranked:
        return Cause(reasons=("no service that is known stands behind the findings.",))
    best = ranked[0]
    rivals = [one for one in ranked[1:] if not _is_no_rival(one, best, picture)]
    lead = best.score - (rivals[0].score if rivals else 0.0)
    named = tuple(f"{one.service} ({one.score:.2f})" for one in rivals[:KEPT_RIVALS])
    if lead < grouping.cause_margin:
        close = ", ".join(one.service for one in [best, *rivals] if best.score - one.score < grouping.cause_margin)
        reason = f"the evidence does not tell {close} apart (lead {lead:.2f}, needed {grouping.cause_margin:.2f})."
        return Cause(
            score=best.score, reasons=(reason, *best.reasons), rivals=(f"{best.service} ({best.score:.2f})", *named)
        )
    return Cause(
        confidence=Confidence.PROBABLE,
        service=best.service,
        site=best.site,
        score=best.score,
        reasons=best.reasons,
        rivals=named,
    )


def _is_no_rival(other: Candidate, best: Candidate, picture: Picture) -> bool:
    """What stands on the best, which is seen to be hurt, is hurt by it, however often it is measured; and what stands
    in one circle with it is the same."""
    topology = picture.topology
    return topology.same_component(best.service, other.service) or (
        best.seen and best.service in topology.needs(other.service) and topology.overlap(best.site, other.site)
    )


def _ranked(hurt: Sequence[AttachedFinding], picture: Picture, changes: Mapping[str, ServiceChange]) -> list[Candidate]:
    """Candidates, best first; equals in the order of the walk from what is hurt downwards."""
    topology = picture.topology
    explains: dict[str, list[AttachedFinding]] = {}
    for one in hurt:
        needs = dict.fromkeys(
            need for service in services_of(one.finding, topology) for need in topology.needs(service)
        )
        for need in needs:
            explains.setdefault(need, []).append(one)
    since = min((one.onset for one in hurt), default=picture.at)
    deepest = max((topology.depth(service) for service in explains), default=0)
    candidates = [
        judged
        for service, explained in explains.items()
        if (judged := _judged(service, explained, hurt, picture, changes.get(service), since, deepest))
    ]
    return sorted(candidates, key=lambda one: -one.score)


def _judged(  # noqa: PLR0913, RUF100 -- everything that speaks for or against
    service: str,
    explained: Sequence[AttachedFinding],
    hurt: Sequence[AttachedFinding],
    picture: Picture,
    change: ServiceChange | None,
    since: Instant,
    deepest: int,
) -> Candidate | None:
    """What speaks for and against one service; None when it is no candidate."""
    topology = picture.topology
    place = picture.common_place(one.finding.subject.site for one in explained)
    among = [one for one in hurt if service in services_of(one.finding, topology)]
    own = among or picture.hurting(service, place)
    is_own, here = Among(own), Places((one.finding.subject.site for one in own), topology)
    explained = [one for one in explained if one in is_own or _may_be_due_to(one, service, own, here, picture)]
    if not explained:
        return None
    if not own and (picture.is_healthy(service, place) or _all_down_without(service, place, explained, picture)):
        return None
    share = len(explained) / len(hurt)
    site = picture.common_place(one.finding.subject.site for one in own) if own else place
    score = EXPLAINS * share
    above = [one for one in explained if one not in is_own]
    reasons = [_words_for_share(service, len(explained), len(hurt))]
    if own:
        score += OWN_FINDING * share
        reasons.append(f"{service} is hurt itself: {_words_for(own[0])}.")
    elif unusual := picture.supporting(service, place):
        score += 0.5 * OWN_FINDING * share * _where(service, unusual, explained, picture)
        reasons.append(f"{service} shows something unusual itself.")
    else:
        reasons.append(f"nobody measures {service} directly.")
    if deepest:
        score += DEPTH * share * topology.depth(service) / deepest
    score += ONSET * share * _onset(own, above, service, reasons)
    if change is not None and change.changed_at and 0 <= since - change.changed_at <= RECENT_SECONDS:
        score += CHANGE * share
        reasons.append(f"{service} or its measurement was changed {since - change.changed_at:.0f} s before.")
    score -= _contrary(service, place, since, picture, reasons)
    return Candidate(
        service=service, site=site, score=round(min(1.0, max(0.0, score)), 2), reasons=tuple(reasons), seen=bool(own)
    )


def _where(
    service: str, unusual: Sequence[AttachedFinding], explained: Sequence[AttachedFinding], picture: Picture
) -> float:
    """Part of the places where the service is watched, of those of what is to be explained, in which it is unusual: in
    one place that says little of the others."""
    places = dict.fromkeys(one.finding.subject.site for one in explained)
    watched = dict.fromkeys(look.site for site in places for look in picture.lookouts(service, site)) or places
    sites = dict.fromkeys(one.finding.subject.site for one in unusual)
    return sum(map(Places(sites, picture.topology).meet, watched)) / len(watched)


def _all_down_without(service: str, place: str, explained: Sequence[AttachedFinding], picture: Picture) -> bool:
    """True when all that it would explain is down, and it shows nothing."""
    if any(one.finding.quality is not Quality.DOWN for one in explained):
        return False
    return picture.shows_nothing(service, place, max(one.onset for one in explained))


def _may_be_due_to(
    one: AttachedFinding, service: str, own: Sequence[AttachedFinding], here: Places, picture: Picture
) -> bool:
    """False when it was down while the service, whose own findings these are (and where they are), was still seen well,
    or lies where the service is watched and shows nothing, though it had the time."""
    if not own:
        return True
    if all(was_well_meanwhile(later, one, picture) for later in own):
        return False
    site = one.finding.subject.site
    return here.meet(site) or not picture.shows_nothing(service, site, one.onset)


def _onset(own: Sequence[AttachedFinding], above: Sequence[AttachedFinding], service: str, reasons: list[str]) -> float:
    """1 where the service was hurt before all that it explains, 0 where it came last, a half where nobody saw it."""
    if not own:
        return 0.5
    began = min(one.onset for one in own)
    later = [one for one in above if one.onset >= began]
    if above and len(later) == len(above):
        reasons.append(f"{service} began first.")
    return len(later) / len(above) if above else 1.0


def _contrary(service: str, place: str, since: Instant, picture: Picture, reasons: list[str]) -> float:
    healthy, hurt = picture.contrary(service, place, since)
    if not healthy:
        return 0.0
    names = ", ".join(healthy[:5])
    reasons.append(f"against it: what stands on it is fine in part ({names}).")
    return CONTRARY * len(healthy) / (len(healthy) + len(hurt) + 1)


def _words_for_share(service: str, explained: int, hurt: int) -> str:
    if hurt == 1:
        return f"what is hurt is {service} or stands on it."
    return f"{explained} of {hurt} findings are on {service} or on what stands on it."


def _words_for(attached: AttachedFinding) -> str:
    finding = attached.finding
    what = finding.condition.replace("_", " ")
    return f"{finding.indicator} {what}" if finding.indicator else what
