"""The bank: every series judged against its own past, in arrays; some 90 passes of numpy for 32 k series at a time.

It answers "not yet" before `learn_samples`, never learns from blind or missing samples, and alarms when the evidence of
the last samples together exceeds a limit that holds the stated false-alarm rate (see `kernel`). While it alarms it
learns at an eighth of its rate and does not recalibrate: an outage is not soon the new normal, but a shift that stays
is learnt in bounded time. A series occurs once per kernel call; repeats go in rounds, in the order in which they came.

Season: 168 hours of the week (UTC) x mean, spread and count, kept hour by hour, so that one tick reads one row of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemd.analyze import kernel
from cemd.analyze.columns import Array, Columns, Field, aligned_zeros
from cemd.analyze.kernel import BLOCK, Block, Scratch
from cemd.config.rules import Detector
from cemd.model.quality import Outcome

HOURS = 168
WEEK_SECONDS = 604_800.0
HOUR_SECONDS = 3600.0
NOT_SEEN = 255
FIRST = float(np.log10(kernel.SHARES[0]))
FIELDS = {
    "base": Field("<f8"),  # first value: what is kept in single precision is relative to it
    "last_at": Field("<f8", -np.inf),
    "n": Field("<f4"),
    "level": Field("<f4"),
    "spread": Field("<f4"),
    "bet": Field("<f4", 1.0),
    "slot_wins": Field("<f4", 0.5),  # share of samples that the hour of the week foretold better than the level
    "interval": Field("<f4"),
    "long_gap": Field("<f4"),
    "z": Field("<f4"),
    "x": Field("<f4", np.nan),
    "outcome": Field("|u1", NOT_SEEN),
    "binary": Field("|b1"),
    "alarm": Field("|b1"),
    "open": Field("|b1"),
}
START = np.array([[2.46], [3.52], [4.36]], np.float32)
"""Thresholds of a normal distribution in mean absolute deviations: where steering starts."""

SEASON = {"slot_mean": "<f4", "slot_spread": "<f4", "slot_count": "|u1"}


@dataclass(frozen=True, slots=True)
class Band:
    """What is expected now, in the unit of the series; NaN while "not yet"."""

    expected: Array
    low: Array
    high: Array


class Bank:
    """State of all series by row."""

    def __init__(self) -> None:
        self.columns = Columns(FIELDS)
        self.season: dict[str, Array] = {name: np.zeros((HOURS, 0), dtype) for name, dtype in SEASON.items()}
        self.thresholds: Array = np.zeros((3, 0), np.float32)
        self._scratch = Scratch()

    def __len__(self) -> int:
        return len(self.columns)

    def add(self, binary: Array) -> None:
        """Appends series; `binary` (bool) marks those that hold only 0 and 1."""
        old = len(self)
        self.columns.add(len(binary))
        self.columns["binary"][old:] = binary
        room = len(self.columns.arrays["n"])
        if room > self.season["slot_mean"].shape[1]:
            for name, dtype in SEASON.items():
                grown = aligned_zeros((HOURS, room), dtype)
                grown[:, :old] = self.season[name][:, :old]
                self.season[name] = grown
            thresholds = aligned_zeros((3, room), "<f4")
            thresholds[:, :old] = self.thresholds[:, :old]
            self.thresholds = thresholds
        self.thresholds[:, old : len(self)] = START

    def bytes_per_series(self) -> int:
        """Memory of one series, season included."""
        return self.columns.bytes_per_row() + 3 * 4 + HOURS * sum(np.dtype(dtype).itemsize for dtype in SEASON.values())

    def observe(self, rows: NDArray[np.intp], at: Array, value: Array, outcome: Array, detector: Detector) -> None:
        """Takes samples in the order in which they came: rows intp[n], at and value float64[n], outcome uint8[n]."""
        if not len(rows):
            return
        if len(rows) > 1 and not np.logical_and.reduce(rows[1:] > rows[:-1]):
            bits = len(rows).bit_length()  # row and place in one number: sorts stably, and quicker than any argsort
            both = np.sort((rows.astype(np.int64) << bits) | np.arange(len(rows)))
            order, rows = both & ((1 << bits) - 1), (both >> bits).astype(np.intp, copy=False)
            at, value, outcome = at[order], value[order], outcome[order]
            if (rows[1:] == rows[:-1]).any():
                place = np.arange(len(rows))
                first = np.append(True, rows[1:] != rows[:-1])
                turn = place - np.maximum.accumulate(np.where(first, place, 0))
                for number in range(int(turn.max()) + 1):
                    mine = turn == number
                    self._round(rows[mine], at[mine], value[mine], outcome[mine], detector)
                return
        self._round(rows, at, value, outcome, detector)

    def _round(self, rows: NDArray[np.intp], at: Array, value: Array, outcome: Array, detector: Detector) -> None:
        """Rows ascend and differ."""
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            self._look(rows[part], at[part], value[part], outcome[part], detector)

    def _look(self, rows: NDArray[np.intp], at: Array, value: Array, outcome: Array, detector: Detector) -> None:
        """At most BLOCK rows: those that were blind or have no value teach nothing."""
        span = _span(rows)
        c = self.columns
        c["outcome"][span] = outcome
        if (
            not math.isfinite(np.add.reduce(value)) or np.maximum.reduce(outcome) >= Outcome.BLIND
        ):  # quicker than to look at each
            teaches = np.isfinite(value) & (outcome != Outcome.BLIND)
            looked = rows[~teaches]
            c["last_at"][looked] = np.maximum(c["last_at"][looked], at[~teaches])
            rows, at, value = rows[teaches], at[teaches], value[teaches]
            span = _span(rows)
        binary = c["binary"][span]
        if np.logical_or.reduce(binary):
            self._teach(rows[binary], at[binary], value[binary], detector, binary=True)
            rows, at, value = rows[~binary], at[~binary], value[~binary]
        if len(rows):
            self._teach(rows, at, value, detector, binary=False)

    def _teach(self, rows: Array, at: Array, value: Array, detector: Detector, *, binary: bool) -> None:
        span = _span(rows)
        c = self.columns
        held = {name: c[name][span] for name in kernel.STATE}
        held["thresholds"] = self.thresholds[:, span]
        alarm = c["alarm"][span]
        limit = WEEK_SECONDS / detector.false_alarms_per_series_week
        block = Block(held, alarm, self._scratch, learn_samples=float(detector.learn_samples), limit_seconds=limit)
        if block.youngest == 0:
            fresh = held["n"] == 0
            new = rows[fresh]
            c["base"][new] = 0.0 if binary else value[fresh]
            c["last_at"][new] = at[fresh]
        last_at = c["last_at"][span]
        gap, exact = block.tmp[kernel.GAP], self._scratch.doubles[: len(rows)]
        np.subtract(at, last_at, out=exact)  # and then to single precision: in one go it would be slower
        np.copyto(gap, exact, casting="same_kind")
        if np.minimum.reduce(gap) >= 0.0:
            c["last_at"][span] = at
        else:
            np.maximum(gap, 0.0, out=gap)
            c["last_at"][span] = np.maximum(last_at, at)
        np.subtract(value, c["base"][span], out=exact)
        np.copyto(held["x"], exact, casting="same_kind")
        season: dict[str, Array] = {}
        where: Array | None = None
        if binary:
            kernel.run_binary(block)
        else:
            season, where = self._season_of(rows, span, at)
            held.update(season)
            kernel.run(block)
        if not isinstance(span, slice):
            for name in kernel.STATE:
                c[name][span] = held[name]
            c["alarm"][span] = alarm
            self.thresholds[:, span] = held["thresholds"]
        for name, part in season.items():
            if where is not None:
                self.season[name].reshape(-1)[where] = part

    def _season_of(self, rows: Array, span: Array | slice, at: Array) -> tuple[dict[str, Array], Array | None]:
        """Views of this hour's row where rows follow each other in one hour; else copies and where they belong."""
        first, last = int(np.minimum.reduce(at) / HOUR_SECONDS), int(np.maximum.reduce(at) / HOUR_SECONDS)
        if first == last and isinstance(span, slice):
            return {name: part[first % HOURS, span] for name, part in self.season.items()}, None
        hour = (at / HOUR_SECONDS).astype(np.int64) % HOURS
        where = hour * self.season["slot_mean"].shape[1] + rows
        return {name: part.reshape(-1)[where] for name, part in self.season.items()}, where

    def turned(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows whose alarm opened and rows whose alarm ended since the last call."""
        c = self.columns
        turned = np.flatnonzero(c["alarm"] != c["open"])
        c["open"][turned] = c["alarm"][turned]
        now = c["alarm"][turned]
        return turned[now], turned[~now]

    def forget_alarm(self, rows: NDArray[np.intp]) -> None:
        """The rows are measured no more: nothing is open on them."""
        for name in ("alarm", "open"):
            self.columns[name][rows] = False
        self.columns["bet"][rows] = 1.0

    def silent_after(self, detector: Detector, every_seconds: Array) -> Array:
        """Seconds without a sample that count as silence, per row; infinite before there is an interval."""
        c = self.columns
        usual = np.maximum(c["long_gap"].astype(np.float64), every_seconds)
        return np.where((c["n"] > kernel.EARLY) | (every_seconds > 0), usual * detector.silence_intervals, np.inf)

    def band(self, rows: NDArray[np.intp], at: float, learn_samples: int) -> Band:
        """What each series should show at `at`: outside low..high lie 1 in 2,000 samples."""
        c = self.columns
        hour = int(at / HOUR_SECONDS) % HOURS
        n, level, spread = (c[name][rows].astype(np.float64) for name in ("n", "level", "spread"))
        mean, hour_spread, count = (self.season[name][hour][rows].astype(np.float64) for name in SEASON)
        share = np.minimum(count / kernel.FULL_SLOT, 1.0)
        binary = c["binary"][rows]
        weight = np.where(binary, 0.0, share * c["slot_wins"][rows])
        expected = level + weight * (mean - level) + c["base"][rows]
        floor = np.abs(level) * float(kernel.RELATIVE_FLOOR) + float(kernel.ABSOLUTE_FLOOR)
        scale = np.maximum(spread + 0.5 * share * (hour_spread - spread), floor)
        deepest = self.thresholds[:, rows].max(axis=0)
        reach = np.where(binary, 1.0, deepest * scale)
        low, high = expected - reach, expected + reach
        low, high = np.where(binary, np.clip(low, 0, 1), low), np.where(binary, np.clip(high, 0, 1), high)
        unknown = n < learn_samples
        return Band(*(np.where(unknown, np.nan, part) for part in (expected, low, high)))

    def tail(self, rows: NDArray[np.intp], learn_samples: int) -> Array:
        """Tail probability of the last sample by the series' own past, 1 = ordinary; NaN while "not yet"."""
        c = self.columns
        z = np.maximum(c["z"][rows].astype(np.float64), 1e-12)
        t1, t2, t3 = self.thresholds[:, rows].astype(np.float64)
        t2 = np.maximum(t2, t1 * 1.001)
        t3 = np.maximum(t3, t2 * 1.001)
        logarithm = np.select(
            [z < t1, z < t2, z < t3],
            [FIRST * z / t1, FIRST - (z - t1) / (t2 - t1), FIRST - 1 - (z - t2) / (t3 - t2)],
            FIRST - 2 - np.log2(z / t3),
        )
        of_binary = np.where(c["x"][rows] < 0.5, np.minimum(z, 1.0), 1.0)
        probability = np.where(c["binary"][rows], of_binary, 10.0 ** np.maximum(logarithm, -30.0))
        return np.where(c["n"][rows] < learn_samples, np.nan, probability)

    def values(self) -> Array:
        """Last value of each series; NaN before the first."""
        return self.columns["base"] + self.columns["x"]

    def shift(self, seconds: float) -> None:
        """The clock jumped ahead: nobody was silent for that time."""
        self.columns["last_at"][:] += seconds

    def dump(self) -> dict[str, bytes]:
        size = len(self)
        season = {name: part[:, :size].tobytes() for name, part in self.season.items()}
        return {
            "rows": size.to_bytes(8, "little"),
            **self.columns.dump(),
            **season,
            "thresholds": self.thresholds[:, :size].tobytes(),
        }

    def load(self, dumped: Mapping[str, bytes]) -> None:
        size = int.from_bytes(dumped["rows"], "little")
        self.columns = Columns(FIELDS)
        self.season = {name: np.zeros((HOURS, 0), dtype) for name, dtype in SEASON.items()}
        self.add(np.zeros(size, np.bool_))
        self.columns.load(size, dumped)
        self.thresholds[:, :size] = np.frombuffer(dumped["thresholds"], "<f4").reshape(3, size)
        room = len(self.columns.arrays["n"])
        for name, dtype in SEASON.items():
            part = aligned_zeros((HOURS, room), dtype)
            part[:, :size] = np.frombuffer(dumped[name], dtype).reshape(HOURS, size)
            self.season[name] = part


def _span(rows: Array) -> Array | slice:
    """A slice where the rows follow each other, so that views will do; else the rows."""
    if len(rows) and int(rows[-1]) - int(rows[0]) + 1 == len(rows):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows
