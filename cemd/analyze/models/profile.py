"""What is usual at a time of day: 24 means an instance, one an hour (UTC), learnt from whole hours.

A load that falls every evening is no trend. An hour counts by how far it is from the mean of the day before it (so a
level that moved is no profile), and is the median of its last five days (so an outage is not expected again
tomorrow). Nothing is known before every hour was seen on three days, after the first. Between the middles of two
hours it is a straight line, so that no step is made at the hour. A division by what was never seen, the trap at the
end of a first season, cannot happen: hours are means, and unseen ones make the whole profile 0. Until a profile is
known, `depth` says how low a day may go by itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array, Columns, Field

HOURS = 24
HOUR_SECONDS = 3600.0
DAYS = 5
ENOUGH_DAYS = 3
OLD_HOURS = 6
"""Hours that are older than this are the past; the newer ones are what a trend is made of."""
HALF_DAY = 12
PROFILE_FIELDS = {
    "hour": Field("<i8", -1),  # hours since 1970 of the hour under way
    "hour_sum": Field("<f8"),
    "hour_count": Field("<i8"),
    "latest": Field("<f8", np.nan, (HOURS,)),  # newest mean of each hour
    "days": Field(
        "<f8", np.nan, (HOURS, DAYS)
    ),  # of each hour, from the mean of the 24 hours up to it, on the last days
    "seen": Field("<i4", 0, (HOURS,)),  # days
    "usual": Field("<f8", 0, (HOURS,)),
}


def learn(c: Columns, rows: NDArray[np.intp], now: float, values: Array) -> None:
    """Takes one value of each row; an hour that is over enters the profile."""
    hour = int(now // HOUR_SECONDS)
    over = rows[c["hour"][rows] != hour]
    full = over[c["hour_count"][over] > 0]
    slot = c["hour"][full] % HOURS
    mean = c["hour_sum"][full] / c["hour_count"][full]
    c["latest"][full, slot] = mean
    whole = ~np.isnan(c["latest"][full]).any(axis=1)
    full, slot, mean = full[whole], slot[whole], mean[whole]
    if len(full):
        c["days"][full, slot, c["seen"][full, slot] % DAYS] = mean - c["latest"][full].mean(axis=1)
        c["seen"][full, slot] += 1
        c["usual"][full, slot] = np.nanmedian(c["days"][full, slot], axis=1)
    c["hour"][over], c["hour_sum"][over], c["hour_count"][over] = hour, 0.0, 0
    c["hour_sum"][rows] += values
    c["hour_count"][rows] += 1


def known(c: Columns, rows: NDArray[np.intp]) -> Array:
    """Whether the time of day is known; bool by row."""
    enough: Array = c["seen"][rows].min(axis=1) >= ENOUGH_DAYS
    return enough


def depth(c: Columns, rows: NDArray[np.intp], now: float) -> Array:
    """How low a day may take each row by itself, while its profile is not known; -inf before half a day was seen.

    With a whole day remembered it is the lowest hour of the day before. With less, a rhythm may go as far below the
    hours that were seen as these lie apart.
    """
    latest = c["latest"][rows]
    age = (int(now // HOUR_SECONDS) - np.arange(HOURS)) % HOURS
    seen = ~np.isnan(latest)
    old = seen & ((age == 0) | (age > OLD_HOURS))
    low = np.where(old, latest, np.inf).min(axis=1)
    high = np.where(old, latest, -np.inf).max(axis=1)
    hours, any_ = seen.sum(axis=1), old.any(axis=1)
    apart = np.where(any_ & (hours < HOURS), high - low, 0.0)
    return np.where(any_ & (hours >= HALF_DAY), low - apart, -np.inf)


def at(c: Columns, rows: NDArray[np.intp], times: Array) -> Array:
    """What is usual at each time, as deviation from the day's mean: (rows, times); 0 while a day is not known."""
    is_known = known(c, rows)
    if not is_known.any():
        return np.zeros(times.shape)
    usual = c["usual"][rows]
    usual = np.where(is_known[:, None], usual - usual.mean(axis=1)[:, None], 0.0)
    place = times / HOUR_SECONDS - 0.5
    below = np.floor(place)
    share = place - below
    slot = below.astype(np.int64) % HOURS
    row = np.arange(len(rows))[:, None]
    held: Array = usual[row, slot] * (1.0 - share) + usual[row, (slot + 1) % HOURS] * share
    return held
