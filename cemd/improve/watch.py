"""Who measures what: which services have objectives that a probe or a source would break, where, and how soon.

Worked out from the configuration alone. A service that is watched and has no finding is healthy; one that nobody
watches is unknown, which is neither for nor against it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cemd.config.judged import Lookers
from cemd.config.rules import Indicator
from cemd.config.topology import Topology
from cemd.improve.places import ByPlace
from cemd.model.finding import Finding
from cemd.model.measurement import SUCCESS

MARGIN_SECONDS = 10.0  # for ticks and the run itself, on top of what the objective waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookout:
    """Something that would show it if the service were hurt, at most `delay_seconds` after it began."""

    source: str
    site: str
    delay_seconds: float
    probe: str = ""  # uid; "": pushed
    rank: int = 2
    of_success: bool = False  # it would show that nothing works
    vantages: tuple[str, ...] = ()  # from where it looks; none: pushed


RANKS = {"icmp": 1, "tcp": 1, "udp": 1, "ntp": 1, "stamp": 1, "transaction": 3, "browser": 3}
"""How much of a service a kind of probe asks: its port, a question (2, all others), a customer's whole errand."""


class Watch:
    """Read-only after it is made."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._lookouts: dict[str, list[Lookout]] = {}
        self._places: dict[str, ByPlace[Lookout]] = {}  # as far as somebody asked
        self._direct: dict[str, list[str]] = {}
        self._fingerprints: dict[str, str] = {}
        self._shows_after: dict[tuple[str, str, str], float | None] = {}
        self._ranks = {one.identity(): RANKS.get(one.kind, 2) for one in topology.configuration.probes}
        configuration = topology.configuration
        indicators = configuration.indicators
        self._rules = {one.name: one for one in reversed(indicators)}  # of one name the first counts
        self._probes = {one.identity(): one for one in reversed(configuration.probes)}
        strict = [indicator for indicator in indicators if indicator.objective is not None]
        lookers = Lookers(indicators, topology)
        self._looking: dict[str, dict[int, None]] = {}
        """By service: places of the indicators that look at a probe of it."""
        for probe in configuration.probes:
            looking = lookers.places(probe)
            self._looking.setdefault(probe.service, {}).update(dict.fromkeys(looking))
            judging = [indicators[place] for place in looking if indicators[place].objective is not None]
            if judging:
                wait = min(map(_wait, judging))
                delay = 2 * probe.every_seconds + probe.timeout_seconds + wait + MARGIN_SECONDS
                success = any(indicator.of.metric == SUCCESS for indicator in judging)
                self._add(
                    probe.service,
                    Lookout(
                        source=probe.name,
                        site=probe.site or "",
                        delay_seconds=delay,
                        probe=probe.identity(),
                        rank=RANKS.get(probe.kind, 2),
                        of_success=success,
                        vantages=configuration.settings.runs_at(probe.vantages),
                    ),
                )
        for indicator in strict:
            if indicator.of.source and indicator.of.service:
                delay = _wait(indicator) + indicator.window_seconds + MARGIN_SECONDS
                self._add(
                    indicator.of.service,
                    Lookout(source=indicator.of.source, site=indicator.of.site or "", delay_seconds=delay),
                )
        for service in topology.services.values():
            for need in service.depends_on:
                self._direct.setdefault(need, []).append(service.name)

    def lookouts(self, service: str, site: str) -> list[Lookout]:
        """What watches the service in places that overlap the site."""
        if service not in self._lookouts:
            return []
        if service not in self._places:
            self._places[service] = ByPlace(self._lookouts[service], _site, self.topology)
        return self._places[service].overlapping(site)

    def window_of(self, indicator: str) -> float:
        """Seconds over which the indicator of this name looks back, 0 without one."""
        rule = self._rules.get(indicator)
        return rule.window_seconds if rule else 0.0

    def shows_after(self, finding: Finding) -> float | None:
        """How soon whoever made the finding shows that something is hurt, at most, in seconds; None: nobody knows."""
        subject, probe = finding.subject, finding.probe if self.is_probe(finding.probe) else ""
        key = (subject.name, subject.site, probe)
        if key not in self._shows_after:
            lookouts = self.lookouts(subject.name, subject.site)
            self._shows_after[key] = max((one.delay_seconds for one in lookouts if one.probe == probe), default=None)
        return self._shows_after[key]

    def is_probe(self, name: str) -> bool:
        """Whether this is the uid of a probe; what made a finding may be a source that pushes."""
        return name in self._ranks

    def recovers_after(self, finding: Finding) -> float:
        """How soon the finding ends, at most, once what it is about is well, in seconds: when its window has passed or,
        where that holds too few looks of a slow probe, after some good looks in a row."""
        rule, probe = self._rules.get(finding.indicator), self._probes.get(finding.probe)
        window = rule.window_seconds + (rule.objective.clear_for_seconds if rule.objective else 0.0) if rule else 0.0
        looks = max(2, rule.min_samples if rule else 0)
        if probe and rule and looks * probe.every_seconds > rule.window_seconds:
            window = max(window, looks * probe.every_seconds)
        return window + (2 * probe.every_seconds + probe.timeout_seconds if probe else 0.0) + MARGIN_SECONDS

    def rank_of(self, probe: str) -> int:
        """How deep a question the probe of this uid asks."""
        return self._ranks.get(probe, 2)

    def direct_dependents(self, service: str) -> list[str]:
        return self._direct.get(service, [])

    def probes(self, service: str, site: str) -> list[str]:
        """Uids of the probes of a service, whether they have an objective or not."""
        return [
            probe.identity()
            for probe in self.topology.probes_of(service)
            if self.topology.overlap(probe.site or "", site)
        ]

    def fingerprints(self) -> dict[str, str]:
        """A digest per service of its definition and of what measures it: another digest means that it changed."""
        if not self._fingerprints:
            configuration = self.topology.configuration
            texts = [indicator.model_dump_json() for indicator in configuration.indicators]
            of_service: dict[str, list[int]] = {}
            for place, indicator in enumerate(configuration.indicators):
                if indicator.of.service is not None:
                    of_service.setdefault(indicator.of.service, []).append(place)
            for service in configuration.services:
                looking = dict.fromkeys((*self._looking.get(service.name, ()), *of_service.get(service.name, ())))
                parts = [service.model_dump_json()]
                parts += [probe.model_dump_json() for probe in self.topology.probes_of(service.name)]
                parts += [texts[place] for place in sorted(looking)]
                digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8)
                self._fingerprints[service.name] = digest.hexdigest()
        return self._fingerprints

    def _add(self, service: str, lookout: Lookout) -> None:
        self._lookouts.setdefault(service, []).append(lookout)


def _site(lookout: Lookout) -> str:
    return lookout.site


def _wait(indicator: Indicator) -> float:
    return indicator.objective.for_seconds if indicator.objective else 0.0
