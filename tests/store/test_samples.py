"""History: what was added is read back, once, sealed or open, whatever process died in between."""

from __future__ import annotations

import numpy as np
import pytest
from cemd.model.identity import SeriesId, series_id
from cemd.store.base import Moment

from tests.store.house import House, Killed, samples

HOUR = 3600.0
START = 470_000 * HOUR
ONE, TWO = series_id("a", 0), series_id("b", 1)


def read(house: House, series: SeriesId, since: float = START - HOUR, until: float = START + 99 * HOUR) -> list[float]:
    found: list[float] = house.store.samples.history(series, since, until).value.tolist()
    return found


def seal_until(house: House, minutes: int, begin: int = 0) -> None:
    for minute in range(begin, minutes):
        house.store.samples.seal(START + minute * 60)


def fill(house: House, hours: int, every: float = 30.0) -> list[tuple[int, float]]:
    """Adds value = place for series ONE, one batch a step; returns (seq, at)."""
    added = []
    for place in range(int(hours * HOUR / every)):
        at = START + place * every
        house.store.samples.add(samples([(ONE, at, float(place), 0), (TWO, at, -float(place), place % 2)]), place + 1)
        added.append((place + 1, at))
    return added


def test_open_and_sealed_samples_are_one_history(house: House) -> None:
    added = fill(house, 3)
    seal_until(house, 3 * 60 + 90)
    house.store.samples.add(samples([(ONE, START + 3 * HOUR + 1, 1000.0, 0)]), 1000)
    assert read(house, ONE) == [*map(float, range(len(added))), 1000.0]
    found = house.store.samples.history(TWO, START + HOUR, START + HOUR + 60)
    assert found.at.tolist() == [START + HOUR, START + HOUR + 30]
    assert found.outcome.tolist() == [0, 1]
    assert set(found.series.tolist()) == {TWO}
    assert house.store.samples.oldest_open() == 1000


def test_values_come_back_bit_by_bit(house: House) -> None:
    values = [0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, 0.1, 1e308]
    house.store.samples.add(samples([(ONE, START + i, value, i % 4) for i, value in enumerate(values)]), 1)
    seal_until(house, 120)
    found = house.store.samples.history(ONE, START, START + HOUR)
    assert found.value.view(np.int64).tolist() == np.array(values).view(np.int64).tolist()
    assert found.outcome.tolist() == [0, 1, 2, 3] * 2
    assert house.store.samples.oldest_open() is None


def test_replaying_the_log_after_a_death_neither_loses_nor_repeats(house: House) -> None:
    added = fill(house, 2)
    seal_until(house, 95)
    house.reopen()
    for seq, at in added:
        place = seq - 1
        house.store.samples.add(samples([(ONE, at, float(place), 0), (TWO, at, -float(place), 0)]), seq)
    assert read(house, ONE) == list(map(float, range(len(added))))
    assert read(house, TWO) == [-float(place) for place in range(len(added))]


@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.WITHIN], ids=str)
def test_a_kill_while_sealing_loses_nothing(house: House, moment: Moment) -> None:
    added = fill(house, 1)
    house.strike.at = ("samples.seal", moment)
    with pytest.raises(Killed):
        seal_until(house, 130)
    house.reopen()
    for seq, at in added:
        house.store.samples.add(samples([(ONE, at, float(seq - 1), 0)]), seq)
    assert read(house, ONE) == list(map(float, range(len(added))))


def test_late_samples_stand_at_their_time(house: House) -> None:
    fill(house, 1)
    seal_until(house, 130)
    house.store.samples.add(samples([(ONE, START + 45, 0.5, 0), (ONE, START - 10, -1.0, 0)]), 500)
    assert read(house, ONE)[:4] == [-1.0, 0.0, 1.0, 0.5]
    seal_until(house, 260, 130)
    house.store.samples.seal(START + 9 * HOUR)
    assert read(house, ONE)[:4] == [-1.0, 0.0, 1.0, 0.5]


def test_impossible_times_are_left_out(house: House) -> None:
    rows = [(ONE, at, 1.0, 0) for at in (-1.0, float("nan"), float("inf"), 1e300, START)]
    house.store.samples.add(samples(rows), 1)
    assert read(house, ONE) == [1.0]


def test_an_unknown_series_has_no_history(house: House) -> None:
    assert read(house, SeriesId(12345)) == []
