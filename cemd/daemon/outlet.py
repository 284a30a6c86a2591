"""The outlet: committed effects, from the core thread to the edges on the event loop, in the order of their entries."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from cemd.model.effect import Effects
from cemd.model.entry import Entry

log = structlog.get_logger("cemd")

Taker = Callable[[Entry, Effects], None]


class Outlet:
    """Called by the core thread; the edges take the effects on the loop. Nothing is lost and nothing waits.

    Effects that arise before the edges stand (while the log is replayed at a start) are kept until `connect`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[Entry, Effects]] = deque()
        self._takers: tuple[Taker, ...] | None = None

    def connect(self, *takers: Taker) -> None:
        """From now on these take every effect; they must not wait. Call it on the loop."""
        self._takers = takers
        self._drain()

    def __call__(self, entry: Entry, effects: Effects) -> None:
        if not _reaches_an_edge(effects):
            return
        self._waiting.append((entry, effects))
        try:
            self._loop.call_soon_threadsafe(self._drain)
        except RuntimeError:
            pass  # the loop is closed: the rows are committed, and the next start carries them on

    def _drain(self) -> None:
        while self._takers is not None and self._waiting:
            entry, effects = self._waiting.popleft()
            for take in self._takers:
                try:
                    take(entry, effects)
                except Exception:  # the guard: a fault of one edge must not cost another its effects
                    log.exception("effects_not_taken", seq=entry.seq, remedy="report it; the rows are committed")


def _reaches_an_edge(effects: Effects) -> bool:
    return bool(
        effects.notices
        or effects.again
        or effects.alerts
        or effects.resends
        or effects.withdrawn
        or effects.rechecks
        or effects.due
        or effects.config
        or effects.stopped is not None
    )
