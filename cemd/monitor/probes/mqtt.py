"""mqtt: signs in to a broker, subscribes, publishes, and waits for its own message to come back; each phase timed.

A message goes the whole way that telemetry and apps use, under a topic of the probe and with a word that no other
message has. The few packets of MQTT 3.1.1 and 5 that this takes are written here: a library would open the connection
itself, in a thread that a hanging broker holds, and by no source address or VRF of ours.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import StringConstraints, model_validator

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Attempt, Missed, ProbeParams, Reason, Result
from cemd.monitor.probes.engines.starttls import Security
from cemd.monitor.probes.engines.talk import Talk
from cemd.monitor.probes.engines.visit import (
    SECURE_METRICS,
    VISIT_METRICS,
    Encryption,
    LoginKind,
    LoginParams,
    Visit,
    visit,
)
from cemd.monitor.probes.tools import Tools

_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _DISCONNECT = 2, 3, 4, 9, 14
_REFUSALS = frozenset({4, 5, 0x86, 0x87, 0x8C})
"""Codes of both versions that say no to a log-in."""
_REASONS = {
    0x01: "this version of the protocol is not spoken",
    0x02: "the client's name is not taken",
    0x03: "the server is unavailable",
    0x04: "bad user name or password",
    0x05: "not authorized",
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "an error of its own",
    0x84: "this version of the protocol is not spoken",
    0x85: "the client's name is not taken",
    0x86: "bad user name or password",
    0x87: "not authorized",
    0x88: "the server is unavailable",
    0x89: "the server is busy",
    0x8A: "banned",
    0x8C: "bad authentication method",
    0x95: "packet too large",
    0x97: "quota exceeded",
    0x9C: "use another server",
    0x9D: "the server has moved",
    0x9F: "connection rate exceeded",
}
"""What the codes of a refused connection say. Sources: MQTT 3.1.1, table 3.1; MQTT 5.0, section 3.2.2.2."""
_NOT_ALLOWED = 0x80
_KEEP_ALIVE_SECONDS = 60
_MOST_PACKETS = 200
Topic = Annotated[str, StringConstraints(pattern=r"^[^#+\x00$][^#+\x00]{0,199}$")]


class Version(StrEnum):
    V311 = "3.1.1"
    V5 = "5"


class Qos(StrEnum):
    """At most once, or at least once with the broker's word for it."""

    ZERO = "0"
    ONE = "1"


class MqttParams(LoginParams):
    """A broker. The port is 1883, or 8883 with TLS."""

    mqtt_version: Version = Version.V5
    """Version of MQTT that the broker speaks; 3.1.1 only for brokers that know nothing newer."""
    topic: Topic = "cemd/probe"
    """Messages go to a topic of their own below this one; the probe's user must be allowed to write and read there."""
    qos: Qos = Qos.ONE
    """With 1 the broker's acknowledgement is timed too."""

    @model_validator(mode="after")
    def _no_starttls(self) -> MqttParams:
        if self.tls is Encryption.STARTTLS:
            raise ValueError("MQTT has no STARTTLS; set `tls` to direct or none")
        return self


