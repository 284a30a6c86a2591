"""A small operator with its truth: services, probes, customers, and what breaks when, all from the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cemd.config.configuration import Configuration
from cemd.config.probes import Probe
from cemd.config.topology import Topology
from cemd.model.entry import Batch, CustomersLoaded, Payload, SeriesAdded
from cemd.model.identity import Instant
from cemd.model.measurement import SUCCESS, Series, SeriesKey
from cemd.model.notice import Phase
from cemd.model.quality import Outcome
from cemd.simulation.fakes import entropy
from cemd.simulation.households import customer_file
from cemd.simulation.operator import GRAPH, PLACED, PROBE_SECONDS, configuration, variant
from cemd.simulation.plan import Plan
from cemd.simulation.surroundings import FaultBegin, Surroundings
from cemd.store.base import SeriesCatalogue

LATELY_SECONDS = 1200.0
START_WALL = 1_772_000_000.0  # a Wednesday in February 2026, mid-morning in Berlin


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Truth: this service fails at this site ("" everywhere) from `begin` to `end` (monotonic seconds)."""

    service: str
    site: str
    begin: float
    end: float


class World:
    """What is so, whether anybody measures it or not."""

    round_seconds = PROBE_SECONDS
    ticks = (120.0, 30.0, 10.0)
    calls_about: tuple[str, ...] = ("", "data", "top-up")

    def __init__(self, plan: Plan, start: float) -> None:
        self.chance = entropy(plan.seed, "world")
        self.configuration = configuration(self.chance)
        self.topology = Topology(self.configuration)
        size = self.chance.randint(30, 160)
        self.customer_count = size if plan.customers is None else plan.customers
        self.begins_at = START_WALL + entropy(plan.seed, "start").uniform(0.0, 86_400.0)
        drawn = tuple(_faults(self.chance, start, start + plan.days * 86_400.0))
        self._begins = [(f"fault.{place}", fault.begin - start) for place, fault in enumerate(drawn)]
        self._broken = tuple(
            fault
            for (name, begin), fault in zip(self._begins, drawn, strict=True)
            if plan.has(name) and begin <= plan.length_seconds
        )
        self.series: list[Series] = []
        self._probe_of: list[Probe] = []
        self._numbers = 0

    @classmethod
    def of(cls, plan: Plan, start: float) -> Surroundings:
        """The small operator, as surroundings."""
        return cls(plan, start)

    def faults(self) -> Sequence[FaultBegin]:
        return self._begins

    def begin(self, catalogue: SeriesCatalogue, chance: random.Random) -> list[Payload]:
        return [SeriesAdded(series=self._numbered(catalogue)), self.customer_file(chance)]

    def _numbered(self, catalogue: SeriesCatalogue) -> tuple[Series, ...]:
        """Durable numbers of everything that is measured; those that are new."""
        keys = [
            SeriesKey(probe=probe.identity(), metric=metric, target=f"{probe.name}.test")
            for probe in self.configuration.probes
            for metric in (SUCCESS, "round_trip_seconds")
        ]
        _, fresh = catalogue.resolve("prober:home", keys, 10_000)
        self.series = [one for one in catalogue.all() if one.source == "prober:home"]
        by_identity = {probe.identity(): probe for probe in self.configuration.probes}
        self._probe_of = [by_identity[one.key.probe] for one in self.series]
        return tuple(fresh)

    def is_broken(self, service: str, site: str, at: float) -> bool:
        """True when a fault stands below the service, there and then."""
        needs = self.topology.needs(service)
        return any(
            fault.begin <= at < fault.end and fault.service in needs and self.topology.overlap(fault.site, site)
            for fault in self._broken
        )

    def was_hurt(self, customer: int, services: Sequence[str], site: str, monotonic: float) -> bool:
        del customer  # whoever has the service at the place is hurt
        return any(self._was_broken(name, site, monotonic - LATELY_SECONDS, monotonic) for name in services)

    def _was_broken(self, service: str, site: str, since: float, until: float) -> bool:
        needs = self.topology.needs(service)
        return any(
            fault.begin <= until and fault.end >= since and fault.service in needs
            and self.topology.overlap(fault.site, site)
            for fault in self._broken
        )  # fmt: skip

    def pass_round(self, chance: random.Random, monotonic: float, wall: Instant) -> list[Payload]:
        return [self._measure(chance, monotonic, wall)]

    def recheck(self, chance: random.Random, probe: str, monotonic: float, wall: Instant) -> list[Payload]:
        return [self._measure(chance, monotonic, wall, (probe,))]

    def series_numbers(self) -> tuple[int, ...]:
        return tuple(int(one.id) for one in self.series)

    def edited(self, chance: random.Random) -> Configuration:
        return variant(self.configuration, chance)

    def told(self, customer: int, phase: Phase, monotonic: float) -> None:
        """Nobody here does anything about it."""

    def _measure(self, chance: random.Random, monotonic: float, wall: float, probes: Sequence[str] = ()) -> Batch:
        """One round of all probes (or of these), with a rare false failure, rarely blind."""
        chosen = [place for place, probe in enumerate(self._probe_of) if not probes or probe.name in probes]
        values, outcomes = [], []
        blind = chance.random() < 0.002
        for place in chosen:
            probe, series = self._probe_of[place], self.series[place]
            failed = self.is_broken(probe.service, probe.site or "", monotonic) or chance.random() < 0.0005
            outcome = Outcome.BLIND if blind else Outcome.FAILED if failed else Outcome.OK
            outcomes.append(int(outcome))
            if series.key.metric == SUCCESS:
                values.append(np.nan if blind else 0.0 if failed else 1.0)
            else:
                values.append(np.nan if outcome is not Outcome.OK else 0.05 + 0.01 * chance.random())
        self._numbers += 1
        return Batch(
            source="prober:home",
            number=self._numbers,
            series=np.array([self.series[place].id for place in chosen], np.int64),
            at=np.array([wall - 2.0 * chance.random() for _ in chosen], np.float64),
            value=np.array(values, np.float64),
            outcome=np.array(outcomes, np.uint8),
        )

    def customer_file(self, chance: random.Random) -> CustomersLoaded:
        return customer_file(self.customer_count, chance)


def _faults(chance: random.Random, start: float, end: float) -> Iterator[Fault]:
    """Some six a day; many short, some long, some twice at once, some that come back."""
    at = start + chance.uniform(1800.0, 7200.0)
    while at < end - 5400.0:
        service = chance.choice(list(GRAPH))
        site = chance.choice(("", "", "east", "west")) if service in (*PLACED, "hlr", "core") else ""
        length = chance.choice((60.0, 300.0, 900.0, 1800.0, 3600.0)) * chance.uniform(0.7, 1.3)
        yield Fault(service=service, site=site, begin=at, end=at + length)
        if chance.random() < 0.3:  # it comes back
            again = at + length + chance.choice((60.0, 400.0, 1200.0))
            yield Fault(service=service, site=site, begin=again, end=again + 0.5 * length)
        if chance.random() < 0.2:  # something else at the same time
            yield Fault(service=chance.choice(list(GRAPH)), site="", begin=at + 30.0, end=at + length)
        at += length + chance.uniform(3600.0, 21_600.0)
