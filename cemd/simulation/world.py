"""A small operator with its truth: services, probes, customers, and what breaks when, all from the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cemd.config.catalogue import Domain, Journey, Process, Service, Site, Step, Touchpoint, TouchpointChannel
from cemd.config.channels import Channel, Route
from cemd.config.configuration import Configuration
from cemd.config.probes import Probe
from cemd.config.rules import (
    Cap,
    Grouping,
    Indicator,
    Objective,
    Policy,
    QuietHours,
    RecheckPlaybook,
    Score,
    Selector,
    Summary,
    Texts,
)
from cemd.config.settings import Operator, Settings
from cemd.config.topology import Topology
from cemd.model.customers import COLUMNS, CustomerFlag, LawfulBasis
from cemd.model.entry import Batch, CustomersLoaded, Payload, SeriesAdded
from cemd.model.identity import Instant, stable_hash
from cemd.model.measurement import SUCCESS, Series, SeriesKey
from cemd.model.notice import MessageClass, Mode, Phase
from cemd.model.quality import Dimension, Outcome
from cemd.simulation.fakes import entropy
from cemd.simulation.plan import Plan
from cemd.simulation.surroundings import FaultBegin, Surroundings
from cemd.store.base import SeriesCatalogue

PROBE_SECONDS = 120.0
LATELY_SECONDS = 1200.0
START_WALL = 1_772_000_000.0  # a Wednesday in February 2026, mid-morning in Berlin
GRAPH: dict[str, tuple[str, ...]] = {
    "data": ("hlr", "core"),
    "voice": ("hlr", "core"),
    "top-up": ("payment", "crm"),
    "emergency": ("core",),
    "shop": ("crm",),
    "hlr": (),
    "core": (),
    "payment": (),
    "crm": (),
}
SOLD = ("data", "voice", "top-up", "emergency", "shop")
SITES = ("land", "east", "west")
PLACED = ("data", "voice", "emergency")  # these have a probe per region, the others one without a place
ZONES = ("Europe/Berlin", "Asia/Tokyo", "America/Lima", "")
_TEXT = Texts(
    first_subject="{{ service }}",
    first="{{ service }} is disturbed since {{ since }}.",
    over_subject="{{ service }}",
    over="{{ service }} works again.",
    correction_subject="{{ service }}",
    correction="{{ service }} is disturbed again.",
)


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
        """As it is today: a few people move, change their mind, or share an address."""
        count = self.customer_count
        number = np.arange(count, dtype="<u4")
        if chance.random() < 0.5:  # some have left
            number = number[np.array([chance.random() > 0.05 for _ in range(count)], bool)]
        rows = [_person(int(person), chance) for person in number]
        columns: dict[str, Any] = {
            name: np.array([row[name] for row in rows], dtype) for name, dtype in COLUMNS.items()
        }
        return CustomersLoaded(
            source="customers.csv",
            replace=True,
            sites=("east", "west", ""),
            services=SOLD,
            segments=("private", "business"),
            languages=("en", "de"),
            zones=ZONES,
            columns={"number": number, **columns},
        )


def _person(number: int, chance: random.Random) -> dict[str, int]:
    """Site and services stay with the number; the rest is as the file says today."""
    fixed = entropy(number, "person")
    site, services = fixed.randrange(3), 1 + fixed.randrange(31)
    mail = f"family{number // 2}@example.test" if fixed.random() < 0.1 else f"{number}@example.test"
    flags = int(CustomerFlag.PRESENT)
    for flag, share in (
        (CustomerFlag.MACHINE, 0.05),
        (CustomerFlag.CRITICAL, 0.02),
    ):
        flags |= int(flag) if fixed.random() < share else 0
    flags |= int(CustomerFlag.ABROAD) if chance.random() < 0.12 else 0
    flags |= int(CustomerFlag.UNSUBSCRIBED) if chance.random() < 0.05 else 0
    bases = (
        0,
        int(LawfulBasis.CONTRACT),
        int(LawfulBasis.CONTRACT | LawfulBasis.VITAL_INTEREST),
        int(LawfulBasis.CONSENT),
    )
    channels = fixed.choice((0, 1, 2, 3, 3, 3))
    return {
        "site": site,
        "services": services,
        "segment": fixed.randrange(2),
        "language": fixed.randrange(2),
        "zone": fixed.randrange(len(ZONES)),
        "basis": fixed.choices(bases, (1, 6, 6, 1))[0],
        "channels": channels,
        "preferred": fixed.choice((0, 1, 255)),
        "flags": flags,
        "digest_email": _digest(mail) if channels & 1 else 0,
        "digest_sms": _digest(f"+49{number}") if channels & 2 else 0,
        "digest_webhook": 0,
    }


def _digest(address: str) -> int:
    return stable_hash(address) >> 1


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


def configuration(chance: random.Random) -> Configuration:
    """The files of this operator, with short times so that a day holds many lives of an incident."""
    probes = [
        Probe(
            name=f"{name}-{site}" if site else name,
            kind="tcp",
            service=name,
            site=site,
            every_seconds=PROBE_SECONDS,
            timeout_seconds=5.0,
            params={"target": "192.0.2.1", "port": 1},
        )
        for name in GRAPH
        for site in (("east", "west") if name in PLACED else (None,))
    ]
    return Configuration(
        settings=Settings(operator=Operator(name="Sim", zone="Europe/Berlin")),
        services=[_service(name) for name in GRAPH],
        sites=[Site(name="land"), Site(name="east", parent="land"), Site(name="west", parent="land")],
        touchpoints=[
            Touchpoint(name="app", channel=TouchpointChannel.APP, offers=["top-up"]),
            Touchpoint(name="pos", channel=TouchpointChannel.SHOP, offers=["shop"], site="west"),
        ],
        processes=[Process(name="sell", domain="selling")],
        journeys=[
            Journey(
                name="pay",
                macro_journey="use",
                stage="use",
                process="sell",
                owner="finance",
                steps=[
                    Step(name="choose", touchpoint="app"),
                    Step(name="charge", touchpoint="app", needs=["payment"], moment_of_truth=True),
                ],
            )
        ],
        probes=probes,
        indicators=[
            Indicator(
                name="success-ratio",
                of=Selector(kind="tcp", metric=SUCCESS),
                summary=Summary.RATIO,
                window_seconds=2.5 * PROBE_SECONDS,
                min_samples=2,
                dimension=Dimension.RELIABILITY,
                score=Score(worst=0.0, best=1.0),
                objective=Objective(at_least=0.6, for_seconds=chance.choice((0.0, 60.0)), clear_for_seconds=60.0),
                source="simulation",
            )
        ],
        grouping=Grouping(stable_seconds=300.0, relapse_within_seconds=1800.0, join_within_seconds=600.0),
        playbooks=[RecheckPlaybook(name="again")],
        policies=_policies(chance),
        channels=[
            Channel(name="mail", kind="email", to="customers", params={"address": "email"}, depends_on=["crm"]),
            Channel(name="text", kind="webhook", to="customers", params={"address": "sms"}, depends_on=["core"]),
            Channel(name="pager", kind="webhook", to="staff"),
        ],
        routes=[
            Route(name="noc", channel="pager"),
            Route(name="finance", channel="pager", owners=["finance"], qualities=["down"]),
        ],
    )


def _service(name: str) -> Service:
    return Service(
        name=name,
        function="f",
        domain=Domain.NETWORK if name in ("hlr", "core", "data", "voice") else Domain.IT,
        platform="p",
        depends_on=list(GRAPH[name]),
        sold=name in SOLD,
        critical=name == "emergency",
    )


def _policies(chance: random.Random) -> list[Policy]:
    quiet = QuietHours(start="22:00", end="07:00") if chance.random() < 0.7 else None
    common: dict[str, Any] = {
        "channels": ["mail", "text"],
        "hold_seconds": 60.0,
        "decide_by_seconds": 900.0,
        "stable_seconds": 600.0,
        "relapse_within_seconds": 1800.0,
        "join_within_seconds": 3600.0,
        "valid_for_seconds": 1800.0,
        "texts": {"en": _TEXT, "de": _TEXT},
    }
    return [
        Policy(
            name="outage",
            services=["data", "voice", "top-up"],
            mode=Mode.LIVE,
            ceiling=chance.choice((5, 15, 500)),
            bases=["contract", "consent"],
            quiet_hours=quiet,
            caps=[Cap(most=chance.choice((2, 4, 6)), window_seconds=86_400.0)],
            **common,
        ),
        Policy(
            name="emergency",
            services=["emergency"],
            message_class=MessageClass.SAFETY,
            mode=Mode.LIVE,
            ceiling=500,
            bases=["vital_interest", "legal_duty"],
            quiet_hours=quiet,
            **common,
        ),
        Policy(name="shop-news", services=["shop"], mode=Mode.SHADOW, bases=["contract"], quiet_hours=quiet, **common),
    ]


def variant(configuration: Configuration, chance: random.Random) -> Configuration:
    """The same operator after somebody edited the files, validly."""
    match chance.randrange(5):
        case 0:  # another target
            objective = Objective(at_least=chance.choice((0.5, 0.6, 0.7)), clear_for_seconds=60.0)
            indicators = [one.model_copy(update={"objective": objective}) for one in configuration.indicators]
            return configuration.model_copy(update={"indicators": indicators})
        case 1:  # a policy goes to shadow, or back
            policies = [
                one.model_copy(
                    update={"mode": Mode.SHADOW if one.mode is Mode.LIVE and one.name == "outage" else one.mode}
                )
                for one in configuration.policies
            ]
            return configuration.model_copy(update={"policies": policies})
        case 2:  # a service is retired with its probe
            gone = chance.choice(("shop", "emergency"))
            return configuration.model_copy(
                update={
                    "services": [one for one in configuration.services if one.name != gone],
                    "probes": [one for one in configuration.probes if one.service != gone],
                    "policies": [one for one in configuration.policies if gone not in one.services],
                    "touchpoints": [one for one in configuration.touchpoints if gone not in one.offers],
                }
            )
        case 3:  # another ceiling
            policies = [
                one.model_copy(update={"ceiling": chance.choice((10, 60, 500)) if one.ceiling else None})
                for one in configuration.policies
            ]
            return configuration.model_copy(update={"policies": policies})
        case _:  # one more route
            routes = [*configuration.routes, Route(name="extra", channel="pager", qualities=["down"])]
            return configuration.model_copy(update={"routes": routes})
