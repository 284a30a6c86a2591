"""`cemd customers` and `cemd notices`: the customer file, what one customer was told, what all were told."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cemd.commands.looking import found_places, loaded_files, state_rows
from cemd.config.topology import Topology
from cemd.daemon.explain import communications, stopped
from cemd.errors import CemdError, ConfigError
from cemd.kit.words import counted
from cemd.model.notice import Mode, Reason
from cemd.report.customers import check_customers
from cemd.store.sqlite import find_number


def check_file(file: Path, root: Path, *, as_json: bool) -> None:
    """Reads a customer file without keeping anything; exit code 1 when it has faults."""
    faults = check_customers(file, Topology(loaded_files(root).configuration))
    if as_json:
        click.echo(json.dumps({"ok": not faults, "faults": [asdict(fault) for fault in faults]}, indent=2))
        sys.exit(1 if faults else 0)
    if faults:
        raise ConfigError(faults)
    click.echo(f"{file}: no fault.")


def number_of(reference: str, root: Path, state: Path | None) -> int:
    """Number of a customer by the operator's reference.

    Raises:
        CemdError: no such customer was ever loaded.
    """
    number = find_number(found_places(root, state).state, reference)
    if number is None:
        raise CemdError("no customer with this reference was ever loaded; check the reference.")
    return number


def show_told(reference: str, root: Path, state: Path | None, *, as_json: bool) -> None:
    """Prints the notices of one customer, oldest first."""
    found = [
        {"communication": name, "phase": phase.name.lower(), "revision": revision, "state": outcome.name.lower(),
         "channel": channel, "at": at}
        for name, phase, revision, outcome, channel, at in state_rows(root, state).notices_of(
            number_of(reference, root, state), 0.0
        )
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for one in found:
        at = datetime.fromtimestamp(float(str(one["at"])), UTC)
        click.echo(
            f"{at:%Y-%m-%d %H:%M:%S} UTC  {one['communication']}  {one['phase']}  {one['state']}  {one['channel']}"
        )
    if not found:
        click.echo("This customer was told nothing.")


def _nobody(communication: dict[str, Any]) -> str:
    """Why no notice is there; of a policy in shadow, to how many one would have gone."""
    decided = communication["decisions"]
    if communication["mode"] != Mode.SHADOW or not decided:
        return "nobody told"
    first = sum(one["counts"].get(Reason.FIRST_NOTICE.name.lower(), 0) for one in decided)
    return f"nobody told (shadow); {counted(first, 'customer')} would have been"


def show_communications(root: Path, state: Path | None, *, as_json: bool) -> None:
    """Prints every communication with its reasons and the states of its notices."""
    rows = state_rows(root, state)
    found = communications(rows)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if words := stopped(rows):
        click.echo(words)
    for one in found:
        states: Counter[str] = Counter()
        for by_state in one["notices"].values():
            states.update(by_state)
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in states.items()) or _nobody(one)
        click.echo(f"{one['id']}  {one['state']}  {one['mode']}  {', '.join(one['services'])}  {told}")
        if one["waits"]:
            click.echo(f"  {one['waits']}")
    if not found:
        click.echo("No communication yet.")
