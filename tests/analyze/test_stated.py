"""The deep detector's stated rate: a finding needs as much strength as the series' own past allows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from cemd.analyze.columns import Array, Columns, Field
from cemd.analyze.detectors.base import Held
from cemd.analyze.detectors.stated import FIELDS, LEAST, MOST, WEEK_SECONDS, Stated

EVERY = 1800.0
WEEK = int(WEEK_SECONDS / EVERY)
RATE = 0.2


class Life:
    """Strengths of some series, sample by sample; when each reached its limit after a pause."""

    def __init__(self, series: int, rate: float = RATE) -> None:
        self.columns = Columns({**FIELDS, "interval": Field("<f8", EVERY)})
        self.columns.add(series)
        self.stated, self.count = Stated(), 0
        self.stated.rate = rate

    def live(self, strengths: Array) -> Array:
        """bool[samples, series]: findings begin; none within six samples of the one before."""
        size, rested, found = strengths.shape[1], np.full(strengths.shape[1], 99), []
        for strength in strengths:
            seen = np.full(size, float(self.count))
            limit = self.stated.limit(Held(self.columns, slice(0, size)), strength, strength, seen)
            self.count += 1
            self.stated.alike.judge(self.count * EVERY)
            over = strength >= limit
            found.append(over & (rested > 6))
            rested = np.where(over, 0, rested + 1)
        return np.array(found)

    @property
    def limit(self) -> Array:
        return self.columns["stated_limit"]


def light(rng: np.random.Generator, samples: int, series: int) -> Array:
    return np.abs(rng.normal(0, 0.25, (samples, series)))


def exponential(rng: np.random.Generator, samples: int, series: int) -> Array:
    return rng.exponential(0.1, (samples, series))


def heavy(rng: np.random.Generator, samples: int, series: int) -> Array:
    return np.asarray(np.log1p(np.abs(rng.standard_t(3, (samples, series)))) * 0.35)


def red(rng: np.random.Generator, samples: int, series: int) -> Array:
    noise = rng.normal(0, 1, (samples, series))
    for place in range(1, samples):
        noise[place] = 0.9 * noise[place - 1] + 0.44 * noise[place]
    return np.asarray(0.25 * np.abs(noise))


@pytest.mark.parametrize("make", [light, exponential, heavy, red])
def test_the_stated_rate_holds_within_a_factor_of_two(make: Callable[[np.random.Generator, int, int], Array]) -> None:
    series, weeks, learnt = 150, 10, 3
    found = Life(series).live(make(np.random.default_rng(7), weeks * WEEK, series))
    measured = found[learnt * WEEK :].sum() / series / (weeks - learnt)
    assert RATE / 2 <= measured <= RATE * 2


def test_without_a_stated_rate_every_limit_is_one() -> None:
    life = Life(3, rate=0.0)
    found = life.live(np.full((500, 3), 0.99))
    assert not found.any()
    assert life.limit.tolist() == [1.0, 1.0, 1.0]


def test_a_storm_makes_nobody_deaf() -> None:
    rng, life = np.random.default_rng(11), Life(20)
    life.live(exponential(rng, 4 * WEEK, 20))
    before = life.limit.copy()
    storm = exponential(rng, 24, 20)
    storm[4:14] = 2.4  # the largest score there is, for five hours, on all of them
    assert life.live(storm).any(axis=0).all()
    life.live(exponential(rng, 48, 20))
    grown = life.limit / before
    assert np.median(grown) <= 1.1
    assert grown.max() <= 1.35
    assert life.live(np.concatenate([exponential(rng, 24, 20), storm * 0.45])).any(axis=0).all()


def test_what_recurs_is_usual_after_some_times() -> None:
    strengths = np.zeros((10 * WEEK, 1))
    strengths[40 :: WEEK // 4] = 1.3
    found = Life(1).live(strengths)[:, 0]
    assert found[:WEEK].sum() >= 2
    assert found[5 * WEEK :].sum() <= 1


def test_a_series_that_is_no_longer_quite_calm_learns_what_recurs_as_well() -> None:
    strengths = np.full((10 * WEEK, 1), 0.05)
    strengths[2 * WEEK :] = 0.25
    strengths[2 * WEEK + 40 :: WEEK // 4] = 1.3
    found = Life(1).live(strengths)[:, 0]
    assert found[2 * WEEK : 3 * WEEK].sum() >= 2
    assert found[5 * WEEK :].sum() <= 1


def test_limits_are_bounded() -> None:
    rng, life = np.random.default_rng(13), Life(20)
    life.live(rng.exponential(0.01, (4 * WEEK, 20)))
    assert life.limit.min() >= LEAST
    life.live(rng.exponential(3.0, (4 * WEEK, 20)))
    assert life.limit.max() <= MOST


def test_a_young_series_that_is_calm_has_forgotten_the_start_within_weeks() -> None:
    """Three weeks, a cluster a day: the limit is near what such peaks are worth, not held up by the start of 1."""
    rng = np.random.default_rng(4)
    life = Life(40)
    life.live(0.45 + rng.exponential(0.02, (3 * WEEK, 40)))
    assert np.median(life.columns["stated_limit"]) < 0.65


def test_series_of_one_sort_need_the_same() -> None:
    """Each alone would take the chance in its own tail for a law: limits half as high again as others, or less."""
    life = Life(60, rate=0.05)
    life.live(exponential(np.random.default_rng(17), 8 * WEEK, 60))
    assert life.limit.std() / life.limit.mean() < 0.12


def test_two_sorts_of_series_hold_the_stated_rate_side_by_side() -> None:
    rng, each, weeks, learnt = np.random.default_rng(19), 100, 10, 3
    life = Life(2 * each)
    found = life.live(np.hstack([make(rng, weeks * WEEK, each) for make in (light, heavy)]))
    measured = found[learnt * WEEK :].reshape(-1, 2, each).sum(axis=(0, 2)) / each / (weeks - learnt)
    assert (measured >= RATE / 2).all()
    assert (measured <= RATE * 2).all()


def test_faults_that_all_have_now_and_then_are_said_each_time() -> None:
    """A fault in ten weeks on each series, twice as often as stated: the limit does not rise until they are usual."""
    rng, series, weeks = np.random.default_rng(23), 60, 12
    strengths = exponential(rng, weeks * WEEK, series)
    faults = rng.random(strengths.shape) < 0.1 / WEEK
    strengths[faults] = 1.5
    found = Life(series, rate=0.05).live(strengths)
    late = slice(6 * WEEK, None)
    assert found[late][faults[late]].mean() > 0.8
