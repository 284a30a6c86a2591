"""diameter: becomes a peer for a moment: exchanges capabilities, asks the watchdog, takes leave.

Taking leave matters: a peer that vanishes makes a Diameter node raise an alarm and try to reconnect. So a disconnect is
sent also when the attempt is cut short. What the node asks in between (its own watchdog) is answered.

Source: RFC 6733, sections 5.3 to 5.5.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import (
    Attempt,
    Missed,
    Port,
    ProbeParams,
    Reading,
    Reason,
    Result,
    library,
)
from cemd.monitor.probes.engines.places import HostParams, OnePort
from cemd.monitor.probes.engines.sockets import connect, talking_to
from cemd.monitor.probes.tools import Tools

_LARGEST = 65_536
_HEADER = 20
_SUCCESS = 2001
_GOODBYE_SECONDS = 0.5
"""How long a node that agreed to part is given to close its end; one that does not is left all the same."""
_BUSY = 1  # Disconnect-Cause: no wish to talk, so that the node does not try to connect to us
_RELAY = 0xFFFF_FFFF

Identity = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?$")]


class DiameterParams(HostParams):
    """A Diameter node that knows us as a peer."""

    port: Port = 3868
    """Where it listens, for TCP."""
    origin_host: Identity
    """Our own identity, as the node's list of peers has it."""
    origin_realm: Identity
    """Our own realm."""
    auth_applications: Annotated[tuple[Annotated[int, Field(ge=0, le=_RELAY)], ...], Field(max_length=50)] = ()
    """Applications for authentication and charging that we say we know: 4 is credit control, 16777251 is S6a.
    Default: none, which passes as a relay where `acct_applications` is empty too."""
    acct_applications: Annotated[tuple[Annotated[int, Field(ge=0, le=_RELAY)], ...], Field(max_length=50)] = ()
    """Applications for accounting that we say we know: 3 is base accounting."""
    vendor_id: Annotated[int, Field(ge=0, le=_RELAY)] = 0
    """Vendor that we say we are; default 0, none."""
    expect_host: Identity | None = None
    """Identity that the node must have; default: any."""
    expect_applications: tuple[Annotated[int, Field(ge=0, le=_RELAY)], ...] = ()
    """Applications that the node must offer, unless it is a relay."""
    result_code: Annotated[int, Field(ge=1000, le=9999)] = _SUCCESS
    """Result of the exchange of capabilities that is right; 2001 is success, 3010 an unknown peer."""


class Diameter(OnePort):
    """`connect_seconds`, then `capabilities_seconds` and `watchdog_seconds` until the node answered each, and
    `leave_seconds` until it agreed to part and closed its end."""

    word: ClassVar[str] = "diameter"
    Params: ClassVar[type[ProbeParams]] = DiameterParams
    libraries: ClassVar[tuple[str, ...]] = ("diameter.message", "diameter.message.commands")
    metrics: ClassVar[frozenset[str] | None] = frozenset(
        {"connect_seconds", "capabilities_seconds", "watchdog_seconds", "leave_seconds"}
    )

    def __init__(self, params: DiameterParams, tools: Tools) -> None:
        super().__init__(params.host, params.port)
        self._params = params
        self._names = tools.names

    async def run(self, attempt: Attempt) -> Result:
        loop = asyncio.get_running_loop()
        params = self._params
        address = await self._names.address(params.host, attempt.remaining(), params.version())
        began = loop.time()
        with talking_to(self.target), await connect(params, address, params.port) as door:
            readings = [Reading(metric="connect_seconds", value=loop.time() - began)]
            peer = _Peer(door, params)
            try:
                answer, seconds = await peer.ask(peer.capabilities(door.getsockname()[0]))
                readings.append(Reading(metric="capabilities_seconds", value=seconds))
                self._judge(answer, readings)
                if params.result_code == _SUCCESS:
                    peer.stands = True
                    answer, seconds = await peer.ask(peer.watchdog())
                    readings.append(Reading(metric="watchdog_seconds", value=seconds))
                    _refuse(answer, "the watchdog", _SUCCESS, readings)
                    parting = loop.time()
                    await peer.take_leave()
                    readings.append(Reading(metric="leave_seconds", value=loop.time() - parting))
            finally:
                peer.leave()
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=tuple(readings))

    def _judge(self, answer: Any, readings: list[Reading]) -> None:
        params = self._params
        _refuse(answer, "capabilities", params.result_code, readings)
        named = _text(getattr(answer, "origin_host", None))
        if params.expect_host is not None and named.lower() != params.expect_host.lower():
            words = f"the node calls itself {named[:80]!r}, not {params.expect_host}."
            raise Missed(Reason.ANSWER_UNEXPECTED, words, readings=tuple(readings))
        offered = _applications(answer)
        missing = [str(one) for one in params.expect_applications if one not in offered]
        if missing and _RELAY not in offered:
            words = f"the node does not offer application {', '.join(missing)}."
            raise Missed(Reason.ANSWER_UNEXPECTED, words, readings=tuple(readings))


