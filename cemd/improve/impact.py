"""Whom an incident hurts: services, places, touchpoints, journeys and steps, customers, user-minutes; and how urgent
that makes it.

Hurt spreads upwards from what is known to be hurt, and stops at every service that is watched and fine: customers of a
service that measures healthy are not counted. Customers are counted from columns in blocks, without an object each.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import msgspec
import numpy as np

from cemd.config.topology import Topology
from cemd.improve.picture import Picture, services_of
from cemd.improve.places import Places
from cemd.improve.records import AttachedFinding
from cemd.kit.words import counted
from cemd.model.customers import CustomerFlag, Customers
from cemd.model.identity import Instant
from cemd.model.incident import Cause, Impact
from cemd.model.quality import Quality

BLOCK = 1_000_000
KEPT_COUNTS = 256
RISK = {Quality.DOWN: 1.0, Quality.DEGRADED: 0.6, Quality.AT_RISK: 0.3}
SHOWN_SHARE = 1 / 3
"""A failure that hits a quarter of all attempts shows in a third of the places that are looked at twice."""
CRITICAL_FLOOR = 90.0
"""Importance of a failing emergency call, whoever is counted: it goes first."""

Count = tuple[int, int, int]
"""(customers hurt, of these critical ones, customers of hurt services whose site is unknown)."""
CountCache = dict[tuple[object, ...], Count]


def impact_of(  # noqa: PLR0913, RUF100 -- what is hurt, and the world it is hurt in
    hurt: Sequence[AttachedFinding],
    cause: Cause,
    picture: Picture,
    customers: Customers,
    counts: CountCache,
    before: Impact,
    *,
    recovering: bool,
    felt: Collection[str] = (),
) -> tuple[Impact, int]:
    """The impact now, and how many critical customers are in it; user-minutes and peak go on from `before`. While it
    is `recovering`, no service is hurt at a place where it was not: what has nothing of its own any more is about to
    be well, and not hurt wherever something else still is. Of services that are `felt` customers say that they are
    hurt: no look that passes stops the spread there."""
    topology = picture.topology
    place = picture.common_place(one.finding.subject.site for one in hurt)
    services = hurt_services(hurt, cause, place, picture, felt)
    places = hurt_places(hurt, services, picture)
    if recovering:
        places = {name: _still(before.places.get(name, sites), sites, topology) for name, sites in places.items()}
    sites = hurt_sites(hurt, places)
    steps = [
        at
        for at in topology.steps()
        if not set(services).isdisjoint(topology.step_needs(at.step)) and _is_here(at.step.touchpoint, sites, topology)
    ]
    touched = dict.fromkeys(
        point.name
        for point in topology.touchpoints.values()
        if not set(services).isdisjoint([*point.offers, *point.depends_on]) and _is_here(point.name, sites, topology)
    )
    touched.update(dict.fromkeys(one.finding.touchpoint for one in hurt if one.finding.touchpoint))
    count, critical, unknown = count_customers(places, topology, customers, counts)
    impact = Impact(
        services=services,
        sites=sites,
        places=places,
        touchpoints=tuple(touched),
        journeys=tuple(dict.fromkeys(at.journey.name for at in steps)),
        steps=tuple(at.path for at in steps),
        moments_of_truth=tuple(at.path for at in steps if at.step.moment_of_truth),
        customers=count,
        peak_customers=max(before.peak_customers, before.customers, count),
        user_minutes=before.user_minutes,
        uncertainty=_uncertainty(cause, unknown),
    )
    return impact, critical


def hurt_services(
    hurt: Sequence[AttachedFinding], cause: Cause, place: str, picture: Picture, felt: Collection[str] = ()
) -> tuple[str, ...]:
    """What is hurt and what stands on it, in file order; a service that is watched there and fine stops the spread. Who
    looks at it in a wider place only need not see this one. A cause that nobody sees hurt is a conclusion: what stands
    on it and is watched speaks for itself, however unusual."""
    topology = picture.topology
    own = {service: None for one in hurt for service in services_of(one.finding, topology)}

    def spread(queue: list[str], *, concluded: bool) -> None:
        for service in queue:  # grows while it is walked
            for above in picture.watch.direct_dependents(service):
                fine = picture.is_watched(above, place) if concluded else picture.is_healthy_within(above, place)
                if above not in own and (above in felt or not fine):
                    own[above] = None
                    queue.append(above)

    spread(list(own), concluded=False)
    if cause.service and cause.service not in own:
        own[cause.service] = None
        spread([cause.service], concluded=not picture.hurting(cause.service, place))
    known = [name for name in topology.services if name in own]
    return (*known, *(name for name in own if name not in topology.services))


def hurt_places(
    hurt: Sequence[AttachedFinding], services: Sequence[str], picture: Picture
) -> dict[str, tuple[str, ...]]:
    """Where each hurt service that is sold is hurt; empty: everywhere.

    One that is measured by place is hurt where its own findings are, even when its cause has no place, until most of
    its places are; one without findings of its own where what it stands on is hurt, and wherever anything is only if
    nothing below it shows where.
    """
    topology = picture.topology
    own: dict[str, list[str]] = {}
    for one in hurt:
        for service in services_of(one.finding, topology):
            own.setdefault(service, []).append(one.finding.subject.site)
    every = [one.finding.subject.site for one in hurt]
    sold = [name for name in services if name in topology.services and topology.services[name].sold]
    return {name: _together(_shown_at(name, own, picture) or every) for name in sold}


def _shown_at(service: str, own: Mapping[str, Sequence[str]], picture: Picture) -> list[str]:
    """Places of its own findings, else of the nearest below it on each way down. Where it is seen hurt in a third of
    the places in which something below it is, it is hurt in all of these: a few looks may pass by chance. Something
    below it that is hurt and has no place is everywhere."""
    topology = picture.topology
    mine = list(own.get(service, ()))
    below = _below_at(service, own, topology)
    if not mine:
        return below
    everywhere = any("" in own.get(need, ()) for need in topology.needs(service))
    if everywhere and _is_hurt_in_most(service, mine, picture):
        return [""]
    here = Places(mine, topology)
    apart = dict.fromkeys(site for site in dict.fromkeys(below) if not here.meet(site))
    shown = len(dict.fromkeys(mine))
    return [*mine, *apart] if shown >= SHOWN_SHARE * (shown + len(apart)) else mine


def _is_hurt_in_most(service: str, sites: Sequence[str], picture: Picture) -> bool:
    """Whether more than half of the places where the service is watched lie within these. Whoever is abroad, or at a
    place that nobody watches, is hurt with the others then; in fewer places it may be hurt for another reason."""
    watched = dict.fromkeys(look.site for look in picture.lookouts(service, "") if look.site)
    hurt = [site for site in watched if not set(picture.topology.around(site)).isdisjoint(sites)]
    return 2 * len(hurt) > len(watched)


def _below_at(service: str, own: Mapping[str, Sequence[str]], topology: Topology) -> list[str]:
    """Places of the nearest findings below it on each way down."""
    found: list[str] = []
    queue = [service]
    for name in queue:  # grows while it is walked
        if name in own and name != service:
            found.extend(own[name])
        elif name in topology.services:
            queue.extend(need for need in dict.fromkeys(topology.services[name].depends_on) if need not in queue)
    return found


def hurt_sites(hurt: Sequence[AttachedFinding], places: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Where anything is hurt that is sold, else where anything is; empty: everywhere."""
    sites = [site for some in places.values() for site in some or ("",)]
    return _together(sites if places else [one.finding.subject.site for one in hurt])


