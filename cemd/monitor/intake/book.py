"""The book of series: words become durable numbers once, and new ones are logged before anything uses them.

The catalogue waits for a disk, so it is asked in a thread of this object's own; what is known answers at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from cemd.errors import Refused
from cemd.kit.tasks import beside
from cemd.model.entry import Payload, SeriesAdded
from cemd.model.identity import SeriesId
from cemd.model.measurement import Series, SeriesKey

Submit: TypeAlias = Callable[[Payload], Awaitable[int]]
"""Logs a payload and answers its seq; raises `Refused` where too much waits."""

Catalogue: TypeAlias = Callable[[str, Sequence[SeriesKey], int], tuple[list[SeriesId | None], list[Series]]]
"""(source, keys, max_series) -> (number of each or None, the new ones): `SeriesCatalogue.resolve` of the store."""

MANY_KEYS = 500
"""So many keys are looked up in a thread: the loop is held for about 1 µs a key."""


class SeriesBook:
    """Shared by all doors. `max_series` may change at a reload; series that were refused may then come in."""

    def __init__(self, catalogue: Catalogue, submit: Submit, *, max_series: int) -> None:
        self._catalogue = catalogue
        self._submit = submit
        self._max_series = max_series
        self._known: dict[str, dict[SeriesKey, SeriesId]] = {}
        self._unlogged: list[Series] = []
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cemd-series")
        self._is_closed = False

    def allow(self, max_series: int) -> None:
        """Takes the limit of a new configuration."""
        self._max_series = max_series

    async def numbers(self, source: str, keys: Sequence[SeriesKey]) -> list[SeriesId | None]:
        """Number of each key, None where the source has `max_series` already; new ones are in the log by then.

        Raises:
            Refused: the log takes nothing now, or the book is closed.
            StoreError: the catalogue cannot be written.
        """
        known = self._known.setdefault(source, {})
        many = len(keys) > MANY_KEYS
        missing = await beside(many, lambda: [key for key in dict.fromkeys(keys) if key not in known])
        if missing:
            async with self._turn:
                await self._learn(source, await beside(many, lambda: [key for key in missing if key not in known]))
        return await beside(many, lambda: [known.get(key) for key in keys])

    async def _learn(self, source: str, keys: Sequence[SeriesKey]) -> None:
        if self._is_closed:
            raise Refused("cemd is stopping; name them again when it is back.")
        loop = asyncio.get_running_loop()
        ids, new = await loop.run_in_executor(self._thread, self._catalogue, source, keys, self._max_series)
        self._unlogged += new
        if self._unlogged:
            batch, self._unlogged = self._unlogged, []
            try:
                await self._submit(SeriesAdded(series=tuple(batch)))
            except Refused:
                self._unlogged = batch + self._unlogged  # the catalogue has them: the log must get them first next time
                raise
        known, found = self._known[source], list(zip(keys, ids, strict=True))
        for low in range(0, len(found), MANY_KEYS):
            known.update((key, number) for key, number in found[low : low + MANY_KEYS] if number is not None)
            await asyncio.sleep(0)

    def close(self) -> None:
        """Ends the thread; never waits. What somebody still asks for is refused."""
        self._is_closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
