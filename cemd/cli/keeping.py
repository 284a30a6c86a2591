"""Commands that keep the state: a copy of it, and back."""

from __future__ import annotations

from pathlib import Path

import click

from cemd.cli.base import JSON, ROOT, STATE, main


@main.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--with-master-key", is_flag=True, help="Put master.key beside the files: keep such a backup locked up.")
@ROOT
@STATE
@JSON
def backup(target: Path, with_master_key: bool, root: Path, state: Path | None, as_json: bool) -> None:
    """Writes a consistent copy of the state into the folder TARGET; the daemon may go on running."""
    from cemd.commands.keeping import back_up

    back_up(target, root, state, with_master_key=with_master_key, as_json=as_json)


@main.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@ROOT
@STATE
@JSON
def restore(source: Path, root: Path, state: Path | None, as_json: bool) -> None:
    """Puts a backup in place; the daemon must be stopped. Sending is held afterwards until a person releases it."""
    from cemd.commands.keeping import put_back

    put_back(source, root, state, as_json=as_json)
