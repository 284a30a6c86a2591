"""tcp: opens a connection, may secure it and hold a dialogue over it, and times every phase.

The connection alone is the quick way, without a word said. With `tls` the handshake is made from the first byte or
after the protocol's own word for it, and the certificate is verified. With `dialogue` each turn says and expects.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import (
    Attempt,
    Host,
    Missed,
    Port,
    ProbeParams,
    Reading,
    Reason,
    Result,
    Secrets,
    Text,
    Way,
)
from cemd.monitor.probes.dialogue import Heard, Pattern, Turn, Turns, ValueName, check_values, read_values
from cemd.monitor.probes.names import is_address
from cemd.monitor.probes.sockets import SocketParams, connect
from cemd.monitor.probes.starttls import PRELUDES, Security
from cemd.monitor.probes.talk import Talk
from cemd.monitor.probes.tools import Tools
from cemd.monitor.probes.trust import expiry_days

_TCP_INFO_BYTES = 72
_ROUND_TRIP_AT = 68


class TcpParams(SocketParams):
    """A port that must accept, and may have to answer."""

    run_time_values: ClassVar[bool] = True

    host: Host
    """Name or address."""
    port: Port
    """Where it listens."""
    tls: Security = Security.NONE
    """`none`; `direct`: TLS from the first byte; or the protocol whose STARTTLS is spoken first."""
    tls_name: Host | None = None
    """Name that the certificate must be valid for; default: `host`."""
    ca_file: Text | None = None
    """Certificate authorities that are trusted; default: those of the system."""
    certificate_days: Annotated[float, Field(ge=0, le=3650)] = 0.0
    """A certificate that ends sooner than this is a failure; default 0: only one that has ended."""
    send: Text | None = None
    r"""Text sent after the connection stands; `\r\n` in double quotes is a line end. Default: nothing."""
    expect: Pattern | None = None
    """Regular expression that the answer must contain. Default: nothing is read."""
    dialogue: Turns = ()
    """Turns of a longer talk, in order; not together with `send` and `expect`, which are one turn."""
    secret_files: dict[ValueName, Text] = Field(
        default={}, description="Values that `{name}` in what is sent stands for, read from files for each run."
    )
    max_answer_bytes: Annotated[int, Field(ge=1, le=1_048_576)] = 16_384
    """More than this without the expected text is a failure: a peer that never stops must not fill memory."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        return ((("host",), self.host),)

    def turns(self) -> tuple[Turn, ...]:
        """What is said and expected, in order."""
        if self.send is None and self.expect is None:
            return self.dialogue
        return (Turn(send=self.send, expect=self.expect),)

    @model_validator(mode="after")
    def _whole(self) -> TcpParams:
        if self.dialogue and (self.send is not None or self.expect is not None):
            raise ValueError("`dialogue` and `send` or `expect` exclude each other; write them as its first turn")
        check_values(self.turns(), self.secret_files)
        if self.tls is Security.NONE and (self.tls_name or self.ca_file or self.certificate_days):
            raise ValueError("tls_name, ca_file and certificate_days need `tls`, which is none")
        return self


class Tcp:
    """`name_seconds` of the look-up, `connect_seconds` until the handshake is done, `handshake_round_trip_seconds` as
    the kernel saw it; with TLS `starttls_seconds`, `tls_seconds`, `certificate_expiry_days`; `answer_seconds` from then
    until all that was expected is there, and of a dialogue `turn_seconds` with the label `turn`."""

    word: ClassVar[str] = "tcp"
    Params: ClassVar[type[ProbeParams]] = TcpParams

    def __init__(self, params: TcpParams, tools: Tools) -> None:
        self._params = params
        self._names = tools.names
        self._trust = tools.trust
        self._clock = tools.clock
        self._turns = [Heard(turn, number) for number, turn in enumerate(params.turns(), 1)]

    @property
    def target(self) -> str:
        return f"{self._params.host}:{self._params.port}"

    @property
    def group(self) -> str:
        return self.target

    async def run(self, attempt: Attempt) -> Result:
        loop = asyncio.get_running_loop()
        params, readings, secrets = self._params, list[Reading](), Secrets()
        began = loop.time()
        address = await self._names.address(params.host, attempt.remaining(), params.version())
        if not is_address(params.host):
            began = _timed(readings, "name_seconds", began)
        door = await connect(params, address, params.port)
        with Talk(door, self.target, most_bytes=params.max_answer_bytes) as talk:
            began = _timed(readings, "connect_seconds", began)
            readings.append(Reading(metric="handshake_round_trip_seconds", value=round_trip_seconds(door)))
            try:
                if params.tls is not Security.NONE:
                    await self._secure(talk, readings, began)
                if self._turns:
                    await self._speak(talk, readings, secrets)
            except Missed as missed:
                missed.detail = secrets.hide(missed.detail)
                missed.readings = tuple(readings)
                raise
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=tuple(readings))

    async def _secure(self, talk: Talk, readings: list[Reading], began: float) -> None:
        params = self._params
        context = self._trust.context(params.ca_file)
        name = params.tls_name or params.host
        if params.tls is not Security.DIRECT:
            await PRELUDES[params.tls](talk, name)
            began = _timed(readings, "starttls_seconds", began)
        await talk.start_tls(context, name)
        _timed(readings, "tls_seconds", began)
        certificate = talk.tls.getpeercert() if talk.tls is not None else None
        days = expiry_days(certificate, self._clock.now())
        if days is not None:
            readings.append(Reading(metric="certificate_expiry_days", value=days))
            if days < params.certificate_days:
                words = f"the certificate ends in {days:.1f} days; at least {params.certificate_days:g} are wanted."
                raise Missed(Reason.CERTIFICATE_INVALID, words)

    async def _speak(self, talk: Talk, readings: list[Reading], secrets: Secrets) -> None:
        loop = asyncio.get_running_loop()
        values = read_values(self._params.secret_files, secrets)
        began = turn_began = loop.time()
        for heard in self._turns:
            if (data := heard.turn.said(values)) is not None:
                await talk.say(data)
            if heard.expect is not None:
                await talk.until(heard.expect, heard.reject)
            if len(self._turns) > 1:
                turn_began = _timed(readings, "turn_seconds", turn_began, heard.label)
        _timed(readings, "answer_seconds", began)


def _timed(readings: list[Reading], metric: str, began: float, turn: str = "") -> float:
    """Notes the seconds since `began`; returns now."""
    now = asyncio.get_running_loop().time()
    readings.append(Reading(metric=metric, value=now - began, labels=(("turn", turn),) if turn else ()))
    return now


def round_trip_seconds(door: socket.socket) -> float:
    """The round trip of the handshake as the kernel measured it (TCP_INFO), free of our own queue."""
    info = door.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    return float(struct.unpack_from("@I", info, _ROUND_TRIP_AT)[0]) / 1e6
