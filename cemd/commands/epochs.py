"""`cemd config history | diff | rollback`: accepted configurations by hash."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import click

from cemd.commands.looking import found_places, loaded_files, state_rows
from cemd.config.configuration import Configuration, hash_of
from cemd.config.diff import changes
from cemd.daemon import reload
from cemd.errors import CemdError
from cemd.store.base import StateStore


def show_history(root: Path, state: Path | None, *, as_json: bool) -> None:
    """Prints every acceptance, newest first."""
    found = state_rows(root, state).epochs()[::-1]
    if as_json:
        click.echo(json.dumps([{"hash": name, "author": author, "at": at} for name, author, at in found], indent=2))
        return
    for name, author, at in found:
        click.echo(f"{name}  {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC  {author}")


def show_diff(root: Path, state: Path | None, old: str | None, new: str | None, *, as_json: bool) -> None:
    """Prints what changed from one epoch (else the newest) to another, or to the files as they are."""
    rows = state_rows(root, state)
    old = old or _newest(rows)
    after = _epoch(rows, new) if new is not None else loaded_files(root).configuration
    found = changes(_epoch(rows, old), after)
    if as_json:
        click.echo(json.dumps({"old": old, "new": new or "files", "changes": list(found)}, indent=2))
        return
    click.echo("\n".join(found) if found else "Nothing changed.")


def roll_back(root: Path, state: Path | None, epoch: str, *, as_json: bool) -> None:
    """Pins an epoch over the files as they are, and tells a running daemon to reload."""
    where = found_places(root, state)
    rows = state_rows(root, state)
    name = hash_of(_epoch(rows, epoch).document())
    reload.pin(where.state, name, root)
    daemon = _tell(where.pid)
    if as_json:
        click.echo(json.dumps({"epoch": name, "daemon": daemon.name.lower()}, indent=2))
        return
    click.echo(f"Epoch {name} holds until the files change.\n{daemon.value}")


class _Daemon(Enum):
    """What became of the signal, in the words that people read."""

    TOLD = "The running daemon was told to reload."
    ABSENT = "No daemon is running here; it takes effect at the next start."
    FOREIGN = "The daemon belongs to another user: reload it (`systemctl reload cemd`)."


def _tell(pid: Path) -> _Daemon:
    """Asks the daemon whose number stands in the file to reload."""
    try:
        os.kill(int(pid.read_text()), signal.SIGHUP)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return _Daemon.ABSENT
    except PermissionError:
        return _Daemon.FOREIGN
    return _Daemon.TOLD


def _newest(rows: StateStore) -> str:
    accepted = rows.epochs()
    if not accepted:
        raise CemdError("no configuration was accepted here yet; `cemd run` accepts the first.")
    return accepted[-1][0]


def _epoch(rows: StateStore, name: str) -> Configuration:
    document = rows.epoch(name)
    if document is None:
        raise CemdError(f'epoch "{name}" is not known, or not only one begins so; `cemd config history` lists them.')
    return Configuration.from_document(document)
