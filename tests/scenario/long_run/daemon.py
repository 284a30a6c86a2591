"""The daemon's side: the real prober server and book of series over a log that keeps who was tried, when, and how."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cemd.config.probes import Probe
from cemd.config.settings import Settings
from cemd.config.targets import Targets
from cemd.kit.clock import SystemClock
from cemd.kit.parent import end_with_starter
from cemd.model.entry import Batch, Payload
from cemd.model.identity import SERIAL_MASK, SeriesId, series_id
from cemd.model.measurement import SUCCESS, Attempt, Series, SeriesKey
from cemd.monitor.intake import ProberServer, SeriesBook
from cemd.monitor.metrics import monitor_metrics
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

SETTINGS = Settings(targets=Targets(loopback=True))
_MOST_SERIES = 2_000_000
_AGENT = """
import sys
from pathlib import Path
from cemd.daemon.agent import run_agent
sys.exit(run_agent(Path(sys.argv[1]), Path(sys.argv[2]), log_json=True))
"""


@dataclass(frozen=True, slots=True)
class Records:
    """Attempts as columns of equal length, in the order of the log: number of the probe, wall-clock time at which the
    run began, outcome (an `Outcome`)."""

    probe: NDArray[np.int64]
    at: NDArray[np.float64]
    outcome: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.probe)


class Ledger:
    """The log: what was acknowledged, by attempt. It outlives servers."""

    def __init__(self) -> None:
        self._ids: dict[SeriesKey, SeriesId] = {}
        self._probe_of = np.full(_MOST_SERIES, -1, dtype=np.int64)
        """Number of the probe by serial of the series; -1 where the series does not stand for the attempt itself."""
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.uint8]]] = []
        self._last = 0
        self.reasons: Counter[str] = Counter()
        self.batches = 0

    async def submit(self, payload: Payload) -> int:
        await asyncio.sleep(0)
        if isinstance(payload, Batch):
            probes = self._probe_of[payload.series & SERIAL_MASK]
            kept = probes >= 0
            self._parts.append((probes[kept], payload.at[kept], payload.outcome[kept]))
            self._last = payload.number
            self.batches += 1
        return self.batches

    def catalogue(
        self, _source: str, keys: Sequence[SeriesKey], _most: int
    ) -> tuple[list[SeriesId | None], list[Series]]:
        for key in keys:
            if key not in self._ids:
                serial = len(self._ids)
                self._ids[key] = series_id(key.probe, serial)
                if key.metric == SUCCESS:
                    self._probe_of[serial] = int(key.probe[1:])
        return [self._ids[key] for key in keys], []

    def last_number(self, _source: str) -> int:
        return self._last

    def take(self, attempts: Sequence[Attempt]) -> None:
        self.reasons.update(one.reason for one in attempts)

    def records(self) -> Records:
        """All attempts so far."""
        parts = self._parts or [(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint8))]
        return Records(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class Words:
    """A log that keeps what was said, and lets one wait for it."""

    def __init__(self) -> None:
        self.said: Counter[str] = Counter()
        self.taken: dict[str, float] = {}
        """When each epoch was at work, wall clock."""
        self._heard = asyncio.Event()

    def info(self, event: str, **fields: Any) -> None:
        self.said[event] += 1
        if event == "intake.probes_taken":
            if fields["refused"]:
                raise AssertionError(f"the prober refused {fields['refused'][:3]}")
            self.taken.setdefault(fields["epoch"], time.time())
        self._heard.set()

    warning = error = info

    async def epoch(self, epoch: str, *, seconds: float) -> float:
        """Waits until the prober has put an epoch to work; answers when."""
        async with asyncio.timeout(seconds):
            while epoch not in self.taken:
                self._heard.clear()
                await self._heard.wait()
        return self.taken[epoch]


class Daemon:
    """A server that can go away and come back over the same ledger."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.ledger, self.words = Ledger(), Words()
        self.counters: dict[str, float] = {}
        self._server: ProberServer | None = None
        self._book: SeriesBook | None = None

    async def come(self, epoch: str, probes: Sequence[Probe]) -> None:
        """Starts with a probe set."""
        self._book = SeriesBook(self.ledger.catalogue, self.ledger.submit, max_series=_MOST_SERIES)
        self._server = ProberServer(
            self._socket,
            self._book,
            self.ledger.submit,
            clock=SystemClock(),
            metrics=monitor_metrics(CollectorRegistry()),
            log=self.words,
            on_attempts=self.ledger.take,
            last_number=self.ledger.last_number,
        )
        self._server.set_probes(epoch, probes, SETTINGS)
        await self._server.start()

    def hand_out(self, epoch: str, probes: Sequence[Probe]) -> None:
        """A reload."""
        assert self._server is not None
        self._server.set_probes(epoch, probes, SETTINGS)

    def look(self) -> dict[str, float]:
        """The prober's own totals, as it last told them."""
        if self._server is not None and self._server.counters:
            self.counters = self._server.counters
        return self.counters

    async def go(self) -> None:
        """Ends; what was not acknowledged comes again to the next."""
        assert self._server is not None
        assert self._book is not None
        self.look()
        await self._server.stop()
        self._book.close()
        self._server = None


class Prober:
    """The real process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        parts = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mebibytes(self) -> float:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self._process.pid}/fd").iterdir())

    def alive(self) -> bool:
        return self._process.returncode is None


@contextlib.asynccontextmanager
async def running_prober(socket: Path, folder: Path) -> AsyncIterator[Prober]:
    """Starts a prober, with its log in the folder; ends it by its own id."""
    with (folder / "prober.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _AGENT,
            str(socket),
            str(folder / "state"),
            stderr=log,
            stdout=log,
            preexec_fn=end_with_starter,
        )
        try:
            yield Prober(process)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
