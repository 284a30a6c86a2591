"""Turns what a pydantic model found wrong into our sentences, each at its line and column.

No message repeats a value from a file: a wrong value may be a secret that slipped into the wrong place. Keys and names
are repeated, values of closed lists are only suggested.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cemd.config.source import Source, did_you_mean
from cemd.config.yaml import Path, Tree
from cemd.errors import Fault

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "bool_type": "`true` or `false`",
    "list_type": "a list",
    "tuple_type": "a list",
    "frozen_set_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "dataclass_type": "a mapping of keys to values",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
_NAME_PATTERN = "^[a-z0-9][a-z0-9._-]{0,62}$"
_VERBS = ("is ", "are ", "has ", "must ", "needs ", "may ", "cannot ")
"""A kind's own complaint that begins so goes on from the key's name."""


def faults_of(error: ValidationError, source: Source, base: Path, model: Any) -> Iterator[Fault]:
    """One fault for each complaint of a model.

    Args:
        error: What validation raised.
        source: The file that was validated.
        base: Where in the file the validated part stands.
        model: The model or annotation it was validated against, to suggest keys.
    """
    said: set[tuple[Path, str]] = set()
    details = error.errors(include_input=False, include_url=False)
    inside = {detail["loc"][:depth] for detail in details for depth in range(len(detail["loc"]))}
    for detail in details:
        if detail["type"] == "too_short" and detail["loc"] in inside:
            continue  # its faulty members were not counted
        fault, path = _fault(detail, source, base, model)
        if (path, fault.fact) not in said:  # each member of a union complains on its own
            said.add((path, fault.fact))
            yield fault


def _fault(detail: ErrorDetails, source: Source, base: Path, model: Any) -> tuple[Fault, Path]:
    loc = detail["loc"]
    path, of_key = path_of(loc, source.document.tree, base)
    label = source.label(path)
    within = _dotted(path[2:] if label != str(path[0] if path else "the file") else path[1:])
    kind, context = detail["type"], detail.get("ctx", {})
    subject = f"{label}: {within}" if within else label
    match kind:
        case "missing":
            name = str(loc[-1])
            where = ": ".join(filter(None, (label, _dotted(path[2:-1]))))
            fact, remedy = f'{where}: key "{name}" is missing', f"add `{name}: …`{_meaning(model, loc)}"
            return source.at_value(path[:-1], fact, remedy), path
        case "extra_forbidden":
            known = sorted(_fields(model, loc[:-1]))
            hint = did_you_mean(str(loc[-1]), known)
            inner = _dotted(path[2:-1]) if label != str(path[0]) else _dotted(path[1:-1])
            fact = f'{": ".join(filter(None, (label, inner)))}: unknown key "{str(loc[-1])[:64]}"{hint}'
            remedy = f"known here: {', '.join(known)}" if known and not hint else "correct or remove it"
            return source.at_key(path, fact, remedy), path
        case _ if of_key:
            form = f"write it as {context['pattern']}" if "pattern" in context else f"correct it: {_plain(detail)}"
            return source.at_key(path, f"{subject}: the key has the wrong form", form), path
        case _:
            fact, remedy = _sentence(kind, context, subject, detail, value_at(source.document.tree, path))
            return source.at_value(path, fact, remedy), path


def _sentence(kind: str, context: dict[str, Any], subject: str, detail: ErrorDetails, value: Tree) -> tuple[str, str]:
    if kind in _WANTED:
        wanted = _WANTED[kind]
        return f"{subject} is {_called(value)}", f"write {wanted}{_quotes(kind, value)}"
    if kind in _BOUNDS:
        key, word = _BOUNDS[kind]
        return f"{subject} is out of range", f"write a number {word} {context[key]:g}"
    match kind:
        case "enum" | "literal_error":
            expected = str(context["expected"])
            hint = (
                did_you_mean(value, expected.replace(" or ", ", ").replace("'", "").split(", "))
                if isinstance(value, str)
                else ""
            )
            return f"{subject} is none of the words permitted here{hint}", f"write {expected}"
        case "string_pattern_mismatch" if context["pattern"] == _NAME_PATTERN:
            return f"{subject} is not a name", 'use lower-case letters, digits, ".", "_" and "-", at most 63 of them'
        case "string_pattern_mismatch":
            return f"{subject} has the wrong form", f"write it as {context['pattern']}"
        case "too_short" | "string_too_short":
            least = context["min_length"]
            return f"{subject} is {'empty' if least == 1 else 'too short'}", f"give at least {least}"
        case "too_long" | "string_too_long":
            return f"{subject} is too long", f"give at most {context['max_length']}"
        case "union_tag_invalid" | "union_tag_not_found":
            tags = str(context.get("expected_tags", ""))
            return f"{subject}: {context.get('discriminator', 'its kind')} is missing or unknown", f"use one of {tags}"
        case "value_error" | "assertion_error":
            fact, _, remedy = str(context["error"]).rstrip(".").partition("; ")
            joint = " " if fact.startswith(_VERBS) else ": "
            return f"{subject}{joint}{fact}", remedy or "correct it"
        case _:
            return f"{subject}: {_plain(detail)}", "correct it"


def _plain(detail: ErrorDetails) -> str:
    text = detail["msg"]
    return text[:1].lower() + text[1:]


_NUMBER = re.compile(r"\s*[-+]?[\d.]+\s*")


def _quotes(kind: str, value: Tree) -> str:
    """What quotes have to do with it, if anything."""
    if isinstance(value, str) and kind in ("int_type", "float_type", "bool_type"):
        return (
            " without quotes"
            if kind == "bool_type" or _NUMBER.fullmatch(value)
            else " and nothing else: no unit, no words"
        )
    return " in quotes" if isinstance(value, bool | int | float) and kind == "string_type" else ""


def _called(value: Tree) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return "a truth value"
        case int():
            return "a whole number"
        case float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "a mapping"


def path_of(loc: tuple[int | str, ...], tree: Tree, base: Path) -> tuple[Path, bool]:
    """The way in the file that a pydantic location means, and whether its key is meant.

    Tags of unions are no keys and are skipped; the last component is kept even where it does not exist (a missing key).
    """
    path = base
    here = value_at(tree, base)
    for place, part in enumerate(loc):
        if part == "[key]":
            return path, True
        if isinstance(here, dict) and part in here:
            path, here = (*path, part), here[str(part)]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            path, here = (*path, part), here[part]
        elif place == len(loc) - 1 and isinstance(here, dict):
            path = (*path, part)
    return path, False


def value_at(tree: Tree, path: Path) -> Tree:
    """The part of a tree at a path; None where there is none."""
    for part in path:
        match tree, part:
            case dict(), str():
                tree = tree.get(part)
            case list(), int() if part < len(tree):
                tree = tree[part]
            case _:
                return None
    return tree


def _dotted(path: Path) -> str:
    """`steps[2].needs[0]`, positions from 0 as in every tool for JSON."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part[:64]}" for part in path).removeprefix(".")


