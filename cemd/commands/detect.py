"""`cemd detect`: replays folders of series through a tier of detection, one score a row, each from what came before it.

Files are replayed side by side, AT_ONCE at a time, row by row: the detector works on arrays across series. What a file
gets does not depend on its neighbours. A faulty file gets no scores, and is told; the others get theirs. Times that go
back and values that are no number are told as well, and cost nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

from cemd.analyze.columns import Array
from cemd.analyze.tiers import BankTier, DeepTier, Tier
from cemd.commands.series_files import FileFault, Oddities, Rows, ScoreFile, read_blocks
from cemd.errors import CemdError
from cemd.kit.words import counted

AT_ONCE = 400
"""Files that are open at a time: two descriptors each, below the usual limit of 1,024."""
TOLD_EVERY_SECONDS = 2.0
MOST_NOTICES = 20
"""Odd files that are told one by one at a terminal; `--json` lists all."""
TIERS: dict[str, type[DeepTier] | type[BankTier]] = {"deep": DeepTier, "bank": BankTier}


@dataclass(slots=True)
class Summary:
    """What was done."""

    tier: str
    files: int = 0
    rows: int = 0
    missing: int = 0
    alarms: int = 0
    cpu_seconds: float = 0.0
    faults: list[FileFault] = field(default_factory=list)
    notices: list[FileFault] = field(default_factory=list)
    """What is odd in files that were scored."""

    def document(self) -> dict[str, object]:
        return {
            "ok": not self.faults,
            "tier": self.tier,
            "files": self.files,
            "rows": self.rows,
            "missing_values": self.missing,
            "alarms": self.alarms,
            "rows_per_cpu_second": round(self.rows / self.cpu_seconds) if self.cpu_seconds else None,
            "faults": [_document(one) for one in self.faults],
            "notices": [_document(one) for one in self.notices],
        }


def _document(one: FileFault) -> dict[str, object]:
    return {"file": str(one.path), "line": one.line, "fact": one.fact, "remedy": one.remedy}


class _Series:
    """One file on its way through the detector."""

    def __init__(self, source: Path, target: Path) -> None:
        self.source = source
        self.odd = Oddities(source)
        self._blocks = read_blocks(source, self.odd)
        self.scores = ScoreFile(target)
        self.rows = 0

    def next_block(self) -> Rows | None:
        block = next(self._blocks, None)
        self.rows += len(block.stamp) if block else 0
        return block


def run_detect(source: Path, target: Path, *, tier: str, gate: bool, as_json: bool) -> int:
    """Replays every CSV below `source` and writes the same relative paths below `target`; returns the exit code.

    Raises:
        CemdError: there is nothing to replay, or the target cannot be written.
    """
    files = sorted(path for path in source.rglob("*") if path.name.lower().endswith(".csv") and not path.is_dir())
    if not files:
        raise CemdError(f"{source} holds no CSV; give a folder with files of timestamp,value.")
    if target.resolve() == source.resolve():
        raise CemdError(f"{target} is the input as well; give another folder, or the series would be overwritten.")
    files.sort(key=lambda path: -_size(path))  # of like length together: arrays stay full
    summary, told = Summary(tier), _Progress(len(files), silent=as_json)
    start = time.process_time()
    try:
        for first in range(0, len(files), AT_ONCE):
            _replay(files[first : first + AT_ONCE], source, target, TIERS[tier](), summary, told, gate=gate)
    except OSError as exc:
        raise CemdError(f"{target} cannot be written ({exc.strerror}); give a folder of yours with room.") from exc
    summary.cpu_seconds = time.process_time() - start
    _print(summary, target, as_json=as_json)
    return 1 if summary.faults else 0


def _size(path: Path) -> int:
    """Bytes of a file; 0 where it cannot be asked, which reading it will tell."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _replay(
    files: list[Path], source: Path, target: Path, tier: Tier, summary: Summary, told: _Progress, *, gate: bool
) -> None:
    series = [_Series(path, target / path.relative_to(source)) for path in files]
    tier.add(len(series))
    live = dict(enumerate(series))
    try:
        while live:
            blocks: dict[int, Rows] = {}
            for number, one in list(live.items()):
                if (block := _next(one, summary)) is None:
                    del live[number]
                else:
                    blocks[number] = block
            for number, scores in _judge(tier, blocks, summary, gate=gate):
                live[number].scores.write(blocks[number].stamp, scores)
            told.tell(summary)
    finally:
        for one in live.values():
            one.scores.drop()


def _next(one: _Series, summary: Summary) -> Rows | None:
    """The next rows of a file; None when it is finished, or found faulty."""
    try:
        block = one.next_block()
    except FileFault as fault:
        one.scores.drop()
        summary.faults.append(fault)
        return None
    if block is None:
        one.scores.keep()
        summary.files += 1
        summary.rows += one.rows
        summary.notices.extend(one.odd.told())
    return block


def _judge(tier: Tier, blocks: dict[int, Rows], summary: Summary, *, gate: bool) -> Iterator[tuple[int, Array]]:
    """Row by row across all files; a missing value scores 0 and teaches nothing."""
    numbers = np.array(sorted(blocks), np.intp)
    length = max((len(block.at) for block in blocks.values()), default=0)
    at, value = np.zeros((length, len(numbers))), np.full((length, len(numbers)), np.nan)
    for column, number in enumerate(numbers.tolist()):
        block = blocks[number]
        at[: len(block.at), column], value[: len(block.at), column] = block.at, block.value
        summary.missing += int(np.isnan(block.value).sum())
    scores = np.zeros_like(at)
    for row in range(length):
        there = np.flatnonzero(~np.isnan(value[row]))
        gated, severe = tier.observe(numbers[there], at[row, there], value[row, there])
        summary.alarms += int(np.count_nonzero(gated))
        scores[row, there] = gated if gate else severe
    for column, number in enumerate(numbers.tolist()):
        yield number, scores[: len(blocks[number].at), column]


class _Progress:
    """One line at a terminal, now and then."""

    def __init__(self, files: int, *, silent: bool) -> None:
        self._files = files
        self._silent = silent or not sys.stderr.isatty()
        self._due = time.monotonic() + TOLD_EVERY_SECONDS

    def tell(self, summary: Summary) -> None:
        if self._silent or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + TOLD_EVERY_SECONDS
        click.echo(
            f"{summary.files} of {counted(self._files, 'file')}, {counted(summary.alarms, 'alarm')} so far", err=True
        )


def _print(summary: Summary, target: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summary.document(), indent=2))
        return
    for notice in summary.notices[:MOST_NOTICES]:
        click.echo(str(notice), err=True)
    if len(summary.notices) > MOST_NOTICES:
        click.echo(f"{len(summary.notices) - MOST_NOTICES} more such notices; --json lists them all.", err=True)
    for fault in summary.faults:
        click.echo(str(fault), err=True)
    click.echo(
        f"{counted(summary.files, 'file')} with {counted(summary.rows, 'row')} scored by the {summary.tier} detector "
        f"into {target}: {counted(summary.alarms, 'alarm')}, "
        f"{summary.rows / max(summary.cpu_seconds, 1e-9):,.0f} rows a second of one processor."
    )
    if summary.faults:
        click.echo(_faulty(len(summary.faults)), err=True)


def _faulty(files: int) -> str:
    return "1 file is faulty and has no scores." if files == 1 else f"{files:,} files are faulty and have no scores."
