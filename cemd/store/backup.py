"""Backups while the daemon runs, and restoring one into an empty place.

A backup is a folder with the three files and a note of what it is. Nobody is stopped for it: a reading transaction is
begun on state, then samples, then keys, and all three are copied as they stood then. So the log reaches at least as far
as the rows, every number in the log is known to the keys, and a snapshot saved in between is noticed (then it begins
again). The master key is not in it unless asked for: whoever has both can read addresses. Backups hold personal data
and must not be kept longer than 30 days.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from cemd.errors import StoreError
from cemd.store.failure import sentences
from cemd.store.keys import MASTER_KEY
from cemd.store.schema import migrations
from cemd.store.sqlite import KINDS, PROGRESS, lock_directory
from cemd.store.writer import connect

NOTE = "backup.json"
RESTORED = "restored"
"""The mark that a set came from a backup: while it stands, sending is held."""


TRIES = 20


class BackupNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says about itself."""

    form: int = 1
    migrations: dict[str, int]
    applied_seq: int
    last_seq: int
    made_at: float  # by the clock of the machine; for people
    master_key: bool


def backup(directory: Path, target: Path, *, with_master_key: bool = False) -> BackupNote:
    """Copies a consistent set, beside a running daemon or without one.

    Args:
        directory: The state directory.
        target: A folder that does not exist yet; it appears whole or not at all.
        with_master_key: Puts `master.key` beside the files (mode 0600). Without it, keep that file elsewhere: a
            restore on another machine needs it.

    Raises:
        StoreError: nothing to copy, target exists, no room, damaged source.
    """
    if target.exists():
        raise StoreError(f"{target}: it exists already; name a folder that does not exist yet.")
    part = target.with_name(target.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, mode=0o700)
        with ExitStack() as held:
            for kind, origin in _one_moment(directory, held).items():
                _copy(origin, directory / f"{kind}.db", part / f"{kind}.db")
        if with_master_key:
            shutil.copyfile(directory / MASTER_KEY, part / MASTER_KEY)
            (part / MASTER_KEY).chmod(0o600)
        note = _note(part, with_master_key=with_master_key)
        (part / NOTE).write_bytes(msgspec.json.encode(note))
        _sync(part)
        part.rename(target)
    except OSError as exc:
        raise StoreError(
            f"{target}: the backup could not be written ({exc}); free space or name another place."
        ) from exc
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return note


def restore(source: Path, directory: Path) -> BackupNote:
    """Puts a backup in place of nothing: a directory that still has a set is refused.

    Sending is held until a person releases it (`is_restored`, `release_restored`). Persons who were erased after the
    backup are erased again when the store is opened: the ledger of erasures in `directory` is left alone. When the
    directory was lost altogether, bring the ledger back with the master key.

    Raises:
        StoreError: no backup, damaged, from a newer cemd, or the directory is in use.
    """
    note = _read_note(source)
    os.close(lock_directory(directory))  # nobody has it open; what exists is checked next
    existing = [kind for kind in KINDS if (directory / f"{kind}.db").exists()]
    if existing:
        raise StoreError(
            f"{directory}: {', '.join(f'{kind}.db' for kind in existing)} would be overwritten; "
            "move the old files (with -wal and -shm) elsewhere first."
        )
    _check(source, directory, note)
    part = directory / "restore.part"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        for kind in KINDS:
            shutil.copyfile(source / f"{kind}.db", part / f"{kind}.db")
            (part / f"{kind}.db").chmod(0o600)
        _sync(part)
        if note.master_key and not (directory / MASTER_KEY).exists():
            shutil.copyfile(source / MASTER_KEY, directory / MASTER_KEY)
            (directory / MASTER_KEY).chmod(0o600)
        (directory / PROGRESS).unlink(missing_ok=True)
        (directory / RESTORED).write_text(f"from {source.name}\n", encoding="utf-8")  # before the set: never without
        for kind in KINDS:
            (part / f"{kind}.db").rename(directory / f"{kind}.db")
        _sync(directory)
    except OSError as exc:
        raise StoreError(f"{directory}: the backup could not be put there ({exc}); free space and try again.") from exc
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return note