def _still(before: tuple[str, ...], now: tuple[str, ...], topology: Topology) -> tuple[str, ...]:
    """Of the places now those that are inside the places before; where there is none, those before."""
    known = dict.fromkeys(before)
    left = tuple(site for site in now if not known or any(one in known for one in topology.around(site)))
    return left or before


def _together(sites: Sequence[str]) -> tuple[str, ...]:
    return () if "" in sites else tuple(dict.fromkeys(sites))


def count_customers(
    places: Mapping[str, tuple[str, ...]], topology: Topology, customers: Customers, counts: CountCache
) -> Count:
    """Customers who are present and have a service that is hurt at their place (or everywhere).

    Who is abroad is not counted by home site. The answer is kept per version of the columns.
    """
    bits: dict[tuple[str, ...], int] = {}  # of the services that are hurt at the same places
    for place, name in enumerate(customers.services):
        if name in places:
            bits[places[name]] = bits.get(places[name], 0) | 1 << place
    if not bits or not customers.size:
        return 0, 0, 0
    inside = {sites: dict.fromkeys(name for site in sites for name in topology.inside(site)) for sites in bits}
    key = (customers.version, *((each, tuple(inside[sites]), bool(sites)) for sites, each in bits.items()))
    if key not in counts:
        while len(counts) >= KEPT_COUNTS:
            counts.pop(next(iter(counts)))
        parts = [(each, inside[sites] if sites else None) for sites, each in bits.items()]
        counts[key] = _counted(parts, customers)
    return counts[key]


