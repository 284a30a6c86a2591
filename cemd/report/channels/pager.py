"""The alerts of one channel, sent one after another; each has an outcome, whatever becomes of its worker."""

from __future__ import annotations

import asyncio

from msgspec import structs

from cemd.config.channels import Channel
from cemd.errors import ChannelError
from cemd.model.entry import AlertOutcome
from cemd.model.notice import Alert
from cemd.report.channels.attempt import Attempt
from cemd.report.channels.base import Kind
from cemd.report.channels.health import Health
from cemd.report.channels.outcomes import Outcomes
from cemd.report.metrics import ReportMetrics


class Pager:
    """Owned by the worker of one channel."""

    def __init__(
        self, channel: Channel, kind: Kind, *, outcomes: Outcomes, metrics: ReportMetrics, health: Health
    ) -> None:
        self._channel = channel
        self._kind = kind
        self._outcomes = outcomes
        self._metrics = metrics
        self._health = health
        self._waiting: asyncio.Queue[Alert] = asyncio.Queue()
        self._sending: tuple[Alert, Attempt] | None = None
        self._untold: AlertOutcome | None = None
        self.settled = asyncio.Event()

    def take(self, alert: Alert) -> None:
        self._waiting.put_nowait(alert)

    def __bool__(self) -> bool:
        """True while an alert has no outcome that the core knows."""
        return bool(self._waiting.qsize() or self._sending or self._untold)

    def retire(self) -> list[Alert]:
        """The alerts that wait, for another worker to send."""
        return [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]

    async def run(self) -> None:
        while True:
            alert = await self._waiting.get()
            attempt = Attempt(self._channel.timeout_seconds, name=self._channel.name)
            self._sending = alert, attempt
            self._untold = await self._outcome(alert, attempt)
            self._sending = None
            await self._tell()

    async def abandon(self) -> None:
        """The worker ended: what was cut off while it was submitted may have left; before that it surely did not."""
        if self._sending is not None:
            alert, attempt = self._sending
            self._untold = AlertOutcome(
                alert=alert.id, revision=alert.revision, sent=False, unknown=attempt.begun, reason="channel_removed"
            )
            self._sending = None
        await self._tell()

    async def _outcome(self, alert: Alert, attempt: Attempt) -> AlertOutcome:
        sent = AlertOutcome(alert=alert.id, revision=alert.revision, sent=True)
        try:
            await attempt.run(self._kind.alert(alert, attempt))
        except ChannelError as exc:
            self._health.fails(exc)
            return structs.replace(sent, sent=False, permanent=exc.permanent, unknown=exc.unknown, reason=str(exc))
        except Exception as exc:  # noqa: BLE001 -- the guard of this channel: a fault of the kind stays in its room
            self._health.fault(exc)
            return structs.replace(sent, sent=False, unknown=True, reason=type(exc).__name__)
        self._health.works()
        return sent

    async def _tell(self) -> None:
        """Kept until the core has it: a worker that ends meanwhile tells it again."""
        if (outcome := self._untold) is not None:
            word = "sent" if outcome.sent else "unknown" if outcome.unknown else "failed"
            await self._outcomes.tell(outcome)
            self._metrics.alerts.labels(self._channel.name, word).inc()
            self._untold = None
        self.settled.set()
