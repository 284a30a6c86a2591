"""Judges pushed JSON: one object or a list of them becomes columns; what is wrong is refused by name and counted.

    {"metric": "active_sessions_count", "value": 412, "at": 1763760000.0, "labels": {"node": "smf-1"}}

`at` is seconds since 1970 or a text of RFC 3339 with its zone; without it, the time of arrival counts. A number that is
none (NaN, an overflow), a time in the far future, a name that is no name, a key that nobody knows, and anything that
looks like the address of a person are refused one by one; the rest of the message is taken. A label whose service,
site or touchpoint the catalogue does not know loses nothing: the measurement is taken, and counted as one that nobody
judges.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import msgspec

from cemd.config.names import Names
from cemd.config.source import did_you_mean
from cemd.model.measurement import SeriesKey
from cemd.model.quality import Outcome

FUTURE_SECONDS = 300.0
"""A clock ahead by more than this is wrong; its samples would hold every window open."""
PAST_SECONDS = 30 * 86_400.0
"""Older than this is not late but wrong (or in another unit)."""
MAX_BODY = 4 * 1024 * 1024
MAX_SAMPLES = 20_000
_MAX_LABELS = 16
_SHOWN = 64
_SPACE = b" \t\r\n"
_METRIC = re.compile(r"[a-z][a-z0-9_]{0,127}")
_WORD = re.compile(r"[A-Za-z0-9][^\x00-\x1f\x7f\"\\]{0,199}")
_LABEL = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PERSONAL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+|\+\d{8,15}\b")


class Fault(StrEnum):
    """Why something pushed was refused."""

    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    TOO_LARGE = "too_large"
    BAD_NAME = "bad_name"
    BAD_VALUE = "bad_value"
    FUTURE = "future"
    TOO_OLD = "too_old"
    PERSONAL = "personal"
    MAX_SERIES = "max_series"
    OVERLOADED = "overloaded"
    UNKNOWN_SOURCE = "unknown_source"


class _Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    metric: str
    value: float | bool
    at: float | datetime | None = None
    labels: dict[str, str] = {}
    target: str = ""
    vantage: str = "home"
    outcome: str = "ok"


FIELDS = {
    "metric": "what it is: small letters, digits and _; an indicator names it (`of: {metric: …}`)",
    "value": "a finite number, or true or false",
    "at": (
        "seconds since 1970 (not milliseconds), or a text of RFC 3339 with its zone; left out: when it arrives."
        " What lies further behind the newest of its vantage than `lateness_seconds` enters history, and is not judged"
    ),
    "labels": (
        "up to 16 texts. `service` says what it measures, `site` and `touchpoint` where, by their names in the"
        " catalogue: without `service` no indicator sees it, and where the catalogue does not know one of the names"
        " it is kept, but judged by nobody until a reload brings the name; all other labels only tell series apart"
    ),
    "target": "the device or address that was measured; left out: none",
    "vantage": 'where it was measured from; default "home"',
    "outcome": 'ok, failed, timed_out or blind; default "ok"',
}
"""What a pushed measurement may hold, in words, for `cemd explain push`; any other key refuses it."""

_whole = msgspec.json.Decoder(list[_Item] | _Item)
_parts = msgspec.json.Decoder(list[msgspec.Raw])
_part = msgspec.json.Decoder(_Item)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OUTCOMES = {outcome.name.lower(): int(outcome) for outcome in Outcome}


@dataclass(slots=True)
class Pushed:
    """Columns of what was taken, with the reasons of what was not."""

    keys: list[SeriesKey] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    outcome: list[int] = field(default_factory=list)
    refused: Counter[Fault] = field(default_factory=Counter)
    examples: dict[Fault, str] = field(default_factory=dict)
    """The first of each fault, as a sentence; of what was pushed it holds a key that nobody knows, at most."""
    warning: str = ""
    """Why some of what was taken is judged by nobody, as a sentence."""
    strangers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Label and name that the catalogue does not know, with how many of the measurements that were taken have them."""

    def __len__(self) -> int:
        return len(self.keys)

    def extend(self, other: Pushed) -> None:
        """Adds what another message brought."""
        self.keys += other.keys
        self.at += other.at
        self.value += other.value
        self.outcome += other.outcome
        self.refused += other.refused
        self.strangers += other.strangers
        self.examples = {**other.examples, **self.examples}

    def refuse(self, fault: Fault, sentence: str, times: int = 1) -> None:
        self.refused[fault] += times
        self.examples.setdefault(fault, sentence)

    @property
    def example(self) -> str:
        """First thing that was wrong at all."""
        return next(iter(self.examples.values()), "")


