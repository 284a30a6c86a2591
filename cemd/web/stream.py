"""The event stream: one line a view, so that pages ask only when there is something new.

Events: `view` with seq and instant, a comment every few seconds as a sign of life, `bye` when the daemon stops. One
watcher for all readers looks at the newest view; a reader that does not take its lines is let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from aiohttp import web
from prometheus_client import Gauge

from cemd.model.view import Views
from cemd.web.guard import HEADERS, Refused
from cemd.web.house import House

log = structlog.get_logger("cemd.web")

LOOK_SECONDS = 0.2
ALIVE_SECONDS = 5.0
PATIENCE_SECONDS = 5.0
MOST_READERS = 200


class Stream:
    """Call `run` in a task; `close` ends it and every reader."""

    def __init__(self, house: House, note: Callable[[Views], Awaitable[None]], readers: Gauge) -> None:
        self._house = house
        self._note = note
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()
        self._readers = 0
        self._gauge = readers

    async def run(self) -> None:
        """Watches for new views until closed."""
        seq = -1
        while not self._closed.is_set():
            views = self._house.views()
            if views is not None and views.seq != seq:
                seq = views.seq
                await self._noted(views)
                self._wake()
            await _wait(self._closed, LOOK_SECONDS)
        self._wake()

    async def _noted(self, views: Views) -> None:
        """What is only drawn with must not end the stream."""
        try:
            await self._note(views)
        except Exception:
            log.exception("view_not_noted", seq=views.seq)

    def close(self) -> None:
        self._closed.set()
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """GET /api/v1/stream."""
        if self._readers >= MOST_READERS:
            raise Refused(503, request.path, f"{MOST_READERS} pages are watching already", "close some and try again")
        response = web.StreamResponse(headers={**HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        await response.prepare(request)
        self._readers += 1
        self._gauge.set(self._readers)
        try:
            await self._feed(response)
        except (ConnectionError, TimeoutError):
            pass  # the reader left, or sleeps: it comes back by itself
        finally:
            self._readers -= 1
            self._gauge.set(self._readers)
        return response

    async def _feed(self, response: web.StreamResponse) -> None:
        seq = -1
        await _write(response, b"retry: 2000\n\n")
        while not self._closed.is_set():
            changed = self._changed
            views = self._house.views()
            if views is not None and views.seq != seq:
                seq = views.seq
                body = msgspec.json.encode({"seq": seq, "at": views.at, "epoch": views.epoch})
                await _write(response, b"event: view\nid: %d\ndata: %b\n\n" % (seq, body))
            elif not await _wait(changed, ALIVE_SECONDS):
                await _write(response, b": here\n\n")
        await _write(response, b"event: bye\ndata: {}\n\n")


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """True when the event came in time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _write(response: web.StreamResponse, line: bytes) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await response.write(line)
