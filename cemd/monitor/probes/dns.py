"""dns: asks one server one question over a fresh datagram socket, over TCP when the answer is cut short.

dnspython only writes and reads messages; the socket is ours. A fresh source port and a random id for each question
keep forged answers out; what does not match the question is dropped and waited past.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from enum import StrEnum
from typing import Annotated, ClassVar

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
from pydantic import Field, field_validator

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Attempt, Host, Missed, Port, ProbeParams, Reading, Reason, Result, Text, Way
from cemd.monitor.probes.names import trouble
from cemd.monitor.probes.tools import Tools

_MAX_TCP = 65_535


class Transport(StrEnum):
    UDP = "udp"
    TCP = "tcp"


class DnsParams(ProbeParams):
    """A question to one name server, and what its answer must be."""

    server: Host
    """The name server asked; an address is best, so that the probe does not depend on another resolver."""
    port: Port = 53
    """Where it listens, for UDP and TCP alike."""
    name: Text
    """The name asked for."""
    type: Text = "A"
    """Record type: A, AAAA, NAPTR, SRV, MX, NS, SOA, TXT and so on."""
    transport: Transport = Transport.UDP
    """`udp` goes over to TCP by itself when the answer is cut short; `tcp` asks over TCP from the start."""
    recursion: bool = True
    """Asks for recursion; false for authoritative servers."""
    rcode: Text = "NOERROR"
    """The answer code that is right; NXDOMAIN for a name that must not exist."""
    min_answers: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Fewer records of the type than this is a failure; default: 1 where `rcode` is NOERROR, else 0."""
    answers: tuple[Text, ...] = ()
    """Records that must all be among the answers, as text: `192.0.2.1`, `10 mail.example.org.`."""
    resend_seconds: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    """A lost datagram is sent again after this time, within the timeout."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        return ((("server",), self.server),)

    @field_validator("type")
    @classmethod
    def _known_type(cls, word: str) -> str:
        try:
            dns.rdatatype.from_text(word)
        except (dns.rdatatype.UnknownRdatatype, ValueError) as exc:
            raise ValueError(f"{word!r} is no record type") from exc
        return word.upper()

    @field_validator("rcode")
    @classmethod
    def _known_rcode(cls, word: str) -> str:
        try:
            dns.rcode.from_text(word)
        except (dns.rcode.UnknownRcode, ValueError) as exc:
            raise ValueError(f"{word!r} is no answer code") from exc
        return word.upper()

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        try:
            dns.name.from_text(name)
        except dns.exception.DNSException as exc:
            raise ValueError(f"{name!r} is no name that DNS can hold") from exc
        return name


class Dns:
    """`response_seconds` until the whole answer is there, `answer_count` records of the type asked for."""

    word: ClassVar[str] = "dns"
    Params: ClassVar[type[ProbeParams]] = DnsParams

    def __init__(self, params: DnsParams, tools: Tools) -> None:
        self._params = params
        self._names = tools.names
        self._type = dns.rdatatype.from_text(params.type)
        self._fewest = int(params.rcode == "NOERROR") if params.min_answers is None else params.min_answers

    @property
    def target(self) -> str:
        return f"{self._params.name}@{self._params.server}"

    @property
    def group(self) -> str:
        return self._params.server

    async def run(self, attempt: Attempt) -> Result:
        loop = asyncio.get_running_loop()
        server = await self._names.address(self._params.server, attempt.remaining())
        query = dns.message.make_query(self._params.name, self._type, use_edns=0, payload=1232)
        query.id = secrets.randbelow(65_536)
        if not self._params.recursion:
            query.flags &= ~dns.flags.RD
        began = loop.time()
        try:
            answer = await self._ask(query, server)
        except OSError as exc:
            if isinstance(exc, TimeoutError) and exc.errno is None:
                raise
            raise trouble(exc.errno or 0, f"name server {self._params.server}") from exc
        return self._judge(answer, loop.time() - began)

    async def _ask(self, query: dns.message.Message, server: str) -> dns.message.Message:
        if self._params.transport is Transport.UDP:
            answer = await self._ask_udp(query, server)
            if not answer.flags & dns.flags.TC:
                return answer
        return await self._ask_tcp(query, server)

    async def _ask_udp(self, query: dns.message.Message, server: str) -> dns.message.Message:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: _Waiting(query), remote_addr=(server, self._params.port)
        )
        try:
            wire = query.to_wire()
            while True:
                transport.sendto(wire)
                try:
                    async with asyncio.timeout(self._params.resend_seconds):
                        return await asyncio.shield(protocol.answer)
                except TimeoutError:
                    continue
        finally:
            if not protocol.answer.cancel() and not protocol.answer.cancelled():
                protocol.answer.exception()  # seen: an error that came together with the end is not a lost one
            transport.abort()

    async def _ask_tcp(self, query: dns.message.Message, server: str) -> dns.message.Message:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as door:
            await loop.sock_connect(door, (server, self._params.port))
            wire = query.to_wire(max_size=_MAX_TCP)
            await loop.sock_sendall(door, len(wire).to_bytes(2, "big") + wire)
            size = int.from_bytes(await _exactly(door, 2), "big")
            answer = _read(await _exactly(door, size), query)
        if answer is None:
            raise Missed(Reason.PROTOCOL_BROKEN, "the answer over TCP is not one to the question.")
        return answer

    def _judge(self, answer: dns.message.Message, seconds: float) -> Result:
        records = [record.to_text() for rrset in answer.answer if rrset.rdtype == self._type for record in rrset]
        readings = (
            Reading(metric="response_seconds", value=seconds),
            Reading(metric="answer_count", value=float(len(records))),
        )
        code = dns.rcode.to_text(answer.rcode())
        if code != self._params.rcode:
            raise Missed(Reason.STATUS_UNEXPECTED, f"answered {code}, not {self._params.rcode}.", readings=readings)
        missing = [record for record in self._params.answers if record not in records]
        if missing or len(records) < self._fewest:
            wanted = ", ".join(missing) or f"at least {self._fewest}"
            words = f"{len(records)} {self._params.type} records ({', '.join(records[:4])}); {wanted} expected."
            raise Missed(Reason.ANSWER_UNEXPECTED, words, readings=readings)
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)


class _Waiting(asyncio.DatagramProtocol):
    """Waits for the one datagram that answers the question; everything else is dropped."""

    def __init__(self, query: dns.message.Message) -> None:
        self._query = query
        self.answer: asyncio.Future[dns.message.Message] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        answer = _read(data, self._query)
        if answer is not None and not self.answer.done():
            self.answer.set_result(answer)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.cancel()


def _read(data: bytes, query: dns.message.Message) -> dns.message.Message | None:
    """The message if it answers the query; None for malformed bytes and for answers to something else."""
    try:
        answer = dns.message.from_wire(data, ignore_trailing=True, raise_on_truncation=False)
        return answer if query.is_response(answer) else None
    except Exception:  # noqa: BLE001 -- hostile bytes find ways that the codec does not name
        return None


async def _exactly(door: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    taken = bytearray()
    while len(taken) < size:
        chunk = await loop.sock_recv(door, size - len(taken))
        if not chunk:
            raise Missed(Reason.CLOSED_EARLY, "the server closed the connection within its answer.")
        taken += chunk
    return bytes(taken)
