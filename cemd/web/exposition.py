"""Series as Prometheus text, straight from the columns.

A library that keeps an object a sample needs some 8 µs a line. Here a line's names are rendered once, when the series
appears; at a scrape msgspec prints a block of floats as one JSON array, which is cut at its commas and interleaved with
the names. Blocks are small, so that the interpreter lock is never held long, and a block whose values did not change
keeps its text. A series without a value has no line: absent is what Prometheus understands as unknown.

Surprises: JSON writes NaN and infinities as null, so blocks that hold them take a second look.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from cemd.model.measurement import Series, SeriesKey

BLOCK = 2000
"""Lines per block: rendered in about 0.25 ms, so a thread that renders gives way often."""

GIVE_WAY_SECONDS = 0.0001
"""Pause after a block. A pause of 0 would take the interpreter lock back before a waiting event loop wakes up, and the
loop would wait for the switch interval (5 ms) each time it needs the lock."""

_encode = msgspec.json.Encoder().encode
_NOT_IN_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_OWN = frozenset({"probe", "metric", "vantage", "target", "series"})


def escaped(text: str) -> str:
    """A label value as the text formats want it: backslash, quote and line feed escaped; lone surrogates replaced."""
    return text.translate(_ESCAPES).encode("utf-8", "replace").decode()


def label_name(text: str, taken: Iterable[str] = ()) -> str:
    """A valid label name for `text` that is not among `taken`: `round-trip` becomes `round_trip`."""
    name = _NOT_IN_LABEL.sub("_", text)
    if not name[:1].isalpha() or name in _OWN:
        name = f"label_{name.lstrip('_')}"
    while name in taken:
        name += "_"
    return name


def labels_of(key: SeriesKey) -> str:
    """`probe="a",metric="b",...`; empty vantage or target is left out, as an empty label is none."""
    parts = {"probe": key.probe, "metric": key.metric}
    if key.vantage:
        parts["vantage"] = key.vantage
    if key.target:
        parts["target"] = key.target
    for name, value in key.labels:
        parts[label_name(name, parts)] = value
    return ",".join(f'{name}="{escaped(value)}"' for name, value in parts.items())


def block_text(prefixes: Sequence[bytes], values: NDArray[np.float64]) -> bytes:
    """A line for every value that is a number; infinities are written, NaN leaves its line out.

    Args:
        prefixes: The line feed that ends the line before, and everything up to the value: `\\nname{labels} `. With the
            line feed in front there are two pieces a line to join, not three.
        values: As many.
    """
    finite = np.isfinite(values)
    if not finite.all():
        return _with_gaps(prefixes, values)
    pieces: list[bytes] = [b""] * (2 * len(prefixes))
    pieces[0::2] = prefixes
    pieces[1::2] = _encode(values.tolist())[1:-1].split(b",")
    return b"".join(pieces)


def _with_gaps(prefixes: Sequence[bytes], values: NDArray[np.float64]) -> bytes:
    words = {np.inf: b"+Inf", -np.inf: b"-Inf"}
    rows = zip(prefixes, values.tolist(), strict=True)
    return b"".join(b"%b%b" % (prefix, words.get(value) or _encode(value)) for prefix, value in rows if value == value)


class SeriesText:
    """The lines of one metric over all series; keeps names and the text of blocks. Used by one thread at a time."""

    def __init__(self, metric: str, help_text: str) -> None:
        self.metric = metric
        self.head = f"# HELP {metric} {help_text}\n# TYPE {metric} gauge".encode()
        self._version = -1
        self._series: tuple[Series, ...] = ()
        self._prefixes: list[bytes] = []
        self._values: NDArray[np.float64] = np.zeros(0)
        self._blocks: list[bytes] = []

    def name(self, series: tuple[Series, ...], version: int) -> None:
        """Renders the names of series that are new since the last call."""
        if version == self._version:
            return
        known = len(self._series)
        if self._series != series[:known]:
            known = 0
            self._prefixes, self._values, self._blocks = [], np.zeros(0), []
        seen: set[bytes] = set()
        for start in range(0, known, BLOCK):  # in portions: one large call would hold the interpreter lock
            seen.update(self._prefixes[start : start + BLOCK])
        for number, one in enumerate(series[known:], 1):
            labels = labels_of(one.key)
            prefix = f"\n{self.metric}{{{labels}}} ".encode()
            if prefix in seen:  # two sources measure the same: told apart by the series' number
                prefix = f'\n{self.metric}{{{labels},series="{one.id}"}} '.encode()
            seen.add(prefix)
            self._prefixes.append(prefix)
            if number % 250 == 0:
                time.sleep(GIVE_WAY_SECONDS)
        self._series, self._version = series, version

    def render(self, values: NDArray[np.float64]) -> list[bytes]:
        """The metric's text in blocks; concatenated they are the family, head first. Gives way between blocks."""
        old, blocks = self._values, self._blocks
        fresh: list[bytes] = []
        for number, start in enumerate(range(0, len(self._prefixes), BLOCK)):
            part = values[start : start + BLOCK]
            kept = old[start : start + BLOCK]
            if number < len(blocks) and _same(part, kept):
                fresh.append(blocks[number])
                continue
            fresh.append(block_text(self._prefixes[start : start + BLOCK], part))
            time.sleep(GIVE_WAY_SECONDS)
        self._values, self._blocks = values, fresh
        return [self.head, *fresh, b"\n"]


def _same(new: NDArray[np.float64], old: NDArray[np.float64]) -> bool:
    """Equal bit by bit, NaN included."""
    return len(new) == len(old) and bool(np.array_equal(new.view(np.int64), old.view(np.int64)))


def family(
    metric: str, help_text: str, rows: Iterable[tuple[dict[str, str], float | None]], kind: str = "gauge"
) -> bytes:
    """A small family of gauges, a line a row; rows without a value are left out, and so is a family without rows."""
    lines = []
    for labels, value in rows:
        if value is None or value != value:
            continue
        inside = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items() if text)
        lines.append(f"{metric}{{{inside}}} {number(value)}\n" if inside else f"{metric} {number(value)}\n")
    return f"# HELP {metric} {help_text}\n# TYPE {metric} {kind}\n{''.join(lines)}".encode() if lines else b""


def number(value: float) -> str:
    """A float as both text formats read it."""
    words: dict[Any, str] = {np.inf: "+Inf", -np.inf: "-Inf"}
    return words.get(value) or repr(float(value))
