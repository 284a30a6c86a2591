"""One channel at work: asks for notices at its rate, sends them, tells what became of each. The bulkhead.

Every channel has its own worker, window, connections and pace, so a dead server delays no other channel. A notice that
surely did not leave is tried again until it expires; one that may have left is unknown, and class `safety` alone is
tried again then. Nothing is sent after the kill switch, after the communication was withdrawn, or past its expiry.

A channel that is configured anew gets another worker. The old one gives back what surely did not leave, so that it goes
on there, and waits for the answers to what is being submitted.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from cemd.config.channels import Channel
from cemd.errors import CemdError, ChannelError
from cemd.kit.clock import Clock
from cemd.kit.retry import Backoff
from cemd.model.entry import AlertOutcome, DispatchRequest
from cemd.model.notice import Alert, MessageClass, NoticeRows, NoticeState, Phase
from cemd.report.channels.base import Kind, Message, within
from cemd.report.channels.bucket import Bucket
from cemd.report.channels.outcomes import Outcomes, Submit
from cemd.report.metrics import ReportMetrics
from cemd.report.quiet import spoken_time
from cemd.report.texts import choose_language, render

Addresses = Callable[[list[int], Channel], Awaitable[list[str | None]]]

FLUSH_SECONDS = 0.2
ANSWER_SECONDS = 2.0
"""So long an unanswered request is waited for; an answer without rows is not told."""
LOT = 200


@dataclass(slots=True)
class Stops:
    """What must not leave any more; shared by all workers, changed by effects."""

    killed: bool = False
    withdrawn: dict[tuple[str, Phase, int], None] = field(default_factory=dict)
    perhaps_left: dict[tuple[str, Phase, int, int], None] = field(default_factory=dict)
    """Class `safety`: submitted without an answer, and tried again, perhaps by the next worker of the channel."""


Mark = tuple[str, Phase, int, int]


def mark_of(rows: NoticeRows, customer: int) -> Mark:
    """What names a row of the outbox."""
    return rows.communication, rows.phase, rows.revision, customer


def _only(rows: NoticeRows, places: list[int]) -> NoticeRows:
    """Some of the rows."""
    return dataclasses.replace(
        rows,
        customer=rows.customer[places],
        digest=rows.digest[places],
        language=rows.language[places] if len(rows.language) else rows.language,
        zone=rows.zone[places] if len(rows.zone) else rows.zone,
    )


def _values(rows: NoticeRows, index: int) -> dict[str, str]:
    """What the text to one customer says: times in the customer's zone, which is the site's or the operator's where no
    other is known."""
    place = int(rows.zone[index]) if index < len(rows.zone) else len(rows.zones)
    zone = rows.zones[place] if place < len(rows.zones) else ""
    return {**rows.values, "since": spoken_time(rows.since, zone, "UTC")} if zone else rows.values


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
        self._window = max(20, min(2_000, int(channel.per_second * 4)))
        self._open: dict[Mark, tuple[NoticeRows, int]] = {}
        self._submitting: dict[Mark, None] = {}
        self._give_back: Callable[[NoticeRows], None] | None = None
        self._due = asyncio.Event()
        self._arrived = asyncio.Event()
        self._lots: deque[NoticeRows] = deque()
        self._alerts: asyncio.Queue[Alert] = asyncio.Queue()
        self._alerts_left = 0
        self._outcomes = Outcomes(submit, channel=channel.name, log=log)
        self._settled = asyncio.Event()
        self._broken = False

    def wake(self) -> None:
        """Notices wait for this channel."""
        self._due.set()

    def take(self, rows: NoticeRows) -> None:
        """Rows that are committed in flight."""
        for index, customer in enumerate(rows.customer.tolist()):
            self._open[mark_of(rows, customer)] = (rows, index)
        self._lots.append(rows)
        self._arrived.set()

    def take_alert(self, alert: Alert) -> None:
        self._alerts_left += 1
        self._alerts.put_nowait(alert)

    def retire(self, give_back: Callable[[NoticeRows], None]) -> list[Alert]:
        """The channel is configured otherwise, or gone: gives back what surely did not leave, now and when an attempt
        that is under way did not succeed. Returns the alerts that are still to be sent."""
        self._give_back = give_back
        self._lots.clear()
        places: dict[int, tuple[NoticeRows, list[int]]] = {}
        for mark, (rows, index) in list(self._open.items()):
            if mark not in self._submitting:
                del self._open[mark]
                places.setdefault(id(rows), (rows, []))[1].append(index)
        for rows, chosen in places.values():
            give_back(_only(rows, chosen))
        left = [self._alerts.get_nowait() for _ in range(self._alerts.qsize())]
        self._alerts_left -= len(left)
        self._settled.set()
        return left

    async def until_idle(self) -> None:
        """Returns when nothing is on its way and every outcome was told."""
        while self._open or self._outcomes or self._alerts_left:
            self._settled.clear()
            await self._settled.wait()

    async def run(self) -> None:
        """Works until cancelled; what is then without an outcome stays in flight, and is unknown at the next start."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask(), name=f"{self.channel.name}-ask")
                tasks.create_task(self._send_lots(tasks), name=f"{self.channel.name}-send")
                tasks.create_task(self._send_alerts(), name=f"{self.channel.name}-alerts")
                tasks.create_task(self._tell(), name=f"{self.channel.name}-tell")
        finally:
            await self.kind.close()

    async def _ask(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            room = self._window - len(self._open)
            if room <= 0 or self._stops.killed:
                await self._pause()
                continue
            self._arrived.clear()
            capacity = max(1, min(room, int(self.channel.per_second) or 1))
            await self._outcomes.tell(DispatchRequest(channel=self.channel.name, capacity=capacity))
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._arrived.wait()
            except TimeoutError:
                continue  # nothing was granted; the next tick says whether something waits

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
                    await self._bucket.take()
                    name = f"{self.channel.name}-notice"
                    tasks.create_task(self._send_one(rows, low + place, address), name=name)

    async def _addresses_of(self, rows: NoticeRows, customers: list[int]) -> list[str | None] | None:
        """The addresses; None when the store did not give them until it was too late, which is then the outcome."""
        waits = Backoff(first_seconds=0.5, longest_seconds=30.0)
        while (refusal := self._refusal(rows)) is None:
            try:
                return await self._addresses(customers, self.channel)
            except CemdError as exc:
                self._log.error("addresses.failed", channel=self.channel.name, error=str(exc))
                await asyncio.sleep(waits.next_delay())
        for customer in customers:
            self._note(rows, customer, *refusal)
        return None

    async def abandon(self) -> None:
        """The worker ended: what has no outcome by now was being submitted, and may have left or not."""
        for rows, index in list(self._open.values()):
            self._note(rows, int(rows.customer[index]), NoticeState.UNKNOWN, "channel_removed")
        await self._outcomes.flush()

    async def _send_one(self, rows: NoticeRows, index: int, address: str | None) -> None:
        mark = mark_of(rows, int(rows.customer[index]))
        outcome: tuple[NoticeState, str] | None = NoticeState.FAILED, "no_address"
        if address and mark in self._open:
            outcome = await self._until_settled(rows, self._message(rows, index, address), mark)
        if outcome is not None:
            self._note(rows, int(rows.customer[index]), *outcome)
        elif self._give_back is not None and self._open.pop(mark, None) is not None:
            self._give_back(_only(rows, [index]))
            self._settled.set()

    def _message(self, rows: NoticeRows, index: int, address: str) -> Message | None:
        wanted = rows.languages[rows.language[index]] if index < len(rows.language) and rows.languages else ""
        try:
            language = choose_language(wanted, rows.texts, rows.values.get("operator_language", ""))
            subject, body = rows.texts[language]
            values = _values(rows, index)
            return Message(
                id=rows.notice_id(index),
                to=address,
                subject=render(subject, values),
                body=render(body, values),
                language=language,
                communication=rows.communication,
                phase=rows.phase.name.lower(),
                revision=rows.revision,
                trace=rows.trace,
            )
        except (ValueError, LookupError, StopIteration) as exc:
            self._log.error("text.refused", communication=rows.communication, error=f"{type(exc).__name__}: {exc}")
            return None

    async def _until_settled(
        self, rows: NoticeRows, message: Message | None, mark: Mark
    ) -> tuple[NoticeState, str] | None:
        """Tries until the fate is known, or the third decision says no; None when it is for another worker to try."""
        if message is None:
            return NoticeState.FAILED, "text"
        waits = Backoff(first_seconds=1.0, longest_seconds=60.0)
        while (refusal := self._refusal(rows)) is None:
            try:
                await self._attempt(message, mark)
            except ChannelError as exc:
                if exc.unknown:
                    self._stops.perhaps_left[mark] = None
                if exc.unknown and rows.message_class is not MessageClass.SAFETY:
                    self._say_broken(exc)
                    return NoticeState.UNKNOWN, "no_answer"
                if exc.permanent:
                    return self._unless_left(mark, (NoticeState.FAILED, "refused"))
                self._say_broken(exc)
                self._metrics.retries.labels(self.channel.name).inc()
                if self._give_back is not None:
                    return None
                await asyncio.sleep(waits.next_delay())
                if mark not in self._open:
                    return None
                continue
            except Exception as exc:  # noqa: BLE001 -- the guard of this channel: a fault of the kind stays in its room
                self._log.error("channel.fault", channel=self.channel.name, error=type(exc).__name__)
                return NoticeState.UNKNOWN, "fault"
            self._say_working()
            return NoticeState.ACCEPTED, ""
        return self._unless_left(mark, refusal)

    async def _attempt(self, message: Message, mark: Mark) -> None:
        """One submission. What is cut off in it stays marked: it may have left."""
        self._submitting[mark] = None
        try:
            with self._metrics.seconds.labels(self.channel.name).time():
                await within(self.channel.timeout_seconds, self.kind.send(message), name=self.channel.name)
        except Exception:
            del self._submitting[mark]
            raise
        del self._submitting[mark]

    def _unless_left(self, mark: Mark, outcome: tuple[NoticeState, str]) -> tuple[NoticeState, str]:
        """An earlier attempt may have left: then nothing else is known."""
        if mark not in self._stops.perhaps_left:
            return outcome
        return NoticeState.UNKNOWN, "refused" if outcome[0] is NoticeState.FAILED else "no_answer"

    def _refusal(self, rows: NoticeRows) -> tuple[NoticeState, str] | None:
        """The third decision, just before the transport."""
        if self._stops.killed:
            return NoticeState.CANCELLED, "kill_switch"
        if (rows.communication, rows.phase, rows.revision) in self._stops.withdrawn:
            return NoticeState.CANCELLED, "incident_over"
        if self._clock.now() >= rows.expires_at:
            return NoticeState.EXPIRED, "expired"
        return None

    def _note(self, rows: NoticeRows, customer: int, state: NoticeState, reason: str) -> None:
        mark = mark_of(rows, customer)
        if self._open.pop(mark, None) is None:
            return  # given back: its fate is with another worker
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

    async def _send_alerts(self) -> None:
        while True:
            alert = await self._alerts.get()
            outcome = AlertOutcome(alert=alert.id, revision=alert.revision, sent=True)
            try:
                await within(self.channel.timeout_seconds, self.kind.alert(alert), name=self.channel.name)
                self._say_working()
            except ChannelError as exc:
                self._say_broken(exc)
                outcome = AlertOutcome(
                    alert=alert.id,
                    revision=alert.revision,
                    sent=False,
                    permanent=exc.permanent,
                    unknown=exc.unknown,
                    reason=str(exc),
                )
            except Exception as exc:  # noqa: BLE001 -- as above
                self._log.error("channel.fault", channel=self.channel.name, error=type(exc).__name__)
                outcome = structs.replace(outcome, sent=False, unknown=True, reason=type(exc).__name__)
            word = "sent" if outcome.sent else "unknown" if outcome.unknown else "failed"
            self._metrics.alerts.labels(self.channel.name, word).inc()
            await self._outcomes.tell(outcome)
            self._alerts_left -= 1
            self._settled.set()

    def _say_broken(self, exc: ChannelError) -> None:
        if not self._broken:
            self._broken = True
            self._log.warning("channel.failed", channel=self.channel.name, error=str(exc))

    def _say_working(self) -> None:
        if self._broken:
            self._broken = False
            self._log.info("channel.works_again", channel=self.channel.name)
