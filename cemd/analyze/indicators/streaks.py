"""What holds without a break: since when a condition does, and how many samples in a row were good or bad."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array, Columns


def streak(since: Array, holds: Array, now: float) -> None:
    """`since` keeps the tick at which a condition began to hold; NaN while it does not."""
    since[holds & np.isnan(since)] = now
    since[~holds] = np.nan


def enough_in_row(columns: Columns, series_count: Array) -> Array:
    """Samples in a row that suffice, per instance, where its window holds too few: never one alone, and as many as
    there are series behind it, so that one vantage point of three does not speak for all."""
    enough: Array = np.maximum(np.maximum(columns["min_samples"], 2), series_count)
    return enough


def count_in_row(columns: Columns, window: NDArray[np.intp], at: Array, value: Array) -> None:
    """Counts good samples since the last bad one and bad ones since the last good one, per instance and in the order in
    which they came.

    Args:
        columns: Of the instances; `good_in_row`, `bad_in_row`, `row_at` and `bad_at` are brought up to date in place.
        window: The instance of each sample; one may occur again and again.
        at: When each was measured.
        value: What was measured.
    """
    c = columns
    is_bad = c["sign"][window] * value < c["target"][window]
    bad = np.flatnonzero(is_bad)
    if not len(bad):
        np.add.at(c["good_in_row"], window, 1)
        c["bad_in_row"][window], c["row_at"][window] = 0, np.inf
        return
    np.maximum.at(c["bad_at"], window[bad], at[bad])
    good, good_since = np.flatnonzero(~is_bad), _after(bad, window, len(c))
    c["good_in_row"][window[bad]] = 0
    np.add.at(c["good_in_row"], window[good_since], 1)
    bad_since = _after(good, window, len(c))
    c["bad_in_row"][window[good]], c["row_at"][window[good]] = 0, np.inf
    np.add.at(c["bad_in_row"], window[bad_since], 1)
    np.minimum.at(c["row_at"], window[bad_since], at[bad_since])


def _after(places: NDArray[np.intp], window: NDArray[np.intp], instances: int) -> NDArray[np.intp]:
    """Places of the samples that came after the last of these places in their window."""
    last = np.full(instances, -1, np.intp)
    last[window[places]] = places  # of repeats the last one stands
    return np.flatnonzero(np.arange(len(window)) > last[window])
