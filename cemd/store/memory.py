"""The store in memory, for simulation and tests: the same promises, with faults on demand.

"Durable" means that it outlives the core object: the simulation drops the core at a kill, calls `restart()` (which
loses what a real process would lose, the open samples) and builds a new core over the same store. Every transaction
calls `faults` before, within and after.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cemd.errors import StoreError
from cemd.model.identity import Instant, SeriesId, series_id
from cemd.model.measurement import Samples, Series, SeriesKey
from cemd.store.base import (
    Faults,
    LogGroup,
    Moment,
    Store,
    no_faults,
)
from cemd.store.chunk import in_milliseconds
from cemd.store.digest import address_digest
from cemd.store.memory_state import MemoryState

__all__ = [
    "MemoryKeys",
    "MemoryLog",
    "MemoryProgress",
    "MemorySamples",
    "MemorySeries",
    "MemorySnapshots",
    "MemoryState",
    "MemoryStore",
]


class MemoryLog:
    def __init__(self, faults: Faults = no_faults) -> None:
        self._faults = faults
        self._groups: list[LogGroup] = []
        self._last = 0

    def append(self, group: LogGroup) -> None:
        if group.first != self._last + 1 or group.last < group.first:
            raise StoreError(
                f"log: entries {group.first} to {group.last} do not follow {self._last}; only one core may write a log."
            )
        self._faults("log.append", Moment.BEFORE)
        self._faults("log.append", Moment.WITHIN)
        self._groups.append(group)
        self._last = group.last
        self._faults("log.append", Moment.AFTER)

    def read(self, after: int) -> Iterator[LogGroup]:
        return iter([group for group in self._groups if group.last > after])

    def last_seq(self) -> int:
        return self._last

    def trim(self, upto: int) -> None:
        self._faults("log.trim", Moment.BEFORE)
        self._faults("log.trim", Moment.WITHIN)
        self._groups = [group for group in self._groups if group.last > upto]
        self._faults("log.trim", Moment.AFTER)


class MemorySnapshots:
    def __init__(self, faults: Faults = no_faults) -> None:
        self._faults = faults
        self._seq = 0
        self._at: Instant = 0.0
        self._blocks: dict[str, bytes] = {}

    def save(self, seq: int, at: Instant, blocks: Mapping[str, bytes | None]) -> None:
        self._faults("snapshots.save", Moment.BEFORE)
        kept = {name: self._blocks.get(name) if block is None else bytes(block) for name, block in blocks.items()}
        fresh = {name: block for name, block in kept.items() if block is not None}
        self._faults("snapshots.save", Moment.WITHIN)
        self._seq, self._at, self._blocks = seq, at, fresh
        self._faults("snapshots.save", Moment.AFTER)

    def load(self) -> tuple[int, dict[str, bytes]]:
        return self._seq, dict(self._blocks)


class MemorySamples:
    """Open samples become sealed when their series' hour has passed; a kill loses the open ones, the log has them."""

    def __init__(self, faults: Faults = no_faults) -> None:
        self._faults = faults
        self._lock = threading.RLock()
        self._open: list[tuple[int, Samples]] = []
        self._sealed: list[Samples] = []
        self._sealed_seq = 0

    def restart(self) -> None:
        """What a killed process loses."""
        with self._lock:
            self._open = []

    def add(self, samples: Samples, seq: int) -> None:
        if seq <= self._sealed_seq or not len(samples):
            return
        rounded = in_milliseconds(samples)
        with self._lock:
            self._open.append((seq, rounded))

    def oldest_open(self) -> int | None:
        with self._lock:
            return self._open[0][0] if self._open else None

    def seal(self, now: Instant) -> int:
        with self._lock:
            due = [
                index for index, (_, samples) in enumerate(self._open) if float(samples.at.max()) < now - now % 3600.0
            ]
            count = due[-1] + 1 if due else 0
            if count == 0:
                return 0
            self._faults("samples.seal", Moment.BEFORE)
            self._faults("samples.seal", Moment.WITHIN)
            self._sealed.extend(samples for _, samples in self._open[:count])
            self._sealed_seq = self._open[count - 1][0]
            del self._open[:count]
            self._faults("samples.seal", Moment.AFTER)
            return count

    def history(self, series: SeriesId, since: Instant, until: Instant) -> Samples:
        with self._lock:
            parts = [*self._sealed, *(samples for _, samples in self._open)]
        columns = []
        for part in parts:
            keep = (part.series == series) & (part.at >= since) & (part.at < until)
            columns.append((part.at[keep], part.value[keep], part.outcome[keep]))
        at = np.concatenate([column[0] for column in columns]) if columns else np.zeros(0)
        value = np.concatenate([column[1] for column in columns]) if columns else np.zeros(0)
        outcome = np.concatenate([column[2] for column in columns]) if columns else np.zeros(0, np.uint8)
        order = np.argsort(at, kind="stable")
        return Samples(
            series=np.full(len(at), series, np.int64), at=at[order], value=value[order], outcome=outcome[order]
        )


