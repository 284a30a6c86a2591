"""What an HTTP answer held where a condition did not hold: short, and without what was secret in the request or is by
its name over there. It is redacted before it is cut: half a secret would be known by nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any
from urllib.parse import unquote

import msgspec

from cemd.kit.logs import redact_field, redact_text
from cemd.kit.urls import shown_url
from cemd.monitor.probes.base import Secrets
from cemd.monitor.probes.engines.requests import REDIRECTS, Answer
from cemd.monitor.protocols.conditions import MISSING, Condition, Path

_MOST_CHARACTERS = 60
_MOST_PLACE = 200
_MOST_CONDITION = 200
_MOST_PATHS = 4
"""All of these so that the sentence fits into a detail (`DETAIL_CHARACTERS`)."""


def redirect_words(answer: Answer, secrets: Secrets) -> str:
    """Where an answer leads that is a redirect, without user, query and fragment; "" for every other answer."""
    place = answer.headers.get("location") if answer.status in REDIRECTS else None
    if not place:
        return ""
    shown = shown_url(place).partition(";")[0]  # behind it stand session ids
    plain = unquote(place)
    if shown in {"that", ""} or secrets.hide(plain) != plain:
        return "; it leads to a place that is not shown"
    return f"; it leads to {_cut(shown if shown.isprintable() else ascii(shown), _MOST_PLACE)}"


def field_words(headers: Mapping[str, str], name: str, secrets: Secrets) -> str:
    """What a header field holds. The names of `headers` are in small letters."""
    value = headers.get(name.lower())
    return "it is not there" if value is None else f"it is {_cut(_hidden([name], value, secrets), _MOST_CHARACTERS)!r}"


def broken_words(condition: Condition, document: Any, secrets: Secrets) -> str:
    """That a condition does not hold, and what stands where it asked."""
    words = f"{_cut(condition.text, _MOST_CONDITION)} does not hold"
    if document is MISSING:
        return f"{words}: the body is no JSON"
    return f"{words}: {seen_words(condition, document, secrets)}"


def seen_words(condition: Condition, document: Any, secrets: Secrets) -> str:
    """What stands at the paths of a condition's parts that do not hold."""
    found = {path.text: (path, value) for path, value in condition.broken(document)}
    words = [f"{_cut(text, _MOST_CHARACTERS)} {_value(*pair, secrets)}" for text, pair in found.items()]
    more = len(words) - _MOST_PATHS
    return ", ".join(islice(words, _MOST_PATHS)) + (f", and {more} more" if more > 0 else "")


def _value(path: Path, value: Any, secrets: Secrets) -> str:
    if value is MISSING:
        return "is not there"
    if isinstance(value, dict):
        return "is an object"
    if isinstance(value, list):
        return f"is a list of {len(value)}"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    shown = _cut(_hidden([str(step) for step in path.steps], text, secrets), _MOST_CHARACTERS)
    return f"is {shown!r}" if isinstance(value, str) else f"is {shown}"


def _hidden(names: Iterable[str], value: str, secrets: Secrets) -> str:
    value = secrets.hide(value)
    for name in names:
        value = redact_field(name, value)
    return redact_text(value)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"