def _fields(model: Any, loc: tuple[int | str, ...]) -> set[str]:
    """Keys that the models at a location know."""
    return {info.alias or name for found in _models_at(model, loc) for name, info in found.model_fields.items()}


def _meaning(model: Any, loc: tuple[int | str, ...]) -> str:
    for found in _models_at(model, loc[:-1]):
        info = found.model_fields.get(str(loc[-1]))
        if info and info.description:
            return f" ({info.description.split('. ')[0].rstrip('.')})"
    return ""


def _models_at(annotation: Any, loc: tuple[int | str, ...]) -> list[type[BaseModel]]:
    """Models that a location may mean; several in a union."""
    candidates = _members(annotation)
    for part in loc:
        named = [found for found in candidates if isinstance(found, type) and found.__name__ == part]
        if named:
            candidates = named
            continue
        deeper: list[Any] = []
        for found in candidates:
            if isinstance(found, type) and issubclass(found, BaseModel):
                if isinstance(part, str) and part in found.model_fields:
                    deeper.extend(_members(found.model_fields[part].annotation))
            elif get_origin(found) in (list, tuple) and isinstance(part, int):
                deeper.extend(member for argument in get_args(found) for member in _members(argument))
            elif get_origin(found) is dict:
                deeper.extend(_members(get_args(found)[1]))
        candidates = deeper or candidates
    return [found for found in candidates if isinstance(found, type) and issubclass(found, BaseModel)]


def _members(annotation: Any) -> list[Any]:
    """The annotation without `Annotated`, taken apart where it is a union."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for argument in get_args(annotation) for member in _members(argument)]
    return [annotation]
