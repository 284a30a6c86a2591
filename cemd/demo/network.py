"""DemoTelco's network side: TCP services that greet, and a DNS resolver that answers over UDP.

A TCP service answers one line to one line. The resolver knows the names of its small zone, says NXDOMAIN to others,
stays silent in an outage and names a wrong address when it is told to lie.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset

from cemd.demo.conditions import Conditions

ZONE = "demotelco.invalid."
ADDRESSES = {f"www.{ZONE}": "192.0.2.10", f"shop.{ZONE}": "192.0.2.11", f"voice.{ZONE}": "192.0.2.12"}
WRONG_ADDRESS = "198.51.100.66"
ANYBODY: dict[str, str] = {}


class LineService:
    """Answers `NAME ready` to every line, once the line services that it stands on have answered too."""

    def __init__(self, name: str, conditions: Conditions, stands_on: Sequence[int] = ()) -> None:
        self._name = name
        self._conditions = conditions
        self._stands_on = stands_on
        self._callers: set[asyncio.StreamWriter] = set()

    def hang_up(self) -> None:
        """Drops every connection, as the end of a process does."""
        for writer in self._callers:
            writer.transport.abort()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._callers.add(writer)
        try:
            async with asyncio.timeout(10):
                writer.write(f"220 {self._name} DemoTelco\r\n".encode())
                while await reader.readline():
                    await asyncio.sleep(self._conditions.delay_seconds(self._name, ANYBODY))
                    if self._conditions.is_failing(self._name, ANYBODY):
                        break
                    for port in self._stands_on:
                        await greet(port)
                    writer.write(f"250 {self._name} ready\r\n".encode())
                    await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass  # whoever called went away, or sent no line; there is nobody to tell
        finally:
            self._callers.discard(writer)
            writer.close()


class Resolver(asyncio.DatagramProtocol):
    """DNS over UDP for the small zone."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # what asyncio promises for datagrams

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._conditions.is_out("dns-resolver") or self._conditions.is_failing("dns-resolver", ANYBODY):
            return
        try:
            answer = self.answer(dns.message.from_wire(data)).to_wire()
        except (dns.exception.DNSException, ValueError):
            return  # not a query: a resolver drops it
        delay = self._conditions.delay_seconds("dns-resolver", ANYBODY)
        asyncio.get_running_loop().call_later(delay, self._send, answer, addr)

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        """The answer to a query: an address of the zone, an empty answer for other types, else NXDOMAIN."""
        response = dns.message.make_response(query, recursion_available=True)
        if query.opcode() != dns.opcode.QUERY or not query.question:
            response.set_rcode(dns.rcode.NOTIMP)
            return response
        name, kind = query.question[0].name.to_text().lower(), query.question[0].rdtype
        if name not in ADDRESSES:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif kind == dns.rdatatype.A:
            lies = self._conditions.is_wrong("dns-resolver", ANYBODY)
            response.answer.append(
                dns.rrset.from_text(query.question[0].name, 5, "IN", "A", WRONG_ADDRESS if lies else ADDRESSES[name])
            )
        return response

    def _send(self, answer: bytes, addr: tuple[str, int]) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.sendto(answer, addr)


class _Answer(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002 -- asyncio's signature
        if not self.received.done():
            self.received.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.received.done():
            self.received.set_exception(exc)


async def resolve(port: int, name: str = f"www.{ZONE}", *, timeout_seconds: float = 1.0) -> str:
    """The address that the resolver on this port names.

    Raises:
        OSError, TimeoutError: no answer in time, or an answer without an address.
    """
    query = dns.message.make_query(name, "A")
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        _Answer, remote_addr=("127.0.0.1", port)
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            transport.sendto(query.to_wire())
            response = dns.message.from_wire(await protocol.received)
    except dns.exception.DNSException as exc:
        raise OSError(f"the resolver on port {port} answered no DNS message.") from exc
    finally:
        transport.close()
    if not response.answer:
        raise OSError(f"the resolver on port {port} knows no address of {name}.")
    return str(response.answer[0][0])


async def greet(port: int, *, timeout_seconds: float = 1.0) -> None:
    """Exchanges one line with the TCP service on this port.

    Raises:
        OSError, TimeoutError: it does not listen, hung up, or did not answer in time.
    """
    async with asyncio.timeout(timeout_seconds):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await reader.readline()
            writer.write(b"ready?\r\n")
            if not (await reader.readline()).startswith(b"250"):
                raise OSError(f"the service on port {port} hung up.")
        finally:
            writer.close()