def parse_push(body: bytes, *, source: str, now: float, names: Names | None = None) -> Pushed:
    """Columns out of hostile bytes; never raises.

    Args:
        body: A JSON object, or a list of at most `MAX_SAMPLES` of them.
        source: Where it came from (`mqtt:NAME`, `http:NAME`); stands for the probe in the series.
        now: Time of arrival, s.
        names: What the catalogue knows; None: nobody asks.
    """
    pushed = Pushed()
    if len(body) > MAX_BODY:
        pushed.refuse(Fault.TOO_LARGE, f"a body of {len(body)} bytes exceeds {MAX_BODY}.")
        return pushed
    for place, item in _items(body, pushed):
        if place >= MAX_SAMPLES:
            pushed.refuse(Fault.TOO_LARGE, f"more than {MAX_SAMPLES} measurements in one message.")
            break
        if _take(item, place, source, now, pushed) and names is not None and (found := names.strange(item.labels)):
            pushed.strangers[found] += 1
    return pushed


def _items(body: bytes, pushed: Pushed) -> Iterable[tuple[int, _Item]]:
    """What can be read as measurements, each with its place in the message."""
    try:
        found = _whole.decode(body)
        return enumerate(found if isinstance(found, list) else [found])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass  # one bad part must not cost the others: look at each alone
    try:
        parts = [msgspec.Raw(body)] if body.lstrip(_SPACE).startswith(b"{") else _parts.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pushed.refuse(Fault.MALFORMED, "the body is neither a JSON object of a measurement nor a list of them.")
        return ()
    items = []
    for place, raw in enumerate(parts[: MAX_SAMPLES + 1]):
        try:
            items.append((place, _part.decode(raw)))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            _refuse_part(raw, place, pushed)
    return items


def _refuse_part(raw: msgspec.Raw, place: int, pushed: Pushed) -> None:
    """Says what is wrong with a part that is no measurement."""
    try:
        keys = list(_object.decode(raw))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pushed.refuse(Fault.MALFORMED, f"measurement {place}: it is no whole JSON object.")
        return
    strange = [key for key in keys if key not in FIELDS]
    fault = Fault.UNKNOWN_KEY if strange else Fault.MALFORMED
    if fault in pushed.examples:
        pushed.refused[fault] += 1  # its sentence would not be read, and costs more than all else
    elif strange:
        near, known = did_you_mean(strange[0][:_SHOWN], list(FIELDS)), ", ".join(FIELDS)
        pushed.refuse(fault, f"measurement {place}: unknown key {shown(strange[0])}{near}; the keys are {known}.")
    else:
        lacks = [key for key in ("metric", "value") if key not in keys]
        why = f"it lacks {' and '.join(lacks)}." if lacks else "a value has the wrong type."
        pushed.refuse(fault, f"measurement {place}: {why}")


def shown(word: str) -> str:
    """A pushed word as people may read it: short, printable, and of no person."""
    if _PERSONAL.search(word):
        return "that looks like the address of a person"
    word = word if len(word) <= _SHOWN else f"{word[:_SHOWN]}…"
    return f'"{word}"' if word.isprintable() else ascii(word)


def _take(item: _Item, place: int, source: str, now: float, pushed: Pushed) -> bool:
    """Adds a measurement to the columns; False where it was refused."""
    fault = _fault_of(item)
    if fault is not None:
        pushed.refuse(fault, f"measurement {place}: {_SENTENCES[fault]}")
        return False
    at = _instant(item.at, now)
    if at is None or not math.isfinite(at):
        pushed.refuse(Fault.MALFORMED, f"measurement {place}: `at` is seconds since 1970, or RFC 3339 with a zone.")
    elif at > now + FUTURE_SECONDS:
        pushed.refuse(Fault.FUTURE, f"measurement {place}: `at` lies in the future; are these milliseconds?")
    elif at < now - PAST_SECONDS:
        pushed.refuse(Fault.TOO_OLD, f"measurement {place}: `at` lies more than 30 days back.")
    else:
        labels = tuple(sorted(item.labels.items()))
        key = SeriesKey(probe=source, metric=item.metric, vantage=item.vantage, target=item.target, labels=labels)
        pushed.keys.append(key)
        pushed.at.append(at)
        pushed.value.append(float(item.value))
        pushed.outcome.append(_OUTCOMES[item.outcome])
        return True
    return False


_SENTENCES = {
    Fault.BAD_NAME: "metric and label names are small letters, digits and _; values are short printable texts.",
    Fault.BAD_VALUE: "`value` is a finite number; `outcome` is ok, failed, timed_out or blind.",
    Fault.PERSONAL: "a label or target looks like the address of a person; use an internal number.",
}


def _fault_of(item: _Item) -> Fault | None:
    if not math.isfinite(item.value) or item.outcome not in _OUTCOMES:
        return Fault.BAD_VALUE
    if not _METRIC.fullmatch(item.metric) or len(item.labels) > _MAX_LABELS:
        return Fault.BAD_NAME
    words = [*item.labels.values(), item.vantage, *([item.target] if item.target else [])]
    if not all(_LABEL.fullmatch(name) for name in item.labels) or not all(_WORD.fullmatch(word) for word in words):
        return Fault.BAD_NAME
    return Fault.PERSONAL if any(_PERSONAL.search(word) for word in words) else None


def _instant(at: float | datetime | None, now: float) -> float | None:
    if isinstance(at, datetime):
        try:
            return at.timestamp() if at.tzinfo is not None else None
        except (OverflowError, ValueError):
            return None
    return now if at is None else at
