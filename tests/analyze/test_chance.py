"""A median of few samples breaks its objective only when they are more than chance for their series."""

from __future__ import annotations

import numpy as np
from cemd.analyze.indicators.chance import CERTAIN, weigh
from cemd.config.rules import Objective, Selector, Summary
from cemd.model.finding import Condition
from cemd.model.quality import Outcome
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.analyze.world import World, configuration, delay_indicator

Array = NDArray[np.float64]


def after(*tails: float | None) -> float:
    """Evidence of one window after these samples; None: within the objective."""
    evidence = np.zeros(1)
    for tail in tails:
        beyond = np.array([tail is not None])
        weigh(evidence, np.zeros(1, np.intp), beyond, np.array([tail] if tail is not None else [], np.float64))
    return float(evidence[0])


def test_two_samples_that_their_series_never_shows_are_certain_and_one_is_not() -> None:
    assert after(1e-6) < CERTAIN <= after(1e-6, 1e-6)


def test_what_nobody_knows_yet_is_taken_as_never_seen() -> None:
    assert after(float("nan"), float("nan")) >= CERTAIN


def test_what_is_usual_needs_many_and_good_samples_take_it_back() -> None:
    assert after(*[0.02] * 5) < CERTAIN <= after(*[0.02] * 10)
    assert after(*[0.02] * 10, *[None] * 30) == 0.0


@given(st.lists(st.none() | st.floats(0.0, 1.0), max_size=60))
def test_evidence_is_bounded_and_never_below_none(tails: list[float | None]) -> None:
    assert 0.0 <= after(*tails) <= 2 * CERTAIN


def slow_page() -> World:
    objective = Objective(at_most=1.0, for_seconds=60.0, clear_for_seconds=120.0)
    of = Selector(metric="total_seconds")
    return World(
        configuration(
            indicators=[
                delay_indicator(summary=Summary.P50, window_seconds=300.0, objective=objective, of=of, min_samples=2)
            ]
        )
    )


def live(world: World, values: Array, every_seconds: float = 120.0) -> int:
    """Samples one after the other; returns at how many of the ticks after them the objective was broken."""
    broken = 0
    for value in values.tolist():
        world.samples((world.series["pay-web", "total_seconds"], value, Outcome.OK))
        for _ in range(12):
            world.tick(every_seconds / 12)
            broken += bool(world.open(Condition.OBJECTIVE_BROKEN))
    return broken


def usual(samples: int, seed: int) -> Array:
    """Of a page that takes 0.7 s: one in nine is beyond a second."""
    values: Array = np.random.default_rng(seed).lognormal(np.log(0.7), 0.3, samples)
    return values


def test_a_slow_page_near_its_objective_breaks_nothing_by_chance() -> None:
    world = slow_page()
    live(world, usual(300, 1))
    assert live(world, usual(1500, 2)) == 0


def test_a_page_that_became_slow_is_found_within_three_samples() -> None:
    world = slow_page()
    live(world, usual(300, 1))
    assert live(world, 4.0 * usual(3, 3)) > 0


def test_a_page_that_became_a_little_slow_is_found_within_the_hour() -> None:
    world = slow_page()
    live(world, usual(300, 1))
    assert live(world, 1.8 * usual(30, 4)) > 0


def test_many_samples_speak_for_themselves() -> None:
    """Thirty in a window, half of them beyond: as evidence for a slow probe that would be no more than chance."""
    world = slow_page()
    live(world, usual(300, 1), every_seconds=10.0)
    assert live(world, 1.55 * usual(90, 5), every_seconds=10.0) > 0
