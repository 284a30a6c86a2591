"""A window that holds just enough samples, and at some instants one too few: what broke there must still end."""

from __future__ import annotations

import pytest
from cemd.config.rules import Summary
from cemd.model.finding import Condition
from cemd.model.quality import Outcome, Quality

from tests.analyze.world import World, configuration, delay_indicator, success_indicator


def live(world: World, runs: int, value: float) -> None:
    for _ in range(runs):
        outcome = Outcome.OK if value else Outcome.FAILED
        world.samples((world.series["pay-web", "success"], value, outcome))
        for _ in range(25):
            world.tick(2.0)


def test_what_broke_ends_though_the_window_is_thin_at_times() -> None:
    """Three samples are asked for; once a run takes 50 seconds, a window of 120 holds two or three."""
    world = World(configuration(indicators=[success_indicator(min_samples=3)]))
    world.run(120.0, success=1.0)
    world.run(150.0, success=0.0)
    assert len(world.open(Condition.OBJECTIVE_BROKEN)) == 1
    live(world, 20, 1.0)
    assert world.open(Condition.OBJECTIVE_BROKEN) == []


def test_what_quick_looks_opened_ends_where_the_window_never_holds_enough() -> None:
    """Three samples are asked for; a run every 100 seconds leaves one or two in a window of 120."""
    world = World(configuration(indicators=[success_indicator(min_samples=3)]))
    world.run(150.0, success=0.0)
    assert len(world.open(Condition.OBJECTIVE_BROKEN)) == 1
    for turn in range(5):
        assert len(world.open(Condition.OBJECTIVE_BROKEN)) == (turn < 3)
        world.samples((world.series["pay-web", "success"], 1.0, Outcome.OK))
        for _ in range(50):
            world.tick(2.0)


def look(world: World, *values: float) -> None:
    """Runs of a slow probe, one every 100 seconds: a window of 120 holds one or two."""
    for value in values:
        world.samples((world.series["pay-web", "success"], value, Outcome.OK if value else Outcome.FAILED))
        for _ in range(50):
            world.tick(2.0)


def test_what_fails_again_and_again_breaks_though_the_window_never_holds_enough() -> None:
    """Three samples are asked for; three that fail in a row are as good in 200 seconds as in 20."""
    world = World(configuration(indicators=[success_indicator(min_samples=3)]))
    look(world, 1.0, 1.0, 1.0, 0.0, 0.0)
    assert world.open(Condition.OBJECTIVE_BROKEN) == []
    first = world.now - 200.0
    look(world, 0.0)
    (found,) = world.open(Condition.OBJECTIVE_BROKEN)
    assert found.quality is Quality.DOWN
    assert found.evidence.since == pytest.approx(first, abs=4.0), "it began with the first that failed"


def test_of_what_only_takes_long_it_takes_more_than_chance() -> None:
    """Nobody knows yet what is usual of it."""
    median = delay_indicator(summary=Summary.P50, min_samples=3)
    world = World(configuration(indicators=[median]))
    for turn, delay in enumerate([0.1, 0.1, 5.0, 5.0, 5.0, 5.0]):
        assert world.open(Condition.OBJECTIVE_BROKEN) == [], turn
        world.samples((world.series["pay-web", "total_seconds"], delay))
        for _ in range(50):
            world.tick(2.0)
    (found,) = world.open(Condition.OBJECTIVE_BROKEN)
    assert found.indicator == "delay"


def test_of_what_fails_now_and_then_a_thin_window_says_nothing() -> None:
    world = World(configuration(indicators=[success_indicator(min_samples=3)]))
    look(world, *[0.0, 0.0, 1.0] * 5)
    assert world.open(Condition.OBJECTIVE_BROKEN) == []


def test_blindness_ends_nothing() -> None:
    world = World(configuration(indicators=[success_indicator()]))
    live(world, 6, 1.0)
    world.run(120.0, success=0.0)
    assert len(world.open(Condition.OBJECTIVE_BROKEN)) == 1
    world.run(8.0, success=1.0)
    for _ in range(30):
        world.samples((world.series["pay-web", "success"], float("nan"), Outcome.BLIND))
        for _ in range(5):
            world.tick(2.0)
    assert len(world.open(Condition.OBJECTIVE_BROKEN)) == 1
