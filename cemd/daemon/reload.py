"""Reload: files are read again, checked whole, and become an epoch; or are refused whole, and the old set stays.

A rollback pins an old epoch: it holds, also over a restart, until somebody changes the files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cemd.config.configuration import Configuration, hash_of
from cemd.config.diff import changes
from cemd.config.load import Kinds, load
from cemd.errors import StoreError
from cemd.store.base import StateStore

PIN = "pinned-epoch.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A configuration that may take effect."""

    configuration: Configuration
    document: bytes
    hash: str
    author: str
    warnings: tuple[str, ...]
    changes: tuple[str, ...]


def read(
    root: Path, kinds: Kinds, current: Configuration | None, *, author: str, state: Path, rows: StateStore
) -> Accepted:
    """What should be in effect now: the files below `root`, or the epoch that a rollback pinned over them.

    Raises:
        ConfigError: the files have faults; nothing changes.
        StoreError: the pinned epoch cannot be read.
    """
    loaded = load(root, kinds)
    configuration, warnings = loaded.configuration, loaded.warnings
    document = configuration.document()
    pinned = pinned_epoch(state, hash_of(document))
    if pinned is not None:
        kept = rows.epoch(pinned)
        if kept is None:
            raise StoreError(f"{state / PIN} names epoch {pinned}, which state.db does not hold; delete the file.")
        configuration, document, author = Configuration.from_document(kept), kept, f"rollback to {pinned}"
    return Accepted(
        configuration=configuration,
        document=document,
        hash=hash_of(document),
        author=author,
        warnings=warnings,
        changes=changes(current, configuration) if current is not None else (),
    )


def pin(state: Path, epoch: str, files: str) -> None:
    """Lets `epoch` hold while the files have the hash `files`."""
    (state / PIN).write_text(json.dumps({"epoch": epoch, "files": files}))


def pinned_epoch(state: Path, files: str) -> str | None:
    """The pinned epoch, if there is one and the files are still those that it was pinned over."""
    try:
        pinned = json.loads((state / PIN).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise StoreError(f"{state / PIN} cannot be read ({exc}); delete it.") from exc
    return str(pinned["epoch"]) if pinned.get("files") == files else None
