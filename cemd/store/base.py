"""Narrow protocols of what is remembered; one conformance suite tests every implementation.

All calls are synchronous and are made from the core thread (or a thread that may wait), never from the event loop. Each
writing call is one transaction: when it returns, its change survives a power cut; when it raises `StoreError`, nothing
of it happened. No transaction spans files: log first, then state.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cemd.model.entry import NoticeOutcomes
from cemd.model.identity import Instant, SeriesId
from cemd.model.measurement import Samples, Series, SeriesKey
from cemd.model.notice import NoticeRows, NoticeState, Phase
from cemd.model.rows import RowChange

TABLE_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
"""What a `Rows` may be called. Its table comes into being with its first row; all have the same shape."""


class Moment(StrEnum):
    """Where a fault may strike a transaction; only after AFTER has begun is the change kept."""

    BEFORE = "before"
    WITHIN = "within"  # some of it is written, nothing is committed
    AFTER = "after"


Faults: TypeAlias = Callable[[str, Moment], None]
"""Called around every transaction with its name ("log.append"); what it raises strikes the caller at that moment. For
simulation and tests: a kill at any moment, or StoreError (full disk) at BEFORE or WITHIN."""


def no_faults(_operation: str, _moment: Moment) -> None:
    """Outside of simulation nothing strikes on purpose."""


@dataclass(frozen=True, slots=True)
class LogGroup:
    """Entries `first`..`last` (seq, both included) as one blob of `encode_group`."""

    first: int
    last: int
    blob: bytes


class Log(Protocol):
    """samples.db: the one order. Appended in groups; trimmed to the lowest snapshot."""

    def append(self, group: LogGroup) -> None:
        """Durable when it returns. Raises StoreError when `first` does not follow the last entry."""

    def read(self, after: int) -> Iterator[LogGroup]:
        """Groups that hold entries with seq > `after`, in order."""

    def last_seq(self) -> int:
        """0 for an empty log."""

    def trim(self, upto: int) -> None:
        """Forgets groups whose entries are all <= `upto`; a log that was trimmed empty still knows its last seq."""


class Snapshots(Protocol):
    """samples.db: blocks of analyze's state, each with the seq that it stands at."""

    def save(self, seq: int, at: Instant, blocks: Mapping[str, bytes | None]) -> None:
        """Replaces the snapshot whole, in one transaction. A block given as None stays as it was saved last (if it
        ever was); a block that is not named is forgotten."""

    def load(self) -> tuple[int, dict[str, bytes]]:
        """(seq, blocks) of the newest whole snapshot; (0, {}) when there is none."""


