"""Drift by river's ADWIN: found, accepted or over; made anew from numbers to the same bits; traps handled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cemd.analyze.columns import Array
from cemd.analyze.models.drift import CLOCK, GRACE, KEPT, MOST, Drifts
from cemd.config.detection import Drift

PACE = 300.0
RULES = Drift()


class Run:
    def __init__(self, rows: int, rules: Drift = RULES) -> None:
        self.drifts = Drifts()
        self.drifts.reach(rows)
        self.rules = rules
        self.turn = 0
        self.began: list[tuple[int, int]] = []
        self.ended: list[tuple[int, int]] = []

    def give(self, values: Array) -> None:
        pace = np.full(values.shape[1], PACE)
        for value in values:
            found = self.drifts.tick(
                1e9 + self.turn * PACE, {"placed": value, "pace": pace, "phase": 0.0 * pace}, self.rules
            )
            self.began += [(self.turn, row) for row in found.began.tolist()]
            self.ended += [(self.turn, row) for row in found.ended.tolist()]
            self.turn += 1


def test_never_on_ten_thousand_samples_of_flat_noise() -> None:
    rng = np.random.default_rng(3)
    run = Run(4)
    kinds = [
        rng.normal(0.8, 0.2, 10_000),
        rng.uniform(0, 1, 10_000),
        np.full(10_000, 1.0),
        1 - (rng.random(10_000) < 0.02),
    ]
    run.give(np.stack(kinds, axis=1))
    assert run.began == []


def test_a_move_is_found_and_a_small_one_is_nobodys_concern() -> None:
    rng = np.random.default_rng(4)
    run = Run(3)
    run.give(rng.normal(0.9, 0.1, (300, 3)))
    run.give(rng.normal(0.9, 0.1, (100, 3)) - np.array([0.3, 0.03, -0.3]))
    assert [row for _, row in run.began] == [0]  # the third moved to the better
    assert run.began[0][0] < 300 + 70
    c = run.drifts.columns
    assert (c["before"][0], c["after"][0]) == pytest.approx((0.9, 0.6), abs=0.08)


def test_it_ends_when_it_comes_back_and_when_it_stayed_long() -> None:
    rng = np.random.default_rng(5)
    run = Run(2)
    run.give(rng.normal(0.9, 0.05, (200, 2)))
    run.give(rng.normal(0.5, 0.05, (100, 2)))
    run.give(np.stack([rng.normal(0.9, 0.05, 400), rng.normal(0.5, 0.05, 400)], axis=1))
    ended = {row: turn for turn, row in run.ended}
    assert ended[0] < 370
    assert ended[1] - 200 == pytest.approx(RULES.accept_after_seconds / PACE, abs=70)


def test_what_a_person_called_true_is_not_accepted_by_habit() -> None:
    rng = np.random.default_rng(6)
    run = Run(1)
    run.give(rng.normal(0.9, 0.05, (200, 1)))
    run.give(rng.normal(0.5, 0.05, (60, 1)))
    run.drifts.keep(0)
    run.give(rng.normal(0.5, 0.05, (600, 1)))
    assert run.ended == []
    run.give(rng.normal(0.9, 0.05, (60, 1)))
    assert len(run.ended) == 1


def test_a_model_made_anew_has_the_same_bits() -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(0.7, 0.1, (1500, 3))
    values[500:] -= np.array([0.3, 0.0, 0.1])
    lived, restarted = Run(3), Run(3)
    lived.give(values)
    for part in np.array_split(values, 23):
        restarted.give(part)
        dumped = restarted.drifts.dump()
        restarted.drifts = Drifts()
        restarted.drifts.load(dumped)
    assert restarted.drifts.dump() == lived.drifts.dump()
    assert (restarted.began, restarted.ended) == (lived.began, lived.ended)


def test_until_it_begins_anew_it_is_rivers_own_adwin() -> None:
    from river.drift import ADWIN

    rng = np.random.default_rng(8)
    values = np.concatenate([rng.normal(0.8, 0.1, 200), rng.normal(0.4, 0.1, 100)])
    made: Any = ADWIN
    oracle = made(delta=RULES.confidence, clock=CLOCK, grace_period=GRACE, min_window_length=8)
    found = None
    for turn, value in enumerate(values.tolist()):
        oracle.update(value)
        if oracle.drift_detected:
            found = turn
            break
    run = Run(1)
    run.give(values[: found + 1, None] if found else values[:, None])
    assert found is not None
    assert run.began == [(found, 0)]
    assert run.drifts.columns["count"][0] == pytest.approx(found + 1 - 200, abs=2)  # cut where the step is


def test_memory_is_bounded() -> None:
    run = Run(1)
    run.give(np.random.default_rng(9).normal(0.5, 0.01, (3 * MOST, 1)))
    assert KEPT <= run.drifts.columns["count"][0] <= MOST


def test_unknown_values_are_never_given() -> None:
    run = Run(1)
    values = np.random.default_rng(10).normal(0.9, 0.05, (400, 1))
    values[::7] = np.nan
    values[200:] -= 0.4
    run.give(values)
    assert len(run.began) == 1


def test_a_false_label_halves_the_chance_down_to_a_bound() -> None:
    run = Run(1)
    for _ in range(20):
        run.drifts.doubt(0)
    assert run.drifts.columns["doubts"][0] == 6
