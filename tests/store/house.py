"""What the store's tests share: a store that can be closed and opened again, and short ways to make its columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from cemd.model.entry import NoticeOutcomes
from cemd.model.measurement import Samples, SeriesKey
from cemd.model.notice import MessageClass, NoticeRows, NoticeState, Phase
from cemd.model.rows import RowChange
from cemd.store.base import Faults, Moment, Store
from cemd.store.memory import MemoryStore
from cemd.store.sqlite import SqliteStore, open_store


class Killed(BaseException):
    """Stands for `kill -9`: nobody may catch it as an error."""


class Strike:
    """Faults on demand: `at` names operation and moment, `error` is raised there, once."""

    def __init__(self) -> None:
        self.at: tuple[str, Moment] | None = None
        self.error: BaseException = Killed()

    def __call__(self, operation: str, moment: Moment) -> None:
        if self.at == (operation, moment):
            self.at = None
            raise self.error


class House(Protocol):
    """A store under test."""

    store: Store
    strike: Strike

    def reopen(self) -> Store: ...

    def close(self) -> None: ...


class MemoryHouse:
    def __init__(self) -> None:
        self.strike = Strike()
        self._memory = MemoryStore(self.strike)
        self.store = self._memory.store()

    def reopen(self) -> Store:
        self._memory.restart()
        return self.store

    def close(self) -> None:
        self.store.close()


class SqliteHouse:
    def __init__(self, directory: Path) -> None:
        self.strike = Strike()
        self.directory = directory
        self.store: Store = self._open(self.strike)

    def _open(self, faults: Faults) -> SqliteStore:
        return open_store(self.directory, ballast_megabytes=0, faults=faults)

    def reopen(self) -> Store:
        self.store.close()
        self.store = self._open(self.strike)
        return self.store

    def close(self) -> None:
        self.store.close()


def samples(rows: Sequence[tuple[int, float, float, int]]) -> Samples:
    """Columns of (series, at, value, outcome)."""
    series, at, value, outcome = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Samples(
        series=np.array(series, np.int64),
        at=np.array(at, np.float64),
        value=np.array(value, np.float64),
        outcome=np.array(outcome, np.uint8),
    )


def notices(
    customers: Sequence[int],
    *,
    communication: str = "com-1",
    digests: Sequence[int] | None = None,
    phase: Phase = Phase.FIRST,
    revision: int = 0,
    at: float = 100.0,
    channel: str = "email",
    seq: int = 1,
) -> NoticeRows:
    return NoticeRows(
        communication=communication,
        trace="trc-1",
        phase=phase,
        revision=revision,
        channel=channel,
        state=NoticeState.IN_FLIGHT,
        message_class=MessageClass.SERVICE,
        customer=np.array(customers, np.uint32),
        digest=np.array([0] * len(customers) if digests is None else digests, np.int64),
        at=at,
        expires_at=at + 3600,
        seq=seq,
        values={"service": "mobile-data"},
    )


def outcomes(
    customers: Sequence[int], states: Sequence[int], *, communication: str = "com-1", phase: Phase = Phase.FIRST
) -> NoticeOutcomes:
    return NoticeOutcomes(
        communication=communication,
        phase=phase,
        revision=0,
        customer=np.array(customers, np.uint32),
        state=np.array(states, np.uint8),
    )


def row(table: str, key: str, body: bytes | None = b"{}") -> RowChange:
    return RowChange(table, key, body)


def key(probe: str, metric: str = "success") -> SeriesKey:
    return SeriesKey(probe=probe, metric=metric)
