"""The deep detector: what it finds, what it leaves alone, and that nothing but the past of a series decides."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Callable

import numpy as np
import pytest
from cemd.analyze.columns import Array, Columns
from cemd.analyze.detectors import KINDS
from cemd.analyze.detectors.base import BY_DAYS, Held
from cemd.analyze.detectors.combination import Combination
from cemd.analyze.detectors.combination import fields as combination_fields
from cemd.analyze.detectors.deep import LEARN_SAMPLES, Deep
from cemd.analyze.detectors.tails import Tails
from cemd.analyze.detectors.tails import fields as tail_fields
from hypothesis import given, settings
from hypothesis import strategies as st

T0 = 1_780_012_800.0  # midnight
DAY = 288
EVERY = 300.0


class Run:
    """Values given to a detector, column by column, and what it said of each."""

    def __init__(self, values: Array, *, every: float = EVERY, at: Array | None = None) -> None:
        self.values = values if values.ndim == 2 else values[:, None]
        size, series = self.values.shape
        self.deep = Deep()
        self.deep.add(series)
        self.score, self.severity = np.full((2, size, series), np.nan)
        self.opened = np.zeros((size, series), np.bool_)
        rows, times = np.arange(series), at if at is not None else T0 + every * np.arange(size)
        for number in range(size):
            self.opened[number] = self.deep.observe(rows, np.full(series, times[number]), self.values[number])
            self.score[number] = self.deep.columns["score"]
            self.severity[number] = self.deep.columns["severity"]

    def alarms(self, first: int, last: int | None = None) -> int:
        return int(self.opened[first:last].sum())


def daily(days: int, *, seed: int = 1, series: int = 1, noise: float = 1.0) -> Array:
    """A smooth day between 20 and 40, with noise."""
    rng = np.random.default_rng(seed)
    hour = np.arange(days * DAY) / DAY * 2 * np.pi
    usual: Array = 30 - 10 * np.cos(hour)[:, None] + rng.normal(0, noise, (days * DAY, series))
    return usual


def spike(values: Array, at: int) -> None:
    values[at : at + 3] += 15


def drop(values: Array, at: int) -> None:
    values[at : at + 12] = 0


def shift(values: Array, at: int) -> None:
    values[at:] += 8


def stuck(values: Array, at: int) -> None:
    values[at : at + 60] = values[at]


def restless(values: Array, at: int) -> None:
    values[at : at + 30 : 2] += 6
    values[at + 1 : at + 30 : 2] -= 6


def wrong_hour(values: Array, at: int) -> None:
    values[at : at + 30] = values[at - DAY // 2 : at - DAY // 2 + 30]


def missing_peak(values: Array, at: int) -> None:
    values[at : at + 80] = np.minimum(values[at : at + 80], 24)


EVENTS: list[Callable[[Array, int], None]] = [spike, drop, shift, stuck, restless, wrong_hour, missing_peak]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_what_breaks_the_daily_course_is_found(event: Callable[[Array, int], None]) -> None:
    values = daily(5, series=8)[: 4 * DAY + 170]
    at = 4 * DAY + 100
    event(values, at)
    run = Run(values)
    found = run.opened[at : at + 60].any(axis=0)
    assert found.sum() >= 7, "of eight series"


def test_the_usual_day_raises_few_alarms() -> None:
    run = Run(daily(7, series=100))
    per_week = run.alarms(2 * DAY) / 100 / (5 / 7)
    assert per_week < 0.1, "episodes a series and week"


def test_it_answers_not_yet_before_it_has_seen_enough() -> None:
    values = daily(1)
    values[:LEARN_SAMPLES] *= np.random.default_rng(3).choice([1, 100], (LEARN_SAMPLES, 1))
    run = Run(values[: LEARN_SAMPLES + 5])
    assert np.isnan(run.score[:LEARN_SAMPLES]).all()
    assert np.isnan(run.severity[:LEARN_SAMPLES]).all()
    assert not run.opened[:LEARN_SAMPLES].any()
    assert not np.isnan(run.score[LEARN_SAMPLES:]).any()


def test_a_constant_series_is_silent_until_it_moves() -> None:
    values = np.full((3 * DAY, 1), 7.0)
    values[-3:] = 7.5
    run = Run(values)
    assert run.alarms(0, -3) == 0
    assert run.opened[-3:].any()


def test_a_series_of_two_values_is_usual_in_both() -> None:
    values = (np.random.default_rng(5).random((4 * DAY, 40)) < 0.3) * 1.0
    assert Run(values).alarms(DAY) / 40 < 1.0, "episodes a series in three days"


def test_kinds_of_one_family_count_once_and_two_families_more_than_one() -> None:
    kinds = [kind() for kind in KINDS.values()]
    words = list(KINDS)
    combination = Combination(kinds)

    def strength(*loud: str) -> float:
        columns = Columns(combination_fields(len(kinds)))
        columns.add(1)
        surprise = np.zeros((1, len(kinds)))
        surprise[0, [words.index(word) for word in loud]] = 4.0
        one = np.ones(1)
        held = Held(columns, slice(0, 1))
        return float(combination.strength_and_severity(held, surprise, surprise, 300.0 * one, 100.0 * one)[0][0])

    assert strength("profile", "ratio", "nearest") == pytest.approx(strength("nearest"), rel=0.2), "of size at most"
    assert strength("change", "nearest") > 1.4 * strength("nearest")


def test_a_step_and_the_level_it_leads_to_are_heard_together() -> None:
    kinds = [kind() for kind in KINDS.values()]
    words, combination, one = list(KINDS), Combination(kinds), np.ones(1)

    def strongest(steps: float, level: float) -> float:
        """Of a step, and of the level that is seen from the fifth sample after it on."""
        columns = Columns(combination_fields(len(kinds)))
        columns.add(1)
        held, found = Held(columns, slice(0, 1)), []
        for number in range(12):
            surprise = np.zeros((1, len(kinds)))
            surprise[0, words.index("change")] = steps * (number == 0)
            surprise[0, words.index("shift")] = level * (number >= 5)
            found.append(combination.strength_and_severity(held, surprise, surprise, 300.0 * one, 100.0 * one)[0][0])
        return float(max(found))

    both = strongest(4.0, 4.0)
    assert both > 1.25 * strongest(0.0, 4.0)
    assert both > 1.25 * strongest(4.0, 0.0)
    assert both < 1.6 * max(strongest(0.0, 4.0), strongest(4.0, 0.0)), "the second counts in part"


def test_evidence_of_few_earlier_days_is_worth_less() -> None:
    combination = Combination([kind() for kind in KINDS.values()])
    surprise = np.full((3, len(KINDS)), 4.0)
    trusted = combination.trust(surprise, np.array([0, 2, 21]))
    by_days = [number for number, kind in enumerate(KINDS.values()) if kind.family in BY_DAYS]
    assert (np.diff(trusted[:, by_days], axis=0) > 0).all()
    others = np.setdiff1d(np.arange(len(KINDS)), by_days)
    assert (trusted[:, others] == 4.0).all()


def test_a_spike_of_one_minute_is_severe_where_the_past_has_nothing_like_it_and_not_among_heavy_tails() -> None:
    rng = np.random.default_rng(7)
    values = 500 + 40 * np.hstack([rng.normal(0, 1, (2000, 20)), rng.standard_t(2, (2000, 20))])
    values[-1] = 1400.0
    severe = Run(values, every=60.0).severity[-1] >= 1.0
    assert severe[:20].mean() > 0.8
    assert severe[20:].mean() < 0.5


def test_units_decide_nothing() -> None:
    values = daily(3, series=1)
    shift(values, 2 * DAY + 100)
    scales = 10.0 ** np.arange(-3, 5)
    run = Run(values * scales)
    assert run.opened.any()
    assert (run.opened == run.opened[:, :1]).all(), "seven orders of magnitude, the same alarms"


@pytest.mark.parametrize("every", [1.0, 10.0, 60.0, 900.0, 3600.0])
def test_sampling_from_a_second_to_an_hour_is_fine(every: float) -> None:
    values = np.random.default_rng(2).normal(10, 1, (600, 20))
    at = 500
    values[at:] += 12
    run = Run(values, every=every)
    assert run.opened[at : at + 20].any(axis=0).all()
    assert run.alarms(100, at) <= 6, "of 8,000 samples"


def test_gaps_duplicates_and_backward_time_neither_alarm_nor_stop_it() -> None:
    at = T0 + EVERY * np.arange(6 * DAY)
    at[3 * DAY :] += 7200.0  # nothing came for two hours
    at[4 * DAY + 10 : 4 * DAY + 13] = at[4 * DAY + 10]  # the same instant thrice
    at[4 * DAY + 90 : 4 * DAY + 102] -= 3600.0  # an hour comes twice
    noise = np.random.default_rng(1).normal(0, 1, (len(at), 6))
    values = 30 - 10 * np.cos((at - T0) / 86_400 * 2 * np.pi)[:, None] + noise
    values[5 * DAY + 50 :] += 15
    run = Run(values, at=at)
    assert run.alarms(3 * DAY, 5 * DAY + 50) <= 4
    assert run.opened[5 * DAY + 50 : 5 * DAY + 60].any(axis=0).all()


def test_daylight_saving_is_learnt_within_days() -> None:
    values = daily(8, series=10, noise=0.7)
    values[4 * DAY :] = np.roll(values, -12, axis=0)[4 * DAY :]  # from now on everything is an hour earlier
    run = Run(values)
    assert run.alarms(6 * DAY, 8 * DAY - 12) <= 6


def test_a_shift_becomes_the_new_normal_while_severity_still_says_how_far_it_went() -> None:
    values = daily(7, series=6)
    values[4 * DAY :] += 10
    run = Run(values)
    assert run.opened[4 * DAY : 4 * DAY + 12].any(axis=0).all()
    usual, shifted = np.median(run.severity[3 * DAY : 4 * DAY]), np.median(run.severity[4 * DAY + 10 : 5 * DAY])
    assert shifted > 1.4 * usual, "it lasts, and is said as long"
    assert run.alarms(6 * DAY) <= 3, "one a series in two days at most"


def test_larger_is_worse() -> None:
    values = daily(3, series=3)[: 2 * DAY + 120]
    values[2 * DAY + 100 : 2 * DAY + 110] += np.array([6.0, 20.0, 200.0])
    severity = Run(values).severity[2 * DAY + 100 : 2 * DAY + 110].max(axis=0)
    assert severity[0] * 1.2 < severity[1] < severity[2] / 1.2


def test_an_episode_fires_once_and_is_remembered_with_its_kind() -> None:
    values = daily(6)
    for day in (4, 5):
        values[day * DAY + 100 : day * DAY + 112] -= 20
    run = Run(values)
    for day in (4, 5):
        assert 1 <= run.alarms(day * DAY + 100, day * DAY + 112) <= 2
    past = run.deep.gate.past(0)
    assert len(past) >= 2
    assert past[-1].at == pytest.approx(T0 + EVERY * (5 * DAY + 100), abs=5 * EVERY)
    assert past[-1].until >= past[-1].at
    assert past[-1].peak >= 1.0
    assert not past[-1].rises


def test_what_was_rare_and_small_does_not_hide_what_is_large_soon_after() -> None:
    deep, rows = Deep(), np.zeros(1, np.intp)
    deep.add(1)
    fired, began = [], []

    def give(score: float, severity: float, times: int = 1) -> None:
        for _ in range(times):
            held, one = Held(deep.columns, slice(0, 1)), np.ones(1)
            no = np.zeros(1, np.bool_)
            fired.append(bool(deep.gate.pass_through(held, rows, score * one, severity * one, no, T0 * one)[0]))
            began.append(len(deep.gate.turned()[0]))

    give(1.2, 0.7)
    give(0.1, 0.1, 20)
    give(1.2, 1.2, 3)
    assert sum(began) == 1, "the first was no finding, and hides none"
    assert sum(fired) == 1, "yet nobody looks twice for the same alarm"
    give(0.1, 0.1, 20)
    give(1.3, 1.3, 3)
    assert sum(began) == 1, "nor for the same finding"
    assert [one.peak for one in deep.gate.past(0)] == pytest.approx([1.2, 1.2])


def test_the_expected_band_holds_most_of_the_usual() -> None:
    deep = Deep()
    deep.add(20)
    inside = []
    for number, value in enumerate(daily(5, series=20)):
        deep.observe(np.arange(20), np.full(20, T0 + EVERY * number), value)
        c = deep.columns
        inside.append(np.abs(value - c["expected"]) <= c["reach"])
    share = np.mean(inside[3 * DAY :])
    assert 0.95 < share < 0.9995


def test_what_lies_beyond_the_ring_is_forgotten() -> None:
    run = Run(daily(1))
    rows = np.zeros(1, np.intp)
    late = T0 + 400 * 86_400.0
    run.deep.observe(rows, np.array([late]), np.array([30.0]))
    run.deep.observe(rows, np.array([T0]), np.array([30.0]))  # far behind the ring: taken, not kept
    assert np.isfinite(run.deep.columns["score"]).all()
    assert run.deep.columns["last_at"][0] == late


def test_a_series_of_thirty_days_fits_into_48_kb() -> None:
    assert Deep().bytes_per_series() <= 48_000


@settings(max_examples=5)
@given(st.data())
def test_neither_neighbours_nor_calls_change_a_bit(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    size, series = 100, 3
    values = rng.normal(10, 2, (size, series)) * (rng.random((size, series)) > 0.02)
    at = T0 + EVERY * np.arange(size)
    together = Deep()
    together.add(series)
    rows = np.tile(np.arange(series), size)
    flat_at, flat = np.repeat(at, series), values.reshape(-1)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    for first, last in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        together.observe(rows[first:last], flat_at[first:last], flat[first:last])
    alone = Deep()
    alone.add(series)
    for row in data.draw(st.permutations(range(series))):
        alone.observe(np.full(size, row), at, values[:, row])
    assert together.dump() == alone.dump()


def test_after_a_restart_every_bit_is_the_same() -> None:
    values = daily(3, series=3)
    values[2 * DAY + 20 :] += 9
    whole = Run(values)
    first = Run(values[: 2 * DAY + 30])
    second = Deep()
    second.load(first.deep.dump())
    for number in range(2 * DAY + 30, len(values)):
        opened = second.observe(np.arange(3), np.full(3, T0 + EVERY * number), values[number])
        assert (opened == whole.opened[number]).all()
    assert second.dump() == whole.deep.dump()


def test_a_score_stands_on_its_sample_and_those_before() -> None:
    values = daily(3, series=2)[: 2 * DAY + 100]
    other = values.copy()
    other[2 * DAY + 50 :] *= -7
    first, second = Run(values), Run(other)
    same = slice(0, 2 * DAY + 50)
    np.testing.assert_array_equal(first.score[same], second.score[same])
    np.testing.assert_array_equal(first.severity[same], second.severity[same])


def test_tails_are_the_share_of_what_was_beyond() -> None:
    rng = np.random.default_rng(4)
    past = rng.standard_t(3, 2000)
    columns = Columns(tail_fields(1))
    columns.add(1)
    tails, rows = Tails(columns, 1), np.zeros(1, np.intp)
    for value in past:
        tails.learn(rows, tails.judge(rows, np.array([[value]]))[1])
    for asked in (0.5, 1.0, -1.0, 2.0, -2.0, 3.0):
        beyond = (past >= asked).mean() if asked > 0 else (past <= asked).mean()
        surprise = tails.judge(rows, np.array([[asked]]))[0][0, 0]
        assert 10**-surprise == pytest.approx(beyond, rel=0.2)


def test_beyond_all_that_was_seen_farther_is_rarer_by_a_power() -> None:
    rng = np.random.default_rng(4)
    columns = Columns(tail_fields(1))
    columns.add(1)
    tails, rows = Tails(columns, 1), np.zeros(1, np.intp)
    for value in rng.pareto(3.0, 2000) + 1.0:
        tails.learn(rows, tails.judge(rows, np.array([[value]]))[1])
    far, farther = (tails.judge(rows, np.array([[x]]))[0][0, 0] for x in (100.0, 1000.0))
    assert far > 4.5
    assert 1.8 < farther - far < 3.3, "ten times as far: the exponent in decades, drawn a little towards the prior"


@pytest.mark.parametrize("word", KINDS)
def test_the_example_of_a_kind_is_right(word: str) -> None:
    module = importlib.import_module(KINDS[word].__module__)
    result = doctest.testmod(module)
    assert result.attempted >= 2
    assert result.failed == 0


@pytest.mark.parametrize("word", KINDS)
def test_a_kind_says_what_its_numbers_mean(word: str) -> None:
    text = KINDS[word].__doc__ or ""
    assert all(part in text for part in ("Range:", "bad", "Cost:", "Source:", ">>>")), word
    assert KINDS[word].word == word