def _refuse(answer: Any, what: str, wanted: int, readings: list[Reading]) -> None:
    code = getattr(answer, "result_code", None)
    if code != wanted:
        said = _text(getattr(answer, "error_message", None))
        words = f"{what}: the node answered {code}{f' ({said[:80]!r})' if said else ''}, not {wanted}."
        raise Missed(Reason.STATUS_UNEXPECTED, words, readings=tuple(readings))


def _text(value: bytes | str | None) -> str:
    """What an attribute says. The codec makes None of one that came without a value."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


def _applications(answer: Any) -> set[int]:
    """Every application of a capabilities answer, those inside vendor-specific groups too."""
    groups = getattr(answer, "vendor_specific_application_id", None) or []
    places = [answer, *groups]
    found: set[int] = set()
    for place in places:
        for name in ("auth_application_id", "acct_application_id"):
            value = getattr(place, name, None)
            found |= set(value) if isinstance(value, list) else {value} if isinstance(value, int) else set()
    return found


def _commands() -> Any:
    return library("diameter.message.commands", "diameter")


class _Peer:
    """Our end of one connection."""

    def __init__(self, door: socket.socket, params: DiameterParams) -> None:
        self._door = door
        self._params = params
        self._held = bytearray()
        self._end_to_end = secrets.randbelow(1 << 32)
        self.stands = False
        """True from the node's answer to our capabilities until leave was taken."""

    def capabilities(self, local: str) -> Any:
        request = self._sign(_commands().CapabilitiesExchangeRequest())
        request.host_ip_address = local
        request.vendor_id = self._params.vendor_id
        request.product_name = "cemd"
        auth, acct = list(self._params.auth_applications), list(self._params.acct_applications)
        request.auth_application_id = auth if auth or acct else [_RELAY]
        request.acct_application_id = acct
        return request

    def watchdog(self) -> Any:
        return self._sign(_commands().DeviceWatchdogRequest())

    def _farewell(self) -> Any:
        request = self._sign(_commands().DisconnectPeerRequest())
        request.disconnect_cause = _BUSY
        return request

    def _sign(self, message: Any) -> Any:
        self._end_to_end = (self._end_to_end + 1) & _RELAY
        message.header.hop_by_hop_identifier = secrets.randbelow(1 << 32)
        message.header.end_to_end_identifier = self._end_to_end
        message.origin_host = self._params.origin_host.encode()
        message.origin_realm = self._params.origin_realm.encode()
        return message

    async def ask(self, request: Any) -> tuple[Any, float]:
        """The answer to a request, and how long it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await loop.sock_sendall(self._door, request.as_bytes())
        while True:
            message = await self._receive()
            if message.header.is_request:
                await self._oblige(message)
            elif message.header.hop_by_hop_identifier == request.header.hop_by_hop_identifier:
                if message.header.command_code != request.header.command_code:
                    raise Missed(Reason.PROTOCOL_BROKEN, "the node answered another command than it was asked.")
                return message, loop.time() - began

    async def take_leave(self) -> None:
        """Disconnects as peers do, and waits until the node agreed and has closed its end.

        The answer alone is too early: who comes again while the node still holds the old connection is turned away.
        """
        await self.ask(self._farewell())
        self.stands = False
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, TimeoutError):
            self._door.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(_GOODBYE_SECONDS):
                while await loop.sock_recv(self._door, 16_384):
                    pass

    def leave(self) -> None:
        """The attempt is cut short: the disconnect is sent, its answer not awaited."""
        if self.stands:
            self.stands = False
            with contextlib.suppress(OSError):
                self._door.send(self._farewell().as_bytes())

    async def _oblige(self, request: Any) -> None:
        """Answers what the node asks a peer: its watchdog. It asks nothing else of one that offers nothing."""
        answer = request.to_answer()
        answer.result_code = _SUCCESS
        answer.origin_host = self._params.origin_host.encode()
        answer.origin_realm = self._params.origin_realm.encode()
        await asyncio.get_running_loop().sock_sendall(self._door, answer.as_bytes())

    async def _receive(self) -> Any:
        loop = asyncio.get_running_loop()
        while (whole := self._cut()) is None:
            data = await loop.sock_recv(self._door, 16_384)
            if not data:
                raise Missed(Reason.CLOSED_EARLY, "the node closed the connection; it may not know us as a peer.")
            self._held += data
        message = read_message(whole)
        if message is None:
            raise Missed(Reason.PROTOCOL_BROKEN, "the node sent what is no Diameter message.")
        return message

    def _cut(self) -> bytes | None:
        if len(self._held) < 4:
            return None
        size = int.from_bytes(self._held[1:4], "big")
        if self._held[0] != 1 or not _HEADER <= size <= _LARGEST:
            raise Missed(Reason.PROTOCOL_BROKEN, "the node sent what is no Diameter message.")
        if len(self._held) < size:
            return None
        whole = bytes(self._held[:size])
        del self._held[:size]
        return whole


def read_message(data: bytes) -> Any:
    """A Diameter message; None for bytes that are none."""
    message = library("diameter.message", "diameter").Message
    try:
        return message.from_bytes(data)
    except Exception:  # noqa: BLE001 -- hostile bytes find ways that the codec does not name
        return None
