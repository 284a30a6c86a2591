"""The daemon's side for tests: a series book and a log in memory, and real prober processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import structlog
from cemd.errors import Refused
from cemd.kit.clock import SystemClock
from cemd.kit.parent import end_with_starter
from cemd.model.entry import Batch, Payload, SeriesAdded
from cemd.model.identity import SeriesId, series_id
from cemd.model.measurement import Attempt, Series, SeriesKey
from cemd.monitor.intake import ProberServer, SeriesBook
from cemd.monitor.metrics import MonitorMetrics, monitor_metrics
from prometheus_client import CollectorRegistry

_CHILD = """
import functools
import resource
import sys
from pathlib import Path
from cemd.daemon.agent import run_agent
from cemd.monitor import prober
if most := int(sys.argv[4]):
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
if sys.argv[5]:
    prober.make_tools = functools.partial(prober.make_tools, nameservers=[sys.argv[5]])
sys.exit(run_agent(Path(sys.argv[1]), Path(sys.argv[2]), log_json=True, vantage=sys.argv[3]))
"""


class MemoryLog:
    """Takes payloads as the sequencer does; `refusing` makes it refuse, and it outlives the servers before it."""

    def __init__(self) -> None:
        self.payloads: list[Payload] = []
        self.series: dict[SeriesKey, Series] = {}
        self.refusing = False
        self.refused = 0

    async def submit(self, payload: Payload) -> int:
        await asyncio.sleep(0)
        if self.refusing and isinstance(payload, Batch):
            self.refused += 1
            raise Refused("too much waits for the log; send again later.")
        if isinstance(payload, Batch):
            known = {series.id for entry in self.payloads if isinstance(entry, SeriesAdded) for series in entry.series}
            assert known.issuperset(payload.series.tolist()), "a batch overtook the names of its series"
        self.payloads.append(payload)
        return len(self.payloads)

    def catalogue(
        self, source: str, keys: Sequence[SeriesKey], max_series: int
    ) -> tuple[list[SeriesId | None], list[Series]]:
        ids: list[SeriesId | None] = []
        new = []
        for key in keys:
            if key not in self.series:
                if sum(series.source == source for series in self.series.values()) >= max_series:
                    ids.append(None)
                    continue
                number = series_id(key.probe, len(self.series))
                self.series[key] = Series(id=number, key=key, source=source)
                new.append(self.series[key])
            ids.append(self.series[key].id)
        return ids, new

    def batches(self, source: str = "prober:home") -> list[Batch]:
        return [payload for payload in self.payloads if isinstance(payload, Batch) and payload.source == source]

    def last_number(self, source: str) -> int:
        return max((batch.number for batch in self.batches(source)), default=0)

    def samples(self, probe: str, metric: str) -> list[tuple[float, float, int]]:
        """(at, value, outcome) of a series in the order of the log."""
        known = list(self.series.items())  # the log's own thread adds to it meanwhile
        wanted = {series.id for key, series in known if (key.probe, key.metric) == (probe, metric)}
        return [
            (at, value, outcome)
            for batch in self.batches()
            for number, at, value, outcome in zip(
                batch.series.tolist(), batch.at.tolist(), batch.value.tolist(), batch.outcome.tolist(), strict=True
            )
            if number in wanted
        ]


class DaemonSide:
    """A prober server on a socket over a log that may be older than it."""

    def __init__(self, socket: Path, log: MemoryLog, *, max_series: int = 1000) -> None:
        self.log = log
        self.attempts: list[Attempt] = []
        self.metrics: MonitorMetrics = monitor_metrics(CollectorRegistry())
        self.book = SeriesBook(log.catalogue, log.submit, max_series=max_series)
        self.server = ProberServer(
            socket,
            self.book,
            log.submit,
            clock=SystemClock(),
            metrics=self.metrics,
            log=structlog.get_logger("test"),
            on_attempts=self.attempts.extend,
            last_number=log.last_number,
        )


@contextlib.asynccontextmanager
async def daemon_side(
    socket: Path, log: MemoryLog | None = None, *, max_series: int = 1000
) -> AsyncIterator[DaemonSide]:
    side = DaemonSide(socket, log or MemoryLog(), max_series=max_series)
    await side.server.start()
    try:
        yield side
    finally:
        await side.server.stop()
        side.book.close()


class ProberChild:
    """A real prober process."""

    def __init__(self, socket: Path, state: Path, vantage: str, descriptors: int, nameserver: str) -> None:
        given = (str(socket), str(state), vantage, str(descriptors), nameserver)
        self._arguments = (sys.executable, "-c", _CHILD, *given)
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self._arguments, env={**os.environ, "CI": ""}, preexec_fn=end_with_starter
        )

    async def end(self, how: signal.Signals) -> int:
        """Sends a signal and waits; answers the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(how)
        async with asyncio.timeout(60):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def prober_child(
    socket: Path, state: Path, vantage: str = "home", *, descriptors: int = 0, nameserver: str = ""
) -> AsyncIterator[ProberChild]:
    """`descriptors`: the process may open no more than these; 0: as many as this one. `nameserver`: instead of the
    system's, `ADDRESS:PORT`."""
    child = ProberChild(socket, state, vantage, descriptors, nameserver)
    await child.start()
    try:
        yield child
    finally:
        await child.end(signal.SIGKILL)


async def until(true: Callable[[], object], *, seconds: float = 60.0, what: str = "it") -> None:
    """Waits for something that real processes do."""
    try:
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{what} did not happen within {seconds} s") from None
