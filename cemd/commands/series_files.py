"""CSV files of one series each: read in blocks, so that a file may be larger than memory; scores written beside them.

A file begins with a heading that names `timestamp` and `value` (others are passed over); one row is one sample, in the
order in which it came. An empty value is a sample that is missing; `nan` and `inf` are as well, and are told, as are
times that go back: every row is still read, and gets its score.
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
from cemd.errors import CemdError

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
    newest: float = -math.inf

    def note_time(self, at: float, line: int) -> None:
        if at < self.newest:
            self.back += 1
            self.back_line = self.back_line or line
        self.newest = max(self.newest, at)

    def note_value(self, line: int) -> None:
        self.no_number += 1
        self.no_number_line = self.no_number_line or line

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
    rows = csv.reader(file)
    head = [name.strip() for name in next(rows, [])]
    for name in ("timestamp", "value"):
        if name not in head:
            raise FileFault(path, 1, f'no column "{name}"', 'begin the file with a line "timestamp,value"')
    stamp_column, value_column = head.index("timestamp"), head.index("value")
    last = max(stamp_column, value_column)
    stamps: list[str] = []
    at: list[float] = []
    value: list[float] = []
    for row in rows:
        if not row:
            continue
        if len(row) <= last:
            raise FileFault(
                path, rows.line_num, f"{len(row)} columns", f"give at least {last + 1}, as the heading says"
            )
        stamps.append(row[stamp_column])
        at.append(_seconds(path, rows.line_num, row[stamp_column]))
        odd.note_time(at[-1], rows.line_num)
        value.append(_number(path, rows.line_num, row[value_column], odd))
        if len(stamps) == BLOCK:
            yield Rows(stamps, np.array(at), np.array(value))
            stamps, at, value = [], [], []
    if stamps:
        yield Rows(stamps, np.array(at), np.array(value))


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


def _number(path: Path, line: int, text: str, odd: Oddities) -> float:
    """NaN where there is none to learn from: nothing stands there, or nan, or inf."""
    if not text.strip():
        return math.nan
    try:
        number = float(text)
    except ValueError:
        remedy = "write a number, or nothing where it is missing"
        raise FileFault(path, line, f'"{text}" is no number', remedy) from None
    if math.isfinite(number):
        return number
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
