"""A word of a person to a running cemd, by its API: `cemd label | acknowledge | run-now | stop-sending |
resume-sending`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from cemd.commands.page import page
from cemd.kit.words import counted


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
    document = _logged(path, speaker)
    click.echo(json.dumps(document) if as_json else f"{done} (entry {document['seq']}).")


def ask_for_run(probe: str, speaker: Speaker, *, as_json: bool) -> int:
    """Asks for a run of a probe and prints who was there to be asked; answers the exit code.

    Raises:
        CemdError: nobody answers there, or the daemon refused it.
    """
    document = _logged(f"probes/{quote(probe, safe='')}/run", speaker)
    is_run = bool(document["probers"] and document["active"])
    if as_json:
        click.echo(json.dumps(document))
    else:
        click.echo(f"{_what_becomes_of(document)} (entry {document['seq']}).")
    return 0 if is_run else 1


def _what_becomes_of(run: dict[str, Any]) -> str:
    if not run["probers"]:
        return f"{run['subject']} does not run now: no prober of it is there; is `cemd agent` running?"
    if not run["active"]:
        return f"{run['subject']} does not measure now: it is outside of its times (`active`)"
    return f"{run['subject']} runs now, at {counted(run['probers'], 'prober')}; the page shows what it finds"


def _logged(path: str, speaker: Speaker) -> dict[str, Any]:
    said = {"actor": speaker.actor, "note": speaker.note}
    return page(speaker.root, speaker.url).post(f"api/v1/{path}", said)
