"""Two scorecards side by side: what a change did, figure by figure and fault by fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MORE_IS_BETTER = (
    "found",
    "cause_right",
    "told_before_contact",
    "told_before_contact_reachable",
    "lead_time_seconds",
)
LESS_IS_BETTER = (
    "delay_seconds.median",
    "delay_seconds.p95",
    "false_incidents",
    "false_notices",
    "told_twice",
    "never_ended",
    "promises_broken",
)
SMALL = 1e-9


@dataclass(frozen=True, slots=True)
class Comparison:
    lines: tuple[str, ...]
    worse: bool


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """In words for people, and whether any figure that can be judged became worse."""
    lines, worse = [], False
    same = [before.get(key) == after.get(key) for key in ("scenario", "seed", "days", "customers")]
    if not all(same):
        lines.append("The two are not of the same day: scenario, seed, days or customers differ.")
    flat_before, flat_after = dict(_flat(before["total"])), dict(_flat(after["total"]))
    for name in flat_before | flat_after:
        old, new = flat_before.get(name), flat_after.get(name)
        if old == new:
            continue
        verdict = _verdict(name, old, new)
        worse |= verdict == "worse"
        lines.append(f"{name}: {_said(old)} -> {_said(new)}" + (f" ({verdict})" if verdict else ""))
    lines.extend(_faults(before, after))
    return Comparison(tuple(lines or ["Nothing changed."]), worse)


def _flat(total: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in total.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _verdict(name: str, old: Any, new: Any) -> str:
    if old is None or new is None or abs(new - old) < SMALL:
        return ""
    if name in MORE_IS_BETTER:
        return "better" if new > old else "worse"
    if name in LESS_IS_BETTER:
        return "better" if new < old else "worse"
    return ""


def _faults(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    old = {one["name"]: one for one in before["faults"]}
    for one in after["faults"]:
        was = old.get(one["name"])
        if was is None:
            continue
        for key in ("found", "cause_named", "first_hurt_to_incident_seconds", "told", "told_wrongly"):
            if was[key] != one[key]:
                yield f"fault {one['name']}: {key} {_said(was[key])} -> {_said(one[key])}"


def _said(value: Any) -> str:
    return "nothing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
