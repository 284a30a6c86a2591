"""CSV files of one series each: read in blocks, so that a file may be larger than memory; scores written beside them.

A file begins with a heading that names `timestamp` and `value` (others are passed over); one row is one sample, in the
order in which it came.

Refused as a whole: a file that cannot be read, is no CSV in UTF-8, lacks a column, or holds a whole line without a time
or with a value that is no number: what it means, its maker must say. Read all the same, and told: `nan` and `inf`,
which count as missing, as an empty value does (that is not told: so a gap is written); what is beyond `LARGEST`, which
counts as that, as in the daemon; times that go back; and a last line that breaks off before its line end, since the
file is still written to: it is passed over. A last line without a line end that can be read is read.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from cemd.analyze.columns import Array
from cemd.analyze.stage import LARGEST
from cemd.errors import CemdError
from cemd.kit.words import counted

BLOCK = 2048
"""Rows read at a time."""


class FileFault(CemdError):  # noqa: N818 -- the word of the house for what is wrong in a file
    """A file cannot be used: place, fact and remedy."""

    def __init__(self, path: Path, line: int, fact: str, remedy: str) -> None:
        self.path, self.line, self.fact, self.remedy = path, line, fact, remedy
        super().__init__(f"{path}:{line}: {fact}; {remedy}")


@dataclass(slots=True)
class Oddities:
    """What is read and scored, yet hardly meant so: how many rows, and the line of the first."""

    path: Path
    back: int = 0
    back_line: int = 0
    no_number: int = 0
    no_number_line: int = 0
    huge: int = 0
    huge_line: int = 0
    cut_line: int = 0
    newest: float = -math.inf

    def note_time(self, at: float, line: int) -> None:
        if at < self.newest:
            self.back += 1
            self.back_line = self.back_line or line
        self.newest = max(self.newest, at)

    def note_value(self, line: int) -> None:
        self.no_number += 1
        self.no_number_line = self.no_number_line or line

    def note_huge(self, line: int) -> None:
        self.huge += 1
        self.huge_line = self.huge_line or line

    def told(self) -> list[FileFault]:
        """Place, fact and remedy of each, in the words of a fault."""
        said = []
        if self.back:
            fact = f"{_rows(self.back)} before the newest time so far; scored in the order of the file"
            remedy = "sort the file by time, or write times in UTC where a clock was set back"
            said.append(FileFault(self.path, self.back_line, fact, remedy))
        if self.no_number:
            fact = f"{_rows(self.no_number)} nan or inf; counted as missing: they score 0 and teach nothing"
            remedy = "write a number, or nothing where it is missing"
            said.append(FileFault(self.path, self.no_number_line, fact, remedy))
        if self.huge:
            fact = f"{_rows(self.huge)} beyond {LARGEST:g} or -{LARGEST:g}; scored as if that stood there"
            remedy = "write a larger unit, or nothing where a number stands for a missing one"
            said.append(FileFault(self.path, self.huge_line, fact, remedy))
        if self.cut_line:
            fact = "the last line breaks off; it is passed over, and all before it are scored"
            remedy = "run this again when the file is written, or end the line"
            said.append(FileFault(self.path, self.cut_line, fact, remedy))
        return said


def _rows(count: int) -> str:
    return "one row is" if count == 1 else f"{count:,} rows are"


class Rows(NamedTuple):
    """Some rows of a file: times as they were written, in seconds, and values (NaN: missing)."""

    stamp: list[str]
    at: Array
    value: Array


def read_blocks(path: Path, odd: Oddities | None = None) -> Iterator[Rows]:
    """All rows of a file, BLOCK at a time; what is odd about them is noted in `odd`.

    Raises:
        FileFault: the file cannot be read, lacks a column, or holds what is no time or number.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from _blocks(path, file, Oddities(path) if odd is None else odd)
    except OSError as exc:
        raise FileFault(path, 1, f"cannot be read ({exc.strerror})", "give it to the user that runs this") from exc
    except UnicodeDecodeError as exc:
        raise FileFault(path, 1, f"is no UTF-8 text ({exc.reason})", "write it as plain CSV") from exc
    except csv.Error as exc:
        raise FileFault(path, 1, f"is no CSV ({exc})", "write one row a line, with commas") from exc


