"""A small world in virtual time for the tests of analyze: a catalogue, a few probes, and a clock that tests turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from cemd.analyze import stage
from cemd.config.catalogue import (
    Domain,
    Journey,
    Process,
    Service,
    Step,
    Touchpoint,
    TouchpointChannel,
)
from cemd.config.configuration import Configuration
from cemd.config.probes import Probe
from cemd.config.rules import Indicator, Objective, Score, Selector, Summary
from cemd.config.topology import Topology
from cemd.model.entry import Batch, ClockStepped, ConfigEpoch, Entry, Payload, SeriesAdded, Started, Tick
from cemd.model.finding import Condition, Finding, FindingPhase
from cemd.model.identity import series_id
from cemd.model.measurement import Series, SeriesKey
from cemd.model.quality import Dimension, Outcome

T0 = 1_780_000_000.0


def service(name: str, *depends_on: str, sold: bool = False, domain: Domain = Domain.BSS) -> Service:
    return Service(name=name, function="any", domain=domain, platform="any", depends_on=list(depends_on), sold=sold)


def probe(
    name: str,
    of: str,
    touchpoint: str | None = None,
    every_seconds: float = 10.0,
    vantages: tuple[str, ...] = (),
) -> Probe:
    return Probe(
        name=name,
        kind="http",
        service=of,
        touchpoint=touchpoint,
        vantages=vantages,
        every_seconds=every_seconds,
        timeout_seconds=5.0,
    )


def success_indicator(**changes: object) -> Indicator:
    given: dict[str, object] = {
        "name": "availability",
        "of": Selector(metric="success"),
        "summary": Summary.RATIO,
        "window_seconds": 120.0,
        "dimension": Dimension.RELIABILITY,
        "score": Score(worst=0.8, best=1.0),
        "objective": Objective(at_least=0.9, warn_at=0.97, for_seconds=60.0, clear_for_seconds=60.0),
        "source": "test",
    }
    return Indicator.model_validate({**given, **changes})


def delay_indicator(**changes: object) -> Indicator:
    given: dict[str, object] = {
        "name": "delay",
        "of": Selector(metric="total_seconds"),
        "summary": Summary.P95,
        "window_seconds": 120.0,
        "dimension": Dimension.RESPONSIVENESS,
        "score": Score(worst=2.0, best=0.2),
        "objective": Objective(at_most=1.0, warn_at=0.5, for_seconds=30.0, clear_for_seconds=30.0),
        "source": "test",
    }
    return Indicator.model_validate({**given, **changes})


def configuration(**changes: object) -> Configuration:
    given: dict[str, object] = {
        "services": [
            service("top-up", "payment", sold=True),
            service("payment", "core"),
            service("core", domain=Domain.NETWORK),
        ],
        "touchpoints": [Touchpoint(name="app", channel=TouchpointChannel.APP, offers=["top-up"])],
        "processes": [Process(name="pay", domain="billing")],
        "journeys": [
            Journey(
                name="top-up-now",
                macro_journey="use",
                stage="use",
                process="pay",
                owner="sales",
                steps=[
                    Step(name="choose", touchpoint="app", needs=["core"]),
                    Step(name="pay", touchpoint="app", needs=["payment"], moment_of_truth=True),
                ],
            )
        ],
        "probes": [probe("pay-web", "payment", "app"), probe("core-ping", "core")],
        "indicators": [success_indicator(), delay_indicator()],
    }
    return Configuration.model_validate({**given, **changes})


def series(serial: int, probe_uid: str, metric: str, source: str = "prober:home", **labels: str) -> Series:
    key = SeriesKey(probe=probe_uid, metric=metric, labels=tuple(sorted(labels.items())))
    return Series(id=series_id(key.probe, serial), key=key, source=source)


class World:
    """Drives `handle` entry by entry; keeps what was found."""

    def __init__(self, config: Configuration | None = None, known: Sequence[Series] = ()) -> None:
        self.state = stage.AnalyzeState()
        self.topology = Topology(Configuration())
        self.seq = 0
        self.now = T0
        self.found: list[Finding] = []
        self.numbers = itertools.count(1)
        self.reload(config or configuration())
        self.series: dict[tuple[str, str], Series] = {}
        self.add(known or [series(0, "pay-web", "success"), series(1, "pay-web", "total_seconds")])

    def give(self, payload: Payload) -> Sequence[Finding]:
        self.seq += 1
        found = stage.handle(self.state, Entry(seq=self.seq, at=self.now, payload=payload), self.topology)
        self.found.extend(found)
        return found

    def reload(self, config: Configuration) -> None:
        document = config.document()
        self.topology = Topology(Configuration.from_document(document))
        self.give(ConfigEpoch(hash="x", author="test", document=document))

    def add(self, known: Iterable[Series]) -> None:
        added = tuple(known)
        self.series.update({(one.key.probe, one.key.metric): one for one in added})
        self.give(SeriesAdded(series=added))

    def samples(
        self,
        *given: tuple[Series, float] | tuple[Series, float, Outcome],
        at: float | None = None,
        source: str = "prober:home",
    ) -> None:
        when = self.now if at is None else at
        self.give(
            Batch(
                source=source,
                number=next(self.numbers),
                series=np.array([one[0].id for one in given], np.int64),
                at=np.full(len(given), when),
                value=np.array([one[1] for one in given], np.float64),
                outcome=np.array([one[2] if len(one) > 2 else 0 for one in given], np.uint8),
            )
        )

    def tick(self, seconds: float = 0.0) -> Sequence[Finding]:
        self.now += seconds
        return self.give(Tick())

    def run(self, seconds: float, success: float | None = 1.0, delay: float | None = 0.1, every: float = 10.0) -> None:
        """Time passes: a measurement of pay-web every `every` seconds, a tick every 2."""
        ok, slow = self.series[("pay-web", "success")], self.series[("pay-web", "total_seconds")]
        end = self.now + seconds
        while self.now < end - 1e-6:
            if (self.now - T0) % every < 1e-6:
                given = [(one, value) for one, value in ((ok, success), (slow, delay)) if value is not None]
                if given:
                    self.samples(*given)
            self.tick(2.0)

    def open(self, condition: Condition) -> list[Finding]:
        return [one for one in self.state.findings if one.condition is condition]

    def phases(self, condition: Condition) -> list[FindingPhase]:
        return [one.phase for one in self.found if one.condition is condition]

    def restart(self, *, version: str = "test") -> None:
        """Snapshot, a new state, restore, `Started`."""
        blocks = stage.snapshot(self.state)
        self.state = stage.AnalyzeState()
        stage.restore(self.state, blocks, self.topology)
        self.give(Started(version=version))

    def step_clock(self, seconds: float) -> None:
        self.now += max(0.0, seconds)
        self.give(ClockStepped(seconds=seconds))
