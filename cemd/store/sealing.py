"""History: open samples become compressed chunks in samples.db, a few at a time, and are read back with the open ones.

A chunk holds at most 120 samples of one series within one hour. Its key is the series id (38 bits), the hour (20) and
the part (5), together 63: what a rowid holds. With the chunks of a series goes the seq up to which it is sealed, in the
same transaction, so that replaying the log after a crash adds nothing twice. Each transaction is kept below 20 ms by
writing fewer chunks when the last one took long.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from cemd.model.identity import Instant, SeriesId
from cemd.model.measurement import Samples
from cemd.store.chunk import LAST_SECOND, MOST_SAMPLES, Columns, decoded, encoded, in_milliseconds, joined
from cemd.store.open_hour import PART_SAMPLES, OpenHour, Rows
from cemd.store.queries import SQL
from cemd.store.writer import NoWriter, Readers, Writer

HOUR_BITS, PART_BITS = 20, 5
COMPACTED = 31
"""The part number of a chunk of six hours; parts of an hour are 0..30."""
COMPACTED_HOURS = 6
CHUNKS_PER_CALL = 256
MOST_CHUNKS, FEWEST_CHUNKS = 64, 4
GOAL_SECONDS = 0.005
"""A sealing transaction aims at this and is bounded at 20 ms."""


def chunk_key(series: int, hour: int, part: int) -> int:
    """The rowid of a chunk."""
    return (series << HOUR_BITS | hour) << PART_BITS | part


def key_parts(key: int) -> tuple[int, int, int]:
    """(series, hour, part) of a rowid."""
    hours = key >> PART_BITS
    return hours >> HOUR_BITS, hours & ((1 << HOUR_BITS) - 1), key & ((1 << PART_BITS) - 1)


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk to be written; the writer finds the free part number."""

    series: int
    hour: int
    columns: Columns
    blob: bytes


class SqliteSamples:
    def __init__(self, writer: Writer | NoWriter, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers
        self._lock = threading.RLock()
        self._at_once = 32
        self.took_seconds: deque[float] = deque(maxlen=10_000)  # of the newest sealing transactions
        with readers.reading() as connection:
            self._open = OpenHour(dict(connection.execute(SQL["sealed_all"])))

    def add(self, samples: Samples, seq: int) -> None:
        with self._lock:
            self._open.add(in_milliseconds(samples), seq)

    def oldest_open(self) -> int | None:
        with self._lock:
            return self._open.oldest()

    def open_samples(self) -> int:
        """How many samples wait in memory."""
        with self._lock:
            return len(self._open)

    def seal(self, now: Instant) -> int:
        with self._lock:
            self._open.pass_time(now)
            self._open.deal()
            return self._seal_due(CHUNKS_PER_CALL)

    def seal_all(self) -> int:
        """Seals whatever is open; for a clean end, so that the next start replays little."""
        with self._lock:
            self._open.all_due()
            return self._seal_due(1 << 62)

    def history(self, series: SeriesId, since: Instant, until: Instant) -> Samples:
        since, until = max(since, 0.0), min(until, LAST_SECOND)
        first = max(int(since // 3600) - COMPACTED_HOURS + 1, 0)
        last = max(int(until // 3600), first)
        with self._lock, self._readers.reading() as connection:
            bounds = chunk_key(series, first, 0), chunk_key(series, min(last, (1 << HOUR_BITS) - 1), COMPACTED)
            found = connection.execute(SQL["chunks"], bounds).fetchall()
            open_rows = self._open.of(series)
        parts = [decoded(blob, f"{self._readers.path}: chunk {key}") for key, blob in found]
        whole = joined([*parts, _columns(open_rows)])
        at = whole.at / 1000.0
        kept = (at >= since) & (at < until)
        return Samples(
            series=np.full(int(kept.sum()), series, np.int64),
            at=at[kept],
            value=whole.value[kept],
            outcome=whole.outcome[kept],
        )

    def _seal_due(self, budget: int) -> int:
        written = 0
        while written < budget and (due := self._open.take_due()) is not None:
            group, rows = due
            parts = _cut(rows)
            while parts and written < budget:
                count = _end_of_series(parts, self._at_once)
                taken, parts = parts[:count], parts[count:]
                self._write(group, taken)
                written += count
        return written

    def _write(self, group: int, parts: list[Part]) -> None:
        series = list(dict.fromkeys(part.series for part in parts))
        seqs = [(number, self._open.sealed_seq(number)) for number in series]
        began = 0.0

        def work(connection: sqlite3.Connection) -> None:
            nonlocal began
            began = time.perf_counter()
            for part in parts:
                place(connection, part, str(self._writer.path))
            connection.executemany(SQL["sealed_put"], seqs)

        self._writer.call("samples.seal", work)
        took = time.perf_counter() - began
        self.took_seconds.append(took)
        self._at_once = int(min(max(self._at_once * GOAL_SECONDS / took, FEWEST_CHUNKS), MOST_CHUNKS))
        self._open.close_rows(group, series)


def place(connection: sqlite3.Connection, part: Part, path: str) -> None:
    """Writes a chunk under the next free part of its hour; where none is free, all parts of the hour become one."""
    first = chunk_key(part.series, part.hour, 0)
    newest = connection.execute(SQL["chunk_newest"], (first, first | (COMPACTED - 1))).fetchone()[0]
    key = first if newest is None else newest + 1
    if key & COMPACTED != COMPACTED:
        connection.execute(SQL["chunk_put"], (key, part.blob))
        return
    bounds = (first, first | (COMPACTED - 1))
    before = [decoded(blob, f"{path}: chunk {key}") for key, blob in connection.execute(SQL["chunks"], bounds)]
    connection.execute(SQL["chunk_drop_range"], bounds)
    whole = joined([*before, part.columns])
    newest_kept = Columns(whole.at[-MOST_SAMPLES:], whole.value[-MOST_SAMPLES:], whole.outcome[-MOST_SAMPLES:])
    connection.execute(SQL["chunk_put"], (first, encoded(newest_kept)))


def _columns(rows: Rows) -> Columns:
    return Columns(np.rint(rows["at"] * 1000.0).astype(np.int64), rows["value"], rows["outcome"])


def _cut(rows: Rows) -> list[Part]:
    """Chunks of rows that are sorted by series and time: one series, one hour, at most 120 samples each."""
    hours = (rows["at"] // 3600).astype(np.int64)
    changed = (np.diff(rows["series"]) != 0) | (np.diff(hours) != 0)
    starts = np.flatnonzero(np.concatenate(([True], changed)))
    ends = np.append(starts[1:], len(rows))
    parts = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        for begin in range(start, end, PART_SAMPLES):
            columns = _columns(rows[begin : min(begin + PART_SAMPLES, end)])
            parts.append(Part(int(rows["series"][start]), int(hours[start]), columns, encoded(columns)))
    return parts


def _end_of_series(parts: list[Part], wanted: int) -> int:
    """How many of the parts to write together: about `wanted`, never half of a series."""
    count = min(wanted, len(parts))
    while count < len(parts) and parts[count].series == parts[count - 1].series:
        count += 1
    return count
