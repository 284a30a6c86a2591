"""DemoTelco's order manager, as the shop's point of sale calls it: log in, order, wait until active, cancel.

Orders are fulfilled in the background by CRM, id verification and provisioning, which writes to the HLR. While one of
them fails an order is `stuck` and is tried again, as a real order manager does. Test orders carry the reference of the
run that made them and can be listed and cancelled by it.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass

from aiohttp import web

from cemd.demo.systems import Company, DependencyFailedError

MOST_ORDERS = 10_000
FULFIL_EVERY_SECONDS = 0.1
RETRY_SECONDS = 0.5


@dataclass(slots=True)
class Order:
    id: str
    msisdn: str
    reference: str
    headers: dict[str, str]
    state: str = "accepted"
    due: float = 0.0

    def document(self) -> dict[str, str]:
        return {"id": self.id, "msisdn": self.msisdn, "reference": self.reference, "state": self.state}


class OrderManager:
    """All orders in memory; `fulfil` is the worker, owned by whoever runs DemoTelco."""

    def __init__(self, company: Company) -> None:
        self._company = company
        self._orders: dict[str, Order] = {}
        self._numbers = itertools.count(1)

    def standing(self) -> list[Order]:
        """Orders that were neither cancelled nor forgotten."""
        return [order for order in self._orders.values() if order.state != "cancelled"]

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/login", self._login)
        app.router.add_post("/orders", self._order)
        app.router.add_get("/orders", self._list)
        app.router.add_get("/orders/{id}", self._show)
        app.router.add_delete("/orders/{id}", self._cancel)
        app.router.add_delete("/orders", self._cancel_reference)

    async def fulfil(self) -> None:
        """Works off what is accepted or stuck, for ever."""
        now = asyncio.get_running_loop().time
        while True:
            waiting = [order for order in self._orders.values() if order.state in ("accepted", "stuck")]
            for order in waiting:
                if order.due <= now():
                    await self._advance(order, now() + RETRY_SECONDS)
            await asyncio.sleep(FULFIL_EVERY_SECONDS)

    async def _advance(self, order: Order, retry_at: float) -> None:
        ask = self._company.ask
        try:
            await ask("crm", "GET", "/work", order.headers)
            seen = await ask("id-verification", "POST", "/verifications", order.headers, {"document": order.msisdn})
            await ask("provisioning", "POST", "/activations", order.headers, {"msisdn": order.msisdn})
        except DependencyFailedError:
            after = "stuck"
        else:
            after = "active" if seen["result"] == "match" else "refused"
        if order.state != "cancelled":  # it may have been cancelled while we asked
            order.state, order.due = after, retry_at

    async def _login(self, request: web.Request) -> web.Response:
        user = str((await request.json())["user"])
        return web.json_response({"token": f"token-of-{user}"})

    async def _order(self, request: web.Request) -> web.Response:
        self._signed_in(request)
        body = await request.json()
        number = f"o-{next(self._numbers)}"
        headers = {name: request.headers[name] for name in ("x-site", "x-application") if name in request.headers}
        order = Order(number, str(body["msisdn"]), str(body.get("reference", "")), headers)
        if len(self._orders) >= MOST_ORDERS:
            del self._orders[next(iter(self._orders))]
        self._orders[number] = order
        return web.json_response(order.document(), status=201)

    async def _list(self, request: web.Request) -> web.Response:
        """Standing orders; with `reference`, those of that run."""
        wanted = request.query.get("reference")
        orders = [order.document() for order in self.standing() if wanted in (None, order.reference)]
        return web.json_response({"orders": orders})

    async def _show(self, request: web.Request) -> web.Response:
        self._signed_in(request)
        return web.json_response(self._known(request).document())

    async def _cancel(self, request: web.Request) -> web.Response:
        order = self._known(request)
        order.state = "cancelled"
        return web.json_response(order.document())

    async def _cancel_reference(self, request: web.Request) -> web.Response:
        """Cancels every order of a run; none is no fault, so that cleaning up twice is safe."""
        reference = request.query["reference"]
        orders = [order for order in self.standing() if order.reference == reference]
        for order in orders:
            order.state = "cancelled"
        return web.json_response({"cancelled": len(orders)})

    def _known(self, request: web.Request) -> Order:
        try:
            return self._orders[request.match_info["id"]]
        except KeyError as exc:
            raise web.HTTPNotFound(reason="no such order") from exc

    def _signed_in(self, request: web.Request) -> None:
        if not request.headers.get("authorization", "").startswith("Bearer token-of-"):
            raise web.HTTPUnauthorized(reason="log in first")
