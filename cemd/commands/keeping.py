"""`cemd backup | restore`."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from cemd.commands.looking import found_places
from cemd.kit.words import counted
from cemd.store import backup


def back_up(target: Path, root: Path, state: Path | None, *, with_master_key: bool, as_json: bool) -> None:
    """Writes a consistent set into a new folder."""
    note = backup.backup(found_places(root, state).state, target, with_master_key=with_master_key)
    if as_json:
        click.echo(msgspec.json.encode(note))
        return
    left = counted(note.last_seq - note.applied_seq, "entry", "entries")
    click.echo(f"{target}: holds all up to entry {note.last_seq}; of these {left} are worked off at the next start.")
    if not note.master_key:
        click.echo("master.key is not in it: keep a copy elsewhere (or --with-master-key); no restore without it.")


def put_back(source: Path, root: Path, state: Path | None, *, as_json: bool) -> None:
    """Puts a backup into an empty state directory."""
    where = found_places(root, state).state
    note = backup.restore(source, where)
    if as_json:
        click.echo(msgspec.json.encode(note))
        return
    click.echo(
        f"{where}: restored up to entry {note.last_seq}; start cemd now. Sending is held until a person releases it on"
        " the page."
    )