class MemoryProgress:
    def __init__(self) -> None:
        self._begun = (0, 0)  # seq, crashes before this try
        self._crashed = (0, 0)

    def restart(self) -> None:
        """What a new process finds: an entry that was begun and did not come to rest is a crash."""
        seq, crashes = self._begun
        self._crashed = (seq, crashes + 1) if seq else (0, 0)
        self._begun = (0, 0)

    def begin(self, seq: int) -> None:
        self._begun = (seq, self._crashed[1] if self._crashed[0] == seq else 0)

    def rest(self) -> None:
        self._begun = (0, 0)

    def crashed_at(self) -> tuple[int, int]:
        return self._crashed


class MemorySeries:
    def __init__(self, faults: Faults = no_faults) -> None:
        self._faults = faults
        self._lock = threading.RLock()
        self._known: dict[SeriesKey, Series] = {}
        self._counts: dict[str, int] = {}

    def resolve(
        self, source: str, keys: Sequence[SeriesKey], max_series: int
    ) -> tuple[list[SeriesId | None], list[Series]]:
        with self._lock:
            fresh: dict[SeriesKey, Series] = {}
            ids: list[SeriesId | None] = []
            for key in keys:
                series = self._known.get(key) or fresh.get(key)
                if series is None and self._counts.get(source, 0) + len(fresh) < max_series:
                    serial = len(self._known) + len(fresh)
                    series = fresh[key] = Series(id=series_id(key.probe, serial), key=key, source=source)
                ids.append(series.id if series is not None and series.source == source else None)
            if fresh:
                self._faults("series.resolve", Moment.BEFORE)
                self._faults("series.resolve", Moment.WITHIN)
                self._known.update(fresh)
                self._counts[source] = self._counts.get(source, 0) + len(fresh)
                self._faults("series.resolve", Moment.AFTER)
            return ids, list(fresh.values())

    def all(self) -> list[Series]:
        with self._lock:
            return list(self._known.values())


class MemoryKeys:
    def __init__(self, faults: Faults = no_faults, key: bytes = b"a key that simulations share") -> None:
        self._faults = faults
        self._lock = threading.RLock()
        self._key = key
        self._numbers: dict[str, int] = {}
        self._addresses: dict[tuple[int, int], str] = {}
        self._erased: set[int] = set()

    def numbers(self, references: Sequence[str]) -> NDArray[np.uint32]:
        with self._lock:
            fresh = dict.fromkeys(reference for reference in references if reference not in self._numbers)
            if fresh:
                self._faults("keys.numbers", Moment.BEFORE)
                self._faults("keys.numbers", Moment.WITHIN)
                start = len(self._numbers)
                self._numbers.update({reference: start + place for place, reference in enumerate(fresh)})
                self._faults("keys.numbers", Moment.AFTER)
            return np.array([self._numbers[reference] for reference in references], np.uint32)

    def put_addresses(self, number: Sequence[int], kind: int, addresses: Sequence[str]) -> NDArray[np.int64]:
        with self._lock:
            self._faults("keys.put_addresses", Moment.BEFORE)
            for n in number:
                if not 0 <= int(n) < len(self._numbers):
                    raise StoreError(f"keys: customer number {n} was never given; ask for it with its reference first.")
            self._faults("keys.put_addresses", Moment.WITHIN)
            digests = [self._put(int(n), kind, address) for n, address in zip(number, addresses, strict=True)]
            self._faults("keys.put_addresses", Moment.AFTER)
            return np.array(digests, np.int64)

    def _put(self, number: int, kind: int, address: str) -> int:
        if not address.strip() or number in self._erased:
            self._addresses.pop((number, kind), None)
            return 0
        self._addresses[number, kind] = address.strip()
        return address_digest(self._key, kind, address)

    def addresses(self, number: Sequence[int], kind: int) -> list[str | None]:
        with self._lock:
            return [self._addresses.get((int(n), kind)) for n in number]

    def erase(self, number: int) -> None:
        with self._lock:
            self._faults("keys.erase", Moment.BEFORE)
            self._faults("keys.erase", Moment.WITHIN)
            self._erased.add(number)
            self._addresses = {place: address for place, address in self._addresses.items() if place[0] != number}
            self._faults("keys.erase", Moment.AFTER)


class MemoryStore:
    """All of it; `store()` is what a core gets, `restart()` what a kill of the process does."""

    def __init__(self, faults: Faults = no_faults) -> None:
        self.log = MemoryLog(faults)
        self.snapshots = MemorySnapshots(faults)
        self.samples = MemorySamples(faults)
        self.state = MemoryState(faults)
        self.progress = MemoryProgress()
        self.series = MemorySeries(faults)
        self.keys = MemoryKeys(faults)

    def restart(self) -> None:
        self.samples.restart()
        self.progress.restart()

    def store(self) -> Store:
        return Store(
            log=self.log,
            snapshots=self.snapshots,
            samples=self.samples,
            state=self.state,
            progress=self.progress,
            series=self.series,
            keys=self.keys,
            close=lambda: None,
        )
