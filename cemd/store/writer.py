"""One thread that owns the write connection of a file, and connections for readers.

Callers hand in a piece of work and wait for it. What waits in the queue together is committed together (group commit),
each piece under its own savepoint, so that one that fails takes nobody along. A call returns after the commit is on
disk (`synchronous=FULL`); when it raises, nothing of its work happened.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from cemd.errors import StoreError
from cemd.store.base import Faults, Moment, no_faults
from cemd.store.failure import explained, is_full, sentences

T = TypeVar("T")

BUSY_SECONDS = 5.0
MOST_TOGETHER = 64
FOLD_BYTES = 8 * 2**20
"""Fill of the write-ahead log beyond which it is folded into the file, after the callers have their answers. Its file
is then written over from its beginning: a file that does not grow is synced faster."""
KEEP_BYTES = 64 * 2**20
MOST_COMMITS = 1_024


def connect(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection without implicit transactions that any thread may use (one at a time)."""
    with sentences(path):
        return sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)


class Fold(Enum):
    """What becomes of the write-ahead log."""

    REUSE = "reuse"  # written over when it was folded into the file
    SCRUB = "scrub"  # emptied after every commit: what was deleted is nowhere


class _Job:
    __slots__ = ("future", "operation", "work")

    def __init__(self, operation: str, work: Callable[[sqlite3.Connection], Any]) -> None:
        self.operation = operation
        self.work = work
        self.future: Future[Any] = Future()


class Writer:
    """Runs pieces of work, each a transaction. `make_room` is asked once when the disk is full; where it says that it
    gave something up, the work is tried again."""

    def __init__(
        self,
        path: Path,
        *,
        faults: Faults = no_faults,
        make_room: Callable[[], bool] = lambda: False,
        prepare: Callable[[sqlite3.Connection], None] = lambda _: None,
        fold: Fold = Fold.REUSE,
    ) -> None:
        self.path = path
        self._fold_how = fold
        self._wal = path.with_name(path.name + "-wal")
        self._wal_bytes = 0
        self._commits = 0
        self._fold_every = 16
        self._faults = faults
        self._make_room = make_room
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._connection = connect(path)
        try:
            with sentences(path):
                self._connection.execute("PRAGMA synchronous = FULL")
                prepare(self._connection)  # before WAL: the page size of a new file can be chosen only then
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA wal_autocheckpoint = 0")
                self._connection.execute(f"PRAGMA journal_size_limit = {KEEP_BYTES}")
                self._page_bytes: int = self._connection.execute("PRAGMA page_size").fetchone()[0]
        except BaseException:
            self._connection.close()
            raise
        self._thread = threading.Thread(target=self._run, name=f"writer {path.name}", daemon=True)
        self._thread.start()

    def call(self, operation: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work(connection)` in a transaction and returns its result once that is durable.

        Raises:
            StoreError: full disk, lock, damage; nothing of the work happened.
        """
        if self._closed:
            raise StoreError(f"{self.path}: the store is closed; open it again.")
        job = _Job(operation, work)
        self._queue.put(job)
        result: T = job.future.result()
        return result

    def close(self) -> None:
        """Finishes what is queued, folds the write-ahead log into the file and closes it."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        ending = False
        while not ending:
            jobs, ending = self._next()
            if jobs:
                self._commit(jobs)
                self._fold()
        self._connection.close()  # the last connection folds all and removes the write-ahead log

    def _next(self) -> tuple[list[_Job], bool]:
        """Waits for a job, then takes what waits with it."""
        jobs: list[_Job] = []
        while len(jobs) < MOST_TOGETHER:
            try:
                job = self._queue.get(block=not jobs)
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
        return jobs, False

    def _commit(self, jobs: list[_Job]) -> None:
        try:
            done = self._transaction(jobs)
        except sqlite3.Error as exc:
            done = self._once_more(jobs, exc)
        except BaseException as exc:  # noqa: BLE001 -- belongs to the callers, whatever it is
            self._refuse(jobs, exc)
            return
        for job, result in done:
            try:
                self._faults(job.operation, Moment.AFTER)
            except BaseException as exc:  # noqa: BLE001 -- strikes the caller, as a kill would
                job.future.set_exception(exc)
            else:
                job.future.set_result(result)

    def _once_more(self, jobs: list[_Job], error: sqlite3.Error) -> list[tuple[_Job, Any]]:
        waiting = [job for job in jobs if not job.future.done()]
        try:
            if is_full(error) and self._make_room():
                return self._transaction(waiting)
        except sqlite3.Error as exc:
            error = exc
        self._refuse(waiting, explained(self.path, error))
        return []

    def _refuse(self, jobs: list[_Job], error: BaseException) -> None:
        for job in jobs:
            if not job.future.done():
                job.future.set_exception(error)

    def _transaction(self, jobs: list[_Job]) -> list[tuple[_Job, Any]]:
        """Raises sqlite3.Error when the transaction as a whole failed; a job that failed alone has its exception."""
        connection = self._connection
        done: list[tuple[_Job, Any]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                result = self._piece(connection, job, alone=len(jobs) == 1)
                if not job.future.done():
                    done.append((job, result))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return done

    def _piece(self, connection: sqlite3.Connection, job: _Job, *, alone: bool) -> Any:
        if not alone:
            connection.execute("SAVEPOINT piece")
        try:
            self._faults(job.operation, Moment.BEFORE)
            result = job.work(connection)
            self._faults(job.operation, Moment.WITHIN)
        except BaseException as exc:
            if alone or not connection.in_transaction or isinstance(exc, sqlite3.OperationalError):
                raise
            connection.execute("ROLLBACK TO piece")
            connection.execute("RELEASE piece")
            job.future.set_exception(explained(self.path, exc) if isinstance(exc, sqlite3.Error) else exc)
            return None
        if not alone:
            connection.execute("RELEASE piece")
        return result

    def _fold(self) -> None:
        """Moves the write-ahead log into the file as far as no reader needs it."""
        try:
            if self._fold_how is Fold.SCRUB:
                self._connection.execute("PRAGMA busy_timeout = 0")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
            elif self._is_filled():
                _, frames, _ = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                wanted = self._fold_every * FOLD_BYTES / max(frames * self._page_bytes, 1)
                self._fold_every = int(min(max(wanted, 1), MOST_COMMITS))
                self._commits = 0
        except (OSError, sqlite3.Error):
            return  # the log stays whole in the write-ahead log; the next commit tells what is wrong

    def _is_filled(self) -> bool:
        """A guess from how many commits filled it last time, held right by its size: asking SQLite costs a checkpoint,
        and opening its files beside it would drop its locks."""
        self._commits += 1
        size = self._wal.stat().st_size
        grown, self._wal_bytes = size > max(self._wal_bytes, KEEP_BYTES), size
        return grown or self._commits >= self._fold_every


class NoWriter:
    """Stands where a writer would be, for those who may only look."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def call(self, operation: str, _work: Callable[[sqlite3.Connection], T]) -> T:
        raise StoreError(f"{self.path}: {operation} would write, but it was opened for looking only.")


class Readers:
    """Connections for reading, one per use at a time, kept for the next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the file from its first statement to the end of the block.

        Raises:
            StoreError: the file cannot be read.
        """
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = connect(self.path)
        try:
            with sentences(self.path):
                connection.execute("PRAGMA query_only = ON")
                connection.execute("BEGIN")
                yield connection
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            with self._lock:
                self._idle.append(connection)

    def close(self) -> None:
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()
