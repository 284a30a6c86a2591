"""Report's edge: takes committed effects, sends through channels, brings outcomes back as entries.

Addresses are opened at the last moment, in a thread of the edge's own, and live as long as one sending. `take` is
called on the event loop, after the commit, and never waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import structlog
from pydantic import ValidationError

from cemd.config.channels import Channel
from cemd.config.configuration import Configuration
from cemd.errors import ChannelError
from cemd.kit.clock import Clock, SystemClock
from cemd.model.effect import Effects
from cemd.model.entry import AlertOutcome, NoticeOutcomes
from cemd.model.notice import Alert, NoticeRows, NoticeState
from cemd.report.address import address_kind
from cemd.report.channels import KINDS
from cemd.report.channels.base import Kind
from cemd.report.channels.health import Failing
from cemd.report.channels.outcomes import Submit
from cemd.report.channels.stops import Stops, mark_of
from cemd.report.channels.worker import Worker
from cemd.report.metrics import ReportMetrics
from cemd.store.base import KeyStore

GRACE_SECONDS = 5.0
MOST_WITHDRAWN = 10_000


class Edge:
    """Use as an async context manager: entering starts the channels, leaving ends them after a short grace."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        keys: KeyStore,
        submit: Submit,
        metrics: ReportMetrics,
        clock: Clock | None = None,
        kinds: Mapping[str, type[Kind]] = KINDS,
        log: Any = None,
    ) -> None:
        self._wanted = configuration
        self._keys = keys
        self._submit = submit
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._kinds = kinds
        self._log = log or structlog.get_logger("cemd.report")
        self._stops = Stops()
        self._workers: dict[str, Worker] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._strays: set[asyncio.Task[object]] = set()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="addresses")
        self._unusable: dict[str, Failing] = {}
        self._leaving: dict[Worker, None] = {}  # no longer configured, and not at their end
        self._newest = 0  # seq of the rows that were taken last

    async def __aenter__(self) -> Edge:
        self.configure(self._wanted)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._finish()
        for task in (*self._running.values(), *self._strays):
            task.cancel()
        await asyncio.gather(*self._running.values(), *self._strays, return_exceptions=True)
        await self._give_up()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def configure(self, configuration: Configuration) -> None:
        """Channels of a new configuration: new ones start, removed or changed ones end once they are idle. What did not
        leave by a changed one goes on with what it is now."""
        self._wanted = configuration
        self._unusable.clear()
        wanted = {channel.name: channel for channel in configuration.channels}
        retired = [name for name, worker in self._workers.items() if wanted.get(name) != worker.channel]
        ended = [(self._workers.pop(name), self._running.pop(name)) for name in retired]
        for channel in wanted.values():
            if channel.name not in self._workers:
                self._start(channel)
        for worker, task in ended:
            for alert in worker.retire(self._give):
                self._give_alert(alert)
            self._stray(self._end(worker, task))

    def failing(self) -> tuple[Failing, ...]:
        """Channels by which nothing leaves, in the order of the file. Other threads may ask."""
        workers, unusable = dict(self._workers), dict(self._unusable)  # at one go: a reload may change them meanwhile
        found = {name: worker.failing for name, worker in workers.items()} | unusable
        names = (channel.name for channel in self._wanted.channels)
        return tuple(one for name in names if (one := found.get(name)) is not None)

    def take(self, effects: Effects) -> None:
        """Committed effects, in the order of their entries."""
        if effects.stopped is not None:
            self._stops.killed = effects.stopped
        for key in effects.withdrawn:
            self._stops.withdrawn[key] = self._newest
        while len(self._stops.withdrawn) > MOST_WITHDRAWN:
            self._stops.withdrawn.pop(next(iter(self._stops.withdrawn)))
        for rows in effects.handed_over():
            self._newest = max(self._newest, rows.seq)
            self._give(rows)
        for alert in effects.alerts:
            self._give_alert(alert)
        for due in effects.due:
            if (worker := self._workers.get(due.channel)) is not None:
                worker.wake()

    def _start(self, channel: Channel) -> None:
        found = self._kinds.get(channel.kind)
        if found is None:
            self._log.error("channel.unknown_kind", channel=channel.name, kind=channel.kind)
            self._cannot_use(channel.name, f"channel {channel.name!r}: there is no kind {channel.kind!r}.")
            return
        try:
            params = found.Params.model_validate_json(msgspec.json.encode(channel.params))
            kind = found(params, name=channel.name, timeout_seconds=channel.timeout_seconds)
        except (ValidationError, ChannelError) as exc:
            self._log.error("channel.refused", channel=channel.name, error=str(exc))
            self._cannot_use(channel.name, str(exc))
            return
        worker = Worker(
            channel,
            kind,
            submit=self._submit,
            addresses=self._addresses,
            stops=self._stops,
            clock=self._clock,
            metrics=self._metrics,
            log=self._log,
        )
        self._workers[channel.name] = worker
        self._running[channel.name] = asyncio.create_task(worker.run(), name=f"channel-{channel.name}")

    def _cannot_use(self, name: str, why: str) -> None:
        self._unusable[name] = Failing(channel=name, why=why, since=self._clock.now())

    def _give(self, rows: NoticeRows) -> None:
        """To the channel of that name as it is now; without one nothing leaves."""
        if (worker := self._workers.get(rows.channel)) is not None:
            worker.take(rows)
        else:
            self._refuse(rows)

    def _give_alert(self, alert: Alert) -> None:
        if (worker := self._workers.get(alert.channel)) is not None:
            worker.take_alert(alert)
            return
        reason = f"channel {alert.channel!r} does not work here; correct config/channels.yaml."
        outcome = AlertOutcome(alert=alert.id, revision=alert.revision, sent=False, permanent=True, reason=reason)
        self._stray(self._submit(outcome))

    async def _end(self, worker: Worker, task: asyncio.Task[None]) -> None:
        """Lets a worker that is no longer configured have the answers to what it is submitting: one attempt's time."""
        self._leaving[worker] = None
        await _idle(worker, worker.channel.timeout_seconds + GRACE_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await worker.abandon()
        del self._leaving[worker]

    async def _finish(self) -> None:
        """A clean stop: nothing more is asked for, and what is on its way may arrive, for a few seconds."""
        for worker in self._workers.values():
            worker.take_no_more()
        await asyncio.gather(*(_idle(worker, GRACE_SECONDS) for worker in self._workers.values()))

    async def _give_up(self) -> None:
        """No worker works any more, so nothing can leave: says of each notice what is known of it. The core has it in
        its log before the daemon ends; what it does not have is unknown at the next start."""
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await asyncio.gather(*(worker.give_up() for worker in (*self._workers.values(), *self._leaving)))
        except TimeoutError:
            self._log.warning("outcomes.left", note="what is without an outcome is unknown at the next start")

    async def _addresses(self, customers: list[int], channel: Channel) -> list[str | None]:
        kind = address_kind(channel)
        if kind is None:
            return [None] * len(customers)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._keys.addresses, customers, int(kind))

    def _refuse(self, rows: NoticeRows) -> None:
        """No such channel works: nothing leaves; what an earlier attempt may have brought out is unknown."""
        perhaps = [mark_of(rows, customer) in self._stops.perhaps_left for customer in rows.customer.tolist()]
        self._stray(
            self._submit(
                NoticeOutcomes(
                    communication=rows.communication,
                    phase=rows.phase,
                    revision=rows.revision,
                    customer=rows.customer,
                    state=np.where(perhaps, NoticeState.UNKNOWN, NoticeState.CANCELLED).astype(np.uint8),
                    reason="no_working_channel",
                )
            )
        )

    def _stray(self, work: Any) -> None:
        """A short task of the edge's own, kept until it is done."""
        task: asyncio.Task[object] = asyncio.ensure_future(work)
        self._strays.add(task)
        task.add_done_callback(self._strays.discard)


async def _idle(worker: Worker, seconds: float) -> None:
    """Waits until the worker has nothing on its way, at most `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await worker.until_idle()
    except TimeoutError:
        return
