"""Performance data of Nagios plugins, after the Monitoring Plugins Development Guidelines: pure, bounded, forgiving.

`'label'=value[UOM];[warn];[crit];[min];[max]`, separated by spaces; a quote within a quoted label is doubled; `U` means
that no value is known. Units become base units, and the unit ends up in the metric's name.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_VALUE = re.compile(r"(-?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?)([a-zA-Z%µ]*)")
_UNITS: dict[str, tuple[str, float]] = {
    "": ("", 1.0),
    "s": ("_seconds", 1.0),
    "ms": ("_seconds", 1e-3),
    "us": ("_seconds", 1e-6),
    "µs": ("_seconds", 1e-6),
    "ns": ("_seconds", 1e-9),
    "%": ("_ratio", 0.01),
    "c": ("_total", 1.0),
    "b": ("_bytes", 1.0),
    "kb": ("_bytes", 1024.0),
    "mb": ("_bytes", 1024.0**2),
    "gb": ("_bytes", 1024.0**3),
    "tb": ("_bytes", 1024.0**4),
    "kib": ("_bytes", 1024.0),
    "mib": ("_bytes", 1024.0**2),
    "gib": ("_bytes", 1024.0**3),
    "tib": ("_bytes", 1024.0**4),
}
MOST = 150


@dataclass(frozen=True, slots=True)
class Perf:
    """One value in base units; `metric` has the unit in its name, `label` is what the plugin called it."""

    metric: str
    label: str
    value: float


def parse_perfdata(text: str) -> list[Perf]:
    """Every readable value of a plugin's performance data; what cannot be read is left out, and so is a label that is
    no text: bytes that mean nothing must not become series.

    >>> [(perf.metric, perf.value) for perf in parse_perfdata("time=12ms;;;0 '/var'=50%;80;90 load1=0.4")]
    [('time_seconds', 0.012), ('var_ratio', 0.5), ('load1', 0.4)]
    """
    found: list[Perf] = []
    for label, rest in _pairs(text):
        match = _VALUE.fullmatch(rest.split(";", 1)[0].strip())
        if match is None or len(found) >= MOST or not _is_text(label):
            continue
        unit, factor = _UNITS.get(match[2].lower(), (f"_{_word(match[2])}", 1.0))
        value = float(match[1].replace(",", ".")) * factor
        if math.isfinite(value):
            name = _word(label) or "root"
            found.append(Perf(name if unit and name.endswith(unit) else name + unit, label, value))
    return found


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    place = 0
    while place < len(text) and len(pairs) < 10 * MOST:
        while place < len(text) and text[place].isspace():
            place += 1
        label, place = _label(text, place)
        end = place
        while end < len(text) and not text[end].isspace():
            end += 1
        if label and text[place : place + 1] == "=":
            pairs.append((label, text[place + 1 : end]))
        place = max(end, place + 1)
    return pairs


def _label(text: str, place: int) -> tuple[str, int]:
    if text[place : place + 1] != "'":
        end = place
        while end < len(text) and text[end] != "=" and not text[end].isspace():
            end += 1
        return text[place:end], end
    letters: list[str] = []
    place += 1
    while place < len(text):
        if text[place] == "'":
            if text[place + 1 : place + 2] != "'":
                return "".join(letters), place + 1
            place += 1
        letters.append(text[place])
        place += 1
    return "", place


def _is_text(label: str) -> bool:
    return label.isprintable() and "\N{REPLACEMENT CHARACTER}" not in label


def _word(text: str) -> str:
    word = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:80]
    return f"value_{word}" if word[:1].isdigit() else word
