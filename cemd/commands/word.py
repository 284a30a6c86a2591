"""A word of a person to a running cemd, by its API: `cemd label | acknowledge | stop-sending | resume-sending`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import click

from cemd.commands.page import page


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who says it, to which page."""

    actor: str
    note: str
    url: str | None
    root: Path


def say(path: str, done: str, speaker: Speaker, *, as_json: bool) -> None:
    """Sends a command to a running cemd and prints that, and under which number, it was logged.

    Args:
        path: Of the command, below `/api/v1/`.
        done: What is so now, as the beginning of a sentence.
        speaker: Who says it.
        as_json: Print the answer as it came.

    Raises:
        CemdError: nobody answers there, or the daemon refused it.
    """
    said = {"actor": speaker.actor, "note": speaker.note}
    document = page(speaker.root, speaker.url).post(f"api/v1/{path}", said)
    click.echo(json.dumps(document) if as_json else f"{done} (entry {document['seq']}).")
