"""What comes again at the same time of day is no alarm; what is stronger, or at another time, is."""

from __future__ import annotations

import numpy as np
import pytest
from cemd.analyze.columns import Array, Columns
from cemd.analyze.detectors.deep import Deep
from cemd.analyze.detectors.recurrence import DAYS, FIELDS, Recurrence

T0 = 1_780_012_800.0  # midnight
DAY, DAY_SECONDS, EVERY = 288, 86_400.0, 300.0
NOON, MINUTE = 12 * 3600.0, 60.0
ROW = np.zeros(1, np.intp)


def noted(*strong: tuple[float, float]) -> Recurrence:
    """One series that had (score, seconds since T0) before."""
    columns = Columns(FIELDS)
    columns.add(1)
    recurrence = Recurrence(columns)
    for score, at in strong:
        recurrence.usual(ROW, np.array([score]), 1.0, np.array([T0 + at]))
    return recurrence


def usual(recurrence: Recurrence, score: float, at: float) -> bool:
    return bool(recurrence.usual(ROW, np.array([score]), 1.0, np.array([T0 + at]))[0])


def noons(*scores: float) -> list[tuple[float, float]]:
    """One a day, forty minutes earlier and later by turns."""
    return [
        (score, day * DAY_SECONDS + NOON + (40 * MINUTE if day % 2 else -40 * MINUTE))
        for day, score in enumerate(scores)
    ]


def test_what_two_earlier_days_brought_is_usual_and_what_one_did_is_not() -> None:
    assert usual(noted(*noons(1.4, 1.4)), 1.2, 2 * DAY_SECONDS + NOON)
    assert not usual(noted(*noons(1.4, 0.0)), 1.2, 2 * DAY_SECONDS + NOON)
    one_day = noted((1.4, NOON), (1.4, NOON + 30 * MINUTE))
    assert not usual(one_day, 1.2, DAY_SECONDS + NOON), "twice on one day is one day"


def test_what_is_stronger_than_on_all_of_them_but_one_is_said() -> None:
    assert not usual(noted(*noons(1.3, 2.0, 0.9)), 1.35, 3 * DAY_SECONDS + NOON)
    assert usual(noted(*noons(1.3, 2.0, 0.9)), 1.25, 3 * DAY_SECONDS + NOON)


@pytest.mark.parametrize(
    ("at", "is_usual"),
    [
        (2 * DAY_SECONDS + NOON, True),
        (2 * DAY_SECONDS + NOON + 4 * 3600.0, False),
        ((DAYS - 1) * DAY_SECONDS + NOON, True),
        (DAYS * DAY_SECONDS + NOON, False),
        (1000 * DAY_SECONDS + NOON, False),
    ],
    ids=["the next day", "four hours later", "within the ring", "only one of them within it", "years later"],
)
def test_only_this_time_of_the_last_days_counts(at: float, *, is_usual: bool) -> None:
    assert usual(noted((1.4, NOON), (1.4, DAY_SECONDS + NOON)), 1.2, at) is is_usual


def test_midnight_is_no_border() -> None:
    before = noted((1.4, DAY_SECONDS - 10 * MINUTE), (1.4, 2 * DAY_SECONDS - 10 * MINUTE))
    assert usual(before, 1.2, 3 * DAY_SECONDS + 10 * MINUTE)


def test_what_was_true_each_time_is_forgotten() -> None:
    recurrence = noted(*noons(1.4, 1.4))
    recurrence.forget(0)
    assert not usual(recurrence, 1.2, 2 * DAY_SECONDS + NOON)


def alarms(values: Array) -> Array:
    """bool[n, series]: samples that opened an alarm."""
    deep, rows = Deep(), np.arange(values.shape[1])
    deep.add(len(rows))
    return np.array(
        [deep.observe(rows, np.full(len(rows), T0 + EVERY * number), value) for number, value in enumerate(values)]
    )


def jobs(days: int, series: int, seed: int) -> Array:
    """Noise, and about noon, an hour earlier or later, a job of 15 to 25 minutes."""
    rng = np.random.default_rng(seed)
    values = rng.normal(20, 1, (days * DAY, series))
    for one in range(series):
        for day in range(days):
            begin = day * DAY + DAY // 2 + int(rng.integers(-12, 13))
            values[begin : begin + int(rng.integers(3, 6)), one] += rng.normal(30, 2)
    return values


def test_a_job_that_comes_every_day_at_about_noon_is_usual_and_the_same_by_night_is_not() -> None:
    values = jobs(days=12, series=10, seed=4)
    night = 11 * DAY + 30
    values[night : night + 4] += 30
    opened = alarms(values)
    assert opened[6 * DAY : 11 * DAY].sum() <= 2, "on ten series in five days, after six"
    assert opened[night : night + 6].any(axis=0).sum() >= 9, "of ten series"
