"""Telemetry over MQTT: a session that survives, and an acknowledgement only when the samples are in the log.

aiomqtt acknowledges before anyone saw the message; acknowledging by hand needs its inner client (hence the pinned
version). A new client is made for each connection, because one whose connect was cancelled never works again. What
arrives within a moment becomes one batch, so that a broker of single samples does not make a log row of each.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from prometheus_client import Gauge

from cemd.config.settings import MqttIntake as MqttSettings
from cemd.errors import Refused, StoreError
from cemd.kit.logs import SaidOnce
from cemd.kit.retry import Backoff
from cemd.kit.secrets import read_secret_text
from cemd.monitor.intake.push import Taker
from cemd.monitor.intake.samples import Pushed

GATHER_SECONDS = 0.05
GATHER_MESSAGES = 1_000
GATHER_BYTES = 1024 * 1024
QUEUE_BYTES = 32 * 1024 * 1024
"""Messages that wait here for the log. mosquitto lets more through than the receive maximum, so bytes are bounded."""
RECEIVE_MAXIMUM = 500
SESSION_SECONDS = 86_400
"""A daemon away for longer than this finds the broker's queue gone."""
_SETTLED_SECONDS = 30.0


class _Broken(Exception):  # noqa: N818 -- ends a connection, not the intake
    """This connection cannot go on: the broker refused a topic, or more waits than may."""


class _BoundedQueue(asyncio.Queue[aiomqtt.Message]):
    """Bounded by bytes. What does not fit stays unacknowledged with the broker, and the connection is given up."""

    overflowed = False
    waiting_bytes = 0

    def _put(self, item: aiomqtt.Message) -> None:
        self.waiting_bytes += len(item.payload)
        super()._put(item)

    def _get(self) -> aiomqtt.Message:
        item: aiomqtt.Message = super()._get()
        self.waiting_bytes -= len(item.payload)
        return item

    def put_nowait(self, item: aiomqtt.Message) -> None:
        if self.overflowed or self.waiting_bytes + len(item.payload) > QUEUE_BYTES:
            self.overflowed = True
            raise asyncio.QueueFull
        super().put_nowait(item)


class MqttIntake:
    """One broker of `intake.mqtt`. Samples of it have the source `mqtt:NAME`."""

    def __init__(self, settings: MqttSettings, taker: Taker, *, brokers: Gauge, log: Any) -> None:
        self._settings = settings
        self._taker = taker
        self._brokers = brokers
        self._log = log
        self._said = SaidOnce(log)
        self._source = f"mqtt:{settings.name}"

    async def run(self) -> None:
        """Takes telemetry until cancelled; connects again for ever, and says once that the broker is gone."""
        waits = Backoff(first_seconds=0.5, longest_seconds=30.0)
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._connection()
            except (aiomqtt.MqttError, _Broken, OSError, ValueError) as exc:
                where = f"{self._settings.host}:{self._settings.port}"
                why = f"{type(exc).__name__}: {exc}"
                self._said.gone("broker", "intake.broker_gone", source=self._source, broker=where, error=why)
            if loop.time() - began > _SETTLED_SECONDS:
                waits.reset()
            await asyncio.sleep(waits.next_delay())

    async def _connection(self) -> None:
        client = self._client()
        client._client.manual_ack_set(True)  # noqa: SLF001 -- the only door to acknowledge after the commit
        async with client:
            codes: Any = await client.subscribe([(topic, 1) for topic in self._settings.topics])
            refused = [topic for topic, code in zip(self._settings.topics, codes, strict=False) if code.value >= 128]
            if refused:
                raise _Broken(f"the broker refuses the topics {', '.join(refused)}; check its access list.")
            self._said.back("broker", "intake.broker_back", source=self._source)
            self._brokers.inc()
            try:
                while True:
                    await self._take_some(client)
            finally:
                self._brokers.dec()

    def _client(self) -> aiomqtt.Client:
        settings = self._settings
        secret = settings.password_file
        return aiomqtt.Client(
            settings.host,
            settings.port,
            username=settings.user,
            password=read_secret_text(secret) if secret else None,
            identifier=settings.client_id,
            **_session(settings.version),
            tls_context=ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else None,
            queue_type=_BoundedQueue,
        )

    async def _take_some(self, client: aiomqtt.Client) -> None:
        """Waits for a message, gathers what came with it, logs it as one batch, then acknowledges all of it."""
        arrived = client.messages
        messages = [await anext(arrived)]
        await asyncio.sleep(GATHER_SECONDS)
        gathered = _size(messages[0])
        while len(arrived) and len(messages) < GATHER_MESSAGES and gathered < GATHER_BYTES:
            messages.append(await anext(arrived))
            gathered += _size(messages[-1])
        pushed = await self._taker.judge(self._source, *map(_body, messages))
        await self._log_all(client, pushed)
        for message in messages:
            if message.qos:
                client._client.ack(message.mid, message.qos)  # noqa: SLF001 -- see above

    async def _log_all(self, client: aiomqtt.Client, pushed: Pushed) -> None:
        waits = Backoff(first_seconds=0.2, longest_seconds=5.0)
        while True:
            queue = client._queue  # noqa: SLF001 -- our own class, made by the client
            if isinstance(queue, _BoundedQueue) and queue.overflowed:
                raise _Broken("more telemetry waits than may; the broker keeps the rest until cemd is back.")
            try:
                await self._taker.log(self._source, pushed)
            except (Refused, StoreError) as exc:
                self._said.gone("log", "intake.waiting", source=self._source, error=str(exc))
                await asyncio.sleep(waits.next_delay())
            else:
                self._said.back("log", "intake.log_writes", source=self._source)
                return


def _body(message: aiomqtt.Message) -> bytes:
    payload: Any = message.payload
    return payload if isinstance(payload, bytes) else b""


def _size(message: aiomqtt.Message) -> int:
    return len(_body(message))


def _session(version: str) -> dict[str, Any]:
    """What asks for a session that survives, in the words of each version of MQTT."""
    if version == "3.1.1":
        return {"protocol": aiomqtt.ProtocolVersion.V311, "clean_session": False}
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_SECONDS
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    return {"protocol": aiomqtt.ProtocolVersion.V5, "clean_start": False, "properties": properties}
