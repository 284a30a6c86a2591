"""A touchpoint as a whole: combinations that never were, the stated rate, learning and not learning, restarts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cemd.analyze.columns import Array
from cemd.analyze.models.tail import limit
from cemd.analyze.models.touchpoint import TouchpointModel, fitted
from cemd.config.detection import Multivariate

PACE = 150.0
RULES = Multivariate()
NAMES = tuple("abcd")


class Run:
    def __init__(self, rules: Multivariate = RULES) -> None:
        self.rules = rules
        self.model = TouchpointModel(NAMES, rules.learn_looks)
        self.turn = 0
        self.said: list[bool] = []

    def give(self, looks: Array) -> None:
        for x in looks:
            self.model.look(1e9 + self.turn * PACE, x, PACE, self.rules)
            self.said.append(self.model.said)
            self.turn += 1

    @property
    def episodes(self) -> int:
        return int(np.sum(np.diff(np.array([False, *self.said]).astype(int)) == 1))


def usual(count: int, seed: int) -> Array:
    """Four indicators that move together: a common load and a little of their own."""
    rng = np.random.default_rng(seed)
    load = rng.normal(0, 0.1, (count, 1))
    together: Array = 0.8 + load * np.array([1.0, 0.9, -0.8, 0.5]) + rng.normal(0, 0.02, (count, 4))
    return together


def test_a_combination_that_never_was_is_found_though_each_value_was() -> None:
    run = Run()
    run.give(usual(600, 1))
    strange = usual(6, 2)
    strange[:, 1] = 0.65  # within what it always was, but not with this load
    strange[:, 0] = 0.95
    strange[:, 2] = 0.68
    assert usual(600, 1)[:, 1].min() < 0.65
    run.give(strange)
    assert run.model.said
    assert run.model.verdict is not None
    assert run.model.verdict.leading[0] == 1


def test_the_stated_rate_holds_on_ten_thousand_looks() -> None:
    rng = np.random.default_rng(3)
    heavy = 0.8 + 0.02 * rng.standard_t(4, (10_000, 4))
    runs = [Run(), Run(), Run()]
    for run, looks in zip(runs, (usual(10_000, 4), heavy, np.full((10_000, 4), 0.9)), strict=True):
        run.give(looks)
    assert [run.episodes for run in runs] == [0, 0, 0]  # stated: 0.05 each


def test_a_constant_touchpoint_neither_divides_by_zero_nor_shouts_at_a_digit() -> None:
    run = Run()
    run.give(np.full((600, 4), 1.0))
    run.give(np.full((10, 4), 0.999))
    assert not run.model.said
    run.give(np.full((4, 4), 0.5))
    assert run.model.said


def test_what_is_better_than_ever_is_no_finding() -> None:
    run = Run()
    run.give(usual(600, 5))
    run.give(np.full((10, 4), 1.6))
    assert not run.model.said


def test_it_says_nothing_before_enough_was_seen() -> None:
    run = Run()
    run.give(usual(RULES.learn_looks - 1, 6))
    run.give(np.zeros((1, 4)))
    assert not run.model.ready
    assert not any(run.said)


def test_an_episode_is_not_learnt_and_ends_when_all_is_as_before() -> None:
    run = Run()
    run.give(usual(600, 7))
    before = run.model.looks.copy()
    run.give(np.full((100, 4), 0.1))
    assert run.model.said
    assert (run.model.looks == before).all()
    run.give(usual(30, 8))
    assert not run.model.said


def test_a_state_that_lasts_is_learnt_unless_a_person_said_it_is_true() -> None:
    lasting, kept = Run(), Run()
    for run in (lasting, kept):
        run.give(usual(600, 9))
        run.give(usual(10, 10) - 0.6)
        if run is kept:
            run.model.keep()
        run.give(usual(700, 11) - 0.6)
    assert not lasting.model.said
    assert kept.model.said
    assert lasting.episodes == 1


def test_benign_is_the_new_normal_at_once() -> None:
    run = Run()
    run.give(usual(600, 12))
    run.give(usual(20, 13) - 0.6)
    assert run.model.said
    run.model.accept()
    run.give(usual(200, 14) - 0.6)
    assert run.episodes == 1
    assert not run.model.said


def test_false_is_remembered_and_halves_the_rate_down_to_an_eighth() -> None:
    run = Run()
    run.give(usual(600, 15))
    run.give(usual(6, 16) - 0.25)
    assert run.said[-1]
    run.model.doubt()
    for _ in range(10):
        run.model.doubt()
    assert run.model.doubts == 3


def test_a_restored_model_decides_the_same_to_the_bit() -> None:
    lived, restarted = Run(), Run()
    looks = np.concatenate([usual(700, 17), usual(40, 18) - 0.5, usual(300, 19)])
    lived.give(looks)
    for part in np.array_split(looks, 37):
        restarted.give(part)
        restarted.model = TouchpointModel.load(restarted.model.dump())
    assert restarted.said == lived.said
    assert restarted.model.dump() == lived.model.dump()


def test_covariance_agrees_with_rivers() -> None:
    from river.covariance import EmpiricalCovariance

    looks = usual(300, 20)
    made: Any = EmpiricalCovariance
    oracle = made()
    for look in looks:
        oracle.update(dict(zip(NAMES, look.tolist(), strict=True)))
    truth = np.array([[oracle[a, b].get() if a != b else oracle[a, a].get() for b in NAMES] for a in NAMES])
    share = 4 / 304
    expected = truth * (1 - share)
    expected[np.diag_indices(4)] = np.diag(truth) + 0.01**2
    mean, inverse = fitted(looks)
    assert np.allclose(inverse @ expected, np.eye(4), atol=1e-6)
    assert mean == pytest.approx(looks.mean(axis=0))


@pytest.mark.parametrize("shape", ["exponential", "normal"])
def test_the_tail_reads_beyond_what_was_seen(shape: str) -> None:
    rng = np.random.default_rng(21)
    kinds: dict[str, Any] = {
        "exponential": lambda n: rng.exponential(1, n),
        "normal": lambda n: np.abs(rng.normal(0, 1, n)),
    }
    make = kinds[shape]
    limits = [limit(make((128, 8)).max(axis=1), 1e-3)[0] for _ in range(200)]
    beyond = np.mean(make((200_000, 8)).max(axis=1) > np.median(limits))
    assert beyond < 2e-3
    assert beyond > 1e-5
