"""What customers' own attempts say of a probe that says "failed": with it, against it, or nothing yet.

Somebody pushes which share of customers' attempts succeeds (`Heard`), often for a wider place than the probe's. If the
probe is right, those who are at its place fail, so the share falls by their part of all who are counted; if it is wrong
itself, the share stays as it is. Wald's sequential test decides between the two with as few attempts as that takes, and
a probe of which few would fail is waited for only where the many are counted soon enough.

A customer who is cut off fails without being counted. So where all are concerned, that nobody is counted any more is
said as well; where only a part is, they speak only if what the service stands on is watched at that very place and is
well: the line is up, they can be heard.

A share that falls by the part of those at the place, no more and no less, and just then, is a second voice for the
probe (`agreeing`): so customers hear of what one probe alone sees, and never of a probe's own fault.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from cemd.config.topology import Topology
from cemd.improve.census import Census
from cemd.improve.picture import Picture, services_of
from cemd.improve.records import AttachedFinding
from cemd.model.finding import Finding, Heard
from cemd.model.measurement import SUCCEEDS

CERTAIN = math.log(500.0)
"""So much likelier must one be than the other (natural logarithm): wrong in one of 500 at most."""
SURE = math.log(1e5)
"""The same where customers are told because of it."""
FAILS_ANYWAY = 0.005
"""At least this share fails for reasons of its own, and at least this share gets through whatever is broken."""
MOST_FAIL = 0.5
"""Where at least this part of all who try would fail, waiting for the next who try hurts next to nobody."""
SOON_SECONDS = 600.0
"""Where fewer would fail, those who try are waited for who decide within this time."""
FEW_FAIL = 25.0
"""Where they are fewer, they may take longer, as long as no more than this can fail at the place meanwhile."""
MOST_TRIES = 4.0
"""Who fails tries again, so often at most: those at a place are so many times their part of what fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """What customers say: names of the indicators that speak against the finding, of those that will decide soon, and
    whether any speaks for it."""

    contrary: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
    agrees: bool = False


class Takers:
    """How many of those who are counted are at a place."""

    def __init__(self, topology: Topology, census: Census) -> None:
        self._topology, self._census = topology, census
        self._saying: dict[tuple[int, str], tuple[Heard, float, bool]] = {}

    def knows(self, service: str) -> bool:
        """Whether anybody is known who has the service."""
        return self._count(service, ()) > 0

    def share(self, service: str, within: str, sites: Sequence[str]) -> float:
        """Part of the customers of a service within a place ("": everywhere) who are at these sites: 1 where they hold
        all of the place, 0 where nobody knows. Where nobody lives (a shop), it has its part of those around it."""
        key = (service, within, tuple(sites))
        if key not in self._census.shares:
            self._census.shares[key] = self._share(service, within, sites)
        return self._census.shares[key]

    def says_so(self, heard: Heard, site: str) -> tuple[float, bool]:
        """(part of those counted who are at the site, whether as much fails as they would, and no more). Many findings
        hear the same."""
        key = (id(heard), site)
        known = self._saying.get(key)
        if known is None:
            share = self.share(heard.service, heard.site, [site])
            known = (heard, share, speaks_for(heard, share, SURE) and not _more_fail(heard, share))
            self._saying[key] = known  # holds what was heard, so that its id stays its own
        return known[1:]

    def _share(self, service: str, within: str, sites: Sequence[str]) -> float:
        if "" in sites or (within and not set(sites).isdisjoint(self._topology.around(within))):
            return 1.0
        everybody = self._count(service, (within,) if within else ())
        if not everybody:
            return 0.0
        here: float = self._count(service, sites)
        if not here:
            here = sum(self._visiting(service, site) for site in sites)
        return min(1.0, here / everybody)

    def _visiting(self, service: str, site: str) -> float:
        """Customers of the smallest place around a site where nobody lives, shared among those of its kind there."""
        topology = self._topology
        if site not in topology.sites or self._count("", (site,)):  # who lives there has no such service
            return 0.0
        kind = topology.sites[site].kind
        for around in topology.around(site)[1:]:
            if self._count("", (around,)):
                alike = sum(topology.sites[one].kind == kind for one in topology.inside(around))
                return self._count(service, (around,)) / max(1, alike)
        return 0.0

    def _count(self, service: str, sites: Sequence[str]) -> int:
        return self._census.count(service, sites)


def agreeing(attached: AttachedFinding, picture: Picture, takers: Takers, seconds: float) -> list[Heard]:
    """By what customers say the same as an open finding that began at most `seconds` ago: as much fails as those at its
    place would, and nothing else is hurt that they may fail for. They count while all who tried since it began are
    still counted: who fails only later fails for another reason."""
    site, age = attached.finding.subject.site, picture.at - attached.onset
    if not attached.open or age > seconds:
        return []
    found: list[Heard] = []
    for heard in attached.finding.evidence.heard:
        share, says_so = takers.says_so(heard, site)
        if says_so and age <= _counted_for(heard, picture) and not _may_fail_for(heard, share, attached, picture):
            found.append(heard)
    return found


def felt_services(hurt: Sequence[AttachedFinding], picture: Picture, takers: Takers, seconds: float) -> dict[str, None]:
    """Services of which customers themselves say that they are hurt with what is: a few looks that pass where every
    fourth fails say nothing against them."""
    return dict.fromkeys(
        heard.service for one in hurt if one.finding.evidence.heard for heard in agreeing(one, picture, takers, seconds)
    )


