"""The deep detector: every kind of evidence on every sample, each worth what the series' own past says.

Two tracks (`combination`). The *score* is strength over what is an alarm (`threshold`): 1 is one, and the gate makes
episodes of alarms. The *severity* is about size. Both answer "not yet" (NaN) before LEARN_SAMPLES.

Arrays by series throughout: a round is one sample of each of some series; a series with more has them in later rounds.
Nothing here depends on how samples were cut into calls, and `load(dump())` gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cemd.analyze.columns import Array, Columns, Field
from cemd.analyze.detectors import KINDS, combination, gate, history, recurrence, stated, tails, threshold
from cemd.analyze.detectors.base import PACE, SLOW, Evidence, Held, Sight, follow, or_zero, rate
from cemd.analyze.detectors.combination import Combination
from cemd.analyze.detectors.gate import Gate
from cemd.analyze.detectors.history import REACH, History
from cemd.analyze.detectors.recurrence import Recurrence
from cemd.analyze.detectors.stated import Stated
from cemd.analyze.detectors.tails import Tails

LEARN_SAMPLES = 30
"""Before so many samples it answers "not yet": of thirty, none can be called rarer than one in thirty."""
GUESSES = 16
"""Samples after which a spread is no guess any more. What is measured in units of a guess would spoil the tails."""
TYPICAL_DAYS = 14
"""Days whose median is what is typical: two of each weekday."""
EXAMPLE_AT = 1_780_012_800.0
RELATIVE_FLOOR, ABSOLUTE_FLOOR = 1e-6, 1e-12
"""No spread is below this share of the value: what differs by less is rounding."""
FIELDS = {
    "base": Field("<f8"),  # first value; all else is relative to it
    "count": Field("<f8"),
    "last_at": Field("<f8", -np.inf),
    "last": Field("<f8"),
    "interval": Field("<f8"),
    "size": Field("<f8"),  # mean magnitude of the raw value
    "mean": Field("<f8"),
    "variance": Field("<f8"),
    "residual": Field("<f8"),
    "residuals": Field("<f8"),  # samples in it
    "score": Field("<f8", np.nan),
    "severity": Field("<f8", np.nan),
    "wide": Field("<f8", 4.0),  # half width of the expected band, in units of the usual distance
    "now": Field("<f8", np.nan),  # the last sample, in the unit of the series, and what was expected of it
    "expected": Field("<f8", np.nan),
    "reach": Field("<f8", np.nan),
    "worst_now": Field("<f8", np.nan),  # the same of the worst sample of the last episode
    "worst_expected": Field("<f8", np.nan),
    "worst_reach": Field("<f8", np.nan),
}


def per_kind(kinds: int) -> dict[str, Field]:
    return {
        "surprise": Field("<f4", 0, (kinds,)),  # of the last sample; signed as the measure
        "worst_surprise": Field("<f4", 0, (kinds,)),
    }


class Deep:
    """State of all deep series by row.

    Args:
        kinds: The table of kinds; fewer for an ablation.
    """

    def __init__(self, kinds: Mapping[str, type[Evidence]] = KINDS) -> None:
        self.kinds = [kind() for kind in kinds.values()]
        size = len(self.kinds)
        self.columns = Columns(_fields(self.kinds))
        self.gate = Gate(self.columns)
        self.stated = Stated()
        self.recurrence = Recurrence(self.columns)
        self._history = History(self.columns)
        self._tails = Tails(self.columns, size)
        self._combination = Combination(self.kinds)
        self.measured: Array = np.zeros((0, size))  # of the last round; no state

    def __len__(self) -> int:
        return len(self.columns)

    def add(self, rows: int) -> None:
        """Appends series that nothing is known of."""
        self.columns.add(rows)

    def bytes_per_series(self) -> int:
        """Memory of one series, thirty days at five minutes included."""
        return self.columns.bytes_per_row()

    def observe(self, rows: Array, at: Array, value: Array) -> Array:
        """Takes samples in the order in which they came: rows intp[n], at and value float64[n], all finite.

        Returns:
            bool[n]: the sample opened an alarm, or made an open one half as strong again.
        """
        opened = np.zeros(len(rows), np.bool_)
        for mine in rounds(rows):
            opened[mine] = self._round(rows[mine], at[mine], value[mine])
        return opened

    def _round(self, rows: Array, at: Array, raw: Array) -> Array:
        span: Array | slice = rows
        if len(rows) and int(rows[-1]) - int(rows[0]) + 1 == len(rows) and bool(np.all(np.diff(rows) == 1)):
            span = slice(int(rows[0]), int(rows[-1]) + 1)
        held = Held(self.columns, span)
        count = held["count"].copy()
        fresh = count == 0
        if fresh.any():
            held["base"] = np.where(fresh, raw, held["base"])
            held["last_at"] = np.where(fresh, at, held["last_at"])
        gap = np.maximum(at - held["last_at"], 0.0)
        self._history.settle(rows, gap, count)
        slot = self._history.enter(rows, at)
        sight = self._sight(held, raw, count, self._history.around(rows, slot))
        measured = self.measured = np.stack([kind.measure(sight) for kind in self.kinds], axis=1)
        measured[count < GUESSES] = np.nan
        surprise, place = self._tails.judge(rows, measured)
        surprise = self._combination.trust(surprise, sight.known)
        opened = self._tell(held, rows, sight, measured, surprise, at, gap)
        for kind in self.kinds:
            kind.learn(sight)
        self._tails.learn(rows, place)
        self._learn(held, sight, at, gap)
        self._history.write(rows, slot, sight.value)
        return opened

    def _sight(self, held: Held, raw: Array, count: Array, around: Array) -> Sight:
        value = raw - held["base"]
        same = around[:, :, REACH]
        here = ~np.isnan(same)
        typical, spread = _middle(same[:, :TYPICAL_DAYS])
        near = around
        near -= value.astype(np.float32)[:, None, None]
        np.absolute(near, out=near)
        floor = RELATIVE_FLOOR * np.maximum(held["size"], np.abs(raw)) + ABSOLUTE_FLOOR
        return Sight(
            held=held,
            raw=raw,
            value=value,
            count=count,
            step=np.where(count > 0, value - held["last"], 0.0),
            floor=floor,
            deviation=np.sqrt(held["variance"]),
            mean=held["mean"].copy(),
            near=near,
            here=here,
            known=here.sum(axis=1),
            typical=typical,
            usual_spread=spread,
            residual=held["residual"].copy(),
            knows_residual=held["residuals"] >= GUESSES,
        )

    def _tell(
        self, held: Held, rows: Array, sight: Sight, measured: Array, surprise: Array, at: Array, gap: Array
    ) -> Array:
        """Both tracks, and what the gate makes of the score."""
        ready = sight.count >= LEARN_SAMPLES
        strength, severe = self._combination.strength_and_severity(held, surprise, measured, gap, sight.count)
        score = held["score"] = np.where(ready, strength / threshold.alarming(held, sight.count), np.nan)
        severity = held["severity"] = np.where(ready, severe, np.nan)
        held["surprise"] = np.copysign(surprise, measured)
        held["now"] = sight.raw
        self._expect(held, sight, ready, severity >= 1.0)
        score, severity = or_zero(score), or_zero(severity)
        limit = self.stated.limit(held, score, severity, sight.count)
        usual = self.recurrence.usual(rows, score, limit, at)
        return self.gate.pass_through(held, rows, score / limit, severity / limit, usual, at)

    def _expect(self, held: Held, sight: Sight, ready: Array, alarmed: Array) -> None:
        """The band in which all but one sample in a hundred lie; what is alarmed does not widen it."""
        centre = np.where(sight.has_days, sight.typical, sight.mean)
        scale = np.where(sight.has_days, 0.5 * sight.residual + 0.5 * sight.usual_spread, sight.deviation) + sight.floor
        wide = held["wide"].copy()
        held["expected"] = np.where(ready, held["base"] + centre, np.nan)
        held["reach"] = np.where(ready, wide * scale, np.nan)
        beyond = np.abs(sight.value - centre) > wide * scale
        step = combination.UNIT_STEP * ~alarmed * (beyond - combination.UNIT_SHARE)
        held["wide"] = np.clip(wide * np.exp(step), 1.0, 1e3)

    def _learn(self, held: Held, sight: Sight, at: Array, gap: Array) -> None:
        """What belongs to no kind alone."""
        weight = rate(sight.count, SLOW)
        distance = sight.value - sight.mean
        held["mean"] = sight.mean + weight * distance
        held["variance"] = (1.0 - weight) * (held["variance"] + weight * np.square(distance))
        off = np.abs(sight.value - sight.typical)
        residual = follow(sight.residual, off, rate(held["residuals"], PACE))
        held["residual"] = np.where(sight.has_days, residual, sight.residual)
        held["residuals"] = held["residuals"] + sight.has_days
        held["size"] = follow(held["size"], np.abs(sight.raw), rate(sight.count, SLOW))
        usual = np.where(sight.count > history.SETTLE, np.minimum(gap, 3.0 * held["interval"] + 1.0), gap)
        held["interval"] = follow(held["interval"], usual, rate(np.maximum(sight.count - 1.0, 0.0), PACE))
        held["last"] = sight.value
        held["count"] = sight.count + 1.0
        held["last_at"] = np.maximum(held["last_at"], at)

    def begin_anew(self, row: int) -> None:
        """Forgets all that was learnt of a series."""
        for name, field in self.columns.fields.items():
            self.columns[name][row] = field.fill

    def dump(self) -> dict[str, bytes]:
        return {"rows": len(self).to_bytes(8, "little"), **self.columns.dump(), **self.stated.alike.dump()}

    def load(self, dumped: Mapping[str, bytes]) -> None:
        self.columns.load(int.from_bytes(dumped["rows"], "little"), dumped)
        self.stated.alike.load(dumped)


def try_out(kind: type[Evidence], values: Sequence[float], every_seconds: float = 300.0) -> float:
    """What a kind measures on the last of some values of one series; for examples and trials."""
    deep = Deep({kind.word: kind})
    deep.add(1)
    rows = np.zeros(len(values), np.intp)
    deep.observe(rows, EXAMPLE_AT + every_seconds * np.arange(len(values)), np.asarray(values, np.float64))
    return round(float(deep.measured[0, 0]), 1)


def rounds(rows: Array) -> Iterator[Array]:
    """Places of `rows` such that each series occurs once in a round, in the order in which its samples came."""
    order = np.argsort(rows, kind="stable")
    mine = rows[order]
    first = np.append(True, mine[1:] != mine[:-1]) if len(mine) else np.zeros(0, np.bool_)
    if first.all():
        yield order
        return
    place = np.arange(len(mine))
    turn = place - np.maximum.accumulate(np.where(first, place, 0))
    for number in range(int(turn.max()) + 1):
        yield order[turn == number]


def _fields(kinds: Sequence[Evidence]) -> dict[str, Field]:
    size = len(kinds)
    held = FIELDS | per_kind(size) | combination.fields(size) | threshold.FIELDS | stated.FIELDS | gate.FIELDS
    held |= history.FIELDS | tails.fields(size) | recurrence.FIELDS
    for kind in kinds:
        held |= dict(kind.fields)
    return held


def _middle(same: Array) -> tuple[Array, Array]:
    """Median of each row of what is there, and the median distance from it; 0 where nothing is there."""
    ordered = np.sort(same, axis=1, kind="stable")
    known = np.sum(ordered == ordered, axis=1)
    typical = _median(ordered, known)
    distance = np.abs(same - typical[:, None])
    distance.sort(axis=1, kind="stable")
    return typical.astype(np.float64), _median(distance, known).astype(np.float64)


def _median(ordered: Array, known: Array) -> Array:
    rows = np.arange(len(ordered))
    low, high = ordered[rows, np.maximum(known - 1, 0) // 2], ordered[rows, known // 2 * (known > 0)]
    middle: Array = np.where(known > 0, (low + high) * np.float32(0.5), np.float32(0.0))
    return middle