class Mqtt(LoginKind[MqttParams]):
    """`connect_seconds`, with TLS `tls_seconds` and `certificate_expiry_days`, `login_seconds`, `subscribe_seconds`,
    `acknowledge_seconds` (QoS 1), and `round_trip_seconds` from publishing to the message's return."""

    word: ClassVar[str] = "mqtt"
    Params: ClassVar[type[ProbeParams]] = MqttParams
    ports: ClassVar[Mapping[Encryption, int]] = {Encryption.NONE: 1883, Encryption.DIRECT: 8883}
    metrics: ClassVar[frozenset[str] | None] = (
        VISIT_METRICS
        | SECURE_METRICS
        | {"login_seconds", "subscribe_seconds", "acknowledge_seconds", "round_trip_seconds"}
    )

    def __init__(self, params: MqttParams, tools: Tools) -> None:
        super().__init__(params, tools)
        self._five = params.mqtt_version is Version.V5

    async def run(self, attempt: Attempt) -> Result:
        params = self._params
        async with visit(params, self._port, self._tools, attempt, most_bytes=params.max_answer_bytes) as made:
            how = Security.DIRECT if params.tls is Encryption.DIRECT else Security.NONE
            await made.secure(params, how, self._tools)
            word = secrets.token_hex(16)
            topic = f"{params.topic}/{word[:8]}"
            await self._sign_in(made, f"cemd-{word}")
            await self._subscribe(made, topic)
            await self._go_round(made, topic, word.encode())
            await made.talk.say(_packet(_DISCONNECT << 4, b""))
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=tuple(made.readings))

    @property
    def _properties(self) -> bytes:
        return b"\0" if self._five else b""

    async def _sign_in(self, made: Visit, client: str) -> None:
        flags, login = 0x02, b""
        if self._params.user is not None:
            flags |= 0xC0
            login = _text(self._params.user) + _text(self._params.password(made.secrets))
        level = bytes([5 if self._five else 4, flags]) + _KEEP_ALIVE_SECONDS.to_bytes(2, "big")
        await made.talk.say(_packet(0x10, _text("MQTT") + level + self._properties + _text(client) + login))
        kind, body = await read_packet(made.talk)
        if kind >> 4 != _CONNACK or len(body) < 2:
            raise Missed(Reason.PROTOCOL_BROKEN, f"packet {kind:#x} is no answer to a connection.")
        if body[1]:
            reason = Reason.LOGIN_REFUSED if body[1] in _REFUSALS else Reason.STATUS_UNEXPECTED
            words = _REASONS.get(body[1], "unknown reason")
            raise Missed(reason, f"the broker refuses the connection with code {body[1]:#x}: {words}.")
        made.timed("login_seconds")

    async def _subscribe(self, made: Visit, topic: str) -> None:
        quality = bytes([int(self._params.qos)])
        await made.talk.say(_packet(0x82, b"\0\x01" + self._properties + _text(topic) + quality))
        kind, body = await read_packet(made.talk)
        if kind >> 4 != _SUBACK or len(body) < 3:
            raise Missed(Reason.PROTOCOL_BROKEN, f"packet {kind:#x} is no answer to a subscription.")
        if body[-1] >= _NOT_ALLOWED:
            raise Missed(Reason.STATUS_UNEXPECTED, f"the broker refuses {topic} with code {body[-1]:#x}.")
        made.timed("subscribe_seconds")

    async def _go_round(self, made: Visit, topic: str, word: bytes) -> None:
        """Publishes and takes what comes, in whatever order, until everything is there."""
        twice = self._params.qos is Qos.ONE
        number = b"\0\x02" if twice else b""
        await made.talk.say(_packet(0x32 if twice else 0x30, _text(topic) + number + self._properties + word))
        began, waiting = made.began, {_PUBLISH, _PUBACK} if twice else {_PUBLISH}
        for _ in range(_MOST_PACKETS):
            made.talk.acknowledge_at_once()
            kind, body = await read_packet(made.talk)
            made.began = began
            if kind >> 4 == _PUBACK and _PUBACK in waiting:
                self._accepted(body)
                made.timed("acknowledge_seconds")
                waiting.discard(_PUBACK)
            elif kind >> 4 == _PUBLISH and body.endswith(word) and _PUBLISH in waiting:
                made.timed("round_trip_seconds")
                waiting.discard(_PUBLISH)
            elif kind >> 4 == _DISCONNECT:
                code = body[0] if body else 0
                raise Missed(Reason.CLOSED_EARLY, f"the broker ends the connection with code {code:#x}.")
            if not waiting:
                return
        raise Missed(Reason.ANSWER_UNEXPECTED, f"{_MOST_PACKETS} packets came, and not our message.")

    @staticmethod
    def _accepted(body: bytes) -> None:
        """An acknowledgement of version 5 may say that the broker did not take the message.

        Raises:
            Missed: it says so.
        """
        if len(body) >= 3 and body[2] >= _NOT_ALLOWED:
            raise Missed(Reason.STATUS_UNEXPECTED, f"the broker does not take the message, with code {body[2]:#x}.")


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _packet(kind: int, body: bytes) -> bytes:
    size, head = len(body), bytearray([kind])
    while True:
        size, low = divmod(size, 128)
        head.append(low | (0x80 if size else 0))
        if not size:
            return bytes(head) + body


async def read_packet(talk: Talk) -> tuple[int, bytes]:
    """(first octet, body) of the next packet.

    Raises:
        Missed: its length is none, or it is longer than we take.
    """
    kind = (await talk.exactly(1))[0]
    size = 0
    for place in range(4):
        digit = (await talk.exactly(1))[0]
        size |= (digit & 0x7F) << 7 * place
        if not digit & 0x80:
            return kind, await talk.exactly(size)
    raise Missed(Reason.PROTOCOL_BROKEN, "the length of a packet has no end.")
