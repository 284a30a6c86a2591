"""Parameters of kinds: values put in, the kind's own model asked, secrets refused.

The floor of configuration knows no kind; the tables are handed in as `Kinds`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from cemd.config.partial import keys_of, part_of, unasked
from cemd.config.scalar import resolved
from cemd.config.source import Item, did_you_mean
from cemd.config.words import faults_of, path_of, value_at
from cemd.config.yaml import Path, Tree, walk
from cemd.errors import Fault

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_SECRET = re.compile(
    r"(?:^|_)(?:pass|passwd|password|passphrase|secret|token|bearer|authorization|api_?key|private_key|credentials?)$"
)
_USERINFO = re.compile(r"://[^/\s:@]*:(?P<password>[^/\s@]+)@")
_IN_FILE = "write it into a file that only cemd can read, and name that file"


@dataclass(frozen=True, slots=True)
class Kinds:
    """Tables from kind to the model of its parameters.

    A probe model with the class variable `run_time_values = True` takes `{name}` placeholders itself, while it runs;
    those that its file's `values` do not know are left to it.
    """

    probe_params: Mapping[str, type[BaseModel]] = field(default_factory=lambda: MappingProxyType({}))
    channel_params: Mapping[str, type[BaseModel]] = field(default_factory=lambda: MappingProxyType({}))
    figures: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Kind of probe -> what it says about the figures that it gives; only for explanations."""
    metrics: Mapping[str, frozenset[str] | None] = field(default_factory=lambda: MappingProxyType({}))
    """Kind of probe -> every metric that it may give; None where only its parameters or its plugin know."""
    channels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Kind of channel -> what it says about itself; only for explanations."""
    text_fault: Callable[[str], str | None] = field(default=lambda _text: None)
    """What is wrong with a text for people, as a fact; None when it can be used."""
    hosts: Callable[[BaseModel], Iterable[tuple[Path, str]]] = field(default=lambda _params: ())
    """(way to a parameter, host) of every place that a probe with these parameters goes to."""
    least_seconds: Callable[[BaseModel], float] = field(default=lambda _params: 0.0)
    """What an attempt of a probe with these parameters takes at least."""


def checked(
    params: dict[str, Any], item: Item[Any], models: Mapping[str, type[BaseModel]], values: Mapping[str, str] | None
) -> tuple[dict[str, Any], BaseModel | None, list[Fault]]:
    """The parameters of a probe or channel with values put in, the kind's model of them, and all that is wrong.

    Where they are wrong, the model is a part of itself (`partial`), or None. `values` is None where those of the file
    are not valid: then nothing is said about what they would fill.
    """
    kind: str = item.value.kind
    texts = list(walk(params))
    faults = list(_secrets(texts, item, ("params",)))
    if kind not in models:
        known = sorted(models)
        hint = did_you_mean(kind, known)
        fault = item.fault(("kind",), f"unknown kind{hint}", f"use one of {', '.join(known) or 'none'}")
        return params, None, [*faults, fault]
    model = models[kind]
    if values is None:
        return params, None, faults
    filled = params
    if any("{" in text for _, text in texts):
        filled = _filled(params, values)
        if not getattr(model, "run_time_values", False):
            faults.extend(_unknown_placeholders(texts, item, values))
    for _ in range(2):
        try:
            return filled, model.model_validate_json(msgspec.json.encode(filled)), faults
        except ValidationError as exc:
            if not _numbers_put_in(filled, params, exc):
                part = part_of(model, filled, keys_of(exc))
                for error in filter(None, (exc, unasked(part))):
                    faults.extend(faults_of(error, item.source, (*item.path, "params"), model))
                return filled, part, list(dict.fromkeys(faults))
        except Exception as exc:  # noqa: BLE001 -- a kind's own check that breaks must not break the reload
            faults.append(
                item.fault(("params",), f"kind {kind} cannot read them ({type(exc).__name__})", "correct them")
            )
            break
    return filled, None, faults


def secrets(tree: Tree, item: Item[Any], within: Path) -> Iterator[Fault]:
    """Secrets that stand as values: texts under a key such as `password`, and passwords in URLs."""
    return _secrets(walk(tree), item, within)


def _secrets(texts: Iterable[tuple[Path, str]], item: Item[Any], within: Path) -> Iterator[Fault]:
    for path, text in texts:
        keys = [part for part in path if isinstance(part, str)]
        key = keys[-1] if keys else ""
        if any(part.endswith(("_file", "_files")) for part in keys):
            continue  # a path to where the secret is
        taken = "{" in text or text.startswith("$")  # a placeholder, or the place in an answer that it is taken from
        if text and not taken and _is_secret(key):
            where = f"as `{key[:64]}_file`"
            if keys[-2:-1] == ["headers"]:  # a header has no key of its own: what a file can fill depends on the kind
                where = f"under `header_files: {{{key[:64]}: …}}`, or under `secret_files` in a transaction"
            yield item.fault((*within, *path), f'"{key[:64]}" holds a secret as a value', f"{_IN_FILE} {where}")
        elif "://" in text and (found := _USERINFO.search(text)) and "{" not in found["password"]:
            yield item.fault(
                (*within, *path), "the URL holds a password", f"{_IN_FILE} with a key that ends in `_file`"
            )


@lru_cache(1024)
def _is_secret(key: str) -> bool:
    """Whether a key by its name holds a secret."""
    return _SECRET.search(key.lower().replace("-", "_")) is not None


def _filled(tree: Any, values: Mapping[str, str]) -> Any:
    """A copy with every known placeholder replaced."""
    match tree:
        case str():
            return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), tree)
        case dict():
            return {key: _filled(value, values) for key, value in tree.items()}
        case list():
            return [_filled(value, values) for value in tree]
        case _:
            return tree


def _unknown_placeholders(
    texts: Iterable[tuple[Path, str]], item: Item[Any], values: Mapping[str, str]
) -> Iterator[Fault]:
    for path, text in texts:
        for found in _PLACEHOLDER.finditer(text):
            if found[1] not in values:
                hint = did_you_mean(found[1], list(values))
                fact = f"{{{found[1]}}} is no value of this file{hint}"
                yield item.fault(("params", *path), fact, f"add `{found[1]}: …` under `values:` at the top of the file")


def _numbers_put_in(filled: Any, params: Any, error: ValidationError) -> bool:
    """Turns texts that came whole from a placeholder into numbers where the model wants numbers: `port: "{pos_port}"`.

    Returns:
        True when anything was changed and the model should be asked again.
    """
    changed = False
    for detail in error.errors(include_input=False, include_url=False, include_context=False):
        path, _ = path_of(detail["loc"], params, ())
        before = value_at(params, path)
        if detail["type"] not in ("int_type", "float_type") or not isinstance(before, str):
            continue
        outer: Any = value_at(filled, path[:-1])
        if _PLACEHOLDER.fullmatch(before) and isinstance(number := _number(outer[path[-1]]), int | float):
            outer[path[-1]] = number
            changed = True
    return changed


def _number(text: str) -> int | float | None:
    try:
        value = resolved(text)
    except ValueError:
        return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
