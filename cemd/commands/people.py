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
from cemd.daemon.explain import communications, shadow_of, stopped
from cemd.errors import CemdError, ConfigError
from cemd.kit.words import counted
from cemd.model.notice import CommunicationState, Mode, NoticeState, Reason
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
    """Prints the notices of one customer, and what policies in shadow decided, oldest first."""
    number, rows = number_of(reference, root, state), state_rows(root, state)
    notices = [
        {"communication": name, "phase": phase.name.lower(), "revision": revision, "state": outcome.name.lower(),
         "channel": channel, "at": at}
        for name, phase, revision, outcome, channel, at in rows.notices_of(number, 0.0)
    ]  # fmt: skip
    shadow = shadow_of(rows, number)
    if as_json:
        click.echo(json.dumps({"notices": notices, "shadow": shadow}, indent=2))
        return
    for one in notices:
        click.echo(f"{_at(one)}  {one['communication']}  {one['phase']}  {one['state']}  {one['channel']}")
    if not notices:
        click.echo("This customer was told nothing.")
    if shadow:
        click.echo("Decided in shadow, of which nothing leaves:")
    for decided in shadow:
        click.echo(f"{_at(decided)}  {_in_shadow(decided)}")


def _in_shadow(decided: dict[str, Any]) -> str:
    where = f" at {', '.join(decided['sites'])}" if decided["sites"] else ""
    about = f"{', '.join(decided['services'])}{where}"
    why_not = f"would not be told: {decided['reason'].replace('_', ' ')}"
    would = "would be told" if decided["would_be_told"] else why_not
    return f"{decided['communication']}  {about}  {decided['phase']}  {would}"


def _at(one: dict[str, Any]) -> str:
    return f"{datetime.fromtimestamp(one['at'], UTC):%Y-%m-%d %H:%M:%S} UTC"


def state_word(communication: dict[str, Any]) -> str:
    """The state for people: nobody is told of a communication while every notice of it is still on its way, nor where
    of none is known whether it left."""
    states: Counter[str] = Counter()
    for by_state in communication["notices"].values():
        states.update(by_state)
    told = any(states[name.name.lower()] for name in (NoticeState.ACCEPTED, NoticeState.DELIVERED))
    if communication["state"] == CommunicationState.TOLD and not told:
        if states[NoticeState.IN_FLIGHT.name.lower()]:
            return str(CommunicationState.TELLING)
        if states[NoticeState.UNKNOWN.name.lower()]:
            return NoticeState.UNKNOWN.name.lower()
    return str(communication["state"])


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
        click.echo(f"{one['id']}  {state_word(one)}  {one['mode']}  {', '.join(one['services'])}  {told}")
        if one["waits"]:
            click.echo(f"  {one['waits']}")
    if not found:
        click.echo("No communication yet.")
