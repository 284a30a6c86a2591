"""`cemd replay`: stored history through another rule set; what would have come, what would have gone."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cemd.commands.looking import found_places
from cemd.config.configuration import Configuration
from cemd.config.load import load
from cemd.daemon.kinds import kinds
from cemd.errors import CemdError
from cemd.kit.words import counted
from cemd.loop.replay import Asked, Comparison, Episode, Outcome, Plan, Progress, compare, replay, usual_warm_up
from cemd.store.sqlite import open_past

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
LONGEST_SECONDS = 366 * 86_400.0
TELL_SECONDS = 2.0
"""Between two lines of progress."""


def show_replay(
    asked: tuple[str, str, str | None], *, rules: Path | None, root: Path, state: Path | None, as_json: bool
) -> None:
    """Replays twice, as it was and with the rules, and prints the difference. `asked` is from, to, and the warm-up.

    Raises:
        ConfigError: the rules have faults.
        CemdError: the times make no sense, or what is stored does not reach back so far.
    """
    other = _configuration(root, rules)
    time_asked = _asked(*asked, other, now=time.time())
    past = open_past(found_places(root, state).state)
    try:
        before = replay(past, time_asked, None, _progress("as it was", time_asked, quiet=as_json))
        after = replay(past, time_asked, other, _progress("with the rules", time_asked, quiet=as_json))
    finally:
        past.close()
    found = compare(before.episodes, after.episodes)
    if as_json:
        click.echo(json.dumps(_document(time_asked, before, after, found), indent=2))
    else:
        click.echo("\n".join(_lines(time_asked, before, after, found)))


def _configuration(root: Path, rules: Path | None) -> Configuration:
    """The files below the root, with other rules; a folder that is a root itself is taken whole."""
    if rules is not None and ((rules / "rules").is_dir() or (rules / "config").is_dir()):
        return load(rules, kinds()).configuration
    if rules is not None and not any((rules / wing).is_dir() for wing in ("analyze", "improve", "report")):
        raise CemdError(f"{rules}: no rules are in this folder; name one that holds analyze/, or a whole root.")
    return load(root, kinds(), rules=rules).configuration


def _asked(since: str, until: str, warm_up: str | None, rules: Configuration, *, now: float) -> Asked:
    begin, end = _instant(since, now), _instant(until, now)
    seconds = usual_warm_up(end - begin, rules) if warm_up is None else _duration(warm_up)
    asked = Asked(since=begin, until=end, warm_up_seconds=seconds)
    if asked.since >= asked.until:
        raise CemdError(f"--from {since} is not before --to {until}; turn them round, or name the zone (Z is UTC).")
    if asked.since >= now:
        raise CemdError(f"--from {since} lies ahead; name a time that has passed.")
    if asked.until - asked.since > LONGEST_SECONDS:
        raise CemdError(f"{since} to {until} is longer than a year; replay it in parts.")
    return asked


def _instant(text: str, now: float) -> float:
    """A time as people write it; without a zone it is UTC."""
    if text == "now":
        return now
    if ago := re.fullmatch(r"-(\d+(?:\.\d+)?)([smhd])", text):
        return now - float(ago[1]) * UNITS[ago[2]]
    if re.fullmatch(r"\d{8,11}(\.\d+)?", text):
        return float(text)
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise CemdError(
            f"{text!r} is no time; write 2026-11-28T14:00Z, seconds since 1970, -6h for six hours ago, or now."
        ) from None
    return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()


def _duration(text: str) -> float:
    """Seconds of a length of time as people write it."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if found is None or float(found[1]) * UNITS[found[2]] > LONGEST_SECONDS:
        raise CemdError(f"--warm-up {text} is no length of time up to a year; write 90m, 6h or 1d, or 0s for none.")
    return float(found[1]) * UNITS[found[2]]


def _progress(what: str, asked: Asked, *, quiet: bool) -> Progress:
    """Tells at standard error what is lived through, and how far it is, some times a minute."""
    begun: float | None = None
    told = 0.0

    def tell(plan: Plan, at: float) -> None:
        nonlocal begun, told
        now = time.monotonic()
        if quiet:
            return
        if begun is None:
            begun = told = now
            print(f"{what}: {_planned(plan, asked)}", file=sys.stderr)
        elif now - told >= TELL_SECONDS:
            told = now
            share = min(max((at - plan.begins_at) / max(asked.until - plan.begins_at, 1e-9), 0.0), 1.0)
            left = f", about {(now - begun) / share * (1 - share):.0f} s left" if share > 0 else ""
            warming = ", warming up" if at < asked.since else ""
            print(f"{what}: {_at(at)}, {share:.0%}{warming}{left}", file=sys.stderr)

    return tell


