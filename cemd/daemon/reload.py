"""Reload: files are read again, checked whole, and become an epoch; or are refused whole, and the old set stays.

A rollback pins an old epoch: it holds, also over a restart, until somebody changes the files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cemd.config.configuration import Configuration, hash_of
from cemd.config.diff import changes
from cemd.config.load import Kinds, fingerprint, load, load_settings
from cemd.config.settings import Settings
from cemd.daemon.places import places
from cemd.errors import CemdError, ConfigError, StoreError
from cemd.store.base import StateStore
from cemd.store.sqlite import open_state_readers

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
        ConfigError: the files have faults, and no epoch is pinned over them; nothing changes.
        StoreError: the pinned epoch cannot be read.
    """
    pinned = pinned_epoch(state, root)
    if pinned is None:
        loaded = load(root, kinds)
        configuration, warnings = loaded.configuration, loaded.warnings
        document = configuration.document()
    else:
        kept = rows.epoch(pinned)
        if kept is None:
            raise StoreError(f"{state / PIN} names epoch {pinned}, which state.db does not hold; delete the file.")
        configuration, document, author = Configuration.from_document(kept), kept, f"rollback to {pinned}"
        warnings = (f"epoch {pinned} holds by `cemd config rollback`; the files count again as soon as they change",)
    return Accepted(
        configuration=configuration,
        document=document,
        hash=hash_of(document),
        author=author,
        warnings=warnings,
        changes=changes(current, configuration) if current is not None else (),
    )


def pin(state: Path, epoch: str, root: Path) -> None:
    """Lets `epoch` hold while the files below `root` stay as they are, right or faulty.

    Raises:
        StoreError: the state directory cannot be written.
    """
    try:
        (state / PIN).write_text(json.dumps({"epoch": epoch, "files": fingerprint(root)}))
    except OSError as exc:
        raise StoreError(f"{state / PIN} cannot be written ({exc.strerror}); run this as the daemon's user.") from exc


def pinned_epoch(state: Path, root: Path) -> str | None:
    """The pinned epoch, if there is one and the files are still those that it was pinned over.

    Raises:
        StoreError: the pin cannot be read.
    """
    try:
        pinned = json.loads((state / PIN).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise StoreError(f"{state / PIN} cannot be read ({exc}); delete it.") from exc
    return str(pinned["epoch"]) if pinned.get("files") == fingerprint(root) else None


def settings_to_start_with(root: Path, kinds: Kinds, state: Path | None) -> Settings:
    """Settings to open the state with. Files with faults will do where a rollback pinned an epoch over them.

    Raises:
        ConfigError: the files have faults, and no epoch is pinned over them.
        StoreError: the pin cannot be read.
    """
    try:
        return load(root, kinds).configuration.settings
    except ConfigError:
        settings, where = _without_the_rest(root, state)
        if pinned_epoch(where, root) is None:
            raise
        return settings


def way_back(root: Path, state: Path | None) -> Iterator[str]:
    """How to start with what was in effect before the files had faults, where something was."""
    try:
        _, where = _without_the_rest(root, state)
        epoch, _, _ = open_state_readers(where).epochs()[-1]
    except (CemdError, IndexError):
        return  # it never ran here, or the state is not to be found: there is no way back to tell
    yield f"cemd: epoch {epoch} was in effect last; `cemd config rollback {epoch}` lets it hold until the files change."


def _without_the_rest(root: Path, state: Path | None) -> tuple[Settings, Path]:
    """Settings and state directory where the other files have faults: those of config/cemd.yaml alone, which are not
    needed to find a state that was named."""
    settings = Settings() if state is not None else load_settings(root)
    return settings, places(root, settings, state).state
