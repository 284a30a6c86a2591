"""The engine of HTTP: a plain request goes the quick way, everything else that HTTP can do by libcurl."""

from __future__ import annotations

import asyncio
from functools import partial
from urllib.parse import urlsplit

from cemd.kit.tasks import settle
from cemd.monitor.probes.base import Blind, Cancel, Reason
from cemd.monitor.probes.engines.curl import CurlEngine
from cemd.monitor.probes.engines.exchange import Call, Exchange
from cemd.monitor.probes.engines.handshake import Handshakes
from cemd.monitor.probes.engines.names import Names
from cemd.monitor.probes.engines.requests import Answer, Request, Told
from cemd.monitor.probes.engines.waits import RestingWaits, Waits


class WebEngine:
    """Made in the prober; closing what it is lent is their owner's business."""

    def __init__(
        self, names: Names, curl: CurlEngine, handshakes: Handshakes, prompt: Waits, resting: RestingWaits
    ) -> None:
        self._names = names
        self._curl = curl
        self._handshakes = handshakes
        self._prompt = prompt
        self._resting = resting

    async def fetch(self, request: Request, within_seconds: float, *, address: str | None = None) -> Answer:
        """Sends one request on a new connection and reads the answer; at `address`, where that is known already.

        Raises:
            Missed: the target failed, timed out or answered more than `max_body_bytes`.
            Blind: this host could not look.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        host = urlsplit(request.proxy.url if request.proxy else request.url).hostname
        if not host:
            raise Blind(Reason.INTERNAL, "the URL is neither http nor https; correct the probe's parameters.")
        if request.proxy is not None:  # be it where a redirect leads, or a step with a value that was taken
            self._names.check_unknown(urlsplit(request.url).hostname or "")
        if address is None:
            address = await self._names.address(host, within_seconds, request.ip_version)
        named = loop.time() - began
        told: asyncio.Future[Answer | Exception] = loop.create_future()
        cancel = self.start(request, address, began + within_seconds, partial(settle, told), named=named)
        try:
            found = await told
        except asyncio.CancelledError:
            cancel()
            raise
        if isinstance(found, Answer):
            return found
        raise found

    def start(
        self,
        request: Request,
        address: str,
        deadline: float,
        told: Told,
        *,
        named: float = 0.0,
        certificate: bool = True,
    ) -> Cancel:
        """Begins a request at a numeric address and returns; `told` is called once, unless it is given up before.

        Without `certificate` libcurl does not look its end up, which saves a fifth of a handshake.

        Raises:
            Missed: the target cannot be reached.
            Blind: this host cannot look.
        """
        if request.plain:
            return self.begin(Call(request, address), deadline, told, named=named)
        return self._curl.start(request, address, deadline, told, named=named, certificate=certificate)

    def begin(self, call: Call, deadline: float, told: Told, *, named: float = 0.0) -> Cancel:
        """The same for a plain request that is made ready already."""
        if not call.secure:
            return Exchange(call, None, self._resting, told, named).begin(deadline)
        context = self._handshakes.context(call.ca_file, old_protocols=False)
        return Exchange(call, context, self._prompt, told, named).begin(deadline)
