"""Evidence: how the last attempts of each probe failed, for the page, and one line in the log for each change.

A probe that fails is said once for each vantage point, with the reason; its first success after that is said too. The
newest failures of each probe are in memory, and the store keeps what is told of them longer: every one at first, and
while a probe goes on to fail in the same manner one an hour, so that a target that is down for a week does not push out
everybody else's.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cemd.errors import StoreError
from cemd.kit.logs import SaidOnce
from cemd.model.identity import Instant
from cemd.model.measurement import Attempt

ATTEMPTS_KEPT = 20
"""Failed attempts in memory per probe, and as many are shown: enough to see a pattern."""
PROBES_KEPT = 10_000
"""Beyond so many probes with failures, the one that failed first gives way."""
ALIKE_STORED = ATTEMPTS_KEPT
"""So many failures in the same manner are all stored."""
ALIKE_SECONDS = 3600.0
"""Further ones that often."""
STORE_SECONDS = 2.0
"""What a killed daemon may lose of it."""
MOST_UNSTORED = 20_000
"""Attempts that wait for a store that does not write; beyond them the oldest go."""
OK = "ok"


class Kept(Protocol):
    """Where evidence outlives the process: `SqliteEvidence`."""

    def add(self, attempts: Sequence[Attempt]) -> None: ...

    def of(self, probe: str, *, most: int, before: Instant = ...) -> list[Attempt]: ...


@dataclass(slots=True)
class _Manner:
    """How a probe fails from one vantage point, and what of that is stored."""

    words: tuple[str, str] = ("", "")
    alike: int = 0
    stored_at: Instant = 0.0


@dataclass(slots=True)
class _Failing:
    """A probe that fails: its newest attempts from anywhere, and in which manner from where."""

    newest: deque[Attempt]
    manners: defaultdict[str, _Manner] = field(default_factory=lambda: defaultdict(_Manner))


class Evidence:
    """Takes what the prober tells of failures and of the first success after one; the store's part may wait."""

    def __init__(self, log: Any, kept: Kept) -> None:
        self._kept = kept
        self._said_of_store = SaidOnce(log)
        self._failed: dict[str, _Failing] = {}
        self._unstored: deque[Attempt] = deque(maxlen=MOST_UNSTORED)
        self._said = SaidOnce(log, most=PROBES_KEPT)

    def take(self, attempts: Sequence[Attempt]) -> None:
        """Never waits."""
        for one in attempts:
            where = f"{one.probe}\x1f{one.vantage}"
            if one.outcome == OK:
                self._said.back(where, "probe.works_again", probe=one.probe, vantage=one.vantage)
                if (failing := self._failed.get(one.probe)) is not None:
                    failing.manners[one.vantage].alike = 0
                continue
            self._said.gone(
                where, "probe.failed", probe=one.probe, vantage=one.vantage, outcome=one.outcome, reason=one.reason,
                detail=one.detail,
            )  # fmt: skip
            self._remember(one)

    async def of(self, probe: str) -> tuple[Attempt, ...]:
        """Failed attempts of a probe, the newest first; what is no longer in memory comes from the store."""
        failing = self._failed.get(probe)
        newest = tuple(reversed(failing.newest)) if failing is not None else ()
        if len(newest) >= ATTEMPTS_KEPT:
            return newest
        there = {(one.vantage, one.at) for one in newest}
        try:
            stored = await asyncio.to_thread(self._kept.of, probe, most=ATTEMPTS_KEPT)
        except StoreError as exc:
            self._said_of_store.gone("reading", "evidence.not_read", error=str(exc))
            return newest
        return (*newest, *(one for one in stored if (one.vantage, one.at) not in there))[:ATTEMPTS_KEPT]

    async def keep_storing(self) -> None:
        """Stores what is new every now and then, until it is cancelled."""
        while True:
            await asyncio.sleep(STORE_SECONDS)
            await self.store()

    async def store(self) -> None:
        """Stores what is new; what cannot be written now is tried again."""
        if not self._unstored:
            return
        waiting, self._unstored = self._unstored, deque(maxlen=MOST_UNSTORED)
        try:
            await asyncio.to_thread(self._kept.add, tuple(waiting))
        except StoreError as exc:
            self._said_of_store.gone("store", "evidence.not_stored", error=str(exc))
            self._unstored = deque((*waiting, *self._unstored), maxlen=MOST_UNSTORED)
        else:
            self._said_of_store.back("store", "evidence.stored_again")

    def _remember(self, one: Attempt) -> None:
        failing = self._failed.get(one.probe)
        if failing is None:
            if len(self._failed) >= PROBES_KEPT:
                del self._failed[next(iter(self._failed))]
            failing = self._failed[one.probe] = _Failing(deque(maxlen=ATTEMPTS_KEPT))
        failing.newest.append(one)
        manner, words = failing.manners[one.vantage], (one.outcome, one.reason)
        if words != manner.words:
            manner.words, manner.alike = words, 0
        manner.alike += 1
        if manner.alike <= ALIKE_STORED or one.at - manner.stored_at >= ALIKE_SECONDS:
            manner.stored_at = one.at
            self._unstored.append(one)