def _blocks(path: Path, file: TextIO, odd: Oddities) -> Iterator[Rows]:
    lines = _Lines(file)
    rows = csv.reader(lines)
    head = [name.strip() for name in next(rows, [])]
    for name in ("timestamp", "value"):
        if name not in head:
            raise FileFault(path, 1, f'no column "{name}"', 'begin the file with a line "timestamp,value"')
    places = head.index("timestamp"), head.index("value")
    stamps: list[str] = []
    at: list[float] = []
    value: list[float] = []
    for row in rows:
        if not row:
            continue
        try:
            seconds, number = _sample(path, rows.line_num, row, places)
        except FileFault:
            if not lines.unfinished:
                raise
            odd.cut_line = rows.line_num
            break
        if lines.unfinished and seconds < odd.newest:  # the first digits of a time are a time as well
            odd.cut_line = rows.line_num
            break
        stamps.append(row[places[0]])
        at.append(seconds)
        odd.note_time(seconds, rows.line_num)
        value.append(_usable(number, rows.line_num, odd) if row[places[1]].strip() else math.nan)
        if len(stamps) == BLOCK:
            yield Rows(stamps, np.array(at), np.array(value))
            stamps, at, value = [], [], []
    if lines.broken:
        odd.cut_line = rows.line_num + 1
    if stamps:
        yield Rows(stamps, np.array(at), np.array(value))


class _Lines:
    """The lines of a file; a last one that ends within a character is left out."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.unfinished = False
        """Whether the line that was read last has no line end."""
        self.broken = False

    def __iter__(self) -> Iterator[str]:
        try:
            for line in self._file:
                self.unfinished = not line.endswith(("\n", "\r"))
                yield line
        except UnicodeDecodeError as exc:
            if exc.reason != "unexpected end of data":
                raise
            self.broken = True


def _sample(path: Path, line: int, row: list[str], places: tuple[int, int]) -> tuple[float, float]:
    """Time and value of a row; NaN where no value stands."""
    if len(row) <= max(places):
        raise FileFault(
            path, line, counted(len(row), "column"), f"give at least {max(places) + 1}, as the heading says"
        )
    return _seconds(path, line, row[places[0]]), _number(path, line, row[places[1]])


def _seconds(path: Path, line: int, text: str) -> float:
    """Seconds since 1970; a time without zone counts as UTC."""
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not 0.0 <= seconds < 1e11:
            raise FileFault(
                path, line, f'"{text}" is no time', "write 2026-03-01 12:00:00 (UTC) or seconds since 1970"
            ) from None
        return seconds
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _number(path: Path, line: int, text: str) -> float:
    """NaN where nothing stands there."""
    if not text.strip():
        return math.nan
    try:
        return float(text)
    except ValueError:
        remedy = "write a number, or nothing where it is missing"
        raise FileFault(path, line, f'"{text}" is no number', remedy) from None


def _usable(number: float, line: int, odd: Oddities) -> float:
    """NaN where there is nothing to learn from; within the bounds that the daemon keeps as well."""
    if -LARGEST <= number <= LARGEST:
        return number
    if math.isfinite(number):
        odd.note_huge(line)
        return math.copysign(LARGEST, number)
    odd.note_value(line)
    return math.nan


class ScoreFile:
    """The scores of one file; it takes its name only when it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f"{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._draft.open("w", encoding="utf-8", newline="\n")
        self._file.write("timestamp,anomaly_score\n")

    def write(self, stamps: list[str], scores: Array) -> None:
        self._file.writelines(
            f"{_quoted(stamp)},{score:.6g}\n" for stamp, score in zip(stamps, scores.tolist(), strict=True)
        )

    def keep(self) -> None:
        self._file.close()
        self._draft.replace(self._path)

    def drop(self) -> None:
        self._file.close()
        self._draft.unlink(missing_ok=True)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n\r') else text
