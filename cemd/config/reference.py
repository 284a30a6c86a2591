"""Explains kinds and models of files in words: meaning, type, limits, default of every key, from the models themselves.

`cemd explain icmp` prints it, and the reference under `docs/` is made from it.
"""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from cemd.config.catalogue import Journey, Process, Service, Site, Step, Touchpoint
from cemd.config.channels import Channel, Route
from cemd.config.detection import Budget, Drift, Forecast, Multivariate
from cemd.config.maintenance import Maintenance
from cemd.config.params import Kinds
from cemd.config.probes import Probe
from cemd.config.rules import Cei, Detector, Grouping, Indicator, Policy, Rater, RecheckPlaybook
from cemd.config.settings import Settings

MODELS: Mapping[str, tuple[type[BaseModel], str]] = {
    "settings": (Settings, "config/cemd.yaml"),
    "channel": (Channel, "config/channels.yaml, under `channels:`"),
    "route": (Route, "config/channels.yaml, under `routes:`"),
    "service": (Service, "config/catalogue/*.yaml, under `services:`"),
    "site": (Site, "config/catalogue/*.yaml, under `sites:`"),
    "touchpoint": (Touchpoint, "config/catalogue/*.yaml, under `touchpoints:`"),
    "process": (Process, "config/catalogue/*.yaml, under `processes:`"),
    "journey": (Journey, "config/catalogue/*.yaml, under `journeys:`"),
    "step": (Step, "config/catalogue/*.yaml, under `steps:` of a journey"),
    "probe": (Probe, "probes/*.yaml, under `probes:`"),
    "indicator": (Indicator, "rules/analyze/*.yaml, under `indicators:`"),
    "detector": (Detector, "rules/analyze/*.yaml, under `detector:`"),
    "forecast": (Forecast, "rules/analyze/*.yaml, under `forecast:`"),
    "drift": (Drift, "rules/analyze/*.yaml, under `drift:`"),
    "multivariate": (Multivariate, "rules/analyze/*.yaml, under `multivariate:`"),
    "budget": (Budget, "rules/analyze/*.yaml, under `budget:` of an objective"),
    "rater": (Rater, "rules/analyze/*.yaml, under `rater:`"),
    "cei": (Cei, "rules/analyze/*.yaml, under `cei:`"),
    "grouping": (Grouping, "rules/improve/*.yaml, under `grouping:`"),
    "playbook": (RecheckPlaybook, "rules/improve/*.yaml, under `playbooks:`"),
    "maintenance": (Maintenance, "config/maintenance.yaml, under `maintenance:`"),
    "policy": (Policy, "rules/report/*.yaml, under `policies:`"),
}
"""Words that can be explained besides kinds -> model, and where it is written."""

SECTIONS: Mapping[str, str] = {
    found[1]: word for word, (_, place) in MODELS.items() if (found := re.search(r"under `(\w+):`", place))
} | dict.fromkeys(Settings.model_fields, "settings")
"""Words as they stand in the files (`services:`, `intake:`) -> the word that explains them."""

_WIDTH = 100
_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "nothing",
}


def topics(kinds: Kinds) -> dict[str, tuple[str, str]]:
    """Every word that `explained` knows -> where it is written, and what it is."""
    tables = ((kinds.probe_params, "probes/*.yaml"), (kinds.channel_params, "config/channels.yaml"))
    said = {
        word: (f"{place}, as `kind: {word}`", _first_paragraph(table[word].__doc__ or kinds.channels.get(word, "")))
        for table, place in tables
        for word in sorted(table)
    }
    return said | {word: (place, _first_paragraph(model.__doc__ or "")) for word, (model, place) in MODELS.items()}


