"""Whom an incident hurts: services, places, touchpoints, journeys and steps, customers, user-minutes; and how urgent
that makes it.

Hurt spreads upwards from what is known to be hurt, and stops at every service that is watched and fine: customers of a
service that measures healthy are not counted. Customers are counted from columns in blocks, without an object each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from cemd.config.topology import Topology
from cemd.improve.picture import Picture, services_of
from cemd.improve.records import AttachedFinding
from cemd.kit.words import counted
from cemd.model.customers import CustomerFlag, Customers
from cemd.model.identity import Instant
from cemd.model.incident import Cause, Impact
from cemd.model.quality import Quality

BLOCK = 1_000_000
KEPT_COUNTS = 256
RISK = {Quality.DOWN: 1.0, Quality.DEGRADED: 0.6, Quality.AT_RISK: 0.3}
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
) -> tuple[Impact, int]:
    """The impact now, and how many critical customers are in it; user-minutes and peak go on from `before`."""
    topology = picture.topology
    place = picture.common_place(one.finding.subject.site for one in hurt)
    services = hurt_services(hurt, cause, place, picture)
    sites = hurt_sites(hurt, services, topology)
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
    count, critical, unknown = count_customers(services, sites, topology, customers, counts)
    impact = Impact(
        services=services,
        sites=sites,
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


def hurt_services(hurt: Sequence[AttachedFinding], cause: Cause, place: str, picture: Picture) -> tuple[str, ...]:
    """What is hurt and what stands on it, in file order; a service that is watched there and fine stops the spread."""
    topology = picture.topology
    own = {service: None for one in hurt for service in services_of(one.finding, topology)}
    if cause.service:
        own[cause.service] = None
    queue = list(own)
    for service in queue:  # grows while it is walked
        for above in picture.watch.direct_dependents(service):
            if above not in own and not picture.is_healthy(above, place):
                own[above] = None
                queue.append(above)
    known = [name for name in topology.services if name in own]
    return (*known, *(name for name in own if name not in topology.services))


def hurt_sites(hurt: Sequence[AttachedFinding], services: Sequence[str], topology: Topology) -> tuple[str, ...]:
    """Where customers are hurt; empty: everywhere.

    A sold service that is measured by place is hurt where its own findings are, even when its cause has no place; one
    without findings of its own is hurt wherever anything is.
    """
    own: dict[str, list[str]] = {}
    for one in hurt:
        for service in services_of(one.finding, topology):
            own.setdefault(service, []).append(one.finding.subject.site)
    every = [one.finding.subject.site for one in hurt]
    sold = [name for name in services if name in topology.services and topology.services[name].sold]
    places = [site for name in sold for site in own.get(name, every)] if sold else every
    return () if "" in places else tuple(dict.fromkeys(places))


def count_customers(
    services: Sequence[str], sites: Sequence[str], topology: Topology, customers: Customers, counts: CountCache
) -> Count:
    """Customers who are present, have a hurt sold service, and are at a hurt place (or it is hurt everywhere).

    Who is abroad is not counted by home site. The answer is kept per version of the columns.
    """
    sold = [name for name in services if name in topology.services and topology.services[name].sold]
    bits = sum(1 << place for place, name in enumerate(customers.services) if name in sold)
    if not bits or not customers.size:
        return 0, 0, 0
    inside = dict.fromkeys(name for site in sites for name in topology.inside(site))
    key = (customers.version, bits, tuple(inside), bool(sites))
    if key not in counts:
        while len(counts) >= KEPT_COUNTS:
            counts.pop(next(iter(counts)))
        counts[key] = _counted(bits, inside, customers, everywhere=not sites)
    return counts[key]


def _counted(bits: int, inside: dict[str, None], customers: Customers, *, everywhere: bool) -> Count:
    here = np.array([name in inside for name in customers.sites], dtype=bool)
    nowhere = np.array([not name for name in customers.sites], dtype=bool)
    wanted = np.uint64(bits)
    gone = np.uint8(CustomerFlag.ERASED)
    present, abroad = np.uint8(CustomerFlag.PRESENT), np.uint8(CustomerFlag.ABROAD)
    hurt = critical = unknown = 0
    for start in range(0, customers.size, BLOCK):
        part = slice(start, start + BLOCK)
        flags = customers["flags"][part]
        mask = ((flags & (present | gone)) == present) & ((customers["services"][part] & wanted) != 0)
        if not everywhere:
            mask &= (flags & abroad) == 0
            site = customers["site"][part]
            unknown += int(np.count_nonzero(mask & nowhere[site]))
            mask &= here[site]
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