def _planned(plan: Plan, asked: Asked) -> str:
    if plan.exact:
        return f"from the log, from {_at(plan.begins_at)} on."
    learnt = _learnt(plan.begins_at, asked)
    how = f"{learnt} (--warm-up), of which nothing is counted" if plan.begins_at < asked.since else learnt
    return f"the log does not reach back to --from: from samples, from {_at(plan.begins_at)} on; {how}."


def _learnt(begins_at: float, asked: Asked) -> str:
    early = asked.since - begins_at
    return f"baselines and windows learn in {_length(early)} before" if early > 0 else "nothing is learnt before"


def _length(seconds: float) -> str:
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{seconds / 60:.3g} min"


def _document(asked: Asked, before: Outcome, after: Outcome, found: Comparison) -> dict[str, Any]:
    return {
        "from": asked.since,
        "to": asked.until,
        "exact": before.exact and after.exact,
        "exact_from": after.exact_from,
        "begins_at": after.begins_at,
        "came": [_plain(one) for one in found.came],
        "gone": [_plain(one) for one in found.gone],
        "same": [{"before": _plain(pair.before), "after": _plain(pair.after)} for pair in found.same],
        "incidents": {
            name: [
                {"id": one.id, "subject": str(one.subject), "quality": one.quality, "opened_at": one.opened_at}
                for one in outcome.incidents
            ]
            for name, outcome in (("before", before), ("after", after))
        },
    }


def _plain(one: Episode) -> dict[str, Any]:
    return {
        "id": one.id,
        "condition": one.condition,
        "subject": str(one.subject),
        "indicator": one.indicator,
        "touchpoint": one.touchpoint,
        "quality": one.quality,
        "began_at": one.began_at,
        "ended_at": one.ended_at,
        "note": one.evidence.note,
    }


def _lines(asked: Asked, before: Outcome, after: Outcome, found: Comparison) -> Iterator[str]:
    yield f"From {_at(asked.since)} to {_at(asked.until)}: {_exactness(after, asked)}"
    came = counted(len(found.came), "finding")
    yield f"{came} would have come, {len(found.gone)} would have gone, {len(found.same)} stay."
    yield from _listed("would have come", found.came)
    yield from _listed("would have gone", found.gone)
    moved = [pair for pair in found.same if pair.after.began_at != pair.before.began_at]
    if moved:
        yield f"{len(moved)} would have come at another time:"
    for pair in moved:
        seconds = pair.after.began_at - pair.before.began_at
        word = "later" if seconds > 0 else "earlier"
        yield f"  {_said(pair.after)}, {abs(seconds):.0f} s {word}"
    yield f"Incidents opened: {len(before.incidents)} as it was, {len(after.incidents)} with the rules."
    for one in after.incidents:
        yield f"  {_at(one.opened_at)} {one.subject}, {one.quality}"


def _exactness(outcome: Outcome, asked: Asked) -> str:
    if outcome.exact:
        return "exact, from the log."
    if outcome.exact_from is not None:
        learnt = _learnt(outcome.begins_at, asked)
        return f"from samples until {_at(outcome.exact_from)}, then from the log; {learnt}."
    learnt = _learnt(outcome.begins_at, asked)
    return f"from samples, by their own times; {learnt}; findings may come some seconds later than they did."


def _listed(words: str, episodes: Sequence[Episode]) -> Iterator[str]:
    if episodes:
        yield f"{words.capitalize()}:"
    for one in episodes:
        yield f"  {_said(one)}"
        if one.evidence.note:
            yield f"      {one.evidence.note}"


def _said(one: Episode) -> str:
    until = "still open" if one.ended_at is None else f"until {_at(one.ended_at)}"
    what = f"{one.condition.replace('_', ' ')} of {one.indicator}" if one.indicator else one.condition
    return f"{_at(one.began_at)} {what} on {one.subject}, {one.quality}, {until}"


def _at(instant: float) -> str:
    return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M:%S} UTC"