def explained(word: str, kinds: Kinds) -> str | None:
    """Text about a kind of probe or channel, or about a model of the files; None for an unknown word.

    A word that is both (a `webhook` channel, say, and a probe) is explained twice; a section of the files (`services`)
    is explained as what stands in it.
    """
    if word not in topics(kinds):
        word = SECTIONS.get(word, word)
    parts = []
    for table, noun, place in (
        (kinds.probe_params, "kind of probe", "`params:` of a probe in probes/*.yaml"),
        (kinds.channel_params, "kind of channel", "`params:` of a channel in config/channels.yaml"),
    ):
        if word in table:
            parts.append(_page(word, noun, place, table[word], _notes(word, table is kinds.probe_params, kinds)))
    if word in MODELS:
        model, place = MODELS[word]
        parts.append(_page(word, "part of the files", place, model))
    return "\n\n".join(parts) or None


def _notes(word: str, of_probe: bool, kinds: Kinds) -> str:
    text = inspect.cleandoc((kinds.figures if of_probe else kinds.channels).get(word, ""))
    if not of_probe or not text:
        return text
    given = ", ".join(sorted(kinds.metrics.get(word) or ()))
    names = f"\nMetrics for indicators: {given}." if given else ""
    return f"What it gives, besides `success` and `duration_seconds`:\n{text}{names}"


def _page(word: str, noun: str, place: str, model: type[BaseModel], notes: str = "") -> str:
    schema = model.model_json_schema()
    lines = [f"{word}: {noun}; written in {place}", ""]
    if about := inspect.cleandoc(model.__doc__ or ""):
        lines += [about, ""]
    if notes:
        lines += [notes, ""]
    defs = schema.get("$defs", {})
    lines += _keys(schema, defs)
    for name, inner in defs.items():
        if "properties" in inner:
            lines += ["", f"{name}: {_first_paragraph(inner.get('description', ''))}".rstrip(": "), ""]
            lines += _keys(inner, defs)
    return "\n".join(lines).rstrip() + "\n"


def _keys(schema: dict[str, Any], defs: dict[str, Any]) -> Iterator[str]:
    properties: dict[str, dict[str, Any]] = schema.get("properties", {})
    if not properties:
        yield "  (no keys)"
    required = schema.get("required", [])
    width = max((len(name) for name in properties), default=0) + 2
    for name, part in properties.items():
        need = "required" if name in required else _default(part.get("default"))
        yield f"  {name:<{width}}{_type(part, defs)}; {need}"
        if about := part.get("description"):
            yield from textwrap.wrap(" ".join(about.split()), _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _default(value: Any) -> str:
    if value in (None, "", [], {}):
        return "may be left out"
    text = json.dumps(value, ensure_ascii=False)
    return f"default {text}" if len(text) <= _WIDTH else "has defaults"


def _type(part: dict[str, Any], defs: dict[str, Any]) -> str:
    """A schema in a few words: `whole number from 1 to 65535`."""
    match part:
        case {"$ref": reference}:
            name = str(reference).rpartition("/")[2]
            return _type(defs[name], defs) if "enum" in defs.get(name, {}) else name
        case {"anyOf": members} | {"oneOf": members}:
            return " or ".join(dict.fromkeys(_type(member, defs) for member in members if member.get("type") != "null"))
        case {"enum": words}:
            return f"one of {', '.join(map(str, words))}"
        case {"const": word}:
            return str(word)
        case {"type": "array", "items": items}:
            return f"list of {_type(items, defs)}"
        case {"type": "object", "additionalProperties": dict() as inner}:
            return f"mapping to {_type(inner, defs)}"
        case {"type": "object"}:
            return "mapping"
        case {"type": str() as kind}:
            return _TYPES.get(kind, kind) + _limits(part)
        case _:
            return "any value"


def _limits(part: dict[str, Any]) -> str:
    low, above = part.get("minimum"), part.get("exclusiveMinimum")
    high, below = part.get("maximum"), part.get("exclusiveMaximum")
    words = f" from {low:g}" if low is not None else f" above {above:g}" if above is not None else ""
    return words + (f" to {high:.10g}" if high is not None else f" below {below:g}" if below is not None else "")


def _first_paragraph(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split("\n\n")[0].split())
