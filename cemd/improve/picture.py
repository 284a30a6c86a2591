"""What is hurt, what is healthy and what nobody knows, at one moment: the ground that grouping and cause stand on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cemd.config.topology import Topology
from cemd.improve.places import ByPlace
from cemd.improve.records import AttachedFinding, hurts
from cemd.improve.watch import Lookout, Watch
from cemd.model.finding import Finding
from cemd.model.identity import Instant
from cemd.model.quality import Quality
from cemd.model.subject import SubjectKind


def is_of_vantage(finding: Finding) -> bool:
    """Whether it is about a vantage point, and so about no service: it hurts nobody, and explains nothing that does."""
    return finding.subject.kind is SubjectKind.VANTAGE


def services_of(finding: Finding, topology: Topology) -> tuple[str, ...]:
    """Services that a finding is about: its subject, or what the touchpoint, journey or probe in it stands on."""
    name = finding.subject.name
    match finding.subject.kind:
        case SubjectKind.SERVICE:
            return (name,)
        case SubjectKind.TOUCHPOINT if name in topology.touchpoints:
            point = topology.touchpoints[name]
            return tuple(dict.fromkeys([*point.depends_on, *point.offers]))
        case SubjectKind.JOURNEY if name in topology.journeys:
            steps = topology.journeys[name].steps
            return tuple(dict.fromkeys(need for step in steps for need in topology.step_needs(step)))
        case _:
            probed = topology.probed_by(finding.probe)
            return (probed,) if probed else ()


SLACK = 1.5
"""Times as long as it should take until a lookout counts as one that saw something well: runs come late, and the first
one of a fault that is not total may pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What is hurt outside an incident, as far as somebody asks."""

    any: bool
    all_down: bool  # the subject of each is down, by this or by another of them
    latest: Instant  # onset


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How it stands with some services wherever they are watched: pairs of service and place."""

    hurt: int
    hurt_sites: int
    delays: tuple[float, ...]  # of those about which nothing is said, ascending: how soon it would be

    def surely_healthy(self, seconds: float) -> int:
        """Of how many a fault that began so long ago would have shown."""
        return bisect_right(self.delays, seconds)


def _site(attached: AttachedFinding) -> str:
    return attached.finding.subject.site


