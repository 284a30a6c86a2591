"""state.db: rows of improve and report, the outbox, configuration epochs, what was set aside, numbers of series."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence

import msgspec

from cemd.errors import StoreError
from cemd.model.identity import SERIAL_MASK, Instant, SeriesId, series_id
from cemd.model.measurement import Series, SeriesKey
from cemd.model.notice import NoticeState, Phase
from cemd.model.rows import RowChange
from cemd.store import outbox
from cemd.store.base import TABLE_NAME, OutboxColumns, StateChange
from cemd.store.packing import packed, unpacked
from cemd.store.queries import SQL
from cemd.store.writer import NoWriter, Readers, Writer

RESERVED = frozenset({"mark", "series", "epoch", "quarantine", "notice", "migration"})
QUESTIONS = {
    "state": "$.state", "opened_at": "$.opened_at", "service": "$.service", "incident": "$.incident",
    "communication": "$.communication", "trace": "$.trace",
}  # fmt: skip
"""Generated columns of every row table, for questions that people ask; NULL where the record has no such field."""


def row_table(name: str) -> str:
    """The SQL name of a `Rows` table.

    Raises:
        StoreError: the name cannot be one.
    """
    if TABLE_NAME.fullmatch(name) is None or name in RESERVED or name.startswith(("outbox", "epoch", "sqlite")):
        raise StoreError(f"state.db: {name!r} cannot name a table; use small letters, digits and _.")
    return f'"{name}"'


class SqliteState:
    def __init__(self, writer: Writer | NoWriter, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers
        with readers.reading() as connection:
            found = connection.execute(SQL["mark_get"], ("applied_seq",)).fetchone()
        self._applied: int = found[0] if found else 0
        self._made: set[str] = set()

    def commit(self, change: StateChange) -> None:
        place = str(self._writer.path)

        def work(connection: sqlite3.Connection) -> None:
            if change.applied_seq < self._applied:
                raise StoreError(
                    f"{place}: seq {change.applied_seq} is older than {self._applied}, which was applied; "
                    "restore samples.db and state.db from one backup."
                )
            outbox.write(connection, change)
            _write_rows(connection, change.rows)
            connection.execute(SQL["mark_put"], ("applied_seq", change.applied_seq))

        self._writer.call("state.commit", work)
        self._applied = change.applied_seq

    def applied_seq(self) -> int:
        return self._applied

    def rows(self, table: str) -> Iterator[tuple[str, bytes]]:
        name = row_table(table)
        with self._readers.reading() as connection:
            if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone() is None:
                return iter(())
            found = connection.execute(f"SELECT key, body FROM {name} ORDER BY place").fetchall()
        return ((key, body.encode() if isinstance(body, str) else body) for key, body in found)

    def outbox(self, communication: str) -> OutboxColumns:
        with self._readers.reading() as connection:
            return outbox.columns(connection, communication)

    def notices_of(self, customer: int, since: Instant) -> list[tuple[str, Phase, int, NoticeState, str, Instant]]:
        with self._readers.reading() as connection:
            found = connection.execute(SQL["notices_of_customer"], (customer, since)).fetchall()
        return [
            (name, Phase(phase), revision, NoticeState(state), channel, at)
            for name, phase, revision, state, channel, at in found
        ]

    def in_flight(self) -> list[str]:
        with self._readers.reading() as connection:
            return [row[0] for row in connection.execute(SQL["communications_in_flight"])]

    def save_epoch(self, epoch_hash: str, author: str, at: Instant, document: bytes) -> None:
        blob = packed(document)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(SQL["epoch_document_put"], (epoch_hash, blob))
            connection.execute(SQL["epoch_put"], (epoch_hash, author, at))

        self._writer.call("state.save_epoch", work)

    def epochs(self) -> list[tuple[str, str, Instant]]:
        with self._readers.reading() as connection:
            return connection.execute(SQL["epochs"]).fetchall()

    def epoch(self, epoch_hash: str) -> bytes | None:
        with self._readers.reading() as connection:
            found = connection.execute(SQL["epoch_document"], (epoch_hash,)).fetchall()
        return unpacked(found[0][0], str(self._readers.path)) if epoch_hash and len(found) == 1 else None

    def quarantine(self, seq: int, at: Instant, blob: bytes, reason: str) -> None:
        self._writer.call(
            "state.quarantine", lambda connection: connection.execute(SQL["quarantine_put"], (seq, at, reason, blob))
        )

    def quarantined(self) -> set[int]:
        with self._readers.reading() as connection:
            return {row[0] for row in connection.execute(SQL["quarantined"])}


def _write_rows(connection: sqlite3.Connection, rows: Sequence[RowChange]) -> None:
    for table in dict.fromkeys(row.table for row in rows):
        name = row_table(table)
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone() is None:
            _make_table(connection, name)
    for row in rows:
        name = f'"{row.table}"'
        if row.body is None:
            connection.execute(f"DELETE FROM {name} WHERE key = ?", (row.key,))
        else:
            connection.execute(
                f"INSERT INTO {name} (key, body) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET body = excluded.body",
                (row.key, _text(row.body)),
            )


def _make_table(connection: sqlite3.Connection, name: str) -> None:
    """All row tables have one shape, so they need no migration each. `place` is never used twice: order stays."""
    questions = ", ".join(
        f"{column} GENERATED ALWAYS AS (CASE WHEN json_valid(body) THEN json_extract(body, '{path}') END) VIRTUAL"
        for column, path in QUESTIONS.items()
    )
    connection.execute(
        f"CREATE TABLE {name} (place INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, body, {questions})"
    )


def _text(body: bytes) -> str | bytes:
    """JSON is kept as text, so that SQLite's own functions can look inside."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body


