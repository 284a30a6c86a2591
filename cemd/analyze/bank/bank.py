"""The bank: every series judged against its own past, in arrays; some forty passes of numpy for 50 k series at a time.

It answers "not yet" before `learn_samples`, never learns from blind or missing samples, and alarms when the evidence of
the last samples exceeds the limit that the series' own past gives for the stated false-alarm rate (see `kernel` and
`episodes`). While it alarms it learns at an eighth of its rate and does not recalibrate: an outage is not soon the new
normal, but a level that stays for two hours is. A value that does not move although it always did is an alarm too. A
series occurs once per kernel call; repeats go in rounds, in the order in which they came.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.bank import episodes, flat, kernel
from cemd.analyze.bank import season as seasons
from cemd.analyze.bank.kernel import BLOCK, Beyond, Block, Rows, Scratch, span_of
from cemd.analyze.bank.realised import Realised
from cemd.analyze.bank.season import NEVER, SEASON
from cemd.analyze.columns import Array, Columns, Field, aligned_zeros
from cemd.config.rules import Detector
from cemd.model.quality import Outcome

WEEK_SECONDS = 604_800.0
HOUR_SECONDS = 3600.0
NOT_SEEN = 255
FIRST = float(np.log10(kernel.SHARE))
FIRST_LIMIT = 120.0  # bits; until the interval is known
SPARSE = 16  # up to one row in so many is sought, not sorted
FULL, SET_BACK = np.float32(2.0**23), np.float32(2.0**22)  # samples: 97 days at one a second
MOST_VIEWS = 256  # blocks whose views are kept
FIELDS = {
    "base": Field("<f8"),  # first value: what is kept in single precision is relative to it
    "last_at": Field("<f8", -np.inf),
    "n": Field("<f4"),
    "level": Field("<f4"),  # what is expected
    "spread": Field("<f4", 1e-9),  # mean distance from it, for this hour
    "floor": Field("<f4", 1e-9),
    "evenness": Field("<f4", 1.0),  # one over this hour's spread, as a ratio of the usual one
    "slope": Field("<f4"),  # of the season, a second
    "evidence": Field("<f4"),  # bits
    "z": Field("<f4"),
    "x": Field("<f4", np.nan),
    "first": Field("<f4", 2.72),  # thresholds of a normal distribution, in mean distances: where steering starts
    "second": Field("<f4", 3.72),
    "third": Field("<f4", 4.53),
    "interval": Field("<f4"),
    "long_gap": Field("<f4"),
    "hour": Field("<i4", NEVER),
    "hour_from": Field("<f4"),  # n at the beginning of this hour
    "hour_sum": Field("<f4"),
    "hour_dev": Field("<f4"),
    "last_mean": Field("<f4", np.nan),
    "foretold": Field("<f4"),
    "over_mean": Field("<f4", np.nan),  # of the hour before, until it is learnt
    "over_dev": Field("<f4"),
    "now": Field("<f4", np.nan),  # usual in the next hour, and in the one after that
    "after": Field("<f4", np.nan),
    "next_evenness": Field("<f4", 1.0),
    "foreseen": Field("|b1"),  # these three are looked up, and the hour before is learnt
    "usual_dev": Field("<f4"),
    "hours": Field("<f4"),
    "trust_product": Field("<f4"),
    "trust_square": Field("<f4"),
    "jump_product": Field("<f4"),
    "jump_square": Field("<f4"),
    "episode": Field("<f4", shape=(len(episodes.EPISODE),)),
    "alike": Field("<u2"),  # class of series by which the limit was corrected
    "run": Field("<u2"),
    "longest": Field("<u2"),
    "outcome": Field("|u1", NOT_SEEN),
    "binary": Field("|b1"),
    "alarm": Field("|b1"),
    "open": Field("|b1"),
    "escalated": Field("|b1"),
}


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
        self._scratch, self._beyond = Scratch(), Beyond()
        self._fixed: dict[str, Array] = {}
        self._blocks: dict[tuple[int, int], Block] = {}
        self._version = 0
        self._terms = (0.0, 0.0)  # samples to learn from; a week / stated rate
        self._binary_before: NDArray[np.intp] = np.zeros(1, np.intp)
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
        self._blocks = {}
        self._binary_before = np.append(0, np.cumsum(self._fixed["binary"], dtype=np.intp))

    def altered(self) -> None:
        """To be called by whoever writes to columns: what was known of blocks as a whole may be so no more."""
        self._version += 1

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
                    self._round(rows[mine], at[mine], value[mine], outcome[mine], detector)
                return
        self._round(rows, at, value, outcome, detector)

    def _round(self, rows: NDArray[np.intp], at: Array, value: Array, outcome: Array, detector: Detector) -> None:
        """Rows ascend and differ."""
        self._terms = float(detector.learn_samples), WEEK_SECONDS / detector.false_alarms_per_series_week
        taught: list[Rows] = []
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            taught += self._look(rows[part], at[part], value[part], outcome[part])
            if self._beyond.size > kernel.JUDGED or start + BLOCK >= len(rows):
                self._judge(taught)
                taught = []

    def _judge(self, taught: list[Rows]) -> None:
        if self._beyond.size:
            kernel.judge(self._fixed, self._beyond, episodes.Terms(self._beyond.youngest, *self._terms, self.realised))
        for rows in taught:
            episodes.follow(self._fixed, rows)

    def _look(self, rows: NDArray[np.intp], at: Array, value: Array, outcome: Array) -> list[Rows]:
        """At most BLOCK rows: those that were blind or have no value teach nothing.

        Returns:
            Those that wait to be judged.
        """
        c, span = self._fixed, span_of(rows)
        c["outcome"][span] = outcome
        if (
            not math.isfinite(np.add.reduce(value)) or np.maximum.reduce(outcome) >= Outcome.BLIND
        ):  # quicker than to look at each
            teaches = np.isfinite(value) & (outcome != Outcome.BLIND)
            looked = rows[~teaches]
            c["last_at"][looked] = np.maximum(c["last_at"][looked], at[~teaches])
            rows, at, value = rows[teaches], at[teaches], value[teaches]
            if not len(rows):
                return []
        if self._any_binary(rows):
            binary = c["binary"][rows]
            if np.logical_or.reduce(binary):
                self._teach(rows[binary], at[binary], value[binary], binary=True)
                rows, at, value = rows[~binary], at[~binary], value[~binary]
            if not len(rows):
                return []
        self._teach(rows, at, value, binary=False)
        return [rows]

    def _any_binary(self, rows: NDArray[np.intp]) -> bool:
        """Whether there may be a series of 0 and 1 among the rows, which ascend."""
        before = self._binary_before
        return bool(before[rows[-1] + 1] > before[rows[0]])

    def _block(self, rows: NDArray[np.intp], span: Array | slice) -> Block:
        """Views of series that follow each other are kept: mostly the same ones come together again."""
        if not isinstance(span, slice):
            return Block(self._fixed, rows, self._scratch)
        known = self._blocks.get((span.start, span.stop))
        if known is None:
            if len(self._blocks) >= MOST_VIEWS:
                self._blocks.clear()
            known = self._blocks[span.start, span.stop] = Block(self._fixed, rows, self._scratch)
        return known

    def _teach(self, rows: NDArray[np.intp], at: Array, value: Array, *, binary: bool) -> None:
        c, span, zeros = self._fixed, span_of(rows), None
        block = self._block(rows, span)
        held = block.held
        block.begin(rows, self._terms[0], self._version)
        if block.youngest == 0:
            fresh = held["n"] == 0
            new = rows[fresh]
            c["base"][new] = 0.0 if binary else value[fresh]
            c["last_at"][new] = at[fresh]
        at = self._pass_time(block, at)
        exact = self._scratch.doubles[: len(rows)]
        np.subtract(value, c["base"][span], out=exact)
        np.copyto(block.x, exact, casting="same_kind")
        if binary:
            np.copyto(held["x"], block.x)
            zeros = kernel.run_binary(block)
        else:
            self._turn_hour(block, at)
            flat.notice(block)
            np.copyto(held["x"], block.x)
            kernel.run(block, self._beyond)
        if not isinstance(span, slice):
            for name in kernel.DENSE:
                c[name][span] = held[name]
        if zeros is not None:
            kernel.judge_binary(c, zeros, episodes.Terms(block.youngest, *self._terms, self.realised))
        if binary:
            episodes.end(c, rows)

    def _pass_time(self, block: Block, at: Array) -> Array:
        """Leaves in `block.gap` the seconds since the sample before, learns the interval, and keeps the newest time."""
        span, gap, exact = block.span, block.gap, self._scratch.doubles[: len(at)]
        last_at = self._fixed["last_at"][span]
        np.subtract(at, last_at, out=exact)  # and then to single precision: in one go it would be slower
        np.copyto(gap, exact, casting="same_kind")
        least = float(np.minimum.reduce(gap))
        if least < 0.0:
            np.maximum(gap, np.float32(0.0), out=gap)
            at, least = np.maximum(last_at, at), 0.0
        self._fixed["last_at"][span] = at
        if kernel.pace(block, least):
            self.altered()
        return at

    def _turn_hour(self, block: Block, at: Array) -> None:
        """Where a series enters another hour of the week, or it is its time to look ahead to the next: the season."""
        newest = np.maximum.reduce(at)
        if newest < block.season_due:
            return
        seasons.look_ahead(block)
        if newest < block.season_due:
            return
        hour = np.floor(at / HOUR_SECONDS).astype(np.int32)  # a sixth of the time of `//`
        since = at - hour * HOUR_SECONDS
        turns = hour != self._fixed["hour"][block.span]
        if newest >= block.hour_ends:  # time never goes back here, so that nobody is in an earlier one
            self.altered()
            self._begin_hour(block, turns.nonzero()[0], hour, since)
        self._settle(block, ~turns, since)
        seasons.look_ahead(block)

    def _settle(self, block: Block, stays: Array, since: Array) -> None:
        """Of the series that stay in their hour, those whose time it is."""
        waits = (stays & ~self._fixed["foreseen"][block.span]).nonzero()[0]
        rows = block.rows[waits]
        rows = rows[since[waits] >= seasons.due_after(rows)]
        for start in range(0, len(rows), seasons.BLOCK):
            seasons.settle(self.season, self._fixed, span_of(rows[start : start + seasons.BLOCK]))

    def settle(self, rows: NDArray[np.intp]) -> None:
        """Before whoever reads or writes the season of these rows: what waits of it is learnt now."""
        waits = rows[~self._fixed["foreseen"][rows] & (self._fixed["hour"][rows] != NEVER)]
        seasons.settle(self.season, self._fixed, waits)

    def _begin_hour(self, block: Block, turns: NDArray[np.intp], hour: Array, since: Array) -> None:
        self._count_anew(block, turns)
        for start in range(0, len(turns), seasons.BLOCK):
            places = turns[start : start + seasons.BLOCK]
            where = span_of(places)
            rows = span_of(block.rows[where])
            seasons.turn(self.season, block, where, rows, hour[where], since[where].astype(np.float32))

    def _count_anew(self, block: Block, places: NDArray[np.intp]) -> None:
        """Sets counts back, and what was noted by them, before single precision counts no further (2^24)."""
        if np.maximum.reduce(block.held["n"]) > FULL:
            full = places[block.held["n"][places] > FULL]
            rows, memory = block.rows[full], self.columns["episode"]
            block.held["n"][full] -= SET_BACK
            self.columns["hour_from"][rows] -= SET_BACK
            memory[rows[:, None], episodes.COUNTED] -= SET_BACK

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
        usual = np.maximum(c["long_gap"].astype(np.float64), every_seconds)
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
