"""`python -m cemd.demo.telco`: DemoTelco as a process of its own, on loopback, broken and mended by lines on stdin.

It prints one JSON line with its ports, then one line a fault that began or ended, with the time it really did. Orders:
`{"begin": FAULT}`, `{"end": NAME}`, `{"stop": true}`; the end of its input stops it too, so it never outlives whoever
started it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from cemd.demo import systems
from cemd.demo.conditions import Conditions, Fault
from cemd.demo.doors import HOST, Port
from cemd.demo.network import LineService, Resolver
from cemd.demo.operator import DOORS, NEEDS, Door
from cemd.demo.orders import OrderManager
from cemd.demo.sinks import MailSink, staff_application
from cemd.demo.telemetry import Telemetry, broker_port, close_broker, new_broker


class HttpDoor:
    """A web application behind a port that can be shut: connections are then refused, as if the process had died."""

    def __init__(self, app: web.Application, number: int) -> None:
        self._port = Port(number)
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.2)
        self._site: web.SockSite | None = None
        self.number = self._port.number

    async def open(self) -> None:
        if self._runner.server is None:
            await self._runner.setup()
        if self._site is None:
            self._site = web.SockSite(self._runner, self._port.listener())
            await self._site.start()

    async def shut(self) -> None:
        if self._site is not None:
            await self._site.stop()
            self._site = None

    async def close(self) -> None:
        await self.shut()
        await self._runner.cleanup()
        self._port.close()


class LineDoor:
    """A TCP service (or the mail server) behind a port that can be shut."""

    def __init__(self, protocol: Callable[[], asyncio.BaseProtocol], hang_up: Callable[[], None], number: int) -> None:
        self._port = Port(number)
        self._protocol = protocol
        self._hang_up = hang_up
        self._server: asyncio.Server | None = None
        self.number = self._port.number

    async def open(self) -> None:
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(self._protocol, sock=self._port.listener())

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._hang_up()

    async def close(self) -> None:
        await self.shut()
        self._port.close()


class Telco:
    """All of DemoTelco. `start` opens every door; `begin` and `end` change what is broken."""

    def __init__(self, folder: Path, *, seed: int = 1, shipped_ports: bool = False) -> None:
        self._folder = folder
        self._seed = seed
        self._shipped = shipped_ports
        self.conditions = Conditions(seed)
        self.ports: dict[str, int] = {}
        self._doors: dict[str, HttpDoor | LineDoor] = {}
        self._owned = contextlib.AsyncExitStack()
        self.orders: OrderManager

    async def start(self) -> dict[str, int]:
        """Opens every door; returns its port by name."""
        client = await self._owned.enter_async_context(
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=systems.CALL_SECONDS),
                connector=aiohttp.TCPConnector(force_close=True, limit=200),
            )
        )
        company = systems.Company(self.conditions, self.ports, client)
        for door in DOORS:
            await self._open(door, company)
        return self.ports

    async def _open(self, door: Door, company: systems.Company) -> None:
        number = door.shipped if self._shipped else 0
        match door.protocol:
            case "http":
                app = staff_application(self._folder) if door.name == "staff" else self._application(door, company)
                await self._keep(door, HttpDoor(app, number))
            case "tcp":
                below = [self.ports[need] for need in NEEDS[door.service]] if door.name == door.service else []
                service = LineService(door.service, self.conditions, below)
                await self._keep(door, LineDoor(_lines(service), service.hang_up, number))
            case "smtp":
                sink = MailSink(self._folder / "mail", self.conditions)
                self._owned.callback(sink.close)
                await self._keep(door, LineDoor(sink.protocol, sink.hang_up, number))
            case "udp":
                transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda: Resolver(self.conditions), local_addr=(HOST, number)
                )
                self._owned.callback(transport.close)
                self.ports[door.name] = transport.get_extra_info("sockname")[1]
            case "mqtt":
                broker = new_broker(number)
                await broker.start()
                self._owned.push_async_callback(close_broker, broker)
                self.ports[door.name] = broker_port(broker)

    async def _keep(self, door: Door, kept: HttpDoor | LineDoor) -> None:
        self._owned.push_async_callback(kept.close)
        await kept.open()
        self._doors[door.name] = kept
        self.ports[door.name] = kept.number

    def _application(self, door: Door, company: systems.Company) -> web.Application:
        app = systems.application(door.service, company)
        match door.service:
            case "hlr":
                systems.add_hlr(app)
            case "order-management":
                self.orders = OrderManager(company)
                self.orders.add_to(app)
            case "provisioning":
                systems.add_provisioning(app, company)
            case "id-verification":
                systems.add_id_verification(app, company)
            case "payment-gateway":
                systems.add_payment_gateway(app, company)
            case "top-up":
                systems.add_top_up(app, company)
            case "portal":
                systems.add_portal(app, company)
            case "billing":
                systems.add_billing(app, company)
        return app

    async def run(self) -> None:
        """What DemoTelco does by itself, for ever: orders are fulfilled, telemetry is published."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.orders.fulfil(), name="orders")
            telemetry = Telemetry(self.conditions, seed=self._seed)
            group.create_task(telemetry.publish(self.ports["telemetry"]), name="telemetry")

    async def begin(self, fault: Fault) -> None:
        self.conditions.begin(fault)
        await self._match_doors(fault.service)

    async def end(self, name: str) -> None:
        fault = self.conditions.end(name)
        if fault is not None:
            await self._match_doors(fault.service)

    async def close(self) -> None:
        await self._owned.aclose()

    async def _match_doors(self, service: str) -> None:
        """Shuts or opens what a system answers on, as its condition says."""
        names = [door.name for door in DOORS if service in (door.service, door.name)]
        for name in names:
            if kept := self._doors.get(name):
                await (kept.shut() if self.conditions.is_out(service) else kept.open())


def _lines(service: LineService) -> Callable[[], asyncio.BaseProtocol]:
    def protocol() -> asyncio.BaseProtocol:
        loop = asyncio.get_running_loop()
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=4096, loop=loop), service.talk, loop=loop)

    return protocol


async def obey(telco: Telco, lines: asyncio.StreamReader) -> None:
    """Carries out one order a line until told to stop or the input ends."""
    while line := await lines.readline():
        order: dict[str, Any] = json.loads(line)
        if "begin" in order:
            fault = msgspec.convert(order["begin"], Fault)
            await telco.begin(fault)
            _say({"began": fault.name, "at": time.time()})
        elif "end" in order:
            await telco.end(str(order["end"]))
            _say({"ended": order["end"], "at": time.time()})
        else:
            return


def _say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


async def _stdin() -> asyncio.StreamReader:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader, loop=loop), sys.stdin)
    return reader


async def serve(folder: Path, *, seed: int, shipped_ports: bool) -> None:
    telco = Telco(folder, seed=seed, shipped_ports=shipped_ports)
    running: asyncio.Task[None] | None = None
    try:
        _say({"ports": await telco.start()})
        running = asyncio.create_task(telco.run(), name="telco")
        obeying = asyncio.create_task(obey(telco, await _stdin()), name="orders")
        done, _ = await asyncio.wait({running, obeying}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        if running is not None:
            running.cancel()
            await asyncio.wait({running})
        await telco.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cemd.demo.telco", description="DemoTelco on loopback.")
    parser.add_argument("--folder", type=Path, required=True, help="where mails and staff alerts are written")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--shipped-ports", action="store_true", help="answer on the ports that the shipped files name (17401 and up)"
    )
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options.folder, seed=options.seed, shipped_ports=options.shipped_ports))


if __name__ == "__main__":
    main()
