"""At a whole hour the spread moves by as much of the season's ratio as is still due: not twice, and not too late."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from cemd.analyze.bank import shares
from cemd.analyze.bank.bank import Bank
from cemd.analyze.columns import Array
from cemd.config.rules import Detector

MIDNIGHT = 1_780_012_800.0
SERIES = 40
OUTCOME = np.zeros(SERIES, np.uint8)
Noise = Callable[[float], float]
"""Hour of the day to standard deviation."""


def smooth(hour: float) -> float:
    return 1.0 + 0.8 * float(np.sin(hour / 12.0 * np.pi))


def leaping(hour: float) -> float:
    return 3.0 if 8.0 <= hour % 24 < 18.0 else 1.0


def flat(_: float) -> float:
    return 1.0


class Days:
    """A bank of series whose noise follows the hour; what it took for their spread before each sample of the last day,
    by what it was: (samples, series)."""

    def __init__(self, noise: Noise, every: float, days: int) -> None:
        rng, self.bank, each = np.random.default_rng(3), Bank(), int(86_400 / every)
        self.bank.add(np.zeros(SERIES, np.bool_))
        self.each_hour, took = int(3600 / every), []
        for number in range(days * each):
            at = MIDNIGHT + number * every
            values = 50.0 + noise(number * every / 3600.0) * rng.normal(0.0, 1.0, SERIES)
            if number >= (days - 1) * each:
                true = noise(number * every / 3600.0) * np.sqrt(2.0 / np.pi)
            self.bank.observe(np.arange(SERIES), np.full(SERIES, at), values, OUTCOME, Detector())
            if number >= (days - 1) * each:
                took.append(self.bank.columns["spread"] / true)
        self.took = np.array(took)

    def by_hour(self, first: int, last: int) -> Array:
        """Mean over these samples of each hour and all series."""
        hours: Array = self.took.reshape(24, self.each_hour, SERIES)[:, first:last].mean(axis=(1, 2))
        return hours

    @property
    def share(self) -> Array:
        columns = {name: self.bank.columns[name] for name in ("interval", "widening_product", "widening_square")}
        return shares.at_once(columns, slice(0, SERIES))


@pytest.fixture(scope="module")
def quick_and_smooth() -> Days:
    return Days(smooth, every=10.0, days=4)


def test_a_quick_series_whose_noise_changes_smoothly_is_not_moved_twice_at_a_whole_hour(quick_and_smooth: Days) -> None:
    """The spread has followed within the hour; moved by the whole ratio again it would be 0.6 to 1.4 of what it is."""
    begins = quick_and_smooth.by_hour(0, 6)
    assert begins.min() > 0.85
    assert begins.max() < 1.15
    assert np.median(quick_and_smooth.share) < 0.5


@pytest.mark.parametrize("every", [20.0, 60.0])
def test_a_leap_of_the_noise_at_a_whole_hour_is_there_with_its_first_sample(every: float) -> None:
    days = Days(leaping, every, days=5)
    first = days.by_hour(0, 1)
    assert first[8] > 0.75
    assert first[18] < 1.3
    assert np.median(days.share) > 0.8


def test_where_no_season_changes_the_noise_the_spread_goes_on_as_it_was() -> None:
    """What the hours of a week differ by is chance: a tenth of the spread and more, were it taken as it is."""
    days = Days(flat, every=300.0, days=14)
    changes = np.abs(np.diff(days.took, axis=0))
    turns = np.arange(1, len(days.took)) % days.each_hour == 0
    assert changes[turns].mean() < 3.0 * changes[~turns].mean() < 0.05


def test_after_hours_without_a_sample_all_of_the_ratio_is_due(quick_and_smooth: Days) -> None:
    bank, rows = quick_and_smooth.bank, np.arange(SERIES)
    midnight, spreads = MIDNIGHT + 4 * 86_400.0, []
    for seconds in (0.0, 6 * 3600.0):  # the second hour is the noisiest
        bank.observe(rows, np.full(SERIES, midnight + seconds), np.full(SERIES, 50.0), OUTCOME, Detector())
        spreads.append(bank.columns["spread"].mean())
    assert spreads[1] > 1.35 * spreads[0]
