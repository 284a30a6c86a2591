"""One channel at work: asks for notices at its rate, sends them, tells what became of each. The bulkhead.

Every channel has its own worker, window, connections and pace, so a dead server delays no other channel. A notice that
surely did not leave goes back to the core, which decides about it again and hands it over again: so none is in hand
while nothing leaves, and a daemon that ends then knows it. One that may have left is unknown, and class `safety` alone
is tried again then. Nothing is sent after the kill switch, after the communication was withdrawn, or past its expiry.

Where several in a row did not leave, the whole channel gives out: what waits in the window goes back too, and a few are
asked for after a while that grows, until one leaves.

At most as many notices are under way as the channel has connections. Those that wait for one are not trying yet: their
deadline has not begun, and they are decided about when it is their turn.

A channel that is configured anew gets another worker. The old one gives back what surely did not leave, so that it goes
on there, and waits for the answers to what is being submitted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from cemd.config.channels import Channel
from cemd.errors import CemdError, ChannelError
from cemd.kit.clock import Clock
from cemd.kit.retry import Backoff
from cemd.model.entry import DispatchRequest
from cemd.model.notice import Alert, MessageClass, NoticeRows, NoticeState
from cemd.report.channels.attempt import Attempt
from cemd.report.channels.base import Kind, Message
from cemd.report.channels.bucket import Bucket
from cemd.report.channels.health import Failing, Health
from cemd.report.channels.letters import message_to, only
from cemd.report.channels.outcomes import Outcomes, Submit
from cemd.report.channels.pager import Pager
from cemd.report.channels.stops import Mark, Outcome, Stops, mark_of
from cemd.report.channels.window import Window
from cemd.report.metrics import ReportMetrics

Addresses = Callable[[list[int], Channel], Awaitable[list[str | None]]]

FLUSH_SECONDS = 0.2
ANSWER_SECONDS = 2.0
"""So long an unanswered request is waited for; an answer without rows is not told."""
LOT = 200
IN_VAIN = 3
"""So many attempts in a row that did not leave speak of the channel, fewer of their addresses."""
PROBING = 2
"""Asked for while a channel gives out: one that came back, and one that is new."""


class Worker:
    """Owns one channel from configuration to connections."""

    def __init__(
        self,
        channel: Channel,
        kind: Kind,
        *,
        submit: Submit,
        addresses: Addresses,
        stops: Stops,
        clock: Clock,
        metrics: ReportMetrics,
        log: Any,
    ) -> None:
        self.channel = channel
        self.kind = kind
        self._addresses = addresses
        self._stops = stops
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._bucket = Bucket(channel.per_second, clock)
        self._window = Window(channel.per_second)
        self._open: dict[Mark, tuple[NoticeRows, int, float]] = {}  # its row, and the monotonic time it was taken
        self._trying: dict[Mark, Attempt] = {}
        self._give_back: Callable[[NoticeRows], None] | None = None
        self._in_vain = 0
        self._pauses = Backoff(first_seconds=1.0, longest_seconds=60.0)
        self._pause_until = 0.0  # by the loop's time
        self._asking = False  # a request is under way, and may be answered yet
        self._closing = False
        self._due = asyncio.Event()
        self._arrived = asyncio.Event()
        self._lots: deque[NoticeRows] = deque()
        self._room = asyncio.Semaphore(kind.connections)
        self._health = Health(channel.name, log, clock)
        self._outcomes = Outcomes(submit, channel=channel.name, log=log)
        self._pager = Pager(channel, kind, outcomes=self._outcomes, metrics=metrics, health=self._health)
        self._settled = self._pager.settled

    @property
    def failing(self) -> Failing | None:
        """Why and since when nothing leaves by it; None: its last message left."""
        return self._health.failing

    def wake(self) -> None:
        """Notices wait for this channel."""
        self._due.set()

    def take(self, rows: NoticeRows) -> None:
        """Rows that are committed in flight."""
        now = self._clock.monotonic()
        for index, customer in enumerate(rows.customer.tolist()):
            self._open[mark_of(rows, customer)] = (rows, index, now)
        self._lots.append(rows)
        self._arrived.set()

    def take_alert(self, alert: Alert) -> None:
        self._pager.take(alert)

    def retire(self, give_back: Callable[[NoticeRows], None]) -> list[Alert]:
        """The channel is configured otherwise, or gone: gives back what surely did not leave, now and when an attempt
        that is under way did not succeed. Returns the alerts that are still to be sent."""
        self._give_back = give_back
        self._lots.clear()
        places: dict[int, tuple[NoticeRows, list[int]]] = {}
        for mark, (rows, index, _) in list(self._open.items()):
            if mark not in self._trying:
                del self._open[mark]
                places.setdefault(id(rows), (rows, []))[1].append(index)
        for rows, chosen in places.values():
            give_back(only(rows, chosen))
        left = self._pager.retire()
        self._settled.set()
        return left

    def take_no_more(self) -> None:
        """Asks for nothing more; what is in hand may leave."""
        self._closing = True

    async def until_idle(self) -> None:
        """Returns when nothing is on its way and every outcome was told."""
        while self._open or self._outcomes or self._pager:
            self._settled.clear()
            await self._settled.wait()

    async def run(self) -> None:
        """Works until cancelled; what is then without an outcome stays in flight, and is unknown at the next start."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask(), name=f"{self.channel.name}-ask")
                tasks.create_task(self._send_lots(tasks), name=f"{self.channel.name}-send")
                tasks.create_task(self._pager.run(), name=f"{self.channel.name}-alerts")
                tasks.create_task(self._tell(), name=f"{self.channel.name}-tell")
        finally:
            await self.kind.close()

    async def _ask(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            await asyncio.sleep(self._pause_until - asyncio.get_running_loop().time())
            if self._closing:
                return
            room = self._window.size - len(self._open)
            if room <= 0 or self._stops.killed:
                await self._pause()
                continue
            self._arrived.clear()
            most = PROBING if self._in_vain >= IN_VAIN else int(self.channel.per_second) or 1
            self._asking = True
            await self._outcomes.tell(DispatchRequest(channel=self.channel.name, capacity=max(1, min(room, most))))
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._arrived.wait()
            except TimeoutError:
                continue  # nothing was granted; the next tick says whether something waits
            self._asking = False

    async def _pause(self) -> None:
        """Waits until something was settled, then asks again."""
        self._settled.clear()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._settled.wait()
        except TimeoutError:
            pass
        self._due.set()

    async def _send_lots(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            if not self._lots:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            rows = self._lots.popleft()
            for low in range(0, len(rows.customer), LOT):
                customers = rows.customer[low : low + LOT].tolist()
                addresses = await self._addresses_of(rows, customers)
                if addresses is None:
                    continue
                for place, address in enumerate(addresses):
                    if not self._holds(rows, mark_of(rows, customers[place])):
                        continue
                    await self._bucket.take()
                    name = f"{self.channel.name}-notice"
                    tasks.create_task(self._send_one(rows, low + place, address), name=name)

    async def _addresses_of(self, rows: NoticeRows, customers: list[int]) -> list[str | None] | None:
        """The addresses; None when the store did not give them until it was too late, which is then the outcome."""
        waits = Backoff(first_seconds=0.5, longest_seconds=30.0)
        while (refusal := self._stops.refusal(rows, self._clock.now())) is None:
            try:
                return await self._addresses(customers, self.channel)
            except CemdError as exc:
                self._log.error("addresses.failed", channel=self.channel.name, error=str(exc))
                await asyncio.sleep(waits.next_delay())
        for customer in customers:
            self._note(rows, customer, *refusal)
        return None

    async def abandon(self) -> None:
        """The worker ended: what has no outcome by now was under way. It may have left or not if it was being
        submitted; before that it goes on with the channel as it is now."""
        for mark, (rows, index, _) in list(self._open.items()):
            attempt = self._trying.get(mark)
            if attempt is not None and not attempt.begun:
                self._return(rows, index)
            else:
                self._note(rows, mark[-1], NoticeState.UNKNOWN, "channel_removed")
        await self._pager.abandon()
        await self._outcomes.flush()

    async def give_up(self) -> None:
        """The daemon stops, and the worker ended. What was granted at the last moment is waited for: an entry is taken
        when those before it are carried out. What was being submitted may have left, and is told nothing of."""
        if self._asking:
            await self._outcomes.tell(DispatchRequest(channel=self.channel.name, capacity=0))
        self._put_back(lambda mark: mark not in self._trying or not self._trying[mark].begun)
        await self._outcomes.flush()

    def _put_back(self, surely: Callable[[Mark], bool]) -> None:
        """Back to the core goes what surely did not leave, now or at an earlier attempt."""
        self._lots.clear()
        for mark, (rows, _, _) in list(self._open.items()):
            if surely(mark) and mark not in self._stops.perhaps_left:
                self._note(rows, mark[-1], NoticeState.DUE, "did_not_leave")

    def _did_not_leave(self) -> None:
        """One more in vain: after several the channel gives out."""
        self._in_vain += 1
        now = asyncio.get_running_loop().time()
        if self._in_vain >= IN_VAIN and now >= self._pause_until and self._give_back is None:
            self._pause_until = now + self._pauses.next_delay()
            self._put_back(lambda mark: mark not in self._trying)

    def _answers(self) -> None:
        """The other side answered, whatever it said of this message."""
        self._in_vain, self._pause_until = 0, 0.0
        self._pauses.reset()

    def _holds(self, rows: NoticeRows, mark: Mark) -> bool:
        """False once it went back: it may be in hand again, but by another handing over."""
        held = self._open.get(mark)
        return held is not None and held[0] is rows

    async def _send_one(self, rows: NoticeRows, index: int, address: str | None) -> None:
        outcome: Outcome | None = NoticeState.FAILED, "no_address"
        if address:
            outcome = await self._until_settled(rows, index, address)
        if outcome is not None:
            self._note(rows, int(rows.customer[index]), *outcome)
        else:
            self._return(rows, index)

    def _return(self, rows: NoticeRows, index: int) -> None:
        """Gives a row that surely did not leave to the next worker, unless that was done when this one retired."""
        mark = mark_of(rows, int(rows.customer[index]))
        if self._give_back is not None and self._holds(rows, mark):
            del self._open[mark]
            self._give_back(only(rows, [index]))
            self._settled.set()

    def _message(self, rows: NoticeRows, index: int, address: str) -> Message | None:
        try:
            return message_to(address, rows, index)
        except (ValueError, LookupError, StopIteration) as exc:
            self._log.error("text.refused", communication=rows.communication, error=f"{type(exc).__name__}: {exc}")
            return None

    async def _until_settled(self, rows: NoticeRows, index: int, address: str) -> Outcome | None:
        """Tries until the fate is known, or the third decision says no; None when it is for another worker to try."""
        mark = mark_of(rows, int(rows.customer[index]))
        if (message := self._message(rows, index, address)) is None:
            return NoticeState.FAILED, "text"
        waits = Backoff(first_seconds=1.0, longest_seconds=60.0)
        while True:
            async with self._room:
                if not self._holds(rows, mark):
                    return None
                if (refusal := self._stops.refusal(rows, self._clock.now())) is not None:
                    return self._stops.unless_left(mark, refusal)
                outcome = await self._tried(rows, message, mark)
            if outcome is not None or self._give_back is not None:
                return outcome
            self._metrics.retries.labels(self.channel.name).inc()
            if mark not in self._stops.perhaps_left:
                return NoticeState.DUE, "did_not_leave"
            await asyncio.sleep(waits.next_delay())

    async def _tried(self, rows: NoticeRows, message: Message, mark: Mark) -> Outcome | None:
        """What one attempt made of a notice; None when it is to be tried again."""
        try:
            await self._attempt(message, mark)
        except ChannelError as exc:
            if exc.unknown:
                self._stops.perhaps_left[mark] = None
            if exc.unknown and rows.message_class is not MessageClass.SAFETY:
                self._health.fails(exc)
                return NoticeState.UNKNOWN, "no_answer"
            if exc.permanent:
                self._answers()
                return self._stops.unless_left(mark, (NoticeState.FAILED, "refused"))
            self._health.fails(exc)
            self._did_not_leave()
            return None
        except Exception as exc:  # noqa: BLE001 -- the guard of this channel: a fault of the kind stays in its room
            self._health.fault(exc)
            return NoticeState.UNKNOWN, "fault"
        self._health.works()
        self._answers()
        return NoticeState.ACCEPTED, ""

    async def _attempt(self, message: Message, mark: Mark) -> None:
        """One try. What is cut off in it stays marked, and its attempt knows whether it may have left."""

        def begins() -> None:
            if (held := self._open.get(mark)) is not None:
                self._window.waited(self._clock.monotonic() - held[-1])

        attempt = self._trying[mark] = Attempt(self.channel.timeout_seconds, name=self.channel.name, begins=begins)
        try:
            with self._metrics.seconds.labels(self.channel.name).time():
                await attempt.run(self.kind.send(message, attempt))
        except Exception:
            del self._trying[mark]
            raise
        del self._trying[mark]

    def _note(self, rows: NoticeRows, customer: int, state: NoticeState, reason: str) -> None:
        mark = mark_of(rows, customer)
        if not self._holds(rows, mark):
            return  # given back: its fate is with another worker, or another handing over
        del self._open[mark]
        self._stops.perhaps_left.pop(mark, None)
        self._outcomes.add(rows, customer, state, reason)
        self._metrics.notices.labels(self.channel.name, rows.phase.name.lower(), state.name.lower()).inc()
        self._metrics.in_flight.labels(self.channel.name).set(len(self._open))
        self._settled.set()

    async def _tell(self) -> None:
        """Brings outcomes back, gathered: one entry for many notices."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Tells every outcome that is known."""
        await self._outcomes.flush()
        self._settled.set()
