"""The cap: at half of what was measured, evenly, moments of truth last, and nothing without need."""

from __future__ import annotations

from math import inf

import pytest
from cemd.monitor.pressure import Pressure


def second(pressure: Pressure, ordinary: int, important: int, *, seconds_a_run: float) -> tuple[int, int, bool]:
    """One second with so many runs wanted: (ordinary begun, important begun, whether runs are given up from now on)."""
    begun = [0, 0]
    for rank, wanted in enumerate((ordinary, important)):
        for probe in range(wanted):
            begun[rank] += not pressure.sheds(1_000 * rank + probe, important=bool(rank))
    return begun[0], begun[1], pressure.observe(sum(begun) * seconds_a_run, 1.0)


def test_prober_below_its_cap_gives_up_nothing() -> None:
    pressure = Pressure()
    for _ in range(20):
        assert second(pressure, 400, 80, seconds_a_run=0.001) == (400, 80, False)
    assert pressure.shed_total == 0
    assert pressure.cap_per_second == pytest.approx(500.0)


def test_cap_is_unknown_while_there_is_nothing_to_judge_it_by() -> None:
    pressure = Pressure()
    second(pressure, 3, 0, seconds_a_run=0.001)
    assert pressure.cap_per_second == inf


def test_beyond_half_of_the_capacity_ordinary_runs_are_given_up_evenly_and_counted() -> None:
    pressure = Pressure()
    assert second(pressure, 800, 100, seconds_a_run=0.001)[2]
    for _ in range(10):
        ordinary, important, shedding = second(pressure, 800, 100, seconds_a_run=0.001)
        assert important == 100
        assert ordinary + important == pytest.approx(500, abs=2)
        assert shedding
    assert pressure.shed_total == pytest.approx(10 * 400, abs=30)
    given_up = [pressure.sheds(probe, important=False) for probe in range(100)]
    assert all(any(given_up[place : place + 5]) for place in range(95))  # half of them, never a long row


@pytest.mark.parametrize("wanted", [600, 700, 1000, 1500, 4000])
def test_of_each_probe_the_same_share_of_its_own_runs_is_given_up(wanted: int) -> None:
    """Each second all of them are wanted, in the same order; 500 runs a second are begun."""
    pressure = Pressure()
    second(pressure, wanted, 0, seconds_a_run=0.001)
    made = [0] * wanted
    for _ in range(200):
        for probe in range(wanted):
            made[probe] += not pressure.sheds(probe, important=False)
    share = 500 / wanted
    assert min(made) >= int(200 * share) - 1
    assert max(made) <= int(200 * share) + 2


def test_moments_of_truth_are_given_up_only_when_nothing_else_is_left() -> None:
    pressure = Pressure()
    for _ in range(10):
        ordinary, important, _ = second(pressure, 500, 1000, seconds_a_run=0.001)
    assert ordinary == 0
    assert important == pytest.approx(500, abs=2)
    assert pressure.shed_important_total > 0


def test_all_runs_begin_again_when_the_load_is_gone() -> None:
    pressure = Pressure()
    for _ in range(5):
        second(pressure, 900, 0, seconds_a_run=0.001)
    second(pressure, 300, 0, seconds_a_run=0.001)
    assert second(pressure, 300, 0, seconds_a_run=0.001) == (300, 0, False)
