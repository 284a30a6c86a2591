"""The bank: every series judged against its own past, in arrays.

It answers "not yet" before `learn_samples`, never learns from blind or missing samples, and alarms when the evidence of
the last samples exceeds the limit that the series' own past gives for the stated false-alarm rate (see `kernel` and
`episodes`). While it alarms it learns at an eighth of its rate and does not recalibrate: an outage is not soon the new
normal, but a level that stays for two hours is. A value that does not move although it always did is an alarm too. A
series occurs once per call of the kernel; repeats go in rounds, in the order in which they came.

Here is what the bank holds and what one may ask it; `learning` is how samples teach it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.bank import episodes, kernel
from cemd.analyze.bank import season as seasons
from cemd.analyze.bank.fields import FIELDS
from cemd.analyze.bank.kernel import Kernel, Rows
from cemd.analyze.bank.learning import Lessons
from cemd.analyze.bank.passes import Passes
from cemd.analyze.bank.realised import Realised
from cemd.analyze.bank.season import SEASON
from cemd.analyze.columns import Array, Columns, aligned_zeros
from cemd.config.rules import Detector

FIRST = float(np.log10(kernel.SHARE))
FIRST_LIMIT = 120.0  # bits; until the interval is known
SPARSE = 16  # up to one row in so many is sought, not sorted


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
        self.season: dict[str, Array] = _no_season()
        self.realised = Realised(*episodes.SIDES)
        self._lessons = Lessons(Passes(), self.realised)
        self._fixed: dict[str, Array] = {}
        self._fix()

    def __len__(self) -> int:
        return len(self.columns)

    def add(self, binary: Array) -> None:
        """Appends series; `binary` (bool) marks those that hold only 0 and 1."""
        old = len(self)
        self.columns.add(len(binary))
        self.columns["binary"][old:] = binary
        memory = episodes.Memory(self.columns["episode"][old:])
        memory.apart[:], memory.limit[:] = episodes.PRIOR_APART, FIRST_LIMIT
        memory.deep[:] = episodes.FIRST_DEEP
        memory.excess[:] = np.where(binary, episodes.BINARY_EXCESS, episodes.PRIOR_EXCESS)
        room = len(self.columns.arrays["n"])
        if room > self.season["slot_mean"].shape[1]:
            for name, (dtype, hours) in SEASON.items():
                grown = aligned_zeros((hours, room), dtype)
                grown[:, :old] = self.season[name][:, :old]
                self.season[name] = grown
        self._fix()

    def _fix(self) -> None:
        """Views of all columns, so that no call has to cut them anew; of the memory of episodes by name."""
        self._fixed = {name: self.columns[name] for name in FIELDS}
        self._fixed |= {name: self._fixed["episode"][:, place] for place, name in enumerate(episodes.EPISODE)}
        self._lessons.fix(self._fixed, self.season)

    def use(self, kernel: Kernel) -> None:
        """Another way to the same bits: from the next sample on."""
        self._lessons.use(kernel)

    def altered(self) -> None:
        """To be called by whoever writes to columns: what was known of blocks as a whole may be so no more."""
        self._lessons.altered()

    def bytes_per_series(self) -> int:
        """Memory of one series, season included."""
        return self.columns.bytes_per_row() + sum(hours * np.dtype(dtype).itemsize for dtype, hours in SEASON.values())

    def observe(self, rows: NDArray[np.intp], at: Array, value: Array, outcome: Array, detector: Detector) -> None:
        """Takes samples in the order in which they came: rows intp[n], at and value float64[n], outcome uint8[n]."""
        if not len(rows):
            return
        if len(rows) > 1 and not np.logical_and.reduce(rows[1:] > rows[:-1]):
            rows, order = _in_order(rows, len(self))
            at, value, outcome = at.take(order), value.take(order), outcome.take(order)
            if (rows[1:] == rows[:-1]).any():
                place = np.arange(len(rows))
                first = np.append(True, rows[1:] != rows[:-1])
                turn = place - np.maximum.accumulate(np.where(first, place, 0))
                for number in range(int(turn.max()) + 1):
                    mine = turn == number
                    self._lessons.take(rows[mine], at[mine], value[mine], outcome[mine], detector)
                return
        self._lessons.take(rows, at, value, outcome, detector)

    def settle(self, rows: NDArray[np.intp]) -> None:
        """Before whoever reads or writes the season of these rows: what waits of it is learnt now."""
        self._lessons.settle(rows)

    def turned(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows whose alarm opened and rows whose alarm ended since the last call."""
        c = self.columns
        turned = np.flatnonzero(c["alarm"] != c["open"])
        c["open"][turned] = c["alarm"][turned]
        c["escalated"][turned] = False
        now = c["alarm"][turned]
        return turned[now], turned[~now]

    def escalated(self) -> NDArray[np.intp]:
        """Rows whose open alarm has gathered several times the evidence that opened it since the last call."""
        c = self._fixed
        worse = c["alarm"] & ~c["escalated"] & (c["peak"] >= c["limit"] * episodes.ESCALATES)
        grown: NDArray[np.intp] = worse.nonzero()[0]
        c["escalated"][grown] = True
        return grown

    def forget_alarm(self, rows: NDArray[np.intp]) -> None:
        """The rows are measured no more: nothing is open on them."""
        for name in ("alarm", "open"):
            self.columns[name][rows] = False
        self.columns["evidence"][rows] = 0.0

    def silent_after(self, detector: Detector, every_seconds: Array) -> Array:
        """Seconds without a sample that count as silence, per row; infinite before there is an interval."""
        c = self.columns
        usual = np.maximum(np.maximum(c["long_gap"], c["interval"]).astype(np.float64), every_seconds)
        return np.where((c["n"] > kernel.EARLY) | (every_seconds > 0), usual * detector.silence_intervals, np.inf)

    def band(self, rows: NDArray[np.intp], at: float, learn_samples: int) -> Band:
        """What each series should show at `at`: outside low..high lie 3 in 10,000 samples."""
        c = self.columns
        n, level, spread, third = (c[name][rows].astype(np.float64) for name in ("n", "level", "spread", "third"))
        binary = c["binary"][rows]
        expected = level + np.where(binary, 0.0, seasons.ahead(self.season, c, rows, at)) + c["base"][rows]
        scale = np.maximum(spread, c["floor"][rows])
        reach = np.where(binary, 1.0, third * scale)
        low, high = expected - reach, expected + reach
        low, high = np.where(binary, np.clip(low, 0, 1), low), np.where(binary, np.clip(high, 0, 1), high)
        unknown = n < learn_samples
        return Band(*(np.where(unknown, np.nan, part) for part in (expected, low, high)))

    def tail(self, rows: NDArray[np.intp], learn_samples: int) -> Array:
        """Tail probability of the last sample by the series' own past, 1 = ordinary; NaN while "not yet"."""
        c = self.columns
        z = np.maximum(c["z"][rows].astype(np.float64), 1e-12)
        t1, t2, t3 = (c[name][rows].astype(np.float64) for name in ("first", "second", "third"))
        t1 = np.maximum(t1, 1.0)
        t2 = np.maximum(t2, t1 * 1.001)
        t3 = np.maximum(t3, t2 * 1.001)
        power = np.clip(1.0 / np.log2(t3 / t2), float(kernel.TAIL_LEAST), float(kernel.TAIL_MOST))
        logarithm = np.select(
            [z < t1, z < t2, z < t3],
            [FIRST * z / t1, FIRST - (z - t1) / (t2 - t1), FIRST - 1 - (z - t2) / (t3 - t2)],
            FIRST - 2 - power * np.log2(np.maximum(z / t3, 1.0)),
        )
        of_binary = np.where(c["x"][rows] < 0.5, np.minimum(z, 1.0), 1.0)
        probability = np.where(c["binary"][rows], of_binary, 10.0 ** np.maximum(logarithm, -30.0))
        return np.where(c["n"][rows] < learn_samples, np.nan, probability)

    def score(self, rows: NDArray[np.intp], learn_samples: int) -> Array:
        """Evidence of the last samples together, 0 (ordinary) to 1; an alarm opens at 1/2; NaN while "not yet"."""
        share = self.share(rows, learn_samples)
        return share / (1.0 + share)

    def share(self, rows: NDArray[np.intp], learn_samples: int) -> Array:
        """Evidence of the last samples together, 1 where an alarm opens; NaN while "not yet"."""
        c = self._fixed
        share = c["evidence"][rows].astype(np.float64) / c["limit"][rows]
        return np.where(c["n"][rows] < learn_samples, np.nan, share)

    def share_at(self, rows: NDArray[np.intp], rarer: float) -> Array:
        """As `share`, of the peak of the episode, if alarms were to be so many times rarer than stated."""
        c = self._fixed
        more = np.maximum(c["excess"][rows], c["beyond"][rows]).astype(np.float64) * np.log(rarer)
        share: Array = c["peak"][rows].astype(np.float64) / (c["limit"][rows] + more)
        return share

    def age_of_alarm(self, rows: NDArray[np.intp]) -> Array:
        """Samples since the alarm of each row opened."""
        age: Array = self._fixed["n"][rows] - self._fixed["alarm_from"][rows] - 1
        return age

    def values(self) -> Array:
        """Last value of each series; NaN before the first."""
        return self.columns["base"] + self.columns["x"]

    def shift(self, seconds: float) -> None:
        """The clock jumped ahead: nobody was silent for that time."""
        self.columns["last_at"][:] += seconds

    def dump(self) -> dict[str, bytes]:
        size = len(self)
        season = {name: part[:, :size].tobytes() for name, part in self.season.items()}
        return {"rows": size.to_bytes(8, "little"), **self.columns.dump(), **season, **self.realised.dump()}

    def load(self, dumped: Mapping[str, bytes]) -> None:
        size = int.from_bytes(dumped["rows"], "little")
        self.columns = Columns(FIELDS)
        self.season = _no_season()
        self.add(np.zeros(size, np.bool_))
        self.columns.load(size, dumped)
        self.realised.load(dumped)
        self._fix()
        for name, (dtype, hours) in SEASON.items():
            self.season[name][:, :size] = np.frombuffer(dumped[name], dtype).reshape(hours, size)


def _in_order(rows: NDArray[np.intp], size: int) -> tuple[Rows, Array]:
    """(the rows ascending, where each was), repeats in the order in which they came; at most `size` are possible."""
    if len(rows) * SPARSE >= size:
        seen, place = np.zeros(size, np.bool_), np.zeros(size, np.int32)
        seen[rows], place[rows] = True, np.arange(len(rows), dtype=np.int32)
        ascending = seen.nonzero()[0]
        if len(ascending) == len(rows):
            return ascending, place.take(ascending)
    bits = len(rows).bit_length()  # row and place in one number: quicker to sort than any argsort
    both = np.sort((rows.astype(np.int64) << bits) | np.arange(len(rows)), kind="stable")
    return (both >> bits).astype(np.intp, copy=False), both & ((1 << bits) - 1)


def _no_season() -> dict[str, Array]:
    return {name: np.zeros((hours, 0), dtype) for name, (dtype, hours) in SEASON.items()}
