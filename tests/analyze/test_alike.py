"""How far peaks of series that are alike go: many know together what one cannot, and others do not disturb them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from cemd.analyze.columns import Array
from cemd.analyze.detectors.alike import (
    BINS,
    BURST,
    FREE,
    JUDGED_SECONDS,
    NEAR,
    RARE,
    SCALES,
    USUALS,
    Alike,
    exceeded,
    place_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

RARELY = 500.0
Peaks = Callable[[np.random.Generator, int], Array]


def exponential(rng: np.random.Generator, peaks: int) -> Array:
    return rng.exponential(1.0, peaks)


def bounded(rng: np.random.Generator, peaks: int) -> Array:
    return rng.uniform(0.0, 2.0, peaks)


def heavy(rng: np.random.Generator, peaks: int) -> Array:
    """Generalised Pareto of shape 1/4, mean 1."""
    return np.asarray(0.75 * (rng.random(peaks) ** -0.25 - 1.0) / 0.25)


LEVELS: dict[Peaks, float] = {exponential: np.log(RARELY), bounded: 2.0, heavy: 3.0 * (RARELY**0.25 - 1.0)}
"""What one peak in RARELY exceeds."""


def place(scale: float, usual: float) -> Array:
    return place_of(np.array([scale]), np.array([usual]))


def told(alike: Alike, where: Array, so_many: float = RARELY) -> float:
    return float(exceeded(alike.law(where), np.full(len(where), so_many))[0])


def live(alike: Alike, sorts: dict[Peaks, Array], times: int, each: int, seed: int = 3) -> None:
    """So many peaks of each sort, at its place, every six hours."""
    rng = np.random.default_rng(seed)
    for number in range(times):
        for peaks, where in sorts.items():
            alike.count(np.repeat(where, each), peaks(rng, each))
        alike.judge(JUDGED_SECONDS * number)


def test_before_anything_was_counted_peaks_have_an_exponential_tail() -> None:
    assert told(Alike(), place(0.05, 0.4)) == pytest.approx(np.log(RARELY))
    assert told(Alike(), place(0.05, 0.4), 1e9) > told(Alike(), place(0.05, 0.4), 1e6) > 10.0


@pytest.mark.parametrize("peaks", LEVELS, ids=lambda one: one.__name__)
def test_what_came_is_what_one_in_so_many_exceeds(peaks: Peaks) -> None:
    alike, where = Alike(), place(0.05, 0.4)
    live(alike, {peaks: where}, times=60, each=100)
    assert told(alike, where) == pytest.approx(LEVELS[peaks], rel=0.12)


def test_sorts_of_series_that_lie_apart_do_not_disturb_each_other() -> None:
    alike = Alike()
    where: dict[Peaks, Array] = {exponential: place(0.05, 0.4), bounded: place(0.05, 0.5), heavy: place(0.1, 0.4)}
    live(alike, where, times=60, each=100)
    for peaks, mine in where.items():
        assert told(alike, mine) == pytest.approx(LEVELS[peaks], rel=0.2)


def test_who_has_no_past_leans_on_neighbours_and_who_has_none_on_all() -> None:
    alike = Alike()
    live(alike, {bounded: place(0.05, 0.4), heavy: place(0.2, 0.7)}, times=40, each=75)
    beside, alone = told(alike, place(0.05, 0.42)), told(alike, place(0.8, 0.05))
    assert beside < 3.0, "as its neighbours, whose peaks end at 2"
    assert beside < alone < LEVELS[heavy] * 1.2, "as all together"


def test_a_storm_counts_little() -> None:
    alike, where = Alike(), place(0.05, 0.4)
    live(alike, {exponential: where}, times=40, each=75)
    before = told(alike, where)
    alike.count(np.repeat(where, 300), np.full(300, 15.0))
    alike.judge(JUDGED_SECONDS * 40)
    due = BURST * 300 * np.exp(-RARE) + FREE
    assert told(alike, where) <= told_with_so_many_more(due) * 1.05
    assert told(alike, where, 100.0) < 1.3 * before


def told_with_so_many_more(peaks: float) -> float:
    alike, where = Alike(), place(0.05, 0.4)
    live(alike, {exponential: where}, times=40, each=75)
    for number in range(int(np.ceil(peaks))):  # one at a time, which is no storm
        alike.count(where, np.array([15.0]))
        alike.judge(JUDGED_SECONDS * (40 + number))
    return told(alike, where)


def test_what_is_long_past_is_forgotten() -> None:
    alike, where = Alike(), place(0.05, 0.4)
    live(alike, {heavy: where}, times=40, each=75)
    rng = np.random.default_rng(5)
    for number in range(40, 640):
        alike.count(np.repeat(where, 75), bounded(rng, 75))
        alike.judge(JUDGED_SECONDS * number)
    assert told(alike, where) < 2.5


@settings(max_examples=10)
@given(st.data())
def test_neighbours_count_by_their_distance(data: st.DataObject) -> None:
    scale, usual = data.draw(st.integers(0, SCALES - 1)), data.draw(st.integers(0, USUALS - 1))
    down, across = data.draw(st.integers(-10, 10)), data.draw(st.integers(-12, 12))
    other = np.array([np.clip(scale + down, 0, SCALES - 1), np.clip(usual + across, 0, USUALS - 1)])
    alike = Alike()
    alike.count(np.full(7, other[0] * USUALS + other[1]), np.full(7, 0.1))
    alike.judge(0.0)
    apart = np.abs(other - [scale, usual])
    for widths in NEAR:
        due = 7.0 * np.prod(np.maximum(1.0 - apart / (np.array(widths) + 1.0), 0.0))
        found = alike._around(np.array([scale * USUALS + usual]), widths)
        assert found.sum() == pytest.approx(due, abs=1e-6)


def test_neither_order_nor_calls_nor_a_restart_change_a_bit() -> None:
    rng = np.random.default_rng(9)
    places, peaks = rng.integers(0, SCALES * USUALS, 600), rng.exponential(1.0, 600)
    first, second = Alike(), Alike()
    first.count(places[:400], peaks[:400])
    first.judge(0.0)
    first.count(places[400:], peaks[400:])
    shuffled = np.concatenate([rng.permutation(400), 400 + rng.permutation(200)])
    for one in shuffled[:400].tolist():
        second.count(places[one : one + 1], peaks[one : one + 1])
    second.judge(0.0)
    for part in np.split(shuffled[400:], 4):
        second.count(places[part], peaks[part])
    assert first.dump() == second.dump()
    third = Alike()
    third.load(first.dump())
    for alike in (first, third):
        alike.judge(JUDGED_SECONDS)
    assert third.dump() == first.dump()
    np.testing.assert_array_equal(third.law(places), first.law(places))
    np.testing.assert_array_equal(np.vstack([first.law(one) for one in np.split(places, 600)]), first.law(places))
    assert first.law(places).shape == (600, BINS)


def test_a_snapshot_of_before_there_was_a_law_begins_anew() -> None:
    alike = Alike()
    alike.load({"realised": b""})
    assert told(alike, place(0.05, 0.4)) == pytest.approx(np.log(RARELY))
