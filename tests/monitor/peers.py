"""Real peers on loopback, port 0: HTTP with orders to leave behind, DNS, TCP that answers, hangs or babbles."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import structlog
from aiohttp import web
from cemd.config.probes import Probe
from cemd.config.settings import Settings
from cemd.config.targets import Targets
from cemd.monitor.probes import KINDS, faults, make
from cemd.monitor.probes.attempts import measure
from cemd.monitor.probes.base import COMMON_METRICS, Attempt, Reason, Result
from cemd.monitor.probes.engines.talk import Talk
from cemd.monitor.probes.tools import Tools, make_tools

from tests.forbidden import lacking

HERE = Targets(loopback=True)
"""Peers of tests live on loopback."""
SETTINGS = Settings(probes_at_once=10, targets=HERE)


async def look(
    tools: Tools,
    kind: str,
    params: dict[str, Any],
    *,
    seconds: float = 5.0,
    run: str = "cemd-run1",
    late_seconds: float = 0.0,
) -> Result:
    """One attempt of a probe made from these parameters, which the prober comes to so late."""
    probe = Probe(name="p", kind=kind, service="s", every_seconds=seconds * 10, timeout_seconds=seconds, params=params)
    deadline = asyncio.get_running_loop().time() + seconds - late_seconds
    attempt = Attempt(probe="p", deadline=deadline, run=run, log=structlog.get_logger("test"))
    result = await measure(make(probe, tools), attempt)
    known = KINDS[kind].metrics
    if known is not None:
        unsaid = {reading.metric for reading in result.readings} - known - COMMON_METRICS
        assert not unsaid, f"{kind} gives {unsaid}, which `cemd explain {kind}` does not tell"
    return result


def complaints(kind: str, params: dict[str, Any]) -> str:
    """What `cemd check` says of a probe of this kind with these parameters; "" where nothing is wrong."""
    probe = Probe(name="p", kind=kind, service="s", every_seconds=30.0, timeout_seconds=5.0, params=params)
    return "; ".join(sentence for _, sentence in faults(probe))


@contextlib.contextmanager
def said(data: bytes) -> Iterator[Talk]:
    """A conversation with a peer that sent these bytes and nothing more."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        with Talk(ours, "peer", most_bytes=4096) as talk:
            yield talk


def skip_without_echoes(result: Result) -> None:
    """Skips by name where this host may send no echoes; fails where CI=true."""
    if result.reason is Reason.NOT_PERMITTED:
        lacking("component 'icmp' is not permitted here (net.ipv4.ping_group_range, or CAP_NET_RAW)")


def value(result: Result, metric: str) -> float:
    """The only reading of a metric."""
    [found] = [reading.value for reading in result.readings if reading.metric == metric]
    return found


@contextlib.asynccontextmanager
async def tools(**given: Any) -> AsyncIterator[Tools]:
    made = make_tools(**{"targets": HERE, **given})
    try:
        yield made
    finally:
        await made.aclose()


