"""The edges of the daemon, wired: doors for measurements, senders of notices and alerts, customers from their file.

Entering starts them in the order in which they need each other, leaving ends producers before senders.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import structlog
from prometheus_client import CollectorRegistry

from cemd.analyze import stage as analyze
from cemd.config.configuration import Configuration, hash_of
from cemd.config.names import Names
from cemd.config.settings import MqttIntake as MqttSettings
from cemd.config.topology import Topology
from cemd.daemon.evidence import Evidence
from cemd.daemon.outlet import Taker as EffectTaker
from cemd.daemon.places import Places
from cemd.errors import CemdError, ConfigError, Fault
from cemd.kit.clock import SystemClock
from cemd.kit.logs import SaidOnce
from cemd.kit.tasks import keep_running
from cemd.loop.sequencer import Sequencer
from cemd.model.effect import Effects
from cemd.model.entry import Entry
from cemd.monitor.intake import Complaint, MqttIntake, ProberServer, Push, SeriesBook, Taker
from cemd.monitor.metrics import monitor_metrics
from cemd.report.customers import load_customers
from cemd.report.edge import Edge
from cemd.report.metrics import ReportMetrics
from cemd.store.sqlite import SqliteStore

log = structlog.get_logger("cemd")


class Edges:
    """Owned by the house; everything here lives on the event loop."""

    def __init__(
        self,
        configuration: Configuration,
        where: Places,
        store: SqliteStore,
        sequencer: Sequencer,
        registry: CollectorRegistry,
        *,
        root: Path,
    ) -> None:
        settings = configuration.settings
        self.evidence = Evidence(structlog.get_logger("cemd.monitor"), store.evidence)
        self.registry = registry
        self._configuration = configuration
        self._root = root
        self._store = store
        self._sequencer = sequencer
        self._clock = SystemClock()
        self._said = SaidOnce(log)
        self._metrics = monitor_metrics(registry)
        self.book = SeriesBook(store.series.resolve, sequencer.submit, max_series=settings.intake.max_series)
        self._taker = Taker(
            self.book,
            sequencer.submit,
            clock=self._clock,
            metrics=self._metrics,
            log=structlog.get_logger("cemd.monitor"),
        )
        self.push = Push(self._taker, settings.intake.http)
        self.prober = ProberServer(
            where.socket,
            self.book,
            sequencer.submit,
            clock=self._clock,
            metrics=self._metrics,
            log=structlog.get_logger("cemd.monitor"),
            on_attempts=self.evidence.take,
            last_number=lambda source: analyze.last_number(sequencer.core.state.analyze, source),
            mode=where.socket_mode,
        )
        self.report = Edge(
            configuration, keys=store.keys, submit=sequencer.submit, metrics=ReportMetrics.build(registry)
        )
        self._loading = asyncio.Lock()  # parts of two loads must not mix
        self.refused_customers = ""
        """Why the customer file as it is now was not taken; "" where it was."""
        self._brokers: list[tuple[MqttSettings, asyncio.Task[None]]] = []
        self._tasks: asyncio.TaskGroup

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            self._tasks = await opening.enter_async_context(asyncio.TaskGroup())
            opening.callback(self.book.close)
            await self.prober.start()
            opening.push_async_callback(self.prober.stop)
            opening.callback(self._end_brokers)
            await opening.enter_async_context(self.report)
            known = hash_of(self._configuration.document())  # a new one is told as soon as the core has taken it
            self.reconfigure(self._configuration, epoch=known if known == self._sequencer.core.state.epoch else "")
            self._opened = opening.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._opened.aclose()

    @property
    def takers(self) -> tuple[EffectTaker, ...]:
        """Who takes committed effects."""
        return (self._recheck, self._send)

    def reconfigure(self, configuration: Configuration, *, epoch: str) -> None:
        """Every edge takes its part of a configuration; what did not change goes on undisturbed."""
        self._configuration = configuration
        settings = configuration.settings
        self.book.allow(settings.intake.max_series)
        self.push.allow(settings.intake.http)
        self._taker.know(Names(configuration))
        self.prober.set_probes(epoch, configuration.probes, settings)
        self.report.configure(configuration)
        wanted = settings.intake.mqtt
        for broker, task in self._brokers:
            if broker not in wanted:
                task.cancel()
        kept = [(broker, task) for broker, task in self._brokers if broker in wanted]
        new = [broker for broker in wanted if all(broker != one for one, _ in kept)]
        started = [
            (broker, self._tasks.create_task(self._listen(broker), name=f"mqtt {broker.name}")) for broker in new
        ]
        self._brokers = [*kept, *started]

    def complaints(self) -> tuple[Complaint, ...]:
        """What was pushed lately that is refused, or that nobody judges."""
        return self._taker.complaints.standing(self._clock.now())

    async def load_customers(self) -> None:
        """Loads the customer file when its content is not the one that the core has; a faulty file changes nothing."""
        source = self._configuration.settings.customers
        if source is None:
            self.refused_customers = ""
            return
        async with self._loading:
            await self._load_customers(self._root / source.file)

    async def _load_customers(self, path: Path) -> None:
        customers = self._sequencer.core.state.customers
        try:
            mark = await asyncio.to_thread(_mark, path)
            if mark == customers.source:
                self.refused_customers = ""
                return
            topology = Topology(self._configuration)
            loads = await asyncio.to_thread(lambda: list(load_customers(path, self._store.keys, topology, mark=mark)))
            if reason := next(filter(None, map(customers.refusal, loads)), ""):
                raise ConfigError([Fault(str(path), 0, 0, reason, "merge some before loading")])
            for load in loads:
                await self._sequencer.submit(load)
        except (CemdError, OSError) as exc:
            log.error("customers_refused", file=str(path), reason=str(exc))
            self.refused_customers = (
                f"the customer file {path} was refused, so who is new in it hears of nothing; `cemd customers check`"
                " prints every fault of it, and a reload takes it when they are mended."
            )
            return
        self.refused_customers = ""
        log.info("customers_loaded", file=str(path), customers=sum(len(load.columns["number"]) for load in loads))

    async def _listen(self, broker: MqttSettings) -> None:
        work = MqttIntake(broker, self._taker, brokers=self._metrics.brokers, log=structlog.get_logger("cemd.monitor"))
        await keep_running(work.run, name=f"mqtt {broker.name}", log=log)

    def _end_brokers(self) -> None:
        for _, task in self._brokers:
            task.cancel()

    def _recheck(self, _: Entry, effects: Effects) -> None:
        for recheck in effects.rechecks:
            self.prober.recheck(recheck.probe)

    def _send(self, _: Entry, effects: Effects) -> None:
        self.report.take(effects)


def _mark(path: Path) -> str:
    """Name and content of a file as one short text."""
    import hashlib

    with path.open("rb") as file:
        return f"{path.name}@{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