def _counted_for(heard: Heard, picture: Picture) -> float:
    """Seconds for which who tried is counted: the window of the indicator."""
    return picture.watch.window_of(heard.indicator)


def may_be_due_to(warning: Finding, hurt: Sequence[AttachedFinding], topology: Topology, takers: Takers) -> bool:
    """Whether a pushed share that is low may be so because of what is hurt: no more fails than those at these places.
    What is no share of success, or of a place of which nobody knows who is there, may."""
    rule = next((one for one in topology.configuration.indicators if one.name == warning.indicator), None)
    service = next(iter(services_of(warning, topology)), "")
    value = warning.evidence.value
    if rule is None or value is None or not rule.of.metric.endswith(SUCCEEDS) or not takers.knows(service):
        return True
    sites = list(dict.fromkeys(one.finding.subject.site for one in hurt))
    return 1.0 - value <= _most_fail(takers.share(service, warning.subject.site, sites))


def _more_fail(heard: Heard, share: float) -> bool:
    """More than the `share` of those counted: then somebody else fails."""
    usual, most = _failing(heard, _most_fail(share))
    return heard.value is not None and 1.0 - heard.value > max(usual, most)


def _most_fail(share: float) -> float:
    """Part of all attempts that fails at most if `share` of those who try fail, who then try again."""
    return share * MOST_TRIES / (1.0 + share * (MOST_TRIES - 1.0))


def _may_fail_for(heard: Heard, share: float, attached: AttachedFinding, picture: Picture) -> bool:
    """Whether something outside the finding's incident is hurt that who is counted needs as well. What was down all the
    time before, and is not much larger than the place, is in what is usual already."""
    topology = picture.topology
    point = topology.touchpoints.get(heard.touchpoint)
    own = [heard.service, *(point.depends_on if point else ())]
    needs = dict.fromkeys(need for service in own for need in topology.needs(service))
    others = picture.outside(tuple(needs), attached.incident)
    before = attached.onset - _counted_for(heard, picture)
    steady = others.all_down and others.latest <= before
    return others.any and not (steady and 1.0 - heard.usual <= 2.0 * share)


def testimony(
    attached: AttachedFinding,
    picture: Picture,
    takers: Takers,
    services: Sequence[str],
    *,
    patience: float,
    doubted: bool,
) -> Testimony:
    """What is heard of an open finding of a probe about these services, which was `doubted` before or not; nobody is
    waited for longer than `patience` seconds."""
    site = attached.finding.subject.site
    contrary: dict[str, None] = {}
    awaited: dict[str, None] = {}
    for heard in (one for one in attached.finding.evidence.heard if one.service in services):
        share = takers.share(heard.service, heard.site, [site])
        fell_silent = share >= MOST_FAIL and is_silent(heard, picture.at - attached.onset)
        if fell_silent or _agrees(heard, share, doubted=doubted):
            return Testimony(agrees=True)
        since_up = 0.0 if share >= MOST_FAIL else _line_is_up_for(attached, picture, services)
        if since_up is None:
            continue
        if since_up >= 0 and speaks_against(in_all(heard), share):
            contrary[heard.indicator] = None
        elif share >= MOST_FAIL or is_worth_waiting(heard, share, patience):
            awaited[heard.indicator] = None
    return Testimony(contrary=tuple(contrary), awaited=tuple(awaited))


def _agrees(heard: Heard, share: float, *, doubted: bool) -> bool:
    """Whether they speak for a probe, all since it began or those of late. Who was asked again and again and got it
    done must all fail of late: some always do at some time."""
    all_fail = _likelier(heard, *_failing(heard, share)) >= CERTAIN
    return speaks_for(in_all(heard), share) or (all_fail if doubted else speaks_for(heard, share))


def speaks_for(heard: Heard, share: float, certain: float = CERTAIN) -> bool:
    """So much fails as would if `share` of those counted failed, or every second of them: not everything need fail."""
    usual, all_fail = _failing(heard, share)
    _, half_fail = _failing(heard, share / 2)
    return max(_likelier(heard, usual, all_fail), _likelier(heard, usual, half_fail)) >= certain


def speaks_against(heard: Heard, share: float) -> bool:
    """So little fails as would not if `share` of those counted failed."""
    return _likelier(heard, *_failing(heard, share)) <= -CERTAIN


def is_silent(heard: Heard, seconds: float) -> bool:
    """Nobody was counted since, though so many tried before that this is no chance; asked only soon after: later, night
    may have fallen."""
    return not heard.attempts and seconds <= SOON_SECONDS and heard.per_second / heard.worth * seconds >= CERTAIN


def in_all(heard: Heard) -> Heard:
    """The same with all who tried since the finding began; the window of the indicator forgets."""
    if heard.attempts_in_all <= heard.attempts:
        return heard
    return msgspec.structs.replace(heard, value=heard.in_all, attempts=heard.attempts_in_all)


def is_worth_waiting(heard: Heard, share: float, patience: float) -> bool:
    """Whether those who try decide soon or, within the patience, before many who are at the place can have failed."""
    seconds = decides_within(heard, share)
    fail = heard.per_second * share * seconds if seconds < math.inf else math.inf
    return seconds <= SOON_SECONDS or (seconds <= patience and fail <= FEW_FAIL)


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
    delays = [one.delay_seconds for need in below for one in picture.lookouts(need, site) if one.site in inside]
    if not delays or any(picture.hurting(need, site) for need in below):
        return None
    return picture.at - attached.onset - min(delays)
