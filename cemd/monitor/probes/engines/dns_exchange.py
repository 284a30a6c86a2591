"""One question and its answer, by datagram, TCP or TLS, as whole messages of dnspython: the thorough way of `dns`."""

from __future__ import annotations

import asyncio
import ssl
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.rdatatype

from cemd.kit.tasks import settle
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Blind, IpVersion, Kind, Missed, Reason, Result
from cemd.monitor.probes.engines.datagram_errand import Aim, Errand, Found
from cemd.monitor.probes.engines.dns_engine import Query, aim_at, answers, query_of
from cemd.monitor.probes.engines.sockets import SocketParams, connect
from cemd.monitor.probes.engines.trust import tls_trouble
from cemd.monitor.protocols import dns_answer, dns_query

if TYPE_CHECKING:
    from cemd.monitor.probes.tools import Tools

_MOST_BYTES = 65_535


class Transport(StrEnum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class _Whole(Errand):
    """A question whose answer is wanted as it came."""

    __slots__ = ("_query", "data")

    def __init__(self, kind: Kind, server: str, aim: Aim, resend: float, query: Query) -> None:
        super().__init__(kind, server, IpVersion.ANY, aim, resend, (b"", query.tail))
        self._query = query
        self.data = b""

    def take(self, data: bytes, seconds: float, began: float, sent_ns: int) -> Found:
        del seconds, began, sent_ns
        if len(data) < 12 or not answers(data, self._query):
            return None
        self.data = data
        return ()


class Exchange:
    """How one probe asks. `signatures` asks for them, and for answers that a validating server would hold back."""

    def __init__(
        self,
        kind: Kind,
        tools: Tools,
        way: SocketParams,
        port: int,
        transport: Transport,
        tls_name: str,
        ca_file: str | None,
    ) -> None:
        self._kind = kind
        self._tools, self._way, self._port, self._transport = tools, way, port, transport
        self._tls_name, self._ca_file = tls_name, ca_file
        self.recursion = True
        self.signatures = False
        self.resend_seconds = 1.0

    def query(self, name: str, kind: int) -> Query:
        """The message that asks for records of a type."""
        return query_of(dns_query.message(name, kind, recursion=self.recursion, signatures=self.signatures))

    async def ask(self, server: str, name: str, kind: int, deadline: float) -> tuple[dns.message.Message, bytes]:
        """The answer and its bytes.

        Raises:
            Missed, Blind, TimeoutError: there is none.
        """
        query = self.query(name, kind)
        data = b""
        if self._transport is Transport.UDP:
            data = await self._by_datagram(server, query, deadline)
        if not data or data[2] & (dns_answer.TRUNCATED >> 8):
            data = await self.by_stream(server, query)
        try:
            return dns.message.from_wire(data, ignore_trailing=True), data
        except Exception as exc:
            raise Missed(Reason.PROTOCOL_BROKEN, "the answer is malformed.") from exc

    async def by_stream(self, server: str, query: Query) -> bytes:
        """The answer over TCP, or TLS where that is the transport; raises as `ask`."""
        number = self._tools.datagrams.short_keys.one()
        wire = number + query.tail
        reader, writer = await self._connected(server)
        try:
            writer.write(len(wire).to_bytes(2, "big") + wire)
            size = int.from_bytes(await reader.readexactly(2), "big")
            data = await reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            raise Missed(Reason.CLOSED_EARLY, "the server closed the connection within its answer.") from exc
        except ssl.SSLError as exc:
            raise tls_trouble(exc) from exc
        finally:
            writer.transport.abort()
        if len(data) < 12 or data[:2] != number or not answers(data, query):
            raise Missed(Reason.PROTOCOL_BROKEN, "the answer over TCP is not one to the question.")
        return data

    async def _by_datagram(self, server: str, query: Query, deadline: float) -> bytes:
        told: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        aim = aim_at(self._tools.datagrams, self._way, self._port)
        whole = _Whole(self._kind, server, aim, self.resend_seconds, query)
        forget = self._tools.datagrams.single(whole, deadline, partial(settle, told))
        try:
            result = await told
        finally:
            forget()
        if result.outcome is Outcome.OK:
            return whole.data
        if result.outcome is Outcome.TIMED_OUT:
            raise TimeoutError
        if result.outcome is Outcome.BLIND:
            raise Blind(result.reason, result.detail)
        raise Missed(result.reason, result.detail)

    async def _connected(self, server: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        secure = self._tools.trust.context(self._ca_file) if self._transport is Transport.TLS else None
        door = await connect(self._way, server, self._port)
        try:
            name = self._tls_name if secure else None
            return await asyncio.open_connection(sock=door, ssl=secure, server_hostname=name)
        except BaseException as exc:
            door.close()
            if isinstance(exc, ssl.SSLError):
                raise tls_trouble(exc) from exc
            if isinstance(exc, ConnectionError):
                raise Missed(Reason.CLOSED_EARLY, "the server closed the connection at once.") from exc
            raise
