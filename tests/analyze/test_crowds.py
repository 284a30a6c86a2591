"""How many attempts stand behind a pushed share, told from nothing but how it wanders."""

from __future__ import annotations

import numpy as np
import pytest
from cemd.analyze.crowds import BLOCK, Crowds
from numpy.typing import NDArray

ROW = np.array([3])


def shares(attempts: int, fails: float | NDArray[np.float64], count: int = 1200) -> NDArray[np.float64]:
    drawn = np.random.default_rng(5).binomial(attempts, np.broadcast_to(fails, count))
    return 1.0 - drawn / attempts


def learnt(*parts: NDArray[np.float64]) -> Crowds:
    crowds = Crowds()
    crowds.serve(ROW, 10)
    for value in np.concatenate(parts):
        crowds.observe(ROW, np.array([value]))
    return crowds


def usual(*parts: NDArray[np.float64]) -> tuple[float, float]:
    found = learnt(*parts).usual(3)
    assert found is not None
    return found


@pytest.mark.parametrize("attempts", [1, 20, 400])
@pytest.mark.parametrize("fails", [0.01, 0.2])
def test_attempts_are_told_from_how_the_share_wanders(attempts: int, fails: float) -> None:
    share, worth = usual(shares(attempts, fails))
    assert worth == pytest.approx(attempts, rel=0.5)
    assert share == pytest.approx(1.0 - fails, abs=0.02)


@pytest.mark.parametrize(
    "outage",
    [
        shares(100, 1.0, 100),
        shares(100, 0.3, 100),
        shares(100, np.linspace(0.0, 1.0, 100), 100),
        np.tile([0.0, 1.0], 50),
    ],
    ids=["total", "of-some", "that-grows", "that-flaps"],
)
def test_an_outage_moves_neither(outage: NDArray[np.float64]) -> None:
    share, worth = usual(shares(100, 0.01, 400), outage, shares(100, 0.01, 400))
    assert share > 0.98
    assert worth == pytest.approx(100, rel=0.4)


def test_one_that_never_wandered_is_worth_one_attempt_a_sample() -> None:
    assert usual(np.ones(200)) == (1.0, 1.0)
    assert usual(np.zeros(200)) == (0.0, 1.0)


def test_nothing_is_known_before_a_block_is_full() -> None:
    crowds = learnt(np.ones(BLOCK - 1))
    assert crowds.usual(3) is None
    crowds.observe(ROW, np.ones(1))
    assert crowds.usual(3) == (1.0, 1.0)


def test_only_what_is_served_is_learnt_and_goes_on_when_more_is() -> None:
    crowds = learnt(np.ones(BLOCK))
    crowds.serve(np.array([1, 3]), 20)
    crowds.observe(np.array([1, 2]), np.array([0.5, 0.5]))
    assert crowds.usual(3) == (1.0, 1.0)
    assert crowds.usual(2) is None
    assert crowds.usual(500) is None


def test_it_is_the_same_however_batches_were_cut_and_after_a_restart() -> None:
    values = shares(30, 0.05, 200)
    once = Crowds()
    once.serve(ROW, 10)
    once.observe(np.full(120, 3), values[:120])
    again = Crowds()
    again.load(once.dump())
    again.observe(np.full(80, 3), values[120:])
    assert again.dump() == learnt(values).dump()
