"""The prober: a process of its own that runs probes by schedule and owes the daemon every measurement.

It is the same code at home (a Unix socket, started by the daemon or by systemd) and, later, elsewhere. It gets its
probe set from the daemon and keeps measuring while the daemon is away; what was not acknowledged is sent again. Raw
sockets, plugins and libcurl live here, far from customers' keys.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections import deque
from pathlib import Path
from typing import Any

from cemd.errors import ProbeUnavailable
from cemd.kit.clock import Clock, SystemClock
from cemd.kit.logs import SaidOnce
from cemd.kit.retry import Backoff
from cemd.kit.sdnotify import Notifier
from cemd.kit.tasks import Slices
from cemd.kit.words import counted
from cemd.model.measurement import PROBER
from cemd.monitor import wire
from cemd.monitor.backlog import Backlog, Numbers
from cemd.monitor.outlook import Outlook
from cemd.monitor.probes.base import load_libraries
from cemd.monitor.probes.tools import Tools, make_tools
from cemd.monitor.record import Record
from cemd.monitor.roster import Arriving, Post, targets_of, way_out_of
from cemd.monitor.runner import Runner

FLUSH_SECONDS = 0.5
"""One batch at most per this time: small enough to be prompt, large enough that the log is not one row a sample."""
MOST_REFUSED_TOLD = 100
GRACE_SECONDS = 2.5
PATIENCE_SECONDS = 30.0
"""A daemon that takes no bytes for this long is treated as gone."""


class Prober:
    """Made inside a running loop; `run` returns when `stopping` is set and what could be delivered was."""

    def __init__(
        self,
        *,
        socket: Path,
        state: Path,
        log: Any,
        vantage: str = "home",
        clock: Clock | None = None,
        tools: Tools | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _locked(state)
        self._socket = socket
        self._vantage = vantage
        self._log = log
        self._clock = clock or SystemClock()
        self._tools = tools or make_tools(state=state, clock=self._clock)
        self._notifier = notifier or Notifier(None)
        self._said = SaidOnce(log)
        self._backlog = Backlog(Numbers(state / "batch-number", self._clock.now()))
        self._record = Record(self._backlog, vantage)
        self._outlook = Outlook(self._tools, self._record.take, log, self._record.take_good)
        self._runner = Runner(
            self._outlook.take,
            self._record.not_run,
            self._clock,
            log,
            alive=self._notifier.watchdog,
            deliver_good=self._outlook.take_good,
            engines=self._tools.engines(),
        )
        self._posts: dict[str, Post] = {}
        self._arriving: Arriving | None = None
        """A probe set of which not all has come."""
        self._replies: deque[wire.Taken] = deque()
        self._outgoing = asyncio.Event()
        self._acknowledged = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Works until `stopping`; then ends what runs, hands over what it can within the grace, and closes."""
        await self._tools.janitor.recover()
        self._notifier.ready("waiting for the daemon")
        try:
            async with asyncio.TaskGroup() as links:
                link = links.create_task(self._keep_link(), name="link")
                flush = links.create_task(self._keep_flushing(), name="flush")
                outlook = links.create_task(self._outlook.run(), name="outlook")
                await self._runner.run(stopping)
                outlook.cancel()
                await self._outlook.look()  # what waits for it is not lost
                flush.cancel()
                self._flush()
                await self._drained()
                link.cancel()
        finally:
            self._notifier.stopping()
            await self._tools.aclose()
            os.close(self._lock)

    async def _keep_flushing(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self._flush()

    def _flush(self) -> None:
        self._backlog.cut()
        self._outgoing.set()

    # The link to the daemon.

    async def _keep_link(self) -> None:
        waits = Backoff(first_seconds=0.2, longest_seconds=10.0)
        while True:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    reader, writer = await asyncio.open_unix_connection(str(self._socket), limit=wire.BUFFERED_BYTES)
                    writer.transport.set_write_buffer_limits(high=wire.BUFFERED_BYTES)
            except (OSError, TimeoutError) as exc:
                self._said.gone("daemon", "prober.daemon_gone", socket=str(self._socket), error=str(exc))
                await asyncio.sleep(waits.next_delay())
                continue
            self._said.back("daemon", "prober.daemon_back")
            began = self._clock.monotonic()
            try:
                await self._talk(reader, writer)
            except (wire.WireError, OSError, TimeoutError) as exc:
                self._said.gone("daemon", "prober.link_broken", error=str(exc))
            finally:
                writer.close()
            if self._clock.monotonic() - began > 10.0:
                waits.reset()
            self._said.gone("daemon", "prober.daemon_gone", socket=str(self._socket))
            await asyncio.sleep(waits.next_delay())

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._backlog.reconnected()
        self._arriving = None
        self._outgoing.set()
        source = f"{PROBER}{self._vantage}"
        hello = wire.Hello(version=wire.VERSION, source=source, number=self._backlog.last_number, pid=os.getpid())
        writer.write(wire.encode(hello))
        sending = asyncio.create_task(self._keep_sending(writer), name="sending")
        try:
            while not sending.done() and (frame := await wire.read_from_daemon(reader)) is not None:
                await self._hear(frame)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _keep_sending(self, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._outgoing.wait()
                self._outgoing.clear()
                while self._replies:
                    writer.write(wire.encode(self._replies.popleft()))
                for frame in self._backlog.to_send():
                    writer.write(wire.encode(frame))
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        await writer.drain()
                if notes := self._record.take_attempts():
                    writer.write(wire.encode(wire.Attempts(attempts=notes)))
                writer.write(wire.encode(wire.Progress(counters=self._counters())))
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await writer.drain()
        except (OSError, TimeoutError, wire.WireError):
            writer.close()  # the reading side sees the end

    async def _hear(self, frame: wire.FromDaemon) -> None:
        match frame:
            case wire.Ack(number=number):
                self._backlog.acknowledged(number)
                self._acknowledged.set()
                self._outgoing.set()
            case wire.ProbesPart():
                await self._take_part(frame.epoch, frame.place, frame.probes)
            case wire.Probes():
                await self._take(frame, await self._take_part(frame.epoch, frame.parts, frame.probes))
                self._arriving = None
            case wire.RecheckNow(probe=uid):
                self._runner.recheck(uid)

    async def _take_part(self, epoch: str, place: int, probes: bytes) -> Arriving:
        """Reads a piece of a probe set, of which nothing is at work yet."""
        if place == 0:
            self._arriving = Arriving(self._posts, self._tools, Slices(self._runner.burden.besides))
        if self._arriving is None or self._arriving.parts != place:
            raise wire.WireError(f"piece {place} of the probe set of epoch {epoch} is not the next; it is asked anew.")
        await self._arriving.take(epoch, probes)
        return self._arriving

    async def _take(self, frame: wire.Probes, arrived: Arriving) -> None:
        """Puts a whole new probe set to work; what did not change keeps its kind, its series and its streak."""
        self._tools.names.allow(targets_of(frame))
        self._outlook.watch(way_out_of(frame))
        await load_libraries(sorted(arrived.libraries))
        await self._runner.take(arrived.posts, kind_at_once=frame.at_once)
        before, self._posts, refused = self._posts, arrived.posts, arrived.refused
        self._replies.append(
            wire.Taken(epoch=frame.epoch, probes=len(self._posts), refused=tuple(refused[:MOST_REFUSED_TOLD]))
        )
        self._log.info(
            "prober.probes_taken", epoch=frame.epoch, probes=len(self._posts), refused=refused[:MOST_REFUSED_TOLD]
        )
        self._notifier.status(f"{counted(len(self._posts), 'probe')}, epoch {frame.epoch}")
        self._outgoing.set()
        await self._forget(before)

    async def _forget(self, posts: dict[str, Post]) -> None:
        """Drops a set that is no longer at work, a slice at a time: thousands of probes that are freed at once hold the
        loop for tens of milliseconds."""
        pause = Slices(self._runner.burden.besides)
        while posts:
            posts.popitem()
            if pause.over():
                await pause.rest()
        pause.end()

    def _counters(self) -> dict[str, float]:
        counters = self._record.counters() | self._outlook.counters() | self._runner.counters()
        counters["shed_samples"] = float(self._backlog.shed_total)
        counters["unacknowledged_batches"] = float(self._backlog.unacknowledged())
        counters["cleanups_outstanding"] = float(self._tools.janitor.outstanding())
        return counters

    async def _drained(self) -> None:
        """Waits until everything is acknowledged, or the grace is over."""
        try:
            async with asyncio.timeout(GRACE_SECONDS if self._posts else 0.1):
                while self._backlog.unacknowledged():
                    self._acknowledged.clear()
                    await self._acknowledged.wait()
        except TimeoutError:
            self._log.warning("prober.not_delivered", batches=self._backlog.unacknowledged())


def _locked(state: Path) -> int:
    """A descriptor that holds the state folder for this prober alone, so that no two count batches or clean up in it.

    Raises:
        ProbeUnavailable: another prober works in it.
    """
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise ProbeUnavailable(
            f"{state}: another prober works in this folder; end it, or give another folder."
        ) from exc
    return descriptor
