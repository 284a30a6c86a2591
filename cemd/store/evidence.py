"""samples.db: how attempts failed, longer than the samples themselves are kept, bounded in age and size.

Rows are written in the order in which attempts were told, so the oldest rows go first.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from math import inf

import msgspec

from cemd.errors import StoreError
from cemd.model.identity import Instant
from cemd.model.measurement import Attempt
from cemd.store.packing import packed, unpacked
from cemd.store.queries import SQL
from cemd.store.writer import NoWriter, Readers, Writer

DROPPED_AT_ONCE = 1_000
"""Rows given up in one transaction, so that the log waits some milliseconds at most."""
MOST_BLOB_BYTES = 16 * 2**20

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Attempt])


class SqliteEvidence:
    def __init__(self, writer: Writer | NoWriter, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers
        self._bytes = -1

    def add(self, attempts: Sequence[Attempt]) -> None:
        """Keeps them, in one transaction.

        Raises:
            StoreError: it cannot be written now; nothing of it was.
        """
        by_probe: dict[str, list[Attempt]] = defaultdict(list)
        for one in attempts:
            by_probe[one.probe].append(one)
        rows = [(probe, max(one.at for one in told), packed(_encoder.encode(told))) for probe, told in by_probe.items()]
        self._writer.call("evidence.add", lambda connection: connection.executemany(SQL["evidence_put"], rows))
        if self._bytes >= 0:
            self._bytes += sum(len(blob) + len(probe) + 40 for probe, _, blob in rows)

    def of(self, probe: str, *, most: int, before: Instant = inf) -> list[Attempt]:
        """Kept attempts of a probe that began before a time, the newest first, at most so many.

        Raises:
            StoreError: a row is damaged.
        """
        with self._readers.reading() as connection:
            blobs = connection.execute(SQL["evidence_of"], (probe, before, most)).fetchall()
        try:
            told = [one for (blob,) in blobs for one in _decoder.decode(unpacked(blob, self._place(), MOST_BLOB_BYTES))]
        except msgspec.DecodeError as exc:
            raise StoreError(f"{self._place()} is damaged ({exc}); restore it from a backup.") from exc
        return sorted(told, key=lambda one: one.at, reverse=True)[:most]

    def trim(self, before: Instant, most_bytes: int) -> bool:
        """Gives up what is older than a time, and the oldest beyond a size; True while there is more of that.

        Raises:
            StoreError: it cannot be written now.
        """
        if self._bytes < 0:
            with self._readers.reading() as connection:
                self._bytes = int(connection.execute(SQL["evidence_bytes"]).fetchone()[0])
        with self._readers.reading() as connection:
            oldest = connection.execute(SQL["evidence_oldest"], (DROPPED_AT_ONCE,)).fetchall()
        last, freed, left = 0, 0, self._bytes
        for row, until, size in oldest:
            if until >= before and left - freed <= most_bytes:
                break
            last, freed = row, freed + size
        if not last:
            return False
        self._writer.call("evidence.trim", lambda connection: _drop(connection, last))
        self._bytes -= freed
        return bool(last == oldest[-1][0])

    def bytes_used(self) -> int:
        """What rows take, roughly; -1 before the first `trim`."""
        return self._bytes

    def _place(self) -> str:
        return f"{self._readers.path}: a row of evidence"


def _drop(connection: sqlite3.Connection, last: int) -> None:
    connection.execute(SQL["evidence_drop"], (last,))
