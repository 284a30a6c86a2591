"""Schema of the three files: numbered migrations, forward only, each recorded with its checksum.

A file that exists is copied (`VACUUM INTO`) before it is migrated; all pending migrations are one transaction. A file
that a newer cemd wrote is refused, and so is a migration that was changed after it had been applied.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from sqlite_utils import Database

from cemd.errors import StoreError
from cemd.store.failure import sentences

PAGE_BYTES = {"samples": 16_384, "state": 4_096, "keys": 4_096}
"""Large pages for samples: chunk blobs stay on their page (2.06 against 2.28 bytes a sample)."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    script: str

    @property
    def checksum(self) -> str:
        return hashlib.blake2b(self.script.encode(), digest_size=16).hexdigest()


def migrations(kind: str) -> list[Migration]:
    """Migrations of "samples", "state" or "keys", by number."""
    folder = resources.files("cemd.store") / "migrations" / kind
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [Migration(int(file.name[:4]), file.name[:-4], file.read_text(encoding="utf-8")) for file in files]


def migrate(connection: sqlite3.Connection, path: Path, kind: str, known: list[Migration] | None = None) -> list[int]:
    """Brings a file up to date; returns the numbers that were applied.

    Raises:
        StoreError: damaged, locked, from a newer cemd, or made by a migration that differs from ours.
    """
    known = migrations(kind) if known is None else known
    with sentences(path):
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES[kind]}")  # both take effect in a new file only
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        applied = _applied(connection)
        _refuse_strangers(path, applied, known)
        pending = [migration for migration in known if migration.number not in applied]
        if pending and applied:
            copy = path.with_name(f"{path.stem}.before-{pending[0].number:04d}{path.suffix}")
            copy.unlink(missing_ok=True)
            copy.touch(mode=0o600)
            connection.execute("VACUUM INTO ?", (str(copy),))
        if pending:
            _apply(connection, pending)
    return [migration.number for migration in pending]


def _applied(connection: sqlite3.Connection) -> dict[int, str]:
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'migration'").fetchone() is None:
        return {}
    return dict(connection.execute("SELECT number, checksum FROM migration"))


def _refuse_strangers(path: Path, applied: dict[int, str], known: list[Migration]) -> None:
    newest = max((migration.number for migration in known), default=0)
    if applied and max(applied) > newest:
        raise StoreError(
            f"{path}: a newer cemd wrote it (migration {max(applied)}, this one knows {newest}); "
            "install that version again, or restore a backup that this version made."
        )
    for migration in known:
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            raise StoreError(
                f"{path}: migration {migration.name} was changed after this file went through it; "
                "a released migration never changes: put the old text back and add a new one."
            )


def _apply(connection: sqlite3.Connection, pending: list[Migration]) -> None:
    """One transaction for all; sqlite-utils keeps a script inside it, which sqlite3's own executescript does not."""
    database = Database(connection, execute_plugins=False, strict=True)
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, "
            "checksum TEXT NOT NULL, applied_at TEXT NOT NULL DEFAULT (datetime('now'))) STRICT"
        )
        for migration in pending:
            database.executescript(migration.script)
            connection.execute(
                "INSERT INTO migration (number, name, checksum) VALUES (?, ?, ?)",
                (migration.number, migration.name, migration.checksum),
            )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
