"""What SQLite says, as a sentence that an operator can act on: place, fact, remedy."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cemd.errors import StoreError, StoreUnavailable, UnwritableChange

FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
"""The second comes where the index of the write-ahead log cannot grow."""
NEVER = ("SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_TOOBIG")
"""What the statement brought with it is wrong; no disk and no other process can mend that."""
PASSING = (*FULL, "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR")
"""May be over by itself, or by what a person does elsewhere."""


def explained(path: Path, error: sqlite3.Error) -> StoreError:
    """The StoreError that says what happened to this file."""
    name = getattr(error, "sqlite_errorname", None) or ""
    fact = str(error)
    if name.startswith(FULL):
        words = f"the disk is full ({fact}); free space on it, or lower the quotas of `retention` in config/cemd.yaml"
    elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        words = f"another process holds it locked ({fact}); find it with `fuser -v {path}` and end it"
    elif name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        words = f"the file is damaged ({fact}); stop cemd and put a backup in its place with `cemd restore`"
    elif name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        words = f"it cannot be opened for writing ({fact}); file and folder must belong to the user that runs cemd"
    elif name.startswith("SQLITE_IOERR"):
        words = f"the disk reports an error ({name}: {fact}); check the disk, then restore a backup if it was damaged"
    else:
        words = f"a statement failed ({name or type(error).__name__}: {fact}); this is a fault of cemd: report it"
    kind = StoreUnavailable if name.startswith(PASSING) else StoreError
    if name.startswith(NEVER):
        kind = UnwritableChange
    return kind(f"{path}: {words}.")


def is_full(error: BaseException) -> bool:
    """True when the disk (or a quota) had no room."""
    return isinstance(error, sqlite3.Error) and (getattr(error, "sqlite_errorname", None) or "").startswith(FULL)


def kind_of(error: OSError) -> type[StoreError]:
    """Which error of ours one of the file system is: without room it is one that passes."""
    return StoreUnavailable if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError


@contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Turns what SQLite raises inside into StoreError."""
    try:
        yield
    except sqlite3.Error as exc:
        raise explained(path, exc) from exc