def is_restored(directory: Path) -> bool:
    """True while the set came from a backup and nobody released it: the daemon must hold sending."""
    return (directory / RESTORED).exists()


def release_restored(directory: Path) -> None:
    """The hold is in the log now (a Command), or a person released it: the mark goes."""
    (directory / RESTORED).unlink(missing_ok=True)


def _one_moment(directory: Path, held: ExitStack) -> dict[str, sqlite3.Connection]:
    """Connections whose reading transactions see the three files as they belong together; `held` closes them."""
    for _ in range(TRIES):
        with ExitStack() as opened:
            before = opened.enter_context(_reading(directory / "samples.db"))
            saved = before.execute("SELECT seq FROM snapshot").fetchall()
            origins = {
                kind: opened.enter_context(_reading(directory / f"{kind}.db")) for kind in ("state", "samples", "keys")
            }
            if origins["samples"].execute("SELECT seq FROM snapshot").fetchall() == saved:
                held.enter_context(opened.pop_all())
                return origins
    raise StoreError(f"{directory}: snapshots are saved too often for a backup; raise retention.snapshot_seconds.")


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        where = f"is {path.parent} the state directory? `--state` names another."
        raise StoreError(f"{path}: there is no such file; {where}")
    connection = connect(path)
    try:
        with sentences(path):
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM migration").fetchone()  # from here on nothing changes for it
            yield connection
    finally:
        connection.close()


def _copy(origin: sqlite3.Connection, source: Path, target: Path) -> None:
    """SQLite's own copy, of what the reading transaction sees."""
    copy = connect(target)
    try:
        with sentences(source):
            origin.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode = DELETE")
            result = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    finally:
        copy.close()
    if result != "ok":
        raise StoreError(f"{source}: the copy is damaged ({result}); check the disk, keep the backups that you have.")
    target.chmod(0o600)


def _note(folder: Path, *, with_master_key: bool) -> BackupNote:
    applied = _one(folder / "state.db", "SELECT value FROM mark WHERE name = 'applied_seq'")
    newest = _one(folder / "samples.db", "SELECT max(last) FROM log")
    trimmed = _one(folder / "samples.db", "SELECT value FROM mark WHERE name = 'log_trimmed'")
    return BackupNote(
        migrations={kind: _one(folder / f"{kind}.db", "SELECT max(number) FROM migration") for kind in KINDS},
        applied_seq=applied,
        last_seq=max(newest, trimmed),
        made_at=time.time(),
        master_key=with_master_key,
    )


def _one(path: Path, question: str) -> int:
    connection = connect(path)
    try:
        with sentences(path):
            found = connection.execute(question).fetchone()
    finally:
        connection.close()
    return int(found[0]) if found and found[0] is not None else 0


def _read_note(source: Path) -> BackupNote:
    try:
        return msgspec.json.decode((source / NOTE).read_bytes(), type=BackupNote)
    except (OSError, msgspec.DecodeError) as exc:
        raise StoreError(f"{source}: it is no backup of cemd ({exc}); name a folder that `cemd backup` made.") from exc


def _check(source: Path, directory: Path, note: BackupNote) -> None:
    for kind in KINDS:
        known = max(migration.number for migration in migrations(kind))
        if note.migrations.get(kind, 0) > known:
            raise StoreError(f"{source / kind}.db: a newer cemd made it; install that version and restore with it.")
        connection = connect(source / f"{kind}.db")
        try:
            with sentences(source / f"{kind}.db"):
                result = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
        if result != "ok":
            raise StoreError(f"{source / kind}.db: the file is damaged ({result}); take another backup.")
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    if not note.master_key and not (directory / MASTER_KEY).exists() and not given:
        raise StoreError(
            f"{directory / MASTER_KEY}: the backup does not hold the master key and it is not here; copy it there"
            " first from where the backup was made."
        )


def _sync(folder: Path) -> None:
    """Files and folder reach the disk before anything is renamed."""
    for path in (*folder.glob("*.db"), folder):
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)
