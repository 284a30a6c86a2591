"""The store on SQLite: three files in one directory, opened by one process at a time for writing.

`open_store` is what the daemon calls. A lock file keeps a second daemon (and a restore) out; readers for reports and
questions need no lock, see `open_readers`.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from cemd.errors import StoreError, StoreUnavailable
from cemd.model.identity import SERIAL_MASK, Instant, SeriesId
from cemd.model.measurement import Attempt, SeriesKey
from cemd.store import schema
from cemd.store.ballast import Ballast
from cemd.store.base import Faults, StateStore, Store, no_faults
from cemd.store.digest import reference_digest
from cemd.store.evidence import SqliteEvidence
from cemd.store.failure import kind_of
from cemd.store.journal import SqliteLog, SqliteSnapshots
from cemd.store.keys import LEDGER, SqliteKeys, derived, master_key
from cemd.store.progress import FileProgress
from cemd.store.queries import SQL
from cemd.store.sealing import SqliteSamples
from cemd.store.state import SqliteSeries, SqliteState
from cemd.store.writer import Fold, NoWriter, Readers, Writer

KINDS = ("samples", "state", "keys")
LOCK = "cemd.lock"
PROGRESS = "progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteStore(Store):
    """A store with what upkeep needs besides."""

    directory: Path
    writers: dict[str, Writer]
    readers: dict[str, Readers]
    ballast: Ballast
    history: SqliteSamples
    evidence: SqliteEvidence


def lock_directory(directory: Path) -> int:
    """Takes the directory for this process; returns the file descriptor that holds it.

    Raises:
        StoreError: another process has it, or it cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise kind_of(exc)(
            f"{directory}: cannot be used ({exc.strerror}); make it a folder of the user that runs cemd."
        ) from exc
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise StoreUnavailable(
            f"{directory}: another cemd has this state directory open; stop it, or use another directory."
        ) from None
    return file


def open_store(directory: Path, *, ballast_megabytes: int = 16, faults: Faults = no_faults) -> SqliteStore:
    """Opens (and makes or migrates) the three files.

    Args:
        directory: The state directory; made when missing.
        ballast_megabytes: Size of the file that is given up when the disk is full; 0: none.
        faults: For tests: called around every transaction.

    Raises:
        StoreError: full, locked, damaged, from a newer cemd, wrong or missing master key; nothing stays open.
    """
    with ExitStack() as opened:
        opened.callback(os.close, lock_directory(directory))
        ballast = Ballast(directory, ballast_megabytes)
        key = master_key(directory, exists=(directory / "keys.db").exists())
        writers: dict[str, Writer] = {}
        readers: dict[str, Readers] = {}
        for kind in KINDS:
            writers[kind] = _writer(directory / f"{kind}.db", kind, faults, ballast)
            opened.callback(writers[kind].close)
            readers[kind] = Readers(directory / f"{kind}.db")
            opened.callback(readers[kind].close)
        progress = FileProgress(directory / PROGRESS)
        opened.callback(progress.close)
        samples = SqliteSamples(writers["samples"], readers["samples"])
        return SqliteStore(
            log=SqliteLog(writers["samples"], readers["samples"]),
            snapshots=SqliteSnapshots(writers["samples"], readers["samples"]),
            samples=samples,
            state=SqliteState(writers["state"], readers["state"]),
            progress=progress,
            series=SqliteSeries(writers["state"], readers["state"]),
            keys=SqliteKeys(writers["keys"], readers["keys"], key, directory / LEDGER),
            directory=directory,
            writers=writers,
            readers=readers,
            ballast=ballast,
            history=samples,
            evidence=SqliteEvidence(writers["samples"], readers["samples"]),
            close=opened.pop_all().close,
        )


