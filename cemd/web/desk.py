"""The desk where documents are made: one thread, so that no view holds the event loop, and a small shelf of answers.

Views never change, so a document made of one is kept until the next view comes; readers who have it already get 304.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web
from prometheus_client import Counter

from cemd.model.view import Views
from cemd.web.guard import Refused
from cemd.web.house import House
from cemd.web.memory import Memory
from cemd.web.present import Presenter
from cemd.web.scrape import Exposition
from cemd.web.shapes import Shape

T = TypeVar("T")
SHELF = 64
WAIT_SECONDS = 20.0


def _tag(seq: int, *parts: str) -> str:
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=6).hexdigest()
    return f'"{seq}-{digest}"'


class Desk:
    """Owns the thread; `close` ends it."""

    def __init__(self, house: House, worked: Counter, *, stale_after_seconds: float) -> None:
        self.house = house
        self._worked = worked
        self.stale_after_seconds = stale_after_seconds
        self.memory = Memory()
        self.exposition = Exposition(house.registry)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cemd-web")
        self._shelf: OrderedDict[str, bytes] = OrderedDict()
        self._shelf_seq = -1

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.house.zone)
        except (ZoneInfoNotFoundError, ValueError):
            return ZoneInfo("UTC")

    def views(self) -> Views:
        """The newest view.

        Raises:
            Refused: there is none yet.
        """
        views = self.house.views()
        if views is None:
            raise Refused(503, "views", "nothing was measured yet", "wait for the first tick")
        return views

    async def away(self, work: Callable[[], T]) -> T:
        """Runs `work` in the desk's thread."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._timed, work)

    def _timed(self, work: Callable[[], T]) -> T:
        begun = time.perf_counter()
        try:
            return work()
        finally:
            self._worked.inc(time.perf_counter() - begun)

    async def note(self, views: Views) -> None:
        await self.away(lambda: self.memory.note(views))

    async def document(self, request: web.Request, make: Callable[[Presenter], Shape], *extra: str) -> web.Response:
        """Answers with a document of the newest view: from the shelf, 304, or made now. `extra`: what else it shows."""
        views = self.views()
        tag = _tag(views.seq, str(request.rel_url), self.house.zone, views.epoch, *extra)
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if tag in (piece.strip().removeprefix("W/") for piece in request.headers.get("If-None-Match", "").split(",")):
            return web.Response(status=304, headers=headers)
        body = self._kept(views.seq, tag)
        if body is None:
            body = await self.away(lambda: self._made(views, make))
            self._keep(views.seq, tag, body)
        response = web.Response(body=body, content_type="application/json", headers=headers)
        if len(body) > 4096:
            response.enable_compression()
        return response

    def _made(self, views: Views, make: Callable[[Presenter], Shape]) -> bytes:
        memory = self.memory
        present = Presenter(
            views, self.zone, memory.index(views.series).row, lambda row: memory.places(views).service(row)
        )
        return make(present).model_dump_json().encode()

    def _kept(self, seq: int, tag: str) -> bytes | None:
        if seq != self._shelf_seq:
            self._shelf.clear()
            self._shelf_seq = seq
        return self._shelf.get(tag)

    def _keep(self, seq: int, tag: str, body: bytes) -> None:
        if seq == self._shelf_seq:
            self._shelf[tag] = body
            while len(self._shelf) > SHELF:
                self._shelf.popitem(last=False)
