"""The season: what the hour of the week foretells about the next hour, learnt and applied once an hour and series.

Of an hour that is over two things are kept: its mean, and its spread as a ratio of the usual one; under the hour of the
week (168 slots, UTC) and, so that a new series need not wait for weeks, under the hour of the day (24). An hour of the
week that was seen c times has the weight c²/(c² + 1), the hour of the day the rest. Samples of the hour add up in two
columns; between the hours nothing of the season is read.

Only differences count: into the next hour the level moves by the difference of the two slots, partly at once, partly
along the hour, as regressions of the last hours say (`trust`, `jump`): on a series without season both are near 0. So a
shift of the level spoils no slot but one, and what the season cannot foretell (another holiday, a changed clock) is
forgotten within two days of hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from cemd.analyze import episodes
from cemd.analyze.columns import Array, Columns
from cemd.analyze.kernel import ABSOLUTE_FLOOR, RELATIVE_FLOOR, Block, Rows

HOURS, DAY_HOURS = 168, 24
SEASON = {
    "slot_mean": ("<f4", HOURS),
    "slot_ratio": ("<f2", HOURS),
    "slot_count": ("|u1", HOURS),
    "day_mean": ("<f4", DAY_HOURS),
    "day_ratio": ("<f2", DAY_HOURS),
    "day_count": ("|u1", DAY_HOURS),
}
SLOT_RATE, DAY_RATE = np.float32(0.25), np.float32(1.0 / 3.0)  # remembers four weeks; three days
TRUST_RATE = np.float32(1.0 / 48.0)
USUAL_RATE = np.float32(1.0 / 48.0)
LEAST_RATIO, MOST_RATIO = np.float32(0.25), np.float32(4.0)
SHORTER = np.float32(0.9)  # the longest gap that is usual fades
FORGIVES = np.float32(0.998)  # an hour; a peak that alarmed weighs half after two weeks
PER_TWO_HOURS = np.float32(1.0 / 7200.0)
UNKNOWN = np.float32(np.nan)
EVERY = slice(None)
BLOCK = 8192  # series a call
Where: TypeAlias = Rows | slice
ZERO, ONE, TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)


def roll(season: Mapping[str, Array], b: Block, places: Where, rows: Where, hour: Array, since: Array) -> None:
    """These series enter another hour: learns the one before, moves the level on, sets what holds in this one.

    Args:
        season: The slots, each (hours, series).
        b: The samples; `b.gap` of these series becomes 0, for the level is where it should be.
        places: Which series of the block, at most `BLOCK`; a slice where they follow each other, so that views do.
        rows: The same among all series.
        hour: Their hour since 1970, int32.
        since: Seconds of this hour that have passed.
    """
    c, h = b.columns, b.held
    before, n = c["hour"][rows].copy(), h["n"][places]
    adjacent = hour == before + 1
    knows = n > c["hour_from"][rows]
    _learn(season, b, places, rows, before, knows)
    then, now, after = (profile(season, rows, one) for one in (before, hour, hour + 1))
    ahead = np.where(knows, now - then, UNKNOWN)
    known = np.isfinite(ahead)
    ahead[~known] = ZERO
    left = np.where(adjacent, np.maximum(b.gap[places] - since, ZERO), ZERO)
    level = h["level"][places] + h["slope"][places] * left
    trust = _share(c, rows, "trust_product", "trust_square")
    jump = _jump(c, rows, ahead, b.x[places] - level, trust, known & adjacent)
    level += np.where(adjacent, jump, trust) * ahead
    slope = (trust - jump) * (after - then) * PER_TWO_HOURS
    slope[~(known & np.isfinite(slope))] = ZERO
    h["level"][places] = level + slope * np.maximum(since, ZERO)
    h["slope"][places] = slope
    b.gap[places] = ZERO
    c["foretold"][rows] = np.where(adjacent, ahead, ZERO)
    c["hour"][rows], c["hour_from"][rows] = hour, n
    h["hour_sum"][places] = ZERO
    h["hour_dev"][places] = ZERO
    evenness = ONE / _ratio(season, rows, hour)
    h["spread"][places] *= c["evenness"][rows] / evenness
    c["evenness"][rows] = evenness
    _tidy(b, places, rows, level)


def _some(mask: Array, rows: Where, places: Where) -> tuple[Array | slice, Where, Where]:
    """Where a mask holds: within itself, among all series, within the block."""
    if np.logical_and.reduce(mask):
        return EVERY, rows, places
    chosen: Rows = mask.nonzero()[0]
    return chosen, _within(rows, chosen), _within(places, chosen)


def _within(where: Where, chosen: Rows) -> Where:
    return chosen + where.start if isinstance(where, slice) else where[chosen]


def _learn(season: Mapping[str, Array], b: Block, places: Where, rows: Where, hour: Array, knows: Array) -> None:
    """The hour that is over, unless it ended in an alarm."""
    c = b.columns
    told, rows, local = _some(knows & ~c["alarm"][rows], rows, places)
    if len(hour[told]) < len(knows):
        c["last_mean"][_within(b.rows[places], (~knows).nonzero()[0])] = UNKNOWN
    hour = hour[told]
    if not len(hour):
        return
    samples = b.held["n"][local] - c["hour_from"][rows]
    mean = b.held["hour_sum"][local] / samples
    away = b.held["hour_dev"][local] / samples
    _learn_trust(c, rows, mean)
    hours = np.minimum(c["hours"][rows] + ONE, np.float32(1e6))
    usual = c["usual_dev"][rows]
    usual = usual + (away - usual) * np.maximum(ONE / hours, USUAL_RATE)
    ratio = np.minimum(np.maximum(away / np.maximum(usual, ABSOLUTE_FLOOR), LEAST_RATIO), MOST_RATIO)
    c["usual_dev"][rows], c["hours"][rows], c["last_mean"][rows] = usual, hours, mean
    for kind, length, rate in (("slot", HOURS, SLOT_RATE), ("day", DAY_HOURS, DAY_RATE)):
        slot = _slot(hour, length)
        count = _read(season, f"{kind}_count", slot, rows)
        share = np.maximum(ONE / (count + ONE), rate)
        for name, value in ((f"{kind}_mean", mean), (f"{kind}_ratio", ratio)):
            held = _read(season, name, slot, rows)
            season[name][slot, _each(slot, rows)] = held + (value - held) * share
        season[f"{kind}_count"][slot, _each(slot, rows)] = np.minimum(count + ONE, np.float32(255.0))


def _slot(hour: Array, length: int) -> Array | int:
    """The slot of each series; one number where all are in the same hour, which is quicker."""
    if len(hour) and (hour == hour[0]).all():
        return int(hour[0]) % length
    slot: Array = hour % length
    return slot


def _read(season: Mapping[str, Array], name: str, slot: Array | int, rows: Where) -> Array:
    """Slots of these series, in single precision."""
    return season[name][slot, _each(slot, rows)].astype(np.float32, copy=False)


def _each(slot: Array | int, rows: Where) -> Where:
    """A slice of series is only good for one slot: with one each, it would mean every slot for every series."""
    if isinstance(rows, slice) and not isinstance(slot, int):
        return np.arange(rows.start, rows.stop)
    return rows


def _learn_trust(c: Mapping[str, Array], rows: Where, mean: Array) -> None:
    """Regression of how the mean of the hour changed on how it should have changed."""
    foretold, changed = c["foretold"][rows], mean - c["last_mean"][rows]
    rate = np.where((foretold != ZERO) & np.isfinite(changed), TRUST_RATE, ZERO)
    changed[~np.isfinite(changed)] = ZERO
    _regress(c, rows, "trust", foretold, changed, rate)


def _regress(c: Mapping[str, Array], rows: Where, name: str, of: Array, on: Array, rate: Array) -> None:
    for part, value in ((f"{name}_product", of * on), (f"{name}_square", of * of)):
        held = c[part][rows]
        c[part][rows] = held + (value - held) * rate


def _jump(c: Mapping[str, Array], rows: Where, ahead: Array, step: Array, trust: Array, known: Array) -> Array:
    """Share of the difference that comes with the first sample of an hour; learns from this one, after it was asked."""
    share = np.minimum(_share(c, rows, "jump_product", "jump_square"), trust)
    rate = np.where(known & (ahead != ZERO), TRUST_RATE, ZERO)
    bound = np.absolute(ahead) * TWO
    _regress(c, rows, "jump", ahead, np.minimum(np.maximum(step, -bound), bound), rate)
    return share


def _share(c: Mapping[str, Array], rows: Where, product: str, square: str) -> Array:
    share: Array = c[product][rows] / np.maximum(c[square][rows], np.float32(1e-30))
    return np.minimum(np.maximum(share, ZERO, out=share), ONE, out=share)


def profile(season: Mapping[str, Array], rows: Where, hour: Array) -> Array:
    """Mean of an hour by hour of the week and of the day; NaN where neither was seen."""
    return _mixed(season, rows, hour, "mean", UNKNOWN)


def ahead(season: Mapping[str, Array], c: Columns, rows: Rows, at: float) -> Array:
    """How far, by the season, the level of each series will have moved at `at` since its last sample."""
    hour = np.full(len(rows), int(at // 3600.0), np.int32)
    before = c["hour"][rows]
    held = {name: c[name] for name in ("trust_product", "trust_square")}
    moved = profile(season, rows, hour) - profile(season, rows, before)
    moved = np.where(np.isfinite(moved), moved, ZERO) * _share(held, rows, "trust_product", "trust_square")
    within = np.clip(at - c["last_at"][rows], 0.0, 3600.0) * c["slope"][rows]
    return np.where(hour == before, within, moved)


def _ratio(season: Mapping[str, Array], rows: Where, hour: Array) -> Array:
    return _mixed(season, rows, hour, "ratio", ONE)


def _mixed(season: Mapping[str, Array], rows: Where, hour: Array, what: str, unknown: np.float32) -> Array:
    slot, day = _slot(hour, HOURS), _slot(hour, DAY_HOURS)
    count = _read(season, "slot_count", slot, rows)
    weight = count * count
    weight /= weight + ONE
    of_day = _read(season, f"day_{what}", day, rows)
    mixed = _read(season, f"slot_{what}", slot, rows) - of_day
    mixed *= weight
    mixed += of_day
    mixed[_read(season, "day_count", day, rows) == ZERO] = unknown
    return mixed


def _tidy(b: Block, places: Where, rows: Where, level: Array) -> None:
    """What fades or follows hour by hour."""
    c, h = b.columns, b.held
    interval = h["interval"][places]
    h["long_gap"][places] = np.maximum(h["long_gap"][places] * SHORTER, interval)
    h["first"][places] = np.maximum(h["first"][places], ONE)
    h["floor"][places] = (np.absolute(level) * RELATIVE_FLOOR + ABSOLUTE_FLOOR) / c["evenness"][rows]
    memory = episodes.Memory(c["episode"][rows])
    memory.record *= FORGIVES
    episodes.set_limit(memory, interval, b.limit_seconds, b.realised.of(memory.excess))
    c["episode"][rows] = memory.held