def open_readers(directory: Path, kind: str) -> Readers:
    """For reports and questions beside a running daemon: reads one file, writes and locks nothing.

    Raises:
        StoreError: there is no such file.
    """
    path = directory / f"{kind}.db"
    if not path.exists():
        raise StoreError(f"{path}: there is no such file; is {directory} the state directory? `--state` names another.")
    return Readers(path)


def open_state_readers(directory: Path) -> StateStore:
    """state.db for looking only, beside a running daemon or without one; whatever would write raises StoreError.

    Raises:
        StoreError: there is no such file.
    """
    return SqliteState(NoWriter(directory / "state.db"), open_readers(directory, "state"))


@dataclass(frozen=True, slots=True)
class Past:
    """What was logged, sealed and accepted, for looking only: beside a running daemon or without one."""

    log: SqliteLog
    snapshots: SqliteSnapshots
    samples: SqliteSamples
    state: SqliteState
    series: SqliteSeries
    close: Callable[[], None]


def open_past(directory: Path) -> Past:
    """samples.db and state.db for looking only.

    Raises:
        StoreError: one of them is not there, or cannot be read.
    """
    with ExitStack() as opened:
        samples, state = (open_readers(directory, kind) for kind in ("samples", "state"))
        opened.callback(samples.close)
        opened.callback(state.close)
        no_samples, no_state = NoWriter(directory / "samples.db"), NoWriter(directory / "state.db")
        return Past(
            log=SqliteLog(no_samples, samples),
            snapshots=SqliteSnapshots(no_samples, samples),
            samples=SqliteSamples(no_samples, samples),
            state=SqliteState(no_state, state),
            series=SqliteSeries(no_state, state),
            close=opened.pop_all().close,
        )


def find_number(directory: Path, reference: str) -> int | None:
    """Number of a customer by reference, None where none was ever given; gives none.

    Raises:
        StoreError: no keys.db, or no master key.
    """
    readers = open_readers(directory, "keys")
    try:
        with readers.reading() as connection:
            digest = reference_digest(derived(master_key(directory, exists=True), "digest"), reference)
            found = connection.execute(SQL["person_by_digest"], (digest,)).fetchone()
    finally:
        readers.close()
    return int(found[0]) if found else None


def find_series(directory: Path, numbers: Iterable[SeriesId]) -> dict[SeriesId, SeriesKey]:
    """What series measure, by number; a number that was never given is left out.

    Raises:
        StoreError: no state.db, or it cannot be read.
    """
    readers = open_readers(directory, "state")
    try:
        with readers.reading() as connection:
            rows = {
                one: connection.execute(SQL["series_by_serial"], (one & SERIAL_MASK,)).fetchone() for one in numbers
            }
    finally:
        readers.close()
    return {one: msgspec.json.decode(row[0], type=SeriesKey) for one, row in rows.items() if row is not None}


def find_attempts(directory: Path, probe: str, *, most: int, before: Instant) -> list[Attempt]:
    """How attempts of a probe failed before a time, the newest first, at most so many.

    Raises:
        StoreError: no samples.db, or it cannot be read.
    """
    readers = open_readers(directory, "samples")
    try:
        return SqliteEvidence(NoWriter(directory / "samples.db"), readers).of(probe, most=most, before=before)
    finally:
        readers.close()


def _writer(path: Path, kind: str, faults: Faults, ballast: Ballast) -> Writer:
    fold = Fold.SCRUB if kind == "keys" else Fold.REUSE
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite gives its mode to -wal and -shm
        path.chmod(0o600)
    except OSError as exc:
        raise StoreError(
            f"{path}: it cannot be opened for writing ({exc.strerror}); file and folder must belong to the user "
            "that runs cemd."
        ) from exc
    return Writer(path, faults=faults, make_room=ballast.give_up, prepare=partial(_prepare, path, kind), fold=fold)


def _prepare(path: Path, kind: str, connection: sqlite3.Connection) -> None:
    if kind == "keys":
        connection.execute("PRAGMA secure_delete = ON")
    schema.migrate(connection, path, kind)