def _counted(parts: Sequence[tuple[int, dict[str, None] | None]], customers: Customers) -> Count:
    """Of each part (services as bits, names of sites; None: everywhere) whoever belongs to any."""
    nowhere = np.array([not name for name in customers.sites], dtype=bool)
    tables = [
        (
            np.uint64(bits),
            None if inside is None else np.array([name in inside for name in customers.sites], dtype=bool),
        )
        for bits, inside in parts
    ]
    gone = np.uint8(CustomerFlag.ERASED)
    present, abroad = np.uint8(CustomerFlag.PRESENT), np.uint8(CustomerFlag.ABROAD)
    hurt = critical = unknown = 0
    for start in range(0, customers.size, BLOCK):
        part = slice(start, start + BLOCK)
        flags, services, site = customers["flags"][part], customers["services"][part], customers["site"][part]
        here = (flags & (present | gone)) == present
        at_home = here & ((flags & abroad) == 0)
        mask, perhaps = np.zeros(len(flags), bool), np.zeros(len(flags), bool)
        for wanted, table in tables:
            theirs = (services & wanted) != 0
            if table is None:
                mask |= here & theirs
            else:
                perhaps |= at_home & theirs & nowhere[site]
                mask |= at_home & theirs & table[site]
        unknown += int(np.count_nonzero(perhaps & ~mask))
        hurt += int(np.count_nonzero(mask))
        critical += int(np.count_nonzero(mask & ((flags & np.uint8(CustomerFlag.CRITICAL)) != 0)))
    return hurt, critical, unknown


def accrued(impact: Impact, since: Instant, at: Instant) -> Impact:
    """The impact with the user-minutes from `since` to `at` added, at its present count of customers."""
    minutes = impact.customers * max(0.0, at - since) / 60.0
    return msgspec.structs.replace(impact, user_minutes=round(impact.user_minutes + minutes, 3))


def urgency(
    impact: Impact, quality: Quality, critical: int, topology: Topology, customers: Customers
) -> tuple[float, int]:
    """(importance factor 0..100, priority 1..10): risk times importance.

    Importance: half the reach (customers, on a logarithmic scale), three tenths moments of truth, two tenths
    touchpoints. A critical service, or critical customers while something is down, go first whatever the count.
    """
    reach = math.log1p(impact.customers) / math.log1p(max(1, customers.size))
    moments = 1.0 if impact.moments_of_truth else 0.5 if impact.steps else 0.0
    weight = 0.5 * min(1.0, reach) + 0.3 * moments + 0.2 * bool(impact.touchpoints)
    factor = 100.0 * RISK.get(quality, 0.0) * weight
    is_critical = any(name in topology.services and topology.services[name].critical for name in impact.services)
    if is_critical or (critical and quality is Quality.DOWN):
        factor = max(factor, CRITICAL_FLOOR if quality is not Quality.AT_RISK else CRITICAL_FLOOR / 2)
    factor = round(factor, 1)
    return factor, min(10, max(1, 10 - int(factor // 10)))


def _is_here(touchpoint: str, sites: Sequence[str], topology: Topology) -> bool:
    point = topology.touchpoints.get(touchpoint)
    return not sites or point is None or any(topology.overlap(point.site or "", site) for site in sites)


def _uncertainty(cause: Cause, unknown: int) -> str:
    words = []
    if not cause.service:
        words.append("The cause is undetermined: only what is measured, and what stands on it, is counted.")
    if unknown:
        words.append(f"Not counted, as no site of theirs is known: {counted(unknown, 'customer')} of these services.")
    return " ".join(words)
