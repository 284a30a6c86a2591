"""samples.db: the log of groups of entries, and the snapshot that lets it be short."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from functools import partial

from cemd.errors import StoreError
from cemd.model.identity import Instant
from cemd.store.base import LogGroup
from cemd.store.packing import packed, unpacked
from cemd.store.queries import SQL
from cemd.store.writer import NoWriter, Readers, Writer

PACK_ABOVE_BYTES = 512
PART_BYTES = 2 * 2**20
"""A part of a snapshot block: written in its own transaction, so that the log waits some milliseconds at most."""
TRIM_GROUPS = 256
"""Groups forgotten in one transaction, so that the next append does not wait long."""


class SqliteLog:
    def __init__(self, writer: Writer | NoWriter, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers
        with readers.reading() as connection:
            newest = connection.execute(SQL["log_newest"]).fetchone()[0]
            trimmed = connection.execute(SQL["mark_get"], ("log_trimmed",)).fetchone()
        self._last: int = max(newest or 0, trimmed[0] if trimmed else 0)

    def append(self, group: LogGroup) -> None:
        packing = 1 if len(group.blob) > PACK_ABOVE_BYTES else 0
        blob = packed(group.blob) if packing else group.blob

        def work(connection: sqlite3.Connection) -> None:
            if group.first != self._last + 1 or group.last < group.first:
                raise StoreError(
                    f"{self._writer.path}: entries {group.first} to {group.last} do not follow {self._last}; "
                    "only one core may write a log."
                )
            connection.execute(SQL["log_append"], (group.first, group.last, packing, blob))

        self._writer.call("log.append", work)
        self._last = group.last

    def read(self, after: int) -> Iterator[LogGroup]:
        with self._readers.reading() as connection:
            start: int = connection.execute(SQL["log_start"], (after,)).fetchone()[0]
        while True:
            with self._readers.reading() as connection:
                page = connection.execute(SQL["log_page"], (start, after)).fetchall()
            if not page:
                return
            for first, last, packing, blob in page:
                yield LogGroup(first, last, unpacked(blob, str(self._readers.path)) if packing else blob)
            start = page[-1][0] + 1

    def last_seq(self) -> int:
        return self._last

    def trim(self, upto: int) -> None:
        def work(connection: sqlite3.Connection) -> int:
            connection.execute(SQL["mark_raise"], ("log_trimmed", min(upto, self._last)))
            return connection.execute(SQL["log_trim"], (upto, TRIM_GROUPS)).rowcount

        while upto > 0 and self._writer.call("log.trim", work) == TRIM_GROUPS:
            pass


class SqliteSnapshots:
    """Parts are written first, under a generation of their own; the last transaction makes them the snapshot."""

    def __init__(self, writer: Writer | NoWriter, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def save(self, seq: int, at: Instant, blocks: Mapping[str, bytes | None]) -> None:
        generation = self._next_generation()
        for name, block in blocks.items():
            if block is not None:
                self._write_parts(generation, name, block)

        def work(connection: sqlite3.Connection) -> None:
            for name, block in blocks.items():
                if block is not None:
                    connection.execute(SQL["snapshot_block_put"], (name, generation, len(block), zlib.crc32(block)))
            known = [row[0] for row in connection.execute(SQL["snapshot_blocks"])]
            gone = [(name,) for name in known if name not in blocks]
            connection.executemany("DELETE FROM snapshot_block WHERE name = ?", gone)
            connection.execute(SQL["snapshot_put"], (seq, at))

        self._writer.call("snapshots.save", work)
        while self._writer.call("snapshots.tidy", _drop_orphans):
            pass

    def load(self) -> tuple[int, dict[str, bytes]]:
        with self._readers.reading() as connection:
            found = connection.execute(SQL["snapshot_get"]).fetchone()
            if found is None:
                return 0, {}
            blocks: dict[str, bytes] = {}
            for name, generation, length, crc in connection.execute(SQL["snapshot_blocks"]).fetchall():
                parts = connection.execute(SQL["snapshot_parts"], (generation, name))
                block = b"".join(row[0] for row in parts)
                if len(block) != length or zlib.crc32(block) != crc:
                    raise StoreError(
                        f"{self._readers.path}: block {name!r} of the snapshot fails its checksum; "
                        "stop cemd and put a backup in its place with `cemd restore`."
                    )
                blocks[name] = block
        return int(found[0]), blocks

    def _next_generation(self) -> int:
        with self._readers.reading() as connection:
            return int(connection.execute(SQL["snapshot_generation"]).fetchone()[0]) + 1

    def _write_parts(self, generation: int, name: str, block: bytes) -> None:
        view = memoryview(block)
        for part, start in enumerate(range(0, len(block), PART_BYTES)):
            values = (generation, name, part, view[start : start + PART_BYTES])
            self._writer.call("snapshots.part", partial(_put_part, values))


def _put_part(values: tuple[int, str, int, memoryview], connection: sqlite3.Connection) -> None:
    connection.execute(SQL["snapshot_part_put"], values)


def _drop_orphans(connection: sqlite3.Connection) -> int:
    """Deletes a few parts of snapshots that no longer hold (or never came to hold)."""
    orphans = connection.execute(SQL["snapshot_orphans"]).fetchall()
    connection.executemany(SQL["snapshot_part_drop"], orphans)
    return len(orphans)
