"""The daemon's side of the prober's socket: hands out the probe set, takes batches in, acknowledges what is logged.

One connection at a time speaks for a source; a newer one of the same source replaces the older. Frames are worked off
in order, one submitted batch at a time: the prober makes one in half a second, so order costs nothing and no batch can
overtake the names of its series.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemd.config.probes import Probe
from cemd.config.settings import Settings
from cemd.errors import Refused, StoreError
from cemd.kit.clock import Clock
from cemd.kit.logs import SaidOnce
from cemd.kit.retry import Backoff
from cemd.kit.tasks import Slices
from cemd.model.entry import Batch
from cemd.model.measurement import PROBER, Attempt
from cemd.model.quality import Outcome
from cemd.monitor import wire
from cemd.monitor.intake.book import SeriesBook, Submit
from cemd.monitor.intake.samples import FUTURE_SECONDS
from cemd.monitor.metrics import MonitorMetrics

REFUSED = -1
"""Stands for the number of a series that the source may not have any more."""
MAX_DECLARED_TOTAL = 2_000_000
HELLO_SECONDS = 10.0
STALLED_SECONDS = 30.0
PIECE = 200
"""Probes in one piece of a set: few enough that neither side is held for long by it."""
WAITING_BYTES = 512 * 1024
"""Of a set, on its way to a prober: with less the two processes wake each other in turn, with more each sending has to
move what waits behind it."""
HAND_OUT_SECONDS = 120.0
"""So long a prober may take for what was sent to it before it is treated as gone."""
_NO_PROBER = "no prober was there to run them now; they run as planned once one is back"


@dataclass(slots=True)
class _Peer:
    """One connected prober."""

    source: str
    writer: asyncio.StreamWriter
    series: array[int] = field(default_factory=lambda: array("q"))
    """Ids of the series that it named, by its numbers. A list of them would be made an array for every batch."""
    due: asyncio.Event = field(default_factory=asyncio.Event)
    """There is a probe set that it does not have."""
    up_to_date: bool = False
    """The newest probe set is written to it as a whole; not while one is due or on its way."""
    asked: dict[str, None] = field(default_factory=dict)
    """Probes of which a run was asked for meanwhile, in order: only the set on its way may have them."""


class ProberServer:
    """Listens on a Unix socket.

    `on_attempts` takes evidence and must not wait. `last_number` answers the highest batch number of a source that the
    core has logged, so that what was logged before a crash and never acknowledged is not logged twice.
    """

    def __init__(
        self,
        path: Path,
        book: SeriesBook,
        submit: Submit,
        *,
        clock: Clock,
        metrics: MonitorMetrics,
        log: Any,
        on_attempts: Callable[[Sequence[Attempt]], None] = lambda _attempts: None,
        last_number: Callable[[str], int] = lambda _source: -1,
        mode: int = 0o600,
    ) -> None:
        self._path = path
        self._book = book
        self._submit = submit
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._said = SaidOnce(log)
        self._on_attempts = on_attempts
        self._last_number = last_number
        self._mode = mode
        self._peers: dict[str, _Peer] = {}
        self._logged: dict[str, int] = {}
        self._epoch = ""
        self._probes: tuple[Probe, ...] = ()
        self._settings = Settings()
        self._encoded: dict[tuple[int, bytes], bytes] = {}
        """Pieces of the set as they go out, by where they begin and which probes they hold: vantage points often have
        the same."""
        self._server: asyncio.Server | None = None
        self._ending = False
        self._stopped = False
        self.progressed_at = clock.monotonic()
        self.counters: dict[str, float] = {}
        """The prober's own totals, as it last told them."""

    async def start(self) -> None:
        """Begins to listen; a socket file that a crash left behind is replaced.

        Raises:
            OSError: the socket cannot be made.
        """
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path=str(self._path), limit=wire.BUFFERED_BYTES)
        self._path.chmod(self._mode)

    async def stop(self) -> None:
        """Takes no new connection and ends those that are; what was not acknowledged comes again later."""
        self.expect_end()
        self._stopped = True
        if self._server is not None:
            self._server.close()
        for peer in list(self._peers.values()):
            peer.writer.close()
        self._path.unlink(missing_ok=True)

    def expect_end(self) -> None:
        """The daemon stops: from now on a prober that goes is no trouble."""
        self._ending = True

    def set_probes(self, epoch: str, probes: Sequence[Probe], settings: Settings) -> None:
        """Hands each prober its part of a whole probe set, and where it may go, now and at each connection."""
        self._epoch, self._probes, self._settings = epoch, tuple(probes), settings
        self._encoded.clear()
        for peer in self._peers.values():
            peer.up_to_date = False
            peer.due.set()

    async def _keep_handing_out(self, peer: _Peer) -> None:
        """Sends the newest set to a prober, piece by piece, whenever there is one; the loop turns in between."""
        try:
            while True:
                await peer.due.wait()
                peer.due.clear()
                await self._hand_out(peer)
        except (OSError, TimeoutError, wire.WireError) as exc:
            self._said.gone("prober set", "intake.prober_broken", error=str(exc))
            peer.writer.close()  # the reading side sees the end

    async def _hand_out(self, peer: _Peer) -> None:
        """Sends a set; one that another overtakes on the way is not finished."""
        pause, starts = Slices(), range(0, len(self._probes), PIECE)
        for place, start in enumerate(starts[:-1]):
            part = wire.ProbesPart(epoch=self._epoch, place=place, probes=self._piece(start, peer))
            peer.writer.write(wire.encode(part))
            async with asyncio.timeout(HAND_OUT_SECONDS):
                await peer.writer.drain()
            if pause.over():
                await pause.rest()
            if peer.due.is_set():
                return
        settings, vantage = self._settings, _vantage(peer)
        last = wire.Probes(
            epoch=self._epoch,
            probes=self._piece(starts[-1], peer) if starts else b"[]",
            at_once=settings.probes_at_once,
            parts=max(0, len(starts) - 1),
            targets=settings.targets.model_dump_json().encode(),
            way_out=settings.way_out(vantage).model_dump_json().encode(),
        )
        peer.writer.write(wire.encode(last))
        peer.up_to_date = True
        asked, peer.asked = peer.asked, {}
        for probe in asked:
            self._send(peer, wire.RecheckNow(probe=probe))

    def _piece(self, start: int, peer: _Peer) -> bytes:
        """What the vantage point of a prober runs of some probes."""
        probes, settings, vantage = self._probes[start : start + PIECE], self._settings, _vantage(peer)
        mine = bytes(vantage in settings.runs_at(probe.vantages) for probe in probes)
        encoded = self._encoded.get((start, mine))
        if encoded is None:
            texts = ",".join(probe.model_dump_json() for probe in compress(probes, mine))
            encoded = self._encoded[start, mine] = f"[{texts}]".encode()
        return encoded

    def recheck(self, probe: str) -> bool:
        """Asks for a run at once; never waits. Where a set is on its way to a prober, the run is asked for right behind
        it: the probe may be one of the new. False, and said: no prober is there to do it."""
        for peer in self._peers.values():
            if peer.up_to_date:
                self._send(peer, wire.RecheckNow(probe=probe))
            else:
                peer.asked[probe] = None
        if not self._peers:
            self._say_not_asked([probe])
        return bool(self._peers)

    def _say_not_asked(self, probes: Sequence[str]) -> None:
        self._log.warning("intake.runs_not_asked", probes=list(probes[:20]), count=len(probes), remedy=_NO_PROBER)

    def probe_called(self, name: str) -> Probe | None:
        """The probe of this uid or, where there is none, of this name, in the newest set. It looks at each: where they
        are many, in a thread, please."""
        probes = self._probes
        by_uid = (probe for probe in probes if probe.identity() == name)
        return next(by_uid, None) or next((probe for probe in probes if probe.name == name), None)

    def probers_of(self, probe: Probe) -> int:
        """Probers that are there and whose vantage point runs the probe."""
        vantages = self._settings.runs_at(probe.vantages)
        return sum(_vantage(peer) in vantages for peer in self._peers.values())

    def is_active(self, probe: Probe) -> bool:
        """Whether the probe is within its times now."""
        return probe.active is None or probe.active.holds(self._clock.now())

    def connected(self) -> int:
        """Probers that are there."""
        return len(self._peers)

    def stalled(self) -> bool:
        """True when no prober has told of progress for half a minute."""
        return self._clock.monotonic() - self.progressed_at > STALLED_SECONDS

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer: _Peer | None = None
        try:
            peer = await self._greet(reader, writer)
            handing = asyncio.create_task(self._keep_handing_out(peer), name=f"probe set of {peer.source}")
            try:
                while not (handing.done() or self._stopped):
                    if (frame := await wire.read_from_prober(reader)) is None:
                        break
                    await self._hear(peer, frame)
            finally:
                handing.cancel()
                [ended] = await asyncio.gather(handing, return_exceptions=True)
                if isinstance(ended, Exception):
                    raise ended
        except (wire.WireError, OSError, TimeoutError) as exc:
            self._metrics.malformed.labels(door="prober").inc()
            self._said.gone("prober frame", "intake.prober_broken", error=str(exc))
        finally:
            writer.close()
            if peer is not None and self._peers.get(peer.source) is peer:
                del self._peers[peer.source]
                self._metrics.probers.set(len(self._peers))
                self._left(peer.source)
            if peer is not None and peer.asked and not self._ending:
                self._say_not_asked(list(peer.asked))

    def _left(self, source: str) -> None:
        """A prober that goes while the daemon stops is told to: nothing to warn of."""
        if self._ending:
            self._log.info("intake.prober_left", source=source)
        else:
            self._said.gone(source, "intake.prober_gone", source=source)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Peer:
        async with asyncio.timeout(HELLO_SECONDS):
            hello = await wire.read_from_prober(reader)
        if not isinstance(hello, wire.Hello):
            raise wire.WireError("a connection did not begin with a hello; it is closed.")
        if hello.version != wire.VERSION:
            raise wire.WireError(f"a prober speaks version {hello.version}, not {wire.VERSION}; update it.")
        before = self._peers.pop(hello.source, None)
        if before is not None:
            before.writer.close()
        peer = _Peer(hello.source, writer)
        self._peers[hello.source] = peer
        self._metrics.probers.set(len(self._peers))
        self.progressed_at = self._clock.monotonic()
        self._said.back(hello.source, "intake.prober_back", source=hello.source)
        writer.transport.set_write_buffer_limits(high=WAITING_BYTES)
        if self._epoch:
            peer.due.set()
        return peer

    async def _hear(self, peer: _Peer, frame: wire.FromProber) -> None:
        self.progressed_at = self._clock.monotonic()
        match frame:
            case wire.Declare():
                await self._declare(peer, frame)
            case wire.Measured():
                await self._measured(peer, frame)
            case wire.Attempts(attempts=notes):
                self._on_attempts([_attempt(note, _vantage(peer)) for note in notes])
            case wire.Progress(counters=counters):
                self.counters = counters
                self._metrics.tell(counters)
            case wire.Taken(epoch=epoch, probes=probes, refused=refused):
                self._log.info("intake.probes_taken", epoch=epoch, probes=probes, refused=list(refused))
            case wire.Hello():
                raise wire.WireError("a second hello; the connection is closed.")

    async def _declare(self, peer: _Peer, frame: wire.Declare) -> None:
        if frame.first != len(peer.series) or len(peer.series) + len(frame.keys) > MAX_DECLARED_TOTAL:
            raise wire.WireError("series are declared out of order or without end; the connection is closed.")
        waits = Backoff(first_seconds=0.2, longest_seconds=5.0)
        while True:
            try:
                numbers = await self._book.numbers(peer.source, frame.keys)
                break
            except (Refused, StoreError) as exc:
                if self._stopped:
                    return  # nothing more is heard of this prober; it names them again when we are back
                self._said.gone("log", "intake.waiting", error=str(exc))
                await asyncio.sleep(waits.next_delay())
        peer.series.extend(REFUSED if number is None else number for number in numbers)
        refused = sum(number is None for number in numbers)
        if refused:
            self._metrics.refused.labels(door="prober", reason="max_series").inc(refused)
            self._said.gone("max_series", "intake.refused", source=peer.source, reason="max_series", series=refused)

    async def _measured(self, peer: _Peer, frame: wire.Measured) -> None:
        if frame.number > max(self._logged.get(peer.source, -1), self._last_number(peer.source)):
            batch = self._batch(peer, frame)
            if len(batch.series):
                await self._log_batch(batch)
            self._logged[peer.source] = frame.number
            self._metrics.accepted.labels(door="prober").inc(len(batch.series))
        self._send(peer, wire.Ack(number=frame.number))

    async def _log_batch(self, batch: Batch) -> None:
        """Submits until it is logged: the prober waits meanwhile, and sheds its own polls if that lasts."""
        waits = Backoff(first_seconds=0.1, longest_seconds=5.0)
        while True:
            try:
                await self._submit(batch)
            except (Refused, StoreError) as exc:
                self._said.gone("log", "intake.waiting", error=str(exc))
                await asyncio.sleep(waits.next_delay())
            else:
                self._said.back("log", "intake.log_writes")
                return

    def _batch(self, peer: _Peer, frame: wire.Measured) -> Batch:
        series, at, value, outcome = wire.columns(frame)
        if len(series) and not 0 <= int(series.min()) <= int(series.max()) < len(peer.series):
            raise wire.WireError("a batch names a series that was never declared; the connection is closed.")
        ids = np.frombuffer(peer.series, dtype=np.int64)[series]
        kept = (ids != REFUSED) & self._sane(at, value, outcome)
        return Batch(
            source=peer.source,
            number=frame.number,
            series=ids[kept],
            at=at[kept],
            value=value[kept],
            outcome=outcome[kept],
        )

    def _sane(
        self, at: NDArray[np.float64], value: NDArray[np.float64], outcome: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """Samples with a possible time, a known outcome, and a finite value unless blind."""
        now = self._clock.now()
        blind = outcome == Outcome.BLIND
        sane: NDArray[np.bool_] = (
            np.isfinite(at)
            & (at > 0)
            & (at < now + FUTURE_SECONDS)
            & (outcome <= Outcome.BLIND)
            & (blind | np.isfinite(value))
        )
        return sane

    def _send(self, peer: _Peer, frame: wire.FromDaemon) -> None:
        if not peer.writer.is_closing():
            peer.writer.write(wire.encode(frame))


def _vantage(peer: _Peer) -> str:
    return peer.source.removeprefix(PROBER)


def _attempt(note: wire.AttemptNote, vantage: str) -> Attempt:
    return Attempt(
        probe=note.probe,
        at=note.at,
        seconds=note.seconds,
        outcome=note.outcome,
        reason=note.reason,
        detail=note.detail,
        values=note.values,
        vantage=vantage,
    )
