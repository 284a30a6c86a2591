"""A small operator and a driver of improve's door, for tests."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from cemd.config.catalogue import Domain, Journey, Service, Site, Step, Touchpoint, TouchpointChannel
from cemd.config.configuration import Configuration
from cemd.config.probes import Probe
from cemd.config.rules import Grouping, Indicator, Objective, RecheckPlaybook, Score, Selector, Summary
from cemd.config.topology import Topology
from cemd.improve.stage import ImproveState, handle
from cemd.model.customers import COLUMNS, CustomerFlag, Customers
from cemd.model.effect import Effects
from cemd.model.entry import Command, CommandKind, CustomersLoaded, Entry, Payload, Started, Tick
from cemd.model.finding import Condition, Evidence, Finding, FindingPhase
from cemd.model.incident import Incident, IncidentEvent
from cemd.model.quality import Dimension, Quality
from cemd.model.rows import RowChange
from cemd.model.subject import Subject, SubjectKind

NOON = 1_790_000_000.0

# service: what it depends on. mobile-data and top-up are sold; hlr and payment are shared; crm has no probe.
GRAPH: dict[str, list[str]] = {
    "mobile-data": ["hlr", "core"],
    "sms": ["hlr"],
    "top-up": ["payment", "crm"],
    "shop": ["payment", "crm"],
    "portal": ["crm"],
    "hlr": ["database"],
    "payment": [],
    "crm": [],
    "core": [],
    "database": [],
    "emergency": ["core"],
}
UNWATCHED = ("crm", "database")


def configuration(*, grouping: Grouping | None = None, graph: dict[str, list[str]] | None = None) -> Configuration:
    graph = graph or GRAPH
    sold = ("mobile-data", "sms", "top-up", "shop", "portal", "emergency")
    return Configuration(
        services=[
            Service(
                name=name,
                function="f",
                domain=Domain.IT,
                platform="p",
                depends_on=needs,
                sold=name in sold,
                critical=name == "emergency",
            )
            for name, needs in graph.items()
        ],
        sites=[Site(name="land"), Site(name="east", parent="land"), Site(name="west", parent="land")],
        touchpoints=[
            Touchpoint(name="app", channel=TouchpointChannel.APP, offers=["top-up"]),
            Touchpoint(name="pos", channel=TouchpointChannel.SHOP, offers=["shop"], site="west"),
        ],
        journeys=[
            Journey(
                name="pay",
                macro_journey="m",
                stage="s",
                process="p",
                owner="o",
                steps=[
                    Step(name="choose", touchpoint="app"),
                    Step(name="charge", touchpoint="app", needs=["top-up"], moment_of_truth=True),
                ],
            )
        ],
        probes=[
            Probe(
                name=f"probe-{name}",
                kind="tcp",
                service=name,
                every_seconds=30.0,
                timeout_seconds=5.0,
            )
            for name in graph
            if name not in UNWATCHED
        ],
        indicators=[
            Indicator(
                name="success",
                of=Selector(kind="tcp", metric="success"),
                summary=Summary.RATIO,
                window_seconds=60.0,
                dimension=Dimension.RELIABILITY,
                score=Score(worst=0.0, best=1.0),
                objective=Objective(at_least=0.9, for_seconds=30.0),
                source="the house",
            )
        ],
        grouping=grouping or Grouping(),
        playbooks=[RecheckPlaybook(name="again")],
    )


def customers(count: int = 100) -> CustomersLoaded:
    """Customers 0..count-1: even ones have mobile-data, every fifth has top-up; a third each in east, west, nowhere."""
    number = np.arange(count)
    columns = {name: np.zeros(count, dtype) for name, dtype in COLUMNS.items()}
    columns["number"] = number.astype("<u4")
    columns["site"] = (number % 3).astype("<u2")
    columns["services"] = ((number % 2 == 0) * 1 + (number % 5 == 0) * 2).astype("<u8")
    columns["flags"] = np.full(count, int(CustomerFlag.PRESENT), "|u1")
    return CustomersLoaded(
        source="test",
        replace=True,
        sites=("east", "west", ""),
        services=("mobile-data", "top-up"),
        segments=("s",),
        languages=("en",),
        zones=("UTC",),
        columns=columns,
    )


class House:
    """Drives the door as `step` does, and can be taken down to its rows and built up again at any moment."""

    def __init__(self, config: Configuration | None = None, *, population: int = 0) -> None:
        self.topology = Topology(config or configuration())
        self.state = ImproveState()
        self.customers = Customers()
        if population:
            self.customers.load(customers(population))
        self.at = NOON
        self.seq = 0
        self.stored: dict[str, dict[str, bytes]] = {table.table: {} for table in self.state.tables()}
        self.effects = Effects()
        self.log: list[IncidentEvent] = []
        self.open: dict[str, Finding] = {}

    def enter(self, payload: Payload, findings: Sequence[Finding] = (), *, after: float = 0.0) -> list[IncidentEvent]:
        self.at += after
        self.seq += 1
        entry = Entry(seq=self.seq, at=self.at, payload=payload)
        self.effects = Effects()
        events = list(handle(self.state, entry, findings, self.topology, self.customers, self.effects))
        for table in self.state.tables():
            for change in table.take_changes():
                self._store(change)
        self.log.extend(events)
        return events

    def tick(self, *findings: Finding, after: float = 2.0) -> list[IncidentEvent]:
        for finding in findings:
            if finding.phase is FindingPhase.ENDED:
                self.open.pop(finding.id, None)
            else:
                self.open[finding.id] = finding
        return self.enter(Tick(), findings, after=after)

    def command(self, kind: CommandKind, subject: str, *, actor: str = "ana", note: str = "") -> list[IncidentEvent]:
        return self.enter(Command(kind=kind, actor=actor, subject=subject, note=note))

    def start_again(self, *gone: str) -> list[IncidentEvent]:
        """As after kill -9: nothing but the rows is left; findings `gone` ended meanwhile."""
        self.reload_rows()
        for key in gone:
            self.open.pop(key, None)
        stated = [msgspec.structs.replace(one, phase=FindingPhase.OPEN) for one in self.open.values()]
        return self.enter(Started(version="test"), stated)

    def reload_rows(self) -> None:
        self.state = ImproveState()
        for table in self.state.tables():
            table.load(iter(list(self.stored[table.table].items())))

    def wait(self, seconds: float) -> None:
        self.at += seconds

    @property
    def incidents(self) -> list[Incident]:
        return list(self.state.incidents)

    def only(self) -> Incident:
        assert len(self.incidents) == 1, [str(one.subject) for one in self.incidents]
        return self.incidents[0]

    def began(
        self,
        service: str,
        site: str = "",
        *,
        condition: Condition = Condition.OBJECTIVE_BROKEN,
        quality: Quality = Quality.DOWN,
        since: float | None = None,
        probe: str | None = None,
    ) -> Finding:
        return Finding(
            id=f"f-{service}-{site}-{condition}-{self.seq}",
            trace=f"t-{service}",
            condition=condition,
            phase=FindingPhase.BEGAN,
            quality=quality,
            subject=Subject(kind=SubjectKind.SERVICE, name=service, site=site),
            indicator="success",
            probe=f"probe-{service}" if probe is None else probe,
            began_at=self.at + 2.0,
            at=self.at + 2.0,
            seq=self.seq + 1,
            epoch="e",
            evidence=Evidence(since=since or self.at),
        )

    def ended(self, finding: Finding) -> Finding:
        return msgspec.structs.replace(finding, phase=FindingPhase.ENDED)

    def _store(self, change: RowChange) -> None:
        if change.body is None:
            self.stored[change.table].pop(change.key, None)
        else:
            self.stored[change.table][change.key] = change.body
