"""Health of services: own indicators and findings first, then rolled up, for a service is at most as good as what it
stands on. A score is 0 to 100 or None where nothing is known; unknown parts are left out and show in the coverage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cemd.analyze.indicators.indicators import Indicators
from cemd.analyze.indicators.instances import UNKNOWN
from cemd.config.topology import Topology
from cemd.model.finding import Finding
from cemd.model.quality import Dimension, Quality, worst
from cemd.model.subject import SubjectKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One indicator instance as the roll-ups see it."""

    name: str
    service: str
    touchpoint: str
    dimension: Dimension
    weight: float
    score: float | None
    samples: int
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`weakest` names the service that decides the score, "" where nothing is known."""

    score: float | None
    quality: Quality
    weakest: str = ""


@dataclass(frozen=True, slots=True)
class Healths:
    """Of every service: by its own readings, and rolled up over what it stands on."""

    own: dict[str, Health]
    rolled: dict[str, Health] = field(default_factory=dict)

    def of(self, service: str) -> Health:
        return self.rolled.get(service, Health(score=None, quality=Quality.UNKNOWN))


def mean(parts: Iterable[tuple[float | None, float]]) -> tuple[float | None, float]:
    """Weighted mean of what is known, and the share of the weight that is known; `parts` are (score, weight)."""
    total = known = weighted = 0.0
    for score, weight in parts:
        total += weight
        if score is not None:
            known += weight
            weighted += score * weight
    return (weighted / known if known else None), (known / total if total else 0.0)


def readings(indicators: Indicators) -> tuple[Reading, ...]:
    """Every instance, in order."""
    scores = indicators.scores().tolist()
    quality, samples = indicators.columns["quality"], indicators.columns["samples"]

    def read(number: int) -> Reading:
        one = indicators.instances[number]
        return Reading(
            name=one.indicator.name,
            service=one.service,
            touchpoint=one.touchpoint,
            dimension=one.indicator.dimension,
            weight=one.indicator.weight,
            score=None if quality[number] == UNKNOWN else scores[number],
            samples=int(samples[number]),
            quality=indicators.quality_of(number),
        )

    return indicators.readings.all(indicators.columns, indicators.index, read)


def healths(topology: Topology, seen: Sequence[Reading], findings: Iterable[Finding]) -> Healths:
    """Health of all services of the catalogue, and of those that only indicators name."""
    by_service: dict[str, list[Reading]] = {name: [] for name in topology.services}
    for one in seen:
        by_service.setdefault(one.service, []).append(one)
    qualities = {name: [one.quality for one in held] for name, held in by_service.items()}
    for finding in findings:
        if finding.subject.kind is not SubjectKind.VANTAGE and finding.subject.name in qualities:
            qualities[finding.subject.name].append(finding.quality)
    own = {}
    for name, held in by_service.items():
        score, _ = mean((one.score, one.weight) for one in held)
        own[name] = Health(score=score, quality=worst(qualities[name]), weakest=name if score is not None else "")
    return Healths(own, {name: _rolled(topology, own, name) for name in own})


def _rolled(topology: Topology, own: dict[str, Health], service: str) -> Health:
    below = [own[name] for name in topology.needs(service) if name in own]
    known = [one for one in below if one.score is not None]
    weakest = min(known, key=lambda one: one.score or 0.0, default=None)
    quality = worst([one.quality for one in below])
    if weakest is None:
        return Health(score=None, quality=quality)
    return Health(score=weakest.score, quality=quality, weakest=weakest.weakest)
