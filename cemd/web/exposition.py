"""Series as Prometheus text, straight from the columns.

A library that keeps an object a sample needs some 8 µs a line. Here a line's names are rendered once, when the series
appears; at a scrape msgspec prints a block of floats as one JSON array, which is cut at its commas and filled in
between the names. Blocks are small, so that the interpreter lock is never held long, and a block whose values did not
change keeps its text. A series without a value has no line: absent is what Prometheus understands as unknown.

Surprises: JSON writes NaN and infinities as null, so blocks that hold them are filled in line by line.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Block:
    """The names of some lines as one format string, a `%b` where each value goes.

    One string to fill in is quicker than two pieces a line to join, and half as large as a name an object.
    """

    form: bytes
    ends: NDArray[np.int32]
    """Where each line's part of `form` ends, int32[lines]."""

    @classmethod
    def of(cls, names: Sequence[bytes]) -> Block:
        """Lines that begin with `names`: `name{labels}`."""
        forms = [b"%b %%b\n" % name.replace(b"%", b"%%") for name in names]
        return cls(b"".join(forms), np.cumsum([len(form) for form in forms], dtype=np.int32))

    def names(self) -> list[bytes]:
        """The names that the lines begin with."""
        return [form[:-4].replace(b"%%", b"%") for form in self._forms(range(len(self.ends)))]

    def text(self, values: NDArray[np.float64]) -> bytes:
        """A line for every value that is a number; infinities are written, NaN leaves its line out.

        Args:
            values: As many as there are lines.
        """
        if np.isfinite(values).all():
            return self.form % tuple(_encode(values.tolist())[1:-1].split(b","))
        there = np.flatnonzero(~np.isnan(values))
        if not there.size:
            return b""
        words = _encode(values[there].tolist())[1:-1].split(b",")
        for place in np.flatnonzero(np.isinf(values[there])).tolist():
            words[place] = b"+Inf" if values[there[place]] > 0 else b"-Inf"
        return b"".join(self._forms(there.tolist())) % tuple(words)

    def _forms(self, lines: Iterable[int]) -> Iterator[bytes]:
        ends = self.ends.tolist()
        return (self.form[ends[line - 1] if line else 0 : ends[line]] for line in lines)


class SeriesText:
    """The lines of one metric over all series; keeps names and the text of blocks. Used by one thread at a time."""

    def __init__(self, metric: str, help_text: str) -> None:
        self.metric = metric
        self.head = f"# HELP {metric} {help_text}\n# TYPE {metric} gauge\n".encode()
        self._version = -1
        self._series: tuple[Series, ...] = ()
        self._blocks: list[Block] = []
        self._values: NDArray[np.float64] = np.zeros(0)
        self._texts: list[bytes] = []

    def name(self, series: tuple[Series, ...], version: int) -> None:
        """Renders the names of series that are new since the last call."""
        if version == self._version:
            return
        known = len(self._series)
        if self._series != series[:known]:
            known = 0
            self._blocks, self._values, self._texts = [], np.zeros(0), []
        seen: set[bytes] = set()
        for block in self._blocks:  # in portions: one large call would hold the interpreter lock
            seen.update(block.names())
            time.sleep(GIVE_WAY_SECONDS)
        started = self._last_opened(known)
        for number, one in enumerate(series[known:], 1):
            started.append(self._name(one, seen))
            if len(started) == BLOCK:
                self._blocks.append(Block.of(started))
                started = []
            if number % 250 == 0:
                time.sleep(GIVE_WAY_SECONDS)
        if started:
            self._blocks.append(Block.of(started))
        self._series, self._version = series, version

    def _last_opened(self, known: int) -> list[bytes]:
        """The names of the last block, taken out again, when it is not full."""
        if known % BLOCK == 0:
            return []
        names = self._blocks.pop().names()
        del self._texts[len(self._blocks) :]
        return names

    def _name(self, one: Series, seen: set[bytes]) -> bytes:
        """`metric{labels}`; where two sources measure the same, they are told apart by the series' number."""
        labels = labels_of(one.key)
        name = f"{self.metric}{{{labels}}}".encode()
        if name in seen:
            name = f'{self.metric}{{{labels},series="{one.id}"}}'.encode()
        seen.add(name)
        return name

    def render(self, values: NDArray[np.float64]) -> list[bytes]:
        """The metric's text in blocks; concatenated they are the family, head first. Gives way between blocks."""
        old, kept = self._values, self._texts
        fresh: list[bytes] = []
        for number, block in enumerate(self._blocks):
            cut = slice(number * BLOCK, (number + 1) * BLOCK)
            if number < len(kept) and _same(values[cut], old[cut]):
                fresh.append(kept[number])
                continue
            fresh.append(block.text(values[cut]))
            time.sleep(GIVE_WAY_SECONDS)
        self._values, self._texts = values, fresh
        return [self.head, *fresh]


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