class SqliteSeries:
    """The catalogue: all of it in memory (a dictionary from key to series), new ones written before they are told."""

    def __init__(self, writer: Writer | NoWriter, readers: Readers) -> None:
        self._writer = writer
        self._lock = threading.Lock()
        with readers.reading() as connection:
            found = connection.execute(SQL["series_all"]).fetchall()
        decoder = msgspec.json.Decoder(SeriesKey)
        try:
            listed = [Series(id=SeriesId(id_), key=decoder.decode(key), source=source) for id_, source, key in found]
        except msgspec.DecodeError as exc:
            raise StoreError(f"{readers.path}: a key of the series catalogue cannot be read ({exc}).") from exc
        self._known = {series.key: series for series in listed}
        self._next = (int(listed[-1].id) & SERIAL_MASK) + 1 if listed else 0
        self._counts: dict[str, int] = {}
        for series in listed:
            self._counts[series.source] = self._counts.get(series.source, 0) + 1

    def resolve(
        self, source: str, keys: Sequence[SeriesKey], max_series: int
    ) -> tuple[list[SeriesId | None], list[Series]]:
        with self._lock:
            fresh: dict[SeriesKey, Series] = {}
            ids: list[SeriesId | None] = []
            for key in keys:
                series = self._known.get(key) or fresh.get(key)
                if series is None and self._counts.get(source, 0) + len(fresh) < max_series:
                    serial = self._next + len(fresh)
                    series = fresh[key] = Series(id=series_id(key.probe, serial), key=key, source=source)
                ids.append(series.id if series is not None and series.source == source else None)
            if fresh:
                self._write(list(fresh.values()))
                self._known.update(fresh)
                self._next += len(fresh)
                self._counts[source] = self._counts.get(source, 0) + len(fresh)
            return ids, list(fresh.values())

    def all(self) -> list[Series]:
        with self._lock:
            return list(self._known.values())

    def _write(self, fresh: list[Series]) -> None:
        rows = [
            (int(series.id) & SERIAL_MASK, int(series.id), series.source, msgspec.json.encode(series.key).decode())
            for series in fresh
        ]
        self._writer.call("series.resolve", lambda connection: connection.executemany(SQL["series_put"], rows))
