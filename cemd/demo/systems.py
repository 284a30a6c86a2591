"""DemoTelco's IT and BSS systems over HTTP. They really call each other, so a dead HLR stops orders in the shop.

Each system answers `/health` (it runs) and `/work` (it and all that it stands on can do one unit of work); some have an
API of their own. Requests may carry `x-site` and `x-application`, which limited faults look at and which are handed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from aiohttp import web

from cemd.demo.conditions import Conditions
from cemd.demo.network import greet, resolve
from cemd.demo.operator import DOORS, NEEDS

PASSED_ON = ("x-site", "x-application")
PROTOCOL = {door.service: door.protocol for door in DOORS if door.name == door.service}
CALL_SECONDS = 2.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DependencyFailedError(Exception):
    """A system could not do its work because this other one did not do its own."""


class Company:
    """How systems reach each other: ports, one HTTP client, and what is broken now."""

    def __init__(self, conditions: Conditions, ports: Mapping[str, int], client: aiohttp.ClientSession) -> None:
        self.conditions = conditions
        self.ports = ports
        self._client = client

    async def ask(
        self, service: str, method: str, path: str, headers: Mapping[str, str], body: object = None
    ) -> dict[str, Any]:
        """What another system answers.

        Raises:
            DependencyFailedError: it is not there, is too slow, or answers with an error.
        """
        url = f"http://127.0.0.1:{self.ports[service]}{path}"
        passed = {name: headers[name] for name in PASSED_ON if name in headers}
        try:
            async with self._client.request(method, url, json=body, headers=passed) as response:
                if response.status >= 400:
                    raise DependencyFailedError(service)
                answer: dict[str, Any] = await response.json()
                return answer
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            raise DependencyFailedError(service) from exc

    async def need(self, service: str, headers: Mapping[str, str]) -> None:
        """Lets another service do one unit of work, over the protocol that it speaks.

        Raises:
            DependencyFailedError: it could not.
        """
        try:
            match PROTOCOL[service]:
                case "tcp":
                    await greet(self.ports[service])
                case "udp":
                    await resolve(self.ports[service])
                case _:
                    await self.ask(service, "GET", "/work", headers)
        except (OSError, TimeoutError) as exc:
            raise DependencyFailedError(service) from exc


def application(service: str, company: Company) -> web.Application:
    """The common part of every system: its condition, `/health` and `/work`."""

    @web.middleware
    async def conditioned(request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.sleep(company.conditions.delay_seconds(service, request.headers))
        if company.conditions.is_failing(service, request.headers):
            return web.json_response({"error": f"{service} failed"}, status=503)
        try:
            return await handler(request)
        except DependencyFailedError as exc:
            return web.json_response({"error": f"{service} needs {exc}, which failed"}, status=503)
        except (ValueError, KeyError, TypeError):
            return web.json_response({"error": "the request cannot be read"}, status=400)

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"service": service, "status": "ok"})

    async def work(request: web.Request) -> web.Response:
        for need in NEEDS[service]:
            await company.need(need, request.headers)
        wrong = company.conditions.is_wrong(service, request.headers)
        return web.json_response({"service": service, "status": "rubbish" if wrong else "done"})

    app = web.Application(middlewares=[conditioned])
    app.router.add_get("/health", health)
    app.router.add_get("/work", work)
    return app


def add_hlr(app: web.Application) -> None:
    async def subscriber(request: web.Request) -> web.Response:
        return web.json_response({"msisdn": request.match_info["msisdn"], "state": "provisioned"})

    app.router.add_get("/subscribers/{msisdn}", subscriber)


def add_provisioning(app: web.Application, company: Company) -> None:
    async def activate(request: web.Request) -> web.Response:
        msisdn = str((await request.json())["msisdn"])
        record = await company.ask("hlr", "GET", f"/subscribers/{msisdn}", request.headers)
        return web.json_response({"msisdn": msisdn, "state": record["state"]})

    app.router.add_post("/activations", activate)


def add_id_verification(app: web.Application, company: Company) -> None:
    async def verify(request: web.Request) -> web.Response:
        document = str((await request.json())["document"])
        wrong = company.conditions.is_wrong("id-verification", request.headers)
        return web.json_response({"document": document, "result": "mismatch" if wrong else "match"})

    app.router.add_post("/verifications", verify)


def add_payment_gateway(app: web.Application, company: Company) -> None:
    async def authorise(request: web.Request) -> web.Response:
        cents = int((await request.json())["cents"])
        wrong = company.conditions.is_wrong("payment-gateway", request.headers)
        return web.json_response({"result": "approved", "cents": cents * 100 if wrong else cents})

    app.router.add_post("/authorisations", authorise)


def add_top_up(app: web.Application, company: Company) -> None:
    """Top-ups by reference, so that a test top-up can be taken back."""
    credited: dict[str, int] = {}

    async def credit(request: web.Request) -> web.Response:
        body = await request.json()
        reference, cents = str(body["reference"]), int(body["cents"])
        paid = await company.ask("payment-gateway", "POST", "/authorisations", request.headers, {"cents": cents})
        await company.need("charging", request.headers)
        credited[reference] = int(paid["cents"])
        return web.json_response({"reference": reference, "cents": paid["cents"], "state": "credited"}, status=201)

    async def reverse(request: web.Request) -> web.Response:
        gone = credited.pop(request.match_info["reference"], None)
        return web.json_response({"state": "reversed", "cents": gone or 0})

    async def standing(_: web.Request) -> web.Response:
        return web.json_response({"standing": sorted(credited)})

    app.router.add_post("/top-ups", credit)
    app.router.add_get("/top-ups", standing)
    app.router.add_delete("/top-ups/{reference}", reverse)


def add_portal(app: web.Application, company: Company) -> None:
    async def home(request: web.Request) -> web.Response:
        await company.need("api-gateway", request.headers)
        if company.conditions.is_wrong("portal", request.headers):
            return web.Response(text="<!doctype html><title>Under construction</title>", content_type="text/html")
        page = "<!doctype html><html lang=en><title>DemoTelco</title><h1>Welcome to DemoTelco</h1></html>"
        return web.Response(text=page, content_type="text/html")

    async def account(request: web.Request) -> web.Response:
        for need in NEEDS["portal"]:
            await company.need(need, request.headers)
        return web.json_response({"account": "test", "plan": "Demo 10"})

    app.router.add_get("/", home)
    app.router.add_get("/account", account)


def add_billing(app: web.Application, company: Company) -> None:
    async def runs(request: web.Request) -> web.Response:
        late = company.conditions.is_wrong("billing", request.headers)
        return web.json_response({"waiting": 4200 if late else 3, "oldest_seconds": 90_000 if late else 12})

    app.router.add_get("/runs", runs)
