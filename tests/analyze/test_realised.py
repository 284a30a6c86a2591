"""Whether the stated rate comes true: what clusters of all series together did corrects the limits of those alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cemd.analyze.bank import episodes
from cemd.analyze.bank.bank import Bank
from cemd.analyze.bank.episodes import Memory
from cemd.analyze.bank.realised import (
    LEAST,
    LEAST_OF_ALARMS,
    MOST,
    MOST_OF_ALARMS,
    OFTEN,
    Realised,
    half_doublings,
)

HOUR = 3600.0
RARE = 400.0
"""Of so many clusters one should alarm; of 100, one should go beyond the counted level."""
SIDES = 3, 2


def one_hour(realised: Realised, hour: int, number: int, clusters: int, beyond: int) -> None:
    """Clusters of one class; the level that they are held to is as stated."""
    went = np.arange(clusters) < beyond
    as_stated = np.full(clusters, RARE, np.float32) / realised.of(np.array([number]))
    realised.count(np.full(clusters, number), went, as_stated)
    realised.judge(hour * HOUR)


def after(hours: int, share: float) -> float:
    """The correction after hours in which so many times the due clusters went beyond."""
    realised, rng = Realised(*SIDES), np.random.default_rng(3)
    for hour in range(hours):
        one_hour(realised, hour, 2, 400, int(rng.binomial(400, share * float(OFTEN) / RARE)))
    return float(realised.of(np.array([2]))[0])


def test_nothing_is_corrected_before_something_was_counted() -> None:
    assert Realised(*SIDES).of(np.arange(6)).tolist() == [1.0] * 6


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0, 1.4])
def test_what_comes_true_corrects_how_rare_an_alarm_must_be(share: float) -> None:
    assert after(24 * 14, share) == pytest.approx(share, rel=0.15)


def test_the_correction_is_bounded() -> None:
    assert after(24 * 60, 0.0) == pytest.approx(LEAST)
    assert after(24 * 14, 50.0) <= MOST


@pytest.mark.parametrize("power", [0.7, 1.0, 1.5])
def test_the_corrected_level_comes_true_whatever_the_tail(power: float) -> None:
    """Half of what should go beyond the level as named, and a tail beyond it that is a power of what is named."""
    realised, rng, usual, beyond = Realised(1), np.random.default_rng(5), float(OFTEN) / RARE, []
    for hour in range(24 * 56):
        named = float(OFTEN) / (RARE * float(realised.of(np.array([0]))[0]))
        went = rng.random(400) < 0.5 * usual * (named / usual) ** power
        realised.count(np.zeros(400, np.intp), went, np.full(400, RARE, np.float32))
        realised.judge(hour * HOUR)
        beyond.append(went.mean())
    assert np.mean(beyond[24 * 28 :]) == pytest.approx(usual, rel=0.15)


def test_a_storm_of_some_hours_is_no_new_rate() -> None:
    realised = Realised(*SIDES)
    for hour in range(24 * 14):
        one_hour(realised, hour, 0, 400, 4)
    for hour in range(24 * 14, 24 * 14 + 6):
        one_hour(realised, hour, 0, 400, 390)
    assert realised.of(np.array([0]))[0] < 1.1


def test_a_class_that_knows_little_leans_on_those_that_share_its_first_side() -> None:
    realised = Realised(*SIDES)
    for hour in range(24 * 14):
        one_hour(realised, hour, 0, 400, 2)
        one_hour(realised, hour, 4, 400, 4)
    half, beside_half, unseen, _, whole, beside_whole = realised.of(np.arange(6)).tolist()
    assert (half, whole) == (pytest.approx(0.5, rel=0.1), pytest.approx(1.0, rel=0.1))
    assert (beside_half, beside_whole) == (pytest.approx(half, rel=0.1), pytest.approx(whole, rel=0.1))
    assert half < unseen < whole


def test_a_class_is_half_a_doubling() -> None:
    numbers = half_doublings(np.array([1.0, 1.4, 1.5, 2.0, 3.0, 4.0, 1e-9, 1e9, -1.0, 0.0], np.float32), -2, 6)
    assert numbers.tolist() == [2, 2, 3, 4, 5, 5, 0, 5, 0, 0]


def test_neither_cuts_nor_a_restart_change_a_bit() -> None:
    rng = np.random.default_rng(5)
    number, clusters = rng.integers(0, 6, 500), rng.uniform(5, 2000, 500).astype(np.float32)
    beyond = rng.random(500) < 0.02
    whole, cut = Realised(*SIDES), Realised(*SIDES)
    whole.count(number, beyond, clusters)
    cut.count(number[300:], beyond[300:], clusters[300:])
    again = Realised(*SIDES)
    again.load(cut.dump())
    again.count(number[:300], beyond[:300], clusters[:300])
    for one in (whole, again):
        one.count_alarms(number[:40])
        one.judge(HOUR)
    assert whole.dump() == again.dump()


def test_counts_of_other_classes_are_not_taken_over() -> None:
    older, now = Realised(5), Realised(*SIDES)
    older.count(np.zeros(9, np.intp), np.ones(9, np.bool_), np.full(9, 50.0, np.float32))
    older.judge(HOUR)
    now.load(older.dump())
    assert now.dump() == Realised(*SIDES).dump()


def alarms_after(weeks: int, share: float) -> float:
    """The correction of alarms after weeks of a thousand clusters an hour, with so many times the stated alarms."""
    realised, rng = Realised(*SIDES), np.random.default_rng(3)
    for hour in range(168 * weeks):
        realised.count(np.full(1000, 2), np.zeros(1000, np.bool_), np.full(1000, RARE, np.float32))
        rarer = float(realised.of_alarms(np.array([2]))[0])
        realised.count_alarms(np.full(rng.poisson(1000 / RARE * share / rarer), 2))
        realised.judge(hour * HOUR)
    return float(realised.of_alarms(np.array([2]))[0])


@pytest.mark.parametrize("share", [0.5, 1.0, 1.5])
def test_alarms_that_come_more_or_less_often_than_stated_correct_the_limit(share: float) -> None:
    assert alarms_after(8, share) == pytest.approx(share, rel=0.15)


@pytest.mark.parametrize(("share", "bound"), [(30.0, MOST_OF_ALARMS), (0.01, LEAST_OF_ALARMS)])
def test_alarms_that_may_be_true_make_a_limit_so_much_rarer_at_most(share: float, bound: float) -> None:
    assert alarms_after(8, share) == pytest.approx(bound)


def test_faults_that_hurt_all_classes_at_once_are_no_new_rate() -> None:
    """Faults once a day, each in all of sixty classes within the hour; else alarms come as stated."""
    realised, rng, all_ = Realised(60), np.random.default_rng(3), np.arange(60)
    for hour in range(24 * 28):
        realised.count(all_.repeat(20), np.zeros(1200, np.bool_), np.full(1200, RARE, np.float32))
        realised.count_alarms(all_.repeat(rng.poisson(20 / RARE / realised.of_alarms(all_))))
        if hour % 24 == 9:
            realised.count_alarms(all_)
        realised.judge(hour * HOUR)
    assert realised.of_alarms(all_).mean() < 1.2


def limit_and_level(correction: float, of_alarms: float = 1.0) -> tuple[float, float]:
    """Of a series whose clusters are exponential, a hundred of them and an alarm in 1,024 as stated."""
    bank = Bank()
    bank.add(np.array([False]))
    memory = Memory(bank.columns["episode"])
    memory.excess[:] = memory.beyond[:] = 2.0
    memory.deep[:], memory.clusters[:], memory.apart[:] = 5.8, 1e6, 100.0
    of = [np.array([one], np.float32) for one in (correction, of_alarms)]
    episodes.set_limit(memory, np.ones(1, np.float32), 1024 * 100.0, *of)
    return float(memory.limit[0]), float(memory.often[0])


def test_what_a_tail_is_lighter_at_the_counted_level_it_is_half_as_much_again_toward_the_limit() -> None:
    limit, often = limit_and_level(1.0)
    lower, often_lower = limit_and_level(0.25)
    doublings = -np.log2(0.25)
    a_doubling = 2.0 * float(np.log(2.0))
    assert often - often_lower == pytest.approx(doublings * a_doubling, rel=0.05)
    beyond_deep = np.log2(1024) - 2 - 2  # doublings from the mark to the counted level, two more to the limit
    assert limit - lower == pytest.approx(doublings * (1 + 0.5 * 2 / beyond_deep) * a_doubling, rel=0.05)


def test_what_alarms_say_moves_the_limit_alone() -> None:
    (limit, often), (higher, same) = limit_and_level(1.0), limit_and_level(1.0, 2.0)
    assert same == often
    assert higher - limit == pytest.approx(2.0 * float(np.log(2.0)), rel=0.05)


def test_the_deeper_quarter_of_peaks_cannot_go_further_than_their_mean_allows() -> None:
    """Some hundred peaks that hardly differ, of a series whose first one was large: as of a job in every hour."""
    bank = Bank()
    bank.add(np.array([False]))
    memory = Memory(bank.columns["episode"])
    for number in range(150):
        memory.peak[:] = 60.0 if number == 0 else 3.2 + 0.1 * (number % 2)
        memory.limit[:] = 100.0
        episodes.close_clusters(memory, np.full(1, 250.0 * number, np.float32))
    assert memory.beyond[0] <= 4.0 * memory.excess[0] < 3.0


def likeness(
    *,
    excess: float = 1.5,
    clusters: float = 100.0,
    third: float = 4.5,
    binary: bool = False,
    season: float = 0.0,
) -> int:
    """Class of one series of the bank; its first threshold is 2.7, the share of its season is as said."""
    bank = Bank()
    bank.add(np.array([binary]))
    bank.columns["first"][:], bank.columns["third"][:] = 2.7, third
    memory = Memory(bank.columns["episode"])
    memory.excess[:], memory.clusters[:] = excess, clusters
    bank.columns["trust_product"][:], bank.columns["trust_square"][:] = season, 1.0
    columns = {name: bank.columns[name] for name in ("first", "third", "binary", "trust_product", "trust_square")}
    return int(episodes.likeness(columns, np.array([0]), memory)[0])


def test_series_of_the_bank_are_alike_in_mean_peak_season_tail_and_age() -> None:
    usual = likeness()
    assert likeness(excess=1.6, clusters=900.0, third=4.2) == usual
    others = [
        likeness(excess=3.5),
        likeness(excess=0.4),
        likeness(third=9.0),
        likeness(third=40.0),
        likeness(clusters=20.0),
        likeness(binary=True),
        likeness(season=0.98),
    ]
    assert len({usual, *others}) == 8
    assert 0 <= min(others) <= max(others) < math.prod(episodes.SIDES)


def test_a_class_is_known_whatever_the_thresholds() -> None:
    numbers = [likeness(third=third, excess=excess) for third in (0.0, 1e-30, 1e30) for excess in (0.0, 1e-9, 1e9)]
    assert 0 <= min(numbers) <= max(numbers) < math.prod(episodes.SIDES)