@dataclass(slots=True)
class Shop:
    """An order system over real HTTP. What a test orders stays until it is cancelled."""

    url: str = ""
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    mode: str = "ok"
    requests: list[str] = field(default_factory=list)
    ordered: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def login(self, request: web.Request) -> web.Response:
        self.requests.append("login")
        if (await request.json()).get("pin") not in (None, "s3cret-pin"):
            return web.json_response({}, status=401)
        return web.json_response({"token": "tok-4711-secret"})

    async def order(self, request: web.Request) -> web.StreamResponse:
        self.requests.append("order")
        if request.headers.get("Authorization") != "Bearer tok-4711-secret":
            return web.json_response({"error": "who are you"}, status=401)
        if self.mode == "refuse":
            return web.json_response({"error": "no"}, status=503)
        body = await request.json()
        number = str(len(self.requests) + 100)
        if self.mode == "late":
            await self.release.wait()
        self.orders[number] = {"reference": body.get("reference"), "state": "pending", "polls": 0}
        self.ordered.set()
        if self.mode == "mute":
            await self.release.wait()
        return web.json_response({"id": number}, status=201)

    async def show(self, request: web.Request) -> web.Response:
        order = self.orders.get(request.match_info["number"])
        if order is None:
            return web.json_response({}, status=404)
        order["polls"] += 1
        if order["polls"] >= 2 and self.mode != "stuck":
            order["state"] = "active"
        return web.json_response(order)

    async def cancel(self, request: web.Request) -> web.Response:
        self.requests.append("cancel")
        if self.mode == "no-cancel":
            return web.json_response({}, status=500)
        gone = self.orders.pop(request.match_info["number"], None)
        return web.json_response({}, status=200 if gone else 404)

    async def cancel_by_reference(self, request: web.Request) -> web.Response:
        self.requests.append("cancel-by-reference")
        reference = request.query["reference"]
        gone = [number for number, order in self.orders.items() if order["reference"] == reference]
        for number in gone:
            del self.orders[number]
        return web.json_response({"gone": len(gone)}, status=200 if gone else 404)

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/login", self.login)
        app.router.add_post("/orders", self.order)
        app.router.add_get("/orders/{number}", self.show)
        app.router.add_delete("/orders/{number}", self.cancel)
        app.router.add_delete("/orders", self.cancel_by_reference)

    def params(self, **more: Any) -> dict[str, Any]:
        """The transaction of the design, against this shop."""
        return {
            "steps": [
                {
                    "name": "login",
                    "http": {"post": f"{self.url}/login", "json": {"user": "probe"}},
                    "take": {"token": "$.token"},
                },
                {
                    "name": "order",
                    "http": {
                        "post": f"{self.url}/orders",
                        "bearer": "{token}",
                        "json": {"msisdn": "491550000001", "reference": "{run}"},
                    },
                    "expect": {"status": 201},
                    "take": {"order": "$.id"},
                },
                {
                    "name": "activate",
                    "wait": {
                        "http": {"get": f"{self.url}/orders/{{order}}"},
                        "until": "$.state == 'active'",
                        "within_seconds": 5,
                        "every_seconds": 0.05,
                    },
                },
            ],
            "cleanup": [
                {"name": "cancel", "http": {"delete": f"{self.url}/orders/{{order}}"}},
                {"name": "cancel-lost", "http": {"delete": f"{self.url}/orders?reference={{run}}"}},
            ],
            **more,
        }


@contextlib.asynccontextmanager
async def http_server(add: Callable[[web.Application], object], *, ssl_context: Any = None) -> AsyncIterator[str]:
    app = web.Application()
    add(app)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        await web.SockSite(runner, door, ssl_context=ssl_context).start()
        try:
            yield f"{'https' if ssl_context else 'http'}://localhost:{port}"
        finally:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def shop() -> AsyncIterator[Shop]:
    built = Shop()
    async with http_server(built.routes) as url:
        built.url = url
        try:
            yield built
        finally:
            built.release.set()


@contextlib.asynccontextmanager
async def tcp_server(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
    *,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ssl_context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, reads, and never says a word."""
    await reader.read(-1)
    writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(b"you said " + data)
        await writer.drain()


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"blah " * 1000)
        await writer.drain()


class NameServer(asyncio.DatagramProtocol):
    """Answers over UDP (and over TCP by `over_tcp`) from a table; `mode` makes it misbehave."""

    def __init__(self, records: dict[tuple[str, str], list[str]]) -> None:
        self.records = records
        self.mode = "ok"
        self.asked = 0
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.asked += 1
        if self.mode == "mute" or (self.mode == "lose first" and self.asked == 1):
            return
        if self.mode in {"garbage", "number"}:
            self.transport.sendto(b"\xff" * 40 if self.mode == "garbage" else data[:2], addr)
            return
        if self.mode == "forge":
            forged = self.answer(data)
            forged.id = (forged.id + 1) % 65_536
            self.transport.sendto(forged.to_wire(), addr)
            return
        answer = self.answer(data)
        if self.mode == "truncate":
            answer.flags |= dns.flags.TC
            answer.answer.clear()
        self.transport.sendto(answer.to_wire(), addr)

    def answer(self, data: bytes) -> dns.message.Message:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query, recursion_available=True)
        [question] = query.question
        word = question.rdtype.name
        records = self.records.get((question.name.to_text(), word))
        if records is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", word, *records))
        return answer

    async def over_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        wire = self.answer(await reader.readexactly(size)).to_wire()
        writer.write(len(wire).to_bytes(2, "big") + wire)
        await writer.drain()


@contextlib.asynccontextmanager
async def name_server(records: dict[tuple[str, str], list[str]]) -> AsyncIterator[tuple[NameServer, int]]:
    server = NameServer(records)
    async with contextlib.AsyncExitStack() as stack:
        while True:
            port = await stack.enter_async_context(tcp_server(server.over_tcp))
            with contextlib.suppress(OSError):  # somebody has this port for datagrams: the next one
                transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda: server, local_addr=("127.0.0.1", port)
                )
                break
        try:
            yield server, port
        finally:
            transport.close()


def free_port() -> int:
    """A port of loopback where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port: int = door.getsockname()[1]
        return port


async def listening(port: int, *, seconds: float = 10.0) -> None:
    """Waits until a program listens on a port of loopback."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