class SampleStore(Protocol):
    """samples.db: history. Parts of the open hour and sealed chunks; reading joins them."""

    def add(self, samples: Samples, seq: int) -> None:
        """Takes the samples of entry `seq` into the open part (memory); they are already safe in the log. At a start
        every entry still in the log is added again: what was sealed is known by its seq and skipped. Times are kept to
        the millisecond."""

    def oldest_open(self) -> int | None:
        """Lowest seq that has samples in memory and log only, None without such: the log may be trimmed to below it."""

    def seal(self, now: Instant) -> int:
        """Writes due parts as compressed chunks, each transaction at most 20 ms; returns the chunks written.
        Called often; the series are staggered over the hour."""

    def history(self, series: SeriesId, since: Instant, until: Instant) -> Samples:
        """Samples of one series with since <= at < until, by time; sealed and open. Raises StoreError on a damaged
        chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """One transaction (b), (c) or (d) of state.db: all or nothing, with the seq that made it. Applied in the order
    orphaned, notices, again, outcomes, rows."""

    applied_seq: int
    at: Instant
    rows: Sequence[RowChange] = ()
    notices: Sequence[NoticeRows] = ()  # inserted; a row that exists already (unique) is refused by StoreError
    again: Sequence[NoticeRows] = ()  # due rows become in flight; one that is not due refuses all by StoreError
    outcomes: Sequence[NoticeOutcomes] = ()  # conditional: a row moves only from where it may (`MOVED_FROM`)
    orphaned: Sequence[str] = ()  # of these communications, in-flight rows become unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxColumns:
    """Rows of the outbox of one communication, as columns in the order of insertion; `at` is when a row was written,
    `moved_at` when its state was last changed, `seq` that of the entry that handed it over last."""

    customer: NDArray[np.uint32]
    digest: NDArray[np.int64]
    phase: NDArray[np.uint8]
    revision: NDArray[np.int32]
    state: NDArray[np.uint8]
    at: NDArray[np.float64]
    moved_at: NDArray[np.float64]
    seq: NDArray[np.int64]
    channel: list[str] = field(default_factory=list)  # name per row


class StateStore(Protocol):
    """state.db (`synchronous=FULL`): rows of improve and report, outbox, epochs, catalogue of series, audit."""

    def commit(self, change: StateChange) -> None:
        """Applies everything of `change` and records `applied_seq`, or raises StoreError and applies nothing."""

    def applied_seq(self) -> int:
        """0 for a new file."""

    def rows(self, table: str) -> Iterator[tuple[str, bytes]]:
        """(key, body) in the order of first insertion; nothing for a table that no row was ever put into."""

    def outbox(self, communication: str) -> OutboxColumns:
        """All outbox rows of a communication."""

    def notices_of(self, customer: int, since: Instant) -> list[tuple[str, Phase, int, NoticeState, str, Instant]]:
        """(communication, phase, revision, state, channel, at) for explain and look-ups."""

    def in_flight(self) -> list[str]:
        """Communications that have rows in flight."""

    def save_epoch(self, epoch_hash: str, author: str, at: Instant, document: bytes) -> None:
        """Keeps an accepted configuration; saving the same hash again adds a line of history."""

    def epochs(self) -> list[tuple[str, str, Instant]]:
        """(hash, author, at), oldest first."""

    def epoch(self, epoch_hash: str) -> bytes | None:
        """Document of an epoch; a unique prefix of the hash will do."""

    def quarantine(self, seq: int, at: Instant, blob: bytes, reason: str) -> None:
        """Sets an entry aside for people; the core skips it from now on."""

    def quarantined(self) -> set[int]:
        """Seqs that the core skips."""


class Progress(Protocol):
    """Which entry the core is at, remembered over the death of the process (not over a power cut)."""

    def begin(self, seq: int) -> None:
        """The core begins this entry."""

    def rest(self) -> None:
        """The core is through with what it began."""

    def crashed_at(self) -> tuple[int, int]:
        """(seq, crashes in a row) of the entry that was in progress when the process before ended; (0, 0): none."""


class SeriesCatalogue(Protocol):
    """state.db: durable series numbers, never reused."""

    def resolve(
        self, source: str, keys: Sequence[SeriesKey], max_series: int
    ) -> tuple[list[SeriesId | None], list[Series]]:
        """Number of each key (None: refused, the source has `max_series` already or the series is another source's)
        and the series that are new. New ones are committed before the call returns."""

    def all(self) -> list[Series]:
        """Every series ever numbered, by serial."""


class KeyStore(Protocol):
    """keys.db (`secure_delete`): customer references and numbers, addresses sealed under a key per person."""

    def numbers(self, references: Sequence[str]) -> NDArray[np.uint32]:
        """Durable number of each reference, given where new; never reused, also not after erasure."""

    def put_addresses(self, number: Sequence[int], kind: int, addresses: Sequence[str]) -> NDArray[np.int64]:
        """Seals and keeps addresses ("" removes); returns the keyed digest of each, 0 for "". An erased person's
        address is refused silently: the tombstone stands."""

    def addresses(self, number: Sequence[int], kind: int) -> list[str | None]:
        """Opens addresses at the last moment before sending; None where there is none (or it was erased)."""

    def erase(self, number: int) -> None:
        """Deletes the person's key and addresses; leaves a tombstone so that no new key is ever made for the number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """All that is remembered; `close` ends writer threads after what was queued."""

    log: Log
    snapshots: Snapshots
    samples: SampleStore
    state: StateStore
    progress: Progress
    series: SeriesCatalogue
    keys: KeyStore
    close: Callable[[], None]
