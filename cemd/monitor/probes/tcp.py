"""tcp: opens a connection, optionally says something and expects an answer, closes."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

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
    Text,
    Way,
)
from cemd.monitor.probes.names import trouble
from cemd.monitor.probes.sockets import SocketParams, connect
from cemd.monitor.probes.tools import Tools

_READ_BYTES = 4096


class TcpParams(SocketParams):
    """A port that must accept, and may have to answer."""

    host: Host
    """Name or address."""
    port: Port
    """Where it listens."""
    send: Text | None = None
    r"""Text sent after the connection stands; `\r\n` in double quotes is a line end. Default: nothing."""
    expect: Text | None = None
    """Regular expression (RE2-like, no back references) that the answer must contain. Default: nothing is read."""
    max_answer_bytes: Annotated[int, Field(ge=1, le=1_048_576)] = 16_384
    """More than this without the expected text is a failure: a peer that never stops must not fill memory."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        return ((("host",), self.host),)

    @field_validator("expect")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as exc:
                raise ValueError(f"is no regular expression ({exc})") from exc
        return pattern


class Tcp:
    """`connect_seconds` until the handshake is done; `answer_seconds` from then until the expected text is there."""

    word: ClassVar[str] = "tcp"
    Params: ClassVar[type[ProbeParams]] = TcpParams

    def __init__(self, params: TcpParams, tools: Tools) -> None:
        self._params = params
        self._names = tools.names
        self._expect = re.compile(params.expect.encode()) if params.expect is not None else None

    @property
    def target(self) -> str:
        return f"{self._params.host}:{self._params.port}"

    @property
    def group(self) -> str:
        return self.target

    async def run(self, attempt: Attempt) -> Result:
        loop = asyncio.get_running_loop()
        address = await self._names.address(self._params.host, attempt.remaining(), self._params.version())
        began = loop.time()
        with await connect(self._params, address, self._params.port) as door:
            try:
                readings = [Reading(metric="connect_seconds", value=loop.time() - began)]
                began = loop.time()
                if self._params.send is not None:
                    await loop.sock_sendall(door, self._params.send.encode())
                if self._expect is not None:
                    await self._read_expected(door, self._expect)
                    readings.append(Reading(metric="answer_seconds", value=loop.time() - began))
            except OSError as exc:
                if isinstance(exc, TimeoutError) and exc.errno is None:
                    raise
                raise trouble(exc.errno or 0, f"connection to {self.target}") from exc
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=tuple(readings))

    async def _read_expected(self, door: socket.socket, expected: re.Pattern[bytes]) -> None:
        loop = asyncio.get_running_loop()
        answer = bytearray()
        while len(answer) < self._params.max_answer_bytes:
            chunk = await loop.sock_recv(door, _READ_BYTES)
            answer += chunk
            if expected.search(answer):
                return
            if not chunk:
                seen = answer[:80].decode(errors="replace")
                raise Missed(Reason.ANSWER_UNEXPECTED, f"closed after {seen!r}, which is not what was expected.")
        raise Missed(Reason.ANSWER_TOO_LARGE, f"{len(answer)} bytes came without the expected text.")
