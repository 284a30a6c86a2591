"""`cemd status`: how a running cemd is, what a person has to mend, and what is hurt, on one screen."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from cemd.commands.page import page
from cemd.kit.words import counted

MOST_INCIDENTS = 10
_QUALITIES = ("down", "degraded", "at_risk", "unknown", "healthy")


def show_status(root: Path, url: str | None, *, as_json: bool) -> None:
    """Prints it; exit code 1 where cemd is not ready or a person has something to mend. What is hurt out there is no
    fault of cemd, and leaves the code 0.

    Raises:
        CemdError: no cemd answers.
    """
    asked = page(root, url)
    seen = asked.get("api/v1/overview")
    if as_json:
        kept = ("operator", "version", "epoch", "at", "seq", "not_ready", "to_mend", "killed", "killed_by", "killed_at")
        more = ("sending_held", "customers", "series", "channels_due", "vantages")
        short = {name: seen[name] for name in (*kept, *more)}
        click.echo(
            json.dumps({**short, "incidents": [_short(one, seen["site_titles"]) for one in _open(seen)]}, indent=2)
        )
    else:
        click.echo("\n".join(_lines(asked.base, seen)))
    sys.exit(1 if seen["not_ready"] or seen["to_mend"] else 0)


def _lines(base: str, seen: dict[str, Any]) -> Iterator[str]:
    zone = seen["zone"]
    yield f"cemd {seen['version']} of {seen['operator']} at {base}, {_when(seen['at'], zone)}, epoch {seen['epoch']}"
    yield "not ready:" if seen["not_ready"] else "ready"
    yield from (f"  {reason}" for reason in seen["not_ready"])
    for what in dict.fromkeys(one["what"] for one in seen["to_mend"]):
        yield f"to mend: {what}."
        for one in seen["to_mend"]:
            if one["what"] == what:
                yield f"  {one['place']}: {one['fact']}; {one['remedy']} (since {_when(one['since'], zone)})"
    yield from _messages(seen, zone)
    counts = Counter(one["quality"] for one in seen["services"])
    states = ", ".join(f"{counts[word]} {word.replace('_', ' ')}" for word in _QUALITIES if counts[word])
    yield f"{counted(len(seen['services']), 'service')}{f': {states}' if states else ''}; {seen['series']} series"
    yield from _vantages(seen["vantages"], zone)
    found = _open(seen)
    yield f"{counted(len(found), 'incident')} open" if found else "no incident is open"
    for one in found[:MOST_INCIDENTS]:
        short = _short(one, seen["site_titles"])
        cause = f", cause {short['cause']}" if short["cause"] else ", cause undetermined"
        how = f"is {short['quality'].replace('_', ' ')}{cause}, since {_when(one['first_hurt_at'], zone)}"
        if one["clear_since"]:
            how = f"recovers{cause}: nothing is hurt since {_when(one['clear_since'], zone)}"
        yield f"  {short['id']}  {short['subject']} {how}"
    if (more := len(found) - MOST_INCIDENTS) > 0:
        yield f"  and {more} more"


def _vantages(vantages: list[dict[str, Any]], zone: str) -> Iterator[str]:
    """How many are heard; since when those that are not, stands under what is to mend."""
    waited = [one for one in vantages if one["heard_at"] is None and one["silent_since"] is None]
    silent = sum(one["silent_since"] is not None for one in vantages)
    if len(vantages) > 1 or silent or waited:
        states = [f"{silent} not heard" if silent else "", f"{len(waited)} waited for" if waited else ""]
        said = ", ".join(word for word in (f"{len(vantages) - silent - len(waited)} heard", *states) if word)
        yield f"{counted(len(vantages), 'vantage point')}: {said}"
    for one in waited:
        yield f"  {one['name']} has not come yet, waited for since {_when(one['expected_since'], zone)}"


def _messages(seen: dict[str, Any], zone: str) -> Iterator[str]:
    if seen["killed"]:
        since = f" since {_when(seen['killed_at'], zone)}" if seen["killed_at"] else ""
        yield f"all messages to customers are stopped by {seen['killed_by']}{since}; `cemd resume-sending` ends that"
    elif seen["sending_held"]:
        yield "sending is held after a restore; a person lifts that on the page"
    if seen["channels_due"]:
        yield f"notices wait to leave by {', '.join(seen['channels_due'])}"


def _open(seen: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in seen["incidents"] if one["open"]]


def _short(incident: dict[str, Any], sites: dict[str, str]) -> dict[str, Any]:
    subject = incident["subject"]
    site = sites.get(subject["site"], subject["site"])
    where = f"{subject['title']} at {site}" if site else subject["title"]
    cause = incident["cause"]
    named = (cause["title"] or cause["service"]) if cause["service"] else ""
    return {"id": incident["id"], "state": incident["state"], "quality": incident["quality"], "subject": where,
            "cause": named, "priority": incident["priority"], "first_hurt_at": incident["first_hurt_at"]}  # fmt: skip


def _when(moment: dict[str, Any], zone: str) -> str:
    """In the operator's zone, by the offset that the daemon worked out: this machine may know no zones."""
    return f"{datetime.fromisoformat(moment['iso']):%Y-%m-%d %H:%M:%S} {zone}"
