"""udp: sends datagrams and expects answers, timed by the kernel's stamp of their arrival.

UDP knows no refusal but the host's own word that nobody listens; so an answer is always expected. A datagram that may
be lost is sent again after a while, and counted. What does not fit is dropped and waited past: anybody can send here.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import time
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
from cemd.monitor.probes.engines.dialogue import (
    Heard,
    Hex,
    Pattern,
    Turn,
    Turns,
    ValueName,
    check_values,
    read_values,
)
from cemd.monitor.probes.engines.names import trouble
from cemd.monitor.probes.engines.sockets import SocketParams, connect, readable
from cemd.monitor.probes.engines.stamps import ANCILLARY_BYTES, SO_TIMESTAMPNS, WallClock, kernel_stamp
from cemd.monitor.probes.engines.talk import shown
from cemd.monitor.probes.tools import Tools

_ANYTHING = re.compile(b"")
_MOST_DROPPED = 1_000


class UdpParams(SocketParams):
    """A service over UDP that must answer."""

    run_time_values: ClassVar[bool] = True

    host: Host
    """Name or address."""
    port: Port
    """Where it listens."""
    send: Text | None = None
    """Text of the datagram; `{name}` is a value of `secret_files`."""
    send_hex: Hex | None = None
    """Bytes of the datagram, as hexadecimal digits."""
    expect: Pattern | None = None
    """Regular expression that the answer must contain; default: any datagram of the peer is an answer."""
    dialogue: Turns = ()
    """Turns of a longer talk, each with what it sends; not together with `send`, `send_hex` and `expect`."""
    secret_files: dict[ValueName, Text] = Field(
        default={}, description="Values that `{name}` in what is sent stands for, read from files for each run."
    )
    resend_seconds: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    """A datagram without an answer is sent again after this time, within the timeout."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        return ((("host",), self.host),)

    def turns(self) -> tuple[Turn, ...]:
        """What is sent and expected, in order."""
        if self.send is None and self.send_hex is None:
            return self.dialogue
        return (Turn(send=self.send, send_hex=self.send_hex, expect=self.expect),)

    @model_validator(mode="after")
    def _whole(self) -> UdpParams:
        if self.dialogue and (self.send is not None or self.send_hex is not None or self.expect is not None):
            raise ValueError("`dialogue` and `send`, `send_hex` or `expect` exclude each other; give one of both")
        if not self.turns():
            raise ValueError("nothing is sent; give `send`, `send_hex` or `dialogue`")
        if any(turn.send is None and turn.send_hex is None for turn in self.turns()):
            raise ValueError("every turn of a dialogue over UDP must send something")
        if any(turn.take is not None for turn in self.dialogue):
            raise ValueError("`take` needs a connection; it is for tcp alone")
        check_values(self.turns(), self.secret_files)
        return self


class Udp:
    """`response_seconds` from the first datagram to the last answer, by the kernel's stamp; `resend_count`; of a
    dialogue `turn_seconds` with the label `turn`."""

    word: ClassVar[str] = "udp"
    Params: ClassVar[type[ProbeParams]] = UdpParams
    metrics: ClassVar[frozenset[str] | None] = frozenset({"response_seconds", "resend_count", "turn_seconds"})

    def __init__(self, params: UdpParams, tools: Tools) -> None:
        self._params = params
        self._names = tools.names
        self._turns = [Heard(turn, number) for number, turn in enumerate(params.turns(), 1)]

    @property
    def target(self) -> str:
        return f"{self._params.host}:{self._params.port}"

    @property
    def group(self) -> str:
        return self.target

    async def run(self, attempt: Attempt) -> Result:
        params, secrets = self._params, Secrets()
        values = read_values(params.secret_files, secrets)
        address = await self._names.address(params.host, attempt.remaining(), params.version())
        with await connect(params, address, params.port, socket.SOCK_DGRAM) as door:
            door.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            try:
                readings = await self._speak(door, values)
            except Missed as missed:
                missed.detail = secrets.hide(missed.detail)
                raise
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)

    async def _speak(self, door: socket.socket, values: dict[str, str]) -> tuple[Reading, ...]:
        wall, resends, turns = WallClock(), 0, list[Reading]()
        total = 0.0
        for heard in self._turns:
            seconds, again = await self._ask(door, heard.turn.said(values) or b"", heard)
            total += seconds
            resends += again
            if len(self._turns) > 1:
                turns.append(Reading(metric="turn_seconds", value=seconds, labels=(("turn", heard.label),)))
        wall.check()
        answered = Reading(metric="response_seconds", value=total)
        return (answered, Reading(metric="resend_count", value=float(resends)), *turns)

    async def _ask(self, door: socket.socket, data: bytes, heard: Heard) -> tuple[float, int]:
        """(seconds until the answer, datagrams sent again)."""
        sent_at, resends = time.time_ns(), 0
        while True:
            try:
                await asyncio.get_running_loop().sock_sendall(door, data)
                async with asyncio.timeout(self._params.resend_seconds):
                    return max(0.0, (await self._answer(door, heard) - sent_at) / 1e9), resends
            except TimeoutError:
                resends += 1
            except OSError as exc:
                raise trouble(exc.errno or errno.EIO, f"datagram to {self.target}") from exc

    async def _answer(self, door: socket.socket, heard: Heard) -> int:
        """When the datagram came that was expected, in nanoseconds of the wall clock."""
        for _ in range(_MOST_DROPPED):
            try:
                data, ancillary, _, _ = door.recvmsg(65_535, ANCILLARY_BYTES)
            except BlockingIOError:
                await readable(door)
                continue
            if (heard.expect or _ANYTHING).search(data):
                return kernel_stamp(ancillary) or time.time_ns()
            if heard.reject is not None and heard.reject.search(data):
                raise Missed(Reason.ANSWER_UNEXPECTED, f"answered {shown(data)}.")
        raise Missed(Reason.ANSWER_UNEXPECTED, f"{_MOST_DROPPED} datagrams came, and none is what was expected.")
