"""What changed between two configurations, as sentences for the log and for `cemd config diff`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cemd.config.configuration import Configuration
from cemd.config.source import NOUNS

_TEXT_MOST = 60
Part = dict[str, Any]


def changes(old: Configuration, new: Configuration) -> tuple[str, ...]:
    """What the new configuration says differently, in the order of the files' sections; empty when nothing.

    Removed things are told before added ones. A thing with `renamed_from` of one that is gone was renamed.
    """
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    sentences: list[str] = []
    for section in Configuration.model_fields:
        if section in NOUNS:
            sentences.extend(_entries(NOUNS[section], before[section], after[section]))
        else:
            sentences.extend(_fields(section, before[section], after[section], ""))
    return tuple(sentences)


def _entries(noun: str, before: list[Part], after: list[Part]) -> Iterator[str]:
    old = {part["name"]: part for part in before}
    new = {part["name"]: part for part in after}
    renamed = {
        name: part["renamed_from"]
        for name, part in new.items()
        if name not in old and part.get("renamed_from") in old and part["renamed_from"] not in new
    }
    for name in old:
        if name not in new and name not in renamed.values():
            yield f'{noun} "{name}" was removed.'
    for name, part in new.items():
        label = f'{noun} "{name}"'
        if name in renamed:
            former = renamed[name]
            yield f'{noun} "{former}" is now called "{name}".'
            ignored = {"name": name, "renamed_from": part["renamed_from"]}
            yield from _fields(label, {**old[former], **ignored}, part, "")
        elif name in old:
            yield from _fields(label, old[name], part, "")
        else:
            yield f"{label} was added."
    shared_before = [name for name in old if name in new]
    shared_after = [name for name in new if name in old]
    if shared_before != shared_after:
        yield f"The order of {noun} entries changed."


def _fields(label: str, before: Part, after: Part, within: str) -> Iterator[str]:
    for key in dict.fromkeys((*before, *after)):
        one, other = before.get(key), after.get(key)
        if one == other:
            continue
        path = f"{within}{key}"
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _fields(label, one, other, f"{path}.")
        elif isinstance(one, list) and isinstance(other, list):
            yield from _lists(label, path, one, other)
        else:
            yield f"{label}: {path} {_short(one)} -> {_short(other)}."


def _lists(label: str, path: str, before: list[Any], after: list[Any]) -> Iterator[str]:
    """Lists of named parts by name, lists of plain values by what came and went, others as a whole."""
    if all(isinstance(part, dict) and "name" in part for part in (*before, *after)):
        noun = path.removesuffix("s")
        for sentence in _entries(noun, before, after):
            yield f"{label}: {sentence}"
        return
    gone = [part for part in before if part not in after]
    come = [part for part in after if part not in before]
    if any(isinstance(part, dict | list) for part in (*before, *after)):
        yield f"{label}: {path} changed."
    elif gone or come:
        words = [f"without {', '.join(map(_short, gone))}"] if gone else []
        words += [f"with {', '.join(map(_short, come))}"] if come else []
        yield f"{label}: {path} now {' and '.join(words)}."
    else:
        yield f"{label}: {path} has another order."


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _TEXT_MOST else f"{text[: _TEXT_MOST - 1]}…"
