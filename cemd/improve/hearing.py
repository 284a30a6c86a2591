"""What customers' own attempts say of a probe that says "failed": with it, against it, or nothing yet.

Somebody pushes which share of customers' attempts succeeds (`Heard`), often for a wider place than the probe's. If the
probe is right, those who are at its place fail, so the share falls by their part of all who are counted; if it is wrong
itself, the share stays as it is. Wald's sequential test decides between the two with as few attempts as that takes, and
a probe of which few would fail is waited for only where the many are counted soon enough.

A customer who is cut off fails without being counted. So where all are concerned, that nobody is counted any more is
said as well; where only a part is, they speak only if what the service stands on is watched at that very place and is
well: the line is up, they can be heard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cemd.config.topology import Topology
from cemd.improve.impact import CountCache, count_customers
from cemd.improve.picture import Picture
from cemd.improve.records import AttachedFinding
from cemd.model.customers import Customers
from cemd.model.finding import Heard

CERTAIN = math.log(500.0)
"""So much likelier must one be than the other (natural logarithm): wrong in one of 500 at most."""
FAILS_ANYWAY = 0.005
"""At least this share fails for reasons of its own, and at least this share gets through whatever is broken."""
MOST_FAIL = 0.5
"""Where at least this part of all who try would fail, waiting for the next who try hurts next to nobody."""
SOON_SECONDS = 600.0
"""Where fewer would fail, those who try must be so many that they decide within this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """What customers say: names of the indicators that speak against the finding, of those that will decide soon, and
    whether any speaks for it."""

    contrary: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
    agrees: bool = False


class Takers:
    """How many of those who are counted are at a place."""

    def __init__(self, topology: Topology, customers: Customers, counts: CountCache) -> None:
        self._topology, self._customers, self._counts = topology, customers, counts

    def share(self, heard: Heard, site: str) -> float:
        """Part of the customers behind `heard` who are at the site: 1 where it holds all of their place, 0 where
        nobody knows."""
        if not site or (heard.site and site in self._topology.around(heard.site)):
            return 1.0
        everybody = self._count(heard.service, heard.site)
        return min(1.0, self._count(heard.service, site) / everybody) if everybody else 0.0

    def _count(self, service: str, site: str) -> int:
        """Customers of a service there; of one that is not sold, of any."""
        sold = self._customers.services
        places = dict.fromkeys([service] if service in sold else sold, (site,) if site else ())
        return count_customers(places, self._topology, self._customers, self._counts)[0]


def testimony(attached: AttachedFinding, picture: Picture, takers: Takers, services: Sequence[str]) -> Testimony:
    """What is heard of an open finding of a probe about these services."""
    site = attached.finding.subject.site
    contrary: dict[str, None] = {}
    awaited: dict[str, None] = {}
    for heard in attached.finding.evidence.heard:
        share = takers.share(heard, site)
        fell_silent = share >= MOST_FAIL and is_silent(heard, picture.at - attached.onset)
        if fell_silent or speaks_for(heard, share):
            return Testimony(agrees=True)
        since_up = 0.0 if share >= MOST_FAIL else _line_is_up_for(attached, picture, services)
        if since_up is None:
            continue
        if since_up >= 0 and speaks_against(heard, share):
            contrary[heard.indicator] = None
        elif share >= MOST_FAIL or decides_within(heard, share) <= SOON_SECONDS:
            awaited[heard.indicator] = None
    return Testimony(contrary=tuple(contrary), awaited=tuple(awaited))


def speaks_for(heard: Heard, share: float) -> bool:
    """So much fails as would if `share` of those counted failed, or every second of them: not everything need fail."""
    usual, all_fail = _failing(heard, share)
    _, half_fail = _failing(heard, share / 2)
    return max(_likelier(heard, usual, all_fail), _likelier(heard, usual, half_fail)) >= CERTAIN


def speaks_against(heard: Heard, share: float) -> bool:
    """So little fails as would not if `share` of those counted failed."""
    return _likelier(heard, *_failing(heard, share)) <= -CERTAIN


def is_silent(heard: Heard, seconds: float) -> bool:
    """Nobody was counted since, though so many tried before that this is no chance; asked only soon after: later, night
    may have fallen."""
    return not heard.attempts and seconds <= SOON_SECONDS and heard.per_second / heard.worth * seconds >= CERTAIN


def decides_within(heard: Heard, share: float) -> float:
    """Seconds after which it is likely to speak against a probe that is wrong, as often as it is heard of late."""
    usual, failing = _failing(heard, share)
    gained = -heard.per_second * _weight(usual, usual, failing)
    return CERTAIN / gained if gained > 0 else math.inf


def _failing(heard: Heard, share: float) -> tuple[float, float]:
    """(share of attempts that fails as a rule, the same if those at the place all fail as well)."""
    usual = min(max(1.0 - heard.usual, FAILS_ANYWAY), 1.0 - FAILS_ANYWAY)
    return usual, min(usual + share * (1.0 - usual), 1.0 - FAILS_ANYWAY)


def _likelier(heard: Heard, usual: float, failing: float) -> float:
    """How much likelier what was heard is if so much fails than if it is as usual (natural logarithm)."""
    return 0.0 if heard.value is None else heard.attempts * _weight(1.0 - heard.value, usual, failing)


def _weight(seen: float, usual: float, failing: float) -> float:
    """What one attempt says, of which the share `seen` failed."""
    return seen * math.log(failing / usual) + (1.0 - seen) * math.log((1.0 - failing) / (1.0 - usual))


def _line_is_up_for(attached: AttachedFinding, picture: Picture, services: Sequence[str]) -> float | None:
    """Seconds since what the services stand on would have shown, at this very place, that it is hurt; None: nobody
    watches it there, or it is hurt."""
    site, topology = attached.finding.subject.site, picture.topology
    below = dict.fromkeys(need for service in services for need in topology.needs(service) if need not in services)
    inside = topology.inside(site)
    delays = [one.delay_seconds for need in below for one in picture.watch.lookouts(need, site) if one.site in inside]
    if not delays or any(picture.hurting(need, site) for need in below):
        return None
    return picture.at - attached.onset - min(delays)