class Picture:
    """Built from all open findings when something changed; asked many times, then thrown away."""

    def __init__(
        self, topology: Topology, watch: Watch, findings: Iterable[AttachedFinding], *, at: Instant, anomaly_opens: bool
    ) -> None:
        self.topology = topology
        self.watch = watch
        self.at = at
        self.findings = tuple(findings)
        self._any: dict[str, list[AttachedFinding]] = {}
        self._hurt: dict[str, list[AttachedFinding]] = {}
        for attached in self.findings:
            for service in services_of(attached.finding, topology):
                self._any.setdefault(service, []).append(attached)
                if hurts(attached.finding, anomaly_opens=anomaly_opens):
                    self._hurt.setdefault(service, []).append(attached)
        self._unheard = frozenset(one.finding.subject.name for one in self.findings if is_of_vantage(one.finding))
        self._places: dict[tuple[str, bool], ByPlace[AttachedFinding]] = {}
        self._standing: dict[tuple[tuple[str, ...], str], Standing | None] = {}
        self._outside: dict[tuple[tuple[str, ...], str], Outside] = {}

    def lookouts(self, service: str, site: str) -> list[Lookout]:
        """What watches the service in places that overlap the site, but from vantage points that are not heard: these
        see nothing, neither good nor bad."""
        found = self.watch.lookouts(service, site)
        if not self._unheard:
            return found
        return [one for one in found if not one.vantages or not self._unheard.issuperset(one.vantages)]

    def hurting(self, service: str, site: str) -> list[AttachedFinding]:
        """Findings that say that the service is hurt there."""
        return self._overlapping(self._hurt, service, site)

    def supporting(self, service: str, site: str) -> list[AttachedFinding]:
        """Findings of any kind about the service there."""
        return self._overlapping(self._any, service, site)

    def _overlapping(
        self, found: Mapping[str, list[AttachedFinding]], service: str, site: str
    ) -> list[AttachedFinding]:
        if service not in found:
            return []
        key = (service, found is self._hurt)
        if key not in self._places:
            self._places[key] = ByPlace(found[service], _site, self.topology)
        return self._places[key].overlapping(site)

    def outside(self, services: tuple[str, ...], incident: str) -> Outside:
        """What hurts any of these services, wherever, and is of another incident."""
        key = (services, incident)
        if key not in self._outside:
            others = [one for service in services for one in self._hurt.get(service, ()) if one.incident != incident]
            down = dict.fromkeys(one.finding.subject for one in others if one.finding.quality is Quality.DOWN)
            self._outside[key] = Outside(
                any=bool(others),
                all_down=all(one.finding.subject in down for one in others),
                latest=max((one.onset for one in others), default=0.0),
            )
        return self._outside[key]

    def standing(self, services: tuple[str, ...], place: str) -> Standing | None:
        """Of these services in a place; None: nobody watches them there."""
        key = (services, place)
        if key not in self._standing:
            self._standing[key] = self._stand(services, place)
        return self._standing[key]

    def _stand(self, services: tuple[str, ...], place: str) -> Standing | None:
        watched: dict[tuple[str, str], None] = {}
        for name in services:
            watched.update(dict.fromkeys((name, one.site) for one in self.lookouts(name, place)))
        if not watched:
            return None
        hurt = {pair: None for pair in watched if pair[1] and self.hurting(*pair)}
        quiet = [pair for pair in watched if pair not in hurt and not self.supporting(*pair)]
        delays = sorted(min(one.delay_seconds for one in self.lookouts(*pair)) for pair in quiet)
        return Standing(hurt=len(hurt), hurt_sites=len(dict.fromkeys(site for _, site in hurt)), delays=tuple(delays))

    def is_watched(self, service: str, site: str) -> bool:
        return bool(self.lookouts(service, site))

    def is_healthy(self, service: str, site: str) -> bool:
        """Watched there, and no finding of any kind."""
        return self.is_watched(service, site) and not self.supporting(service, site)

    def is_healthy_within(self, service: str, site: str) -> bool:
        """Healthy, and watched at this very place or inside it ("": anywhere)."""
        inside = self.topology.inside(site) if site else ()
        looks = self.lookouts(service, site)
        return not self.supporting(service, site) and any(not site or one.site in inside for one in looks)

    def is_surely_healthy(self, service: str, site: str, since: Instant) -> bool:
        """Healthy, and long enough after `since` that a fault of then would have shown."""
        lookouts = self.lookouts(service, site)
        return (
            bool(lookouts)
            and not self.supporting(service, site)
            and self.at - since >= min(one.delay_seconds for one in lookouts)
        )

    def shows_nothing(self, service: str, site: str, since: Instant) -> bool:
        """Watched there and not hurt, though it would have shown a failure of `since` long ago: that something about it
        is unusual says nothing then."""
        lookouts = self.lookouts(service, site)
        if not lookouts or self.hurting(service, site):
            return False
        return self.at - since > SLACK * min(one.delay_seconds for one in lookouts)

    def contrary(self, service: str, site: str, since: Instant) -> tuple[list[str], list[str]]:
        """Of what stands on the service there and is watched: (surely healthy, hurt)."""
        above = [name for name in self.topology.dependents(service) if name != service]
        hurt = [name for name in above if self.hurting(name, site)]
        healthy = [name for name in above if self.is_surely_healthy(name, site, since)]
        return healthy, hurt

    def common_place(self, sites: Iterable[str]) -> str:
        """The smallest site that holds all of them; "" (everywhere) where there is none."""
        chains = [self.topology.around(site) if site else () for site in dict.fromkeys(sites)]
        first = chains[0] if chains else ()
        return next((site for site in first if all(site in chain for chain in chains)), "")
