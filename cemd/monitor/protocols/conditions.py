"""Conditions on JSON answers: paths like `$.a.b[0]` and comparisons like `$.state == 'active'`. Nothing is evaluated.

The language is small on purpose: one path, one comparison, one literal, joined by `and`. It is parsed once, at load.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d{1,6})\]|\['([^']{1,200})'\]")
_COMPARISON = re.compile(r"\s*(\$(?:\['[^']*'\]|[^=!<>\s'])*)\s*(==|!=|>=|<=|>|<)\s*(.+?)\s*", re.DOTALL)
_AND = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|(\s+and\s+)""", re.DOTALL)
"""Texts in quotes, which are passed over, or the word that joins."""
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
MISSING = object()
"""What a path answers that leads nowhere."""


@dataclass(frozen=True, slots=True)
class Path:
    """A way into a JSON document: names of objects, numbers in lists."""

    text: str
    steps: tuple[str | int, ...]

    def find(self, document: Any) -> Any:
        """What stands there, or `MISSING`."""
        for step in self.steps:
            if isinstance(step, int):
                if not isinstance(document, list) or step >= len(document):
                    return MISSING
                document = document[step]
            elif isinstance(document, dict) and step in document:
                document = document[step]
            else:
                return MISSING
        return document


@dataclass(frozen=True, slots=True)
class Condition:
    """`path operator literal`, all of them true."""

    text: str
    parts: tuple[tuple[Path, str, Any], ...]

    def holds(self, document: Any) -> bool:
        """False also where a path leads nowhere or kinds do not compare."""
        return all(_compare(path.find(document), word, literal) for path, word, literal in self.parts)

    def broken(self, document: Any) -> Iterator[tuple[Path, Any]]:
        """The path of each part that does not hold, and what stands there (or `MISSING`)."""
        for path, word, literal in self.parts:
            found = path.find(document)
            if not _compare(found, word, literal):
                yield path, found


def parse_path(text: str) -> Path:
    """Reads `$.a.b[0]`, `$['odd name']`, or `$` alone.

    Raises:
        ValueError: it is no such path.
    """
    steps: list[str | int] = []
    place = 1
    while place < len(text) and (match := _STEP.match(text, place)):
        name, number, quoted = match.groups()
        steps.append(int(number) if number is not None else name or quoted)
        place = match.end()
    if not text.startswith("$") or place != len(text):
        raise ValueError(f"{text!r} is no path such as $.order.id or $.items[0].state")
    return Path(text, tuple(steps))


def parse_condition(text: str) -> Condition:
    """Reads `$.state == 'active' and $.items[0].count >= 1`.

    Raises:
        ValueError: it is no such condition.
    """
    parts = []
    for part in _parts(text):
        match = _COMPARISON.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no condition such as $.state == 'active'")
        path, word, literal = match.groups()
        parts.append((parse_path(path), word, _literal(literal)))
    return Condition(text, tuple(parts))


def decode_json(body: bytes) -> Any:
    """The document of an answer, or `MISSING` where it is none; nesting beyond a few hundred is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return MISSING


def _parts(text: str) -> Iterator[str]:
    """What `and` joins; the word within quotes joins nothing."""
    place = 0
    for match in _AND.finditer(text):
        if match[1]:
            yield text[place : match.start()]
            place = match.end()
    yield text[place:]


def _literal(text: str) -> Any:
    if len(text) >= 2 and text[0] == text[-1] == "'":
        if "'" in text[1:-1]:
            raise ValueError(f"{text!r} holds a quote within quotes; write it in double quotes")
        return text[1:-1]
    try:
        literal = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        literal = []
    if isinstance(literal, list | dict):
        raise ValueError(f"{text!r} is neither a number, true, false, null nor a text in quotes")  # noqa: TRY004 -- what the text says
    return literal


def _compare(found: Any, word: str, literal: Any) -> bool:
    if found is MISSING:
        return False
    if isinstance(found, bool) is not isinstance(literal, bool) and word in {"==", "!="}:
        return word == "!="  # in JSON, true is not 1
    try:
        return bool(_OPERATORS[word](found, literal))
    except TypeError:
        return False
