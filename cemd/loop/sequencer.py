"""The sequencer: the asynchronous door of the core, and the one thread that drives it.

Edges `submit` payloads from the event loop and get the seq back when the entry is in the log. The thread takes whatever
has come in as one group (one fsync serves many), makes a tick when it is due, saves snapshots, seals history, and
publishes views. Nothing is ever dropped after it was taken; what cannot be taken is refused at the door.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from cemd.errors import Refused, StoreError, UnwritableChange
from cemd.loop.core import Core
from cemd.model.entry import Batch, ClockStepped, Entry, Payload, Started, Tick

GROUP_ENTRIES = 512
GROUP_SAMPLES = 200_000
RETRY_SECONDS = 1.0
"""Between attempts while the store refuses (full disk, lock)."""

log = structlog.get_logger("cemd.loop")


@dataclass(frozen=True, slots=True)
class _Waiting:
    payload: Payload
    acknowledged: asyncio.Future[int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often the thread does what nobody submits."""

    tick_seconds: float
    snapshot_seconds: float
    max_pending_samples: int


class Sequencer:
    """Owns the core thread. `start` and `stop` belong to the daemon."""

    def __init__(
        self,
        core: Core,
        rhythm: Rhythm,
        *,
        loop: asyncio.AbstractEventLoop,
        after_tick: Callable[[Core], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.core = core
        self.rhythm = rhythm
        self.ticks = 0
        self.logged_entries = 0
        self.clock_steps = 0
        self.slowest_step_seconds = 0.0
        self.last_tick_monotonic = time.monotonic()
        self.trouble = ""  # why the store refuses, "" when it does not
        self._loop = loop
        self._after_tick = after_tick
        self._failed = failed
        self._queue: deque[_Waiting] = deque()
        self._pending_samples = 0
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="cemd-core", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        """Takes nothing more, finishes what was taken, saves a snapshot, ends the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    async def submit(self, payload: Payload) -> int:
        """Seq of the payload once it is in the log.

        Raises:
            Refused: too much is waiting, or the store does not write; try again later.
        """
        acknowledged: asyncio.Future[int] = self._loop.create_future()
        self._take(_Waiting(payload, acknowledged))
        return await acknowledged

    def post(self, payload: Payload) -> None:
        """Like `submit`, for those who do not wait for the answer (outcomes of effects): never refused, because what
        was done must be known; thread-safe."""
        with self._wake:
            self._queue.append(_Waiting(payload, None))
            self._pending_samples += _weight(payload)
            self._wake.notify()

    def _take(self, waiting: _Waiting) -> None:
        weight = _weight(waiting.payload)
        with self._wake:
            if self._stopping:
                raise Refused("cemd is stopping; send again when it is back.")
            if weight and self.trouble:
                raise Refused(f"cemd cannot write its log ({self.trouble}); send again later.")
            if weight and self._pending_samples + weight > self.rhythm.max_pending_samples:
                raise Refused(f"{self._pending_samples} samples wait for the log already; send again later.")
            self._queue.append(waiting)
            self._pending_samples += weight
            self._wake.notify()

    @property
    def pending_samples(self) -> int:
        return self._pending_samples

    # From here on: the core thread.

    def _run(self) -> None:
        try:
            self._turn_until_stopped()
            self._finish()
        except BaseException as exc:  # noqa: BLE001 -- a fault of the core is a bug: told to the daemon, which ends
            with self._wake:
                self._stopping = True  # nothing more is taken: nobody would work it off
                left = [*self._queue]
                self._queue.clear()
            self._loop.call_soon_threadsafe(_refuse, left, "the core failed")
            self._loop.call_soon_threadsafe(self._failed, exc)

    def _turn_until_stopped(self) -> None:
        next_tick = time.monotonic()
        next_snapshot = time.monotonic() + self.rhythm.snapshot_seconds
        while True:
            group = self._next_group(next_tick)
            now = time.monotonic()
            ticking = now >= next_tick
            if ticking:
                next_tick = max(next_tick + self.rhythm.tick_seconds, now)
                group.append(_Waiting(Tick(), None))
            if group and not self._process(group):
                return
            if ticking and not self.core.stalled:
                self._tidy(now >= next_snapshot)
                next_snapshot = now + self.rhythm.snapshot_seconds if now >= next_snapshot else next_snapshot
            with self._wake:
                if self._stopping and not self._queue:
                    return

    def _next_group(self, until: float) -> list[_Waiting]:
        with self._wake:
            while not self._queue and not self._stopping and (left := until - time.monotonic()) > 0:
                self._wake.wait(left)
            group: list[_Waiting] = []
            samples = 0
            while self._queue and len(group) < GROUP_ENTRIES and samples < GROUP_SAMPLES:
                group.append(self._queue.popleft())
                samples += _weight(group[-1].payload)
            self._pending_samples -= samples
            return group

    def _process(self, group: list[_Waiting]) -> bool:
        """Takes the group through the core, however long the store refuses; False when stopped meanwhile."""
        logged = False

        def acknowledge(entries: Sequence[Entry]) -> None:
            nonlocal logged
            logged = True
            self.logged_entries += len(entries)
            self._say_step(entries)
            seqs = [entry.seq for entry in entries[len(entries) - len(group) :]]
            self._loop.call_soon_threadsafe(_resolve, group, seqs)

        while True:
            began = time.perf_counter()
            try:
                if logged:
                    self.core.resume()
                else:
                    self.core.process(
                        [waiting.payload for waiting in group],
                        wall=time.time(),
                        monotonic=time.monotonic(),
                        logged=acknowledge,
                    )
            except UnwritableChange:
                raise  # trying again is useless: a fault of the core
            except StoreError as exc:
                if not self._wait_for_store(exc):
                    if not logged:
                        self._loop.call_soon_threadsafe(_refuse, group, str(exc))
                    return False
                continue
            self.slowest_step_seconds = max(self.slowest_step_seconds, time.perf_counter() - began)
            if self.trouble:
                log.info("store_back")
                self.trouble = ""
            return True

    def _say_step(self, entries: Sequence[Entry]) -> None:
        """A clock that was set, now or while nobody ran, is for people to know: core time goes its own way then."""
        if not entries or not isinstance(stepped := entries[0].payload, ClockStepped):
            return
        while_down = any(isinstance(one.payload, Started) for one in entries)
        if while_down and stepped.seconds > 0:
            return  # the clock was behind already, and came nearer while nobody ran
        self.clock_steps += 1
        ahead = round(max(0.0, entries[0].at - time.time()), 1)
        remedy = "cemd's time goes on, at half speed while it is ahead; look why the clock was set"
        log.warning(
            "clock_stepped",
            seconds=round(stepped.seconds, 1),
            while_down=while_down,
            ahead_seconds=ahead,
            remedy=remedy,
        )

    def _wait_for_store(self, exc: StoreError) -> bool:
        if not self.trouble:
            log.error("store_refuses", reason=str(exc), remedy="nothing is acknowledged until it writes again")
        self.trouble = str(exc)
        self.last_tick_monotonic = time.monotonic()  # waiting for the disk is no hang: the watchdog stays fed
        with self._wake:
            if self._stopping:
                return False
            self._wake.wait(RETRY_SECONDS)
            return not self._stopping

    def _tidy(self, snapshot_due: bool) -> None:
        self.ticks += 1
        self.last_tick_monotonic = time.monotonic()
        try:
            self.core.store.samples.seal(self.core.state.at)
            if snapshot_due:
                self.core.save_snapshot()
        except StoreError as exc:
            log.error("upkeep_failed", reason=str(exc))
        self._after_tick(self.core)

    def _finish(self) -> None:
        if self.core.stalled:
            return
        try:
            self.core.save_snapshot()
        except StoreError as exc:
            log.error("snapshot_failed", reason=str(exc), remedy="the log is replayed at the next start")


def _weight(payload: Payload) -> int:
    """Samples that a payload holds; what is not pushed data weighs nothing and is never refused for its weight."""
    return len(payload.series) if isinstance(payload, Batch) else 0


def _resolve(group: Sequence[_Waiting], seqs: Sequence[int]) -> None:
    for waiting, seq in zip(group, seqs, strict=True):
        if waiting.acknowledged is not None and not waiting.acknowledged.done():
            waiting.acknowledged.set_result(seq)


def _refuse(group: Sequence[_Waiting], reason: str) -> None:
    for waiting in group:
        if waiting.acknowledged is not None and not waiting.acknowledged.done():
            waiting.acknowledged.set_exception(Refused(f"cemd stopped before this was safe ({reason}); send it again."))
