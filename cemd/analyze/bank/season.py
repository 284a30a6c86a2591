"""The season: what the hour of the week foretells about the next hour.

Of an hour that is over two things are kept: its mean, and its spread as a ratio of the usual one; under the hour of the
week (168 slots, UTC) and, so that a new series need not wait for weeks, under the hour of the day (24). An hour of the
week that was seen c times has the weight c²/(c² + 1), the hour of the day the rest. Samples of the hour add up in two
columns; between the hours nothing of the season is read. The first time that an hour of the week was seen does not
count for its spread: nothing foretold it then, least of all at the turns of a weekend, and samples lay further apart
than they will. With such errors in it, the usual spread of these hours would leave too little to those that follow.

Only differences count: into the next hour the level moves by the difference of the two slots, partly at once, partly
along the hour, as regressions of the last hours say (`shares`): on a series without season both are near 0. The spread
moves by the ratio of the two, by the share of it that it has not followed by itself within the hour before. So a
shift of the level spoils no slot but one, and what the season cannot foretell (another holiday, a changed clock) is
forgotten within two days of hours.

At a whole hour all series turn at once. So only what the first sample of an hour needs is done then (`turn`), and what
the hour before showed is put aside. It is learnt, and what the next two hours bring is looked up, some time within the
hour (`settle`), a run of neighbours at a time. When does not matter: these are other slots than those that the hour
under way will write, and nobody asks for them before the next hour; what reaches it unsettled is settled there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from cemd.analyze.bank import shares
from cemd.analyze.bank.kernel import ABSOLUTE_FLOOR, RELATIVE_FLOOR, Lot, Rows
from cemd.analyze.bank.shares import Where
from cemd.analyze.columns import Array, Columns

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
USUAL_RATE = np.float32(1.0 / 48.0)
FLOOR_KEPT = np.float32(0.97)  # an hour: half of a floor that samples set is left after a day
SHORTER = np.float32(0.9)  # the longest gap that is usual fades
PER_TWO_HOURS = np.float32(1.0 / 7200.0)
UNKNOWN = np.float32(np.nan)
BLOCK = 8192  # series a call, and a run that is settled together
SPREAD_OUT = 2227  # seconds from run to run: near the golden section of an hour, so that any number lies evenly
NEVER = -(2**30)  # the hour before the first
Held: TypeAlias = tuple[Array, Array]
"""By hour of the week or of the day: how often it was seen, and what was usual."""
KINDS = (("slot", HOURS, SLOT_RATE), ("day", DAY_HOURS, DAY_RATE))
MOST_COUNTED = np.float32(255.0)
ZERO, ONE = np.float32(0.0), np.float32(1.0)


def turn(season: Mapping[str, Array], b: Lot, places: Where, rows: Where, hour: Array, since: Array) -> None:
    """These series enter another hour: moves the level on, sets what holds in this one, puts the one before aside.

    Args:
        season: The slots, each (hours, series).
        b: The samples; `b.gap` of these series becomes 0, for the level is where it should be.
        places: Which series of the lot, at most `BLOCK`; a slice where they follow each other, so that views do.
        rows: The same among all series.
        hour: Their hour since 1970, int32.
        since: Seconds of this hour that have passed.
    """
    c = b.columns
    before, n = c["hour"][rows].copy(), c["n"][rows]
    adjacent = hour == before + 1
    if not np.logical_and.reduce(c["foreseen"][rows]):
        late = (~c["foreseen"][rows] & (before != NEVER)).nonzero()[0]
        settle(season, c, _within(rows, late))
    mean, knows = _put_aside(c, rows)
    then = _profile_with(season, rows, before, mean)
    together = bool(np.logical_and.reduce(adjacent))
    if not together:
        leaps = (~adjacent & (before != NEVER)).nonzero()[0]
        then[leaps] = _leap(season, c, _within(rows, leaps), before[leaps], hour[leaps])
    ahead = c["now"][rows] - then
    known = knows & np.isfinite(ahead)
    if not np.logical_and.reduce(known):
        np.copyto(ahead, ZERO, where=~known)
    left = np.maximum(b.gap[places] - since, ZERO)
    if not together:
        np.copyto(left, ZERO, where=~adjacent)
    level = c["level"][rows] + c["slope"][rows] * left
    b.gap[places] = ZERO
    c["slope"][rows] = ZERO
    if np.logical_or.reduce(known):
        trust = shares.share(c, rows, "trust")
        jump = shares.jump(c, rows, ahead, b.x[places] - level, trust, adjacent)
        level += (jump if together else np.where(adjacent, jump, trust)) * ahead
        slope = (trust - jump) * (c["after"][rows] - then) * PER_TWO_HOURS
        np.copyto(slope, ZERO, where=~(known & np.isfinite(slope)))
        c["slope"][rows] = slope
        c["level"][rows] = level + slope * since
    else:
        c["level"][rows] = level
    c["foretold"][rows] = ahead if together else np.where(adjacent, ahead, ZERO)
    shares.widen(c, rows, c["next_evenness"][rows], None if together else adjacent)
    _open_hour(c, rows, level)
    c["hour"][rows], c["hour_from"][rows], c["foreseen"][rows] = hour, n, False


def settle(season: Mapping[str, Array], c: Mapping[str, Array], rows: Where) -> None:
    """Learns the hour before the one in which these series are, and looks up the next."""
    hour = c["hour"][rows]
    _learn(season, c, rows, hour - 1)
    _foresee(season, c, rows, hour + 1)
    c["foreseen"][rows] = True


def look_ahead(b: Lot) -> None:
    """When the next of these series enters another hour (`b.hour_ends`), and when there is anything to do for any of
    them (`b.season_due`): not later than that, at least."""
    hour = b.columns["hour"][b.span]
    b.hour_ends = (int(np.minimum.reduce(hour)) + 1) * 3600.0
    b.season_due = b.hour_ends
    foreseen = b.columns["foreseen"][b.span]
    if not np.logical_and.reduce(foreseen):
        waits = (~foreseen).nonzero()[0]
        begins = float(np.minimum.reduce(hour[waits])) * 3600.0
        b.season_due = min(b.season_due, begins + float(np.minimum.reduce(due_after(b.rows[waits]))))


def due_after(rows: Rows) -> Array:
    """Seconds of an hour after which these series are to be settled: runs that follow each other lie far apart."""
    seconds: Array = rows // BLOCK * SPREAD_OUT % 3600
    return seconds


def _put_aside(c: Mapping[str, Array], rows: Where) -> tuple[Array, Array]:
    """What the hour that is over showed.

    Returns:
        Its mean, NaN if it ended in an alarm; and whether there was such an hour.
    """
    samples = c["n"][rows] - c["hour_from"][rows]
    knows = samples > ZERO
    teaches = knows & ~c["alarm"][rows]
    all_teach = np.logical_and.reduce(teaches)
    if not all_teach:
        samples[~teaches] = UNKNOWN
        c["last_mean"][_within(rows, (~knows).nonzero()[0])] = UNKNOWN
    mean: Array = c["hour_sum"][rows] / samples
    away = c["hour_dev"][rows] / samples
    c["over_mean"][rows], c["over_dev"][rows] = mean, away
    shares.learn_trust(c, rows, mean)
    shares.learn_widening(c, rows, away)
    c["last_mean"][rows] = mean if all_teach else np.where(teaches, mean, c["last_mean"][rows])
    return mean, knows


def _leap(season: Mapping[str, Array], c: Mapping[str, Array], rows: Rows, before: Array, hour: Array) -> Array:
    """These left out hours, so that what the next one brings is looked up now.

    Returns:
        What the hour before was usually like.
    """
    _learn(season, c, rows, before)
    _foresee(season, c, rows, hour)
    return profile(season, rows, before)


def _open_hour(c: Mapping[str, Array], rows: Where, level: Array) -> None:
    """What holds in this hour, and what fades hour by hour."""
    evenness = c["next_evenness"][rows]
    c["evenness"][rows] = evenness
    floor = np.absolute(level)
    floor *= RELATIVE_FLOOR
    floor += ABSOLUTE_FLOOR
    floor /= evenness
    c["floor"][rows] = np.maximum(floor, c["floor"][rows] * FLOOR_KEPT, out=floor)
    c["long_gap"][rows] *= SHORTER
    c["first"][rows] = np.maximum(c["first"][rows], ONE)
    c["hour_sum"][rows] = ZERO
    c["hour_dev"][rows] = ZERO


def _within(where: Where, chosen: Rows) -> Rows:
    return chosen + where.start if isinstance(where, slice) else where[chosen]


def _foresee(season: Mapping[str, Array], c: Mapping[str, Array], rows: Where, hour: Array) -> None:
    """What is usual in this hour and in the one after it."""
    c["now"][rows], c["after"][rows] = profile(season, rows, hour), profile(season, rows, hour + 1)
    c["next_evenness"][rows] = ONE / _ratio(season, rows, hour)


def _learn(season: Mapping[str, Array], c: Mapping[str, Array], rows: Where, hour: Array) -> None:
    """What was put aside of this hour."""
    told = np.isfinite(c["over_mean"][rows])
    if not np.logical_and.reduce(told):
        chosen = told.nonzero()[0]
        rows, hour = _within(rows, chosen), hour[chosen]
    if not len(hour):
        return
    mean, away = c["over_mean"][rows], c["over_dev"][rows]
    hours = np.minimum(c["hours"][rows] + ONE, np.float32(1e6))
    usual = c["usual_dev"][rows]
    usual = usual + (away - usual) * np.maximum(ONE / hours, USUAL_RATE)
    ratio = away / np.maximum(usual, ABSOLUTE_FLOOR)
    ratio = np.minimum(np.maximum(ratio, shares.LEAST_RATIO), shares.MOST_RATIO)
    c["usual_dev"][rows], c["hours"][rows] = usual, hours
    for kind, length, least in KINDS:
        slot = _slot(hour, length)
        count, share = _counted(season, kind, slot, rows, least)
        later = _weight(np.maximum(count - ONE, ZERO), least) if kind == "slot" else share
        for name, value, weighs in ((f"{kind}_mean", mean, share), (f"{kind}_ratio", ratio, later)):
            held = _read(season, name, slot, rows)
            season[name][slot, _each(slot, rows)] = held + (value - held) * weighs
        season[f"{kind}_count"][slot, _each(slot, rows)] = np.minimum(count + ONE, MOST_COUNTED)
    c["over_mean"][rows] = UNKNOWN


def _counted(
    season: Mapping[str, Array], kind: str, slot: Array | int, rows: Where, least: np.float32
) -> tuple[Array, Array]:
    """How often the slot was seen, and what a new hour weighs."""
    count = _read(season, f"{kind}_count", slot, rows)
    return count, _weight(count, least)


def _weight(count: Array, least: np.float32) -> Array:
    """Of a new hour in the mean of so many before."""
    share = count + ONE
    np.divide(ONE, share, out=share)
    return np.maximum(share, least, out=share)


def _profile_with(season: Mapping[str, Array], rows: Where, hour: Array, mean: Array) -> Array:
    """As `profile` will be when this mean is learnt, where there is one."""
    told: Array | np.float32 = np.isfinite(mean)
    if np.logical_and.reduce(told):
        told = ONE  # the same bits, in fewer passes
    else:
        mean = np.where(told, mean, ZERO)
    parts: list[Held] = []
    for kind, length, least in KINDS:
        slot = _slot(hour, length)
        count, share = _counted(season, kind, slot, rows, least)
        if told is not ONE:
            share *= told
        held = _read(season, f"{kind}_mean", slot, rows)
        learnt = mean - held
        learnt *= share
        learnt += held
        count += told
        parts.append((np.minimum(count, MOST_COUNTED, out=count), learnt))
    return _mix(parts[0], parts[1], UNKNOWN)


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


def profile(season: Mapping[str, Array], rows: Where, hour: Array) -> Array:
    """Mean of an hour by hour of the week and of the day; NaN where neither was seen."""
    return _mix(*_held(season, rows, hour, "mean"), UNKNOWN)


def ahead(season: Mapping[str, Array], c: Columns, rows: Rows, at: float) -> Array:
    """How far, by the season, the level of each series will have moved at `at` since its last sample."""
    hour = np.full(len(rows), int(at // 3600.0), np.int32)
    before = c["hour"][rows]
    held = {name: c[name] for name in ("trust_product", "trust_square")}
    moved = profile(season, rows, hour) - profile(season, rows, before)
    moved = np.where(np.isfinite(moved), moved, ZERO) * shares.share(held, rows, "trust")
    within = np.clip(at - c["last_at"][rows], 0.0, 3600.0) * c["slope"][rows]
    return np.where(hour == before, within, moved)


def _ratio(season: Mapping[str, Array], rows: Where, hour: Array) -> Array:
    week, day = _held(season, rows, hour, "ratio")
    return _mix((np.maximum(week[0] - ONE, ZERO), week[1]), day, ONE)


def _held(season: Mapping[str, Array], rows: Where, hour: Array, what: str) -> tuple[Held, Held]:
    parts: list[Held] = []
    for kind, length, _ in KINDS:
        slot = _slot(hour, length)
        parts.append((_read(season, f"{kind}_count", slot, rows), _read(season, f"{kind}_{what}", slot, rows)))
    return parts[0], parts[1]


def _mix(week: Held, day: Held, unknown: np.float32) -> Array:
    """What is usual by hour of the week and of the day; of each, how often it was seen, and what was."""
    (count, of_week), (day_count, of_day) = week, day
    weight = count * count
    weight /= weight + ONE
    mixed = of_week - of_day
    mixed *= weight
    mixed += of_day
    mixed[day_count == ZERO] = unknown
    return mixed
