"""The catalogue compiled into a graph: what needs what, which site lies in which, which step stands on which service.

Services that depend on each other in a circle are condensed into one component: each of them needs all of them, and a
warning says so. Every tuple is in the order of the files, so that nothing depends on the order of sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cemd.config.catalogue import Journey, Service, Site, Step, Touchpoint
from cemd.config.configuration import Configuration
from cemd.config.probes import Probe


@dataclass(frozen=True, slots=True)
class StepAt:
    """A step in its journey."""

    journey: Journey
    step: Step

    @property
    def path(self) -> str:
        return f"{self.journey.name}/{self.step.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What a vantage point is to do."""

    name: str
    title: str
    probes: int
    every_seconds: float  # of the probe that runs most often
    services: tuple[str, ...]  # that are measured from there


class Topology:
    """Read-only after it is made. Unknown names answer with themselves alone, so that retired things stay harmless."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.services: dict[str, Service] = {service.name: service for service in configuration.services}
        self.sites: dict[str, Site] = {site.name: site for site in configuration.sites}
        self.site_titles = {site.name: site.title for site in configuration.sites if site.title}
        self.touchpoints: dict[str, Touchpoint] = {point.name: point for point in configuration.touchpoints}
        self.journeys: dict[str, Journey] = {journey.name: journey for journey in configuration.journeys}
        self._probes_of: dict[str, list[Probe]] = {}
        for probe in configuration.probes:
            self._probes_of.setdefault(probe.service, []).append(probe)
        self._probed = {probe.identity(): probe.service for probe in reversed(configuration.probes)}  # the first counts
        self._order = {name: place for place, name in enumerate(self.services)}
        self._needs = self._closed({name: self._known(service.depends_on) for name, service in self.services.items()})
        self._dependents = self._inverse(self._needs)
        self._children: dict[str, list[str]] = {}
        for site in configuration.sites:
            self._children.setdefault(site.parent or "", []).append(site.name)
        self._around = {name: self._chain(name) for name in self.sites}
        self._inside: dict[str, tuple[str, ...]] = {}  # as far as somebody asked
        self._steps = [StepAt(journey, step) for journey in configuration.journeys for step in journey.steps]
        self.posts = _posts(configuration)
        """Vantage points that have something to measure, by name."""
        self.warnings = self._cycles()

    def probes_of(self, service: str) -> Sequence[Probe]:
        """The probes of a service itself, in file order."""
        return self._probes_of.get(service, ())

    def probed_by(self, probe: str) -> str:
        """The service that the probe of this uid measures; "": there is none."""
        return self._probed.get(probe, "")

    def needs(self, service: str) -> tuple[str, ...]:
        """The service and everything it stands on, directly or not; nearest first."""
        return self._needs.get(service, (service,))

    def dependents(self, service: str) -> tuple[str, ...]:
        """The service and everything that stands on it, directly or not, in file order after the service itself."""
        return self._dependents.get(service, (service,))

    def sold(self, service: str) -> tuple[str, ...]:
        """The sold services that a failure of this service hurts."""
        return tuple(name for name in self.dependents(service) if name in self.services and self.services[name].sold)

    def depth(self, service: str) -> int:
        """How many services stand on it: the deeper, the likelier a common cause."""
        return len(self.dependents(service)) - 1

    def inside(self, site: str) -> tuple[str, ...]:
        """The site and all sites within it."""
        known = self._inside.get(site)
        if known is None:
            names = {site: None}
            queue = [site]
            for name in queue:  # grows while it is walked: breadth first
                fresh = [child for child in self._children.get(name, []) if child not in names]
                names.update(dict.fromkeys(fresh))
                queue.extend(fresh)
            known = self._inside[site] = tuple(names)
        return known

    def around(self, site: str) -> tuple[str, ...]:
        """The site and all sites it lies in, innermost first."""
        return self._around.get(site, (site,))

    def _chain(self, site: str) -> tuple[str, ...]:
        names = [site]
        while (parent := self.sites[names[-1]].parent if names[-1] in self.sites else None) and parent not in names:
            names.append(parent)
        return tuple(names)

    def overlap(self, one: str, other: str) -> bool:
        """True when one site lies in the other, they are the same, or either is "" (everywhere)."""
        if not one or not other or one == other:
            return True
        return one in self._around.get(other, ()) or other in self._around.get(one, ())

    def zone(self, site: str) -> str | None:
        """Time zone of a site: its own, else the nearest around it that has one."""
        return next(
            (zone for name in self.around(site) if name in self.sites and (zone := self.sites[name].zone)), None
        )

    def step_needs(self, step: Step) -> tuple[str, ...]:
        """Services that a step stands on directly: its own needs and those of its touchpoint."""
        point = self.touchpoints.get(step.touchpoint)
        return tuple(dict.fromkeys([*step.needs, *(point.depends_on if point else [])]))

    def steps_hurt_by(self, service: str) -> tuple[StepAt, ...]:
        """Steps that stand on the service, directly or through others."""
        hurt = set(self.dependents(service))
        return tuple(at for at in self._steps if not hurt.isdisjoint(self.step_needs(at.step)))

    def steps(self) -> tuple[StepAt, ...]:
        return tuple(self._steps)

    def touchpoints_on(self, service: str) -> tuple[str, ...]:
        """Touchpoints that offer the service or something that stands on it, or that stand on it themselves."""
        hurt = set(self.dependents(service))
        return tuple(
            point.name for point in self.touchpoints.values() if not hurt.isdisjoint([*point.offers, *point.depends_on])
        )

    def same_component(self, one: str, other: str) -> bool:
        """True when both services need each other: one component of a cycle."""
        return other in self.needs(one) and one in self.needs(other)

    def _known(self, names: list[str]) -> list[str]:
        return [name for name in names if name in self.services]

    def _closed(self, direct: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
        closed = {}
        for name in direct:
            seen = {name: None}
            queue = [name]
            for place in queue:  # grows while it is walked: breadth first, so the nearest come first
                fresh = [need for need in direct[place] if need not in seen]
                seen.update(dict.fromkeys(fresh))
                queue.extend(dict.fromkeys(fresh))
            closed[name] = tuple(seen)
        return closed

    def _inverse(self, needs: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        dependents: dict[str, dict[str, None]] = {name: {name: None} for name in needs}
        for name, below in needs.items():
            for need in below:
                dependents[need][name] = None
        return {name: tuple(above) for name, above in dependents.items()}

    def _cycles(self) -> tuple[str, ...]:
        """One warning for each component of more than one service."""
        seen: set[str] = set()
        warnings = []
        for name, below in self._needs.items():
            circle = [other for other in below if other != name and name in self._needs[other]]
            if circle and name not in seen:
                members = sorted([name, *circle], key=self._order.__getitem__)
                seen.update(members)
                warnings.append(f"services {', '.join(members)} depend on each other in a circle; they count as one.")
        return tuple(warnings)


def _posts(configuration: Configuration) -> dict[str, Post]:
    settings = configuration.settings
    runs: dict[str, list[Probe]] = {}
    for probe in configuration.probes:
        for name in settings.runs_at(probe.vantages):
            runs.setdefault(name, []).append(probe)
    titles = {one.name: one.title for one in settings.vantages}
    return {
        name: Post(
            name=name,
            title=titles.get(name) or name,
            probes=len(probes),
            every_seconds=min(probe.every_seconds for probe in probes),
            services=tuple(dict.fromkeys(probe.service for probe in probes)),
        )
        for name, probes in sorted(runs.items())
    }
