"""The server: one aiohttp application with page, API, stream, metrics and health, on loopback unless told otherwise."""

from __future__ import annotations

import asyncio
import logging
from importlib import resources
from pathlib import PurePosixPath

import msgspec
from aiohttp import web

from cemd import __version__
from cemd.errors import CemdError
from cemd.web import openapi, scrape
from cemd.web.api import Api
from cemd.web.commands import PUSH_BYTES, Commands
from cemd.web.desk import Desk
from cemd.web.guard import HEADERS, Guard, is_loopback, refusal
from cemd.web.history import History
from cemd.web.house import House
from cemd.web.metrics import MalformedOnce, WebMetrics
from cemd.web.notable import Notable
from cemd.web.routes import Route, get
from cemd.web.stream import Stream

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PAGES = ("/", "/incidents/{id}", "/explain", "/explain/{id}", "/series", "/series/{id}")
WRITE_BYTES = 256 * 1024
SHUTDOWN_SECONDS = 3.0


class WebServer:
    """Built once; `start`, then `stop`. `port` is the real one after `start`."""

    def __init__(
        self, house: House, *, host: str = "127.0.0.1", port: int = 8480, stale_after_seconds: float = 15.0
    ) -> None:
        self.host, self.port = host, port
        self._house = house
        self._metrics_of_web = WebMetrics.build(house.registry)
        self._desk = Desk(house, self._metrics_of_web.render, stale_after_seconds=stale_after_seconds)
        self._stream = Stream(house, self._desk.note, self._metrics_of_web.readers)
        self._runner: web.AppRunner | None = None
        self._watch: asyncio.Task[None] | None = None
        self._files = _static()
        self.routes = (
            *Api(self._desk).routes(),
            *Notable(self._desk).routes(),
            *History(self._desk).routes(),
            *Commands(self._desk).routes(),
            *self._own_routes(),
        )

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    async def start(self) -> None:
        """Listens.

        Raises:
            CemdError: the address is not loopback and there is no token, or it cannot be listened on.
        """
        if not is_loopback(self.host) and self._house.token() is None:
            raise CemdError(
                f"config/cemd.yaml, listen: host {self.host} is not loopback and there is no token;"
                " set push_token_file."
            )
        self._runner = web.AppRunner(
            self.app(),
            handle_signals=False,
            access_log=None,
            logger=self._logger(),
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        try:
            await site.start()
        except OSError as exc:
            await self._closed()
            raise CemdError(
                f"config/cemd.yaml, listen: cannot listen on {self.host} port {self.port} ({exc.strerror or exc});"
                " end what listens there, or choose another port (--port; 0: any free one)."
            ) from exc
        self.port = self._runner.addresses[0][1]
        self._watch = asyncio.create_task(self._stream.run(), name="web-stream")

    async def stop(self) -> None:
        """Closes streams first, so that nobody waits for readers that never leave."""
        self._stream.close()
        if self._watch is not None:
            await self._watch
        await self._closed()

    async def _closed(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._desk.close()
        self._metrics_of_web.forget()

    def _logger(self) -> logging.Logger:
        logger = logging.getLogger("cemd.web.http")
        logger.setLevel(logging.DEBUG)  # else the filter does not see every malformed request
        logger.filters[:] = [MalformedOnce(self._metrics_of_web.malformed)]
        return logger

    def app(self) -> web.Application:
        app = web.Application(
            client_max_size=PUSH_BYTES,
            middlewares=[Guard(self._house, self.host, self._metrics_of_web.requests).middleware],
        )
        for route in self.routes:
            if route.method == "GET" and route.name != "stream":
                app.router.add_get(route.path, route.handler)  # answers HEAD too
            else:
                app.router.add_route(route.method, route.path, route.handler)
        for path in PAGES:
            app.router.add_get(path, self._page)
        app.router.add_get("/static/{file}", self._file)
        return app

    def _own_routes(self) -> tuple[Route, ...]:
        text, events = "text/plain", "text/event-stream"
        about = "For Prometheus; band=1 adds the expected band of every series."
        return (
            get("/healthz", "healthz", "Is the process alive?", self._healthz, tag="daemon", refusals=(503,)),
            get("/readyz", "readyz", "Does it work, and if not, why?", self._readyz, tag="daemon", refusals=(503,)),
            get("/metrics", "metrics", about, self._metrics, tag="daemon", media=text),
            get("/api/v1/stream", "stream", "One `view` event a tick.", self._stream.serve, tag="daemon", media=events),
            get("/api/v1/openapi.json", "openapi", "This document.", self._openapi, tag="daemon"),
        )

    async def _healthz(self, request: web.Request) -> web.StreamResponse:
        if self._house.alive():
            return web.json_response({"alive": True})
        return refusal(503, request.path, "the daemon makes no progress", "it should be started anew")

    async def _readyz(self, _: web.Request) -> web.StreamResponse:
        reasons = self._house.ready()
        to_mend = [f"{one.what}: {one.place}: {one.fact}; {one.remedy}." for one in self._house.to_mend()]
        document = {"ready": not reasons, "reasons": reasons, "to_mend": to_mend}
        return web.json_response(document, status=503 if reasons else 200)

    async def _openapi(self, _: web.Request) -> web.StreamResponse:
        body = await self._desk.away(lambda: msgspec.json.encode(openapi.document(self.routes, __version__)))
        return web.Response(body=body, content_type="application/json")

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        strict = scrape.wants_openmetrics(request.headers.get("Accept", ""))
        band = request.query.get("band") == "1"
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        exposition, views = self._desk.exposition, self._house.views()
        make = exposition.packed if packed else exposition.body
        blocks = await self._desk.away(lambda: make(views, band=band, strict=strict))
        response = web.StreamResponse(
            headers={**HEADERS, "Cache-Control": "no-store", "Vary": "Accept, Accept-Encoding"}
        )
        response.headers["Content-Type"] = scrape.OPENMETRICS if strict else scrape.TEXT
        if packed:
            response.headers["Content-Encoding"] = "gzip"
        response.content_length = sum(map(len, blocks))
        await response.prepare(request)
        if request.method != "HEAD":
            await write_in_portions(response, blocks)
        await response.write_eof()
        return response

    async def _page(self, _: web.Request) -> web.StreamResponse:
        return self._served("index.html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        if name not in self._files or name == "index.html":
            raise web.HTTPNotFound
        return self._served(name)

    def _served(self, name: str) -> web.Response:
        kind = TYPES[PurePosixPath(name).suffix]
        return web.Response(
            body=self._files[name], content_type=kind, charset="utf-8", headers={"Cache-Control": "no-cache"}
        )


async def write_in_portions(response: web.StreamResponse, blocks: list[bytes]) -> None:
    """Blocks in portions: each waits until the reader takes them, and none holds the loop. A reader who takes them as
    quickly as they are written never lets `write` wait, so others have their turn between any two."""
    portion: list[bytes] = []
    size = 0
    for block in blocks:
        portion.append(block)
        size += len(block)
        if size >= WRITE_BYTES:
            await response.write(b"".join(portion))
            portion, size = [], 0
            await asyncio.sleep(0)
    if portion:
        await response.write(b"".join(portion))


def _static() -> dict[str, bytes]:
    """The page's files, read once."""
    folder = resources.files("cemd.web") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if PurePosixPath(file.name).suffix in TYPES}
