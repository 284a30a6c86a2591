"""Forecasts: warned strictly before a slow ramp breaches, silent on flat noise at the stated rate, one episode each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cemd.analyze.columns import Array
from cemd.analyze.models.forecast import POINTS, WEEK_SECONDS, Forecasts, limit_of
from cemd.analyze.models.trend import trends
from cemd.config.detection import Forecast
from cemd.config.rules import Objective, Summary
from cemd.model.finding import Condition, FindingPhase
from cemd.model.quality import Quality

from tests.analyze.world import World, configuration, delay_indicator

PACE = 150.0
RULES = Forecast()
FLAT: dict[str, Any] = {
    "normal": lambda rng, n: rng.normal(10, 1, n),
    "overlapping windows": lambda rng, n: np.convolve(rng.normal(10, 1.4, n + 1), [0.5, 0.5], "valid"),
    "student t3": lambda rng, n: 10 + rng.standard_t(3, n),
    "lognormal": lambda rng, n: 10 - rng.lognormal(0, 1, n),
    "quantised": lambda rng, n: np.round(rng.normal(10, 0.6, n)),
    "constant": lambda _, n: np.full(n, 10.0),
    "mostly whole": lambda rng, n: 10.0 - (rng.random(n) < 0.01),
    "uniform": lambda rng, n: rng.uniform(9, 11, n),
}


class Run:
    """Goodness of some rows over time, one value each tick; less is worse, the target is 0."""

    def __init__(self, values: Array, target: float = 0.0, rules: Forecast = RULES) -> None:
        rows = values.shape[1]
        self.forecasts = Forecasts()
        self.forecasts.reach(rows)
        self.began: list[tuple[int, int]] = []
        self.ended: list[tuple[int, int]] = []
        fixed = {
            "sign": np.ones(rows),
            "target": np.full(rows, target),
            "pace": np.full(rows, PACE),
            "phase": np.zeros(rows),
        }
        for turn, value in enumerate(values):
            given = {**fixed, "value": value, "broken": value < target}
            found = self.forecasts.tick(1e9 + turn * PACE, given, rules)
            self.began += [(turn, row) for row in found.began.tolist()]
            self.ended += [(turn, row) for row in found.ended.tolist()]


def test_never_on_ten_thousand_samples_of_flat_noise() -> None:
    """Of each kind; `bench/models` counts them in one piece."""
    rng = np.random.default_rng(17)
    values = np.stack([make(rng, 2_500) for make in FLAT.values() for _ in range(4)], axis=1)
    run = Run(values, target=5.0)
    stated = len(FLAT) * 10_000 * PACE / WEEK_SECONDS * RULES.false_alarms_per_indicator_week  # 0.4
    assert len(run.began) <= stated


@pytest.mark.parametrize("length", [400, 1000])
def test_a_slow_ramp_is_warned_of_strictly_before_it_breaches(length: int) -> None:
    rng = np.random.default_rng(23)
    rows, flat = 12, 300
    turns = np.arange(flat + length)[:, None]
    values = rng.normal(10, 1, (flat + length, rows)) - np.clip((turns - flat) / length, 0, 1) * 10
    breach = (values < 0).argmax(axis=0)
    run = Run(values)
    first = {row: turn for turn, row in reversed(run.began)}
    assert sorted(first) == list(range(rows))
    assert min(first.values()) > flat
    assert all(first[row] < breach[row] for row in first)
    assert np.median([(breach[row] - first[row]) / length for row in first]) > 0.1


def test_a_step_is_no_trend() -> None:
    rng = np.random.default_rng(29)
    values = rng.normal(40, 1, (1500, 8))
    values[700:] -= 25
    assert len(Run(values).began) <= 1


def test_a_daily_rhythm_is_no_trend_once_it_is_known() -> None:
    rng = np.random.default_rng(31)
    hours = (np.arange(7 * 576) * PACE / 3600.0)[:, None]
    values = 6 + 4 * np.sin(hours * 2 * np.pi / 24) + rng.normal(0, 0.5, (7 * 576, 3))
    late = [turn for turn, _ in Run(values).began if turn > 5 * 576]
    assert len(late) <= 1


def test_before_enough_was_seen_it_says_nothing() -> None:
    steep = (10.0 - np.arange(POINTS // 2 - 1) * 0.4)[:, None]
    assert Run(steep).began == []


def test_the_limit_grows_with_how_often_it_is_asked() -> None:
    limits = limit_of(np.array([10.0, 100.0, 1000.0]), 0.02)
    assert (np.diff(limits) < 0).all()
    assert limits == pytest.approx([5.18, 4.73, 4.24], abs=0.01)  # normal quantiles of 0.02 / 181,440, ...


def test_least_squares_agrees_with_numpy() -> None:
    rng = np.random.default_rng(5)
    times, values = np.sort(rng.uniform(0, 100, (20, POINTS)), axis=1), rng.normal(3, 2, (20, POINTS))
    found = trends(times, values)
    for row in range(20):
        slope, intercept = np.polyfit(times[row], values[row], 1)
        assert found.slope[row] == pytest.approx(slope, rel=1e-9)
        assert found.level[row] == pytest.approx(intercept + slope * times[row, -1], rel=1e-9)


def slow_world() -> World:
    objective = Objective(at_most=1.0, for_seconds=30.0, clear_for_seconds=30.0)
    return World(
        configuration(indicators=[delay_indicator(summary=Summary.MEAN, window_seconds=60.0, objective=objective)])
    )


def live(world: World, minutes: int, rng: np.random.Generator, start: float, end: float) -> None:
    for minute in range(minutes * 6):
        delay = start + (end - start) * minute / (minutes * 6) + float(rng.normal(0, 0.01))
        world.run(10.0, delay=max(0.0, delay))


def test_the_finding_says_when_how_fast_and_how_surely_and_its_end_that_it_came() -> None:
    world, rng = slow_world(), np.random.default_rng(3)
    live(world, 40, rng, 0.3, 0.3)
    live(world, 60, rng, 0.3, 1.1)
    broke = next(one for one in world.found if one.condition is Condition.OBJECTIVE_BROKEN)
    began, ended = (one for one in world.found if one.condition is Condition.FORECAST)
    assert began.quality is Quality.AT_RISK
    assert began.at < broke.at
    assert began.evidence.breach_at == pytest.approx(broke.at, abs=900.0)
    assert began.evidence.slope_per_hour == pytest.approx(0.8, rel=0.2)
    assert began.evidence.confidence is not None
    assert began.evidence.confidence > 0.8
    assert (ended.phase, ended.at) == (FindingPhase.ENDED, broke.at)
    assert "after the warning" in ended.evidence.note


def test_a_restart_and_a_reload_change_no_forecast() -> None:
    through, again = slow_world(), slow_world()
    for world in (through, again):
        rng = np.random.default_rng(3)
        live(world, 30, rng, 0.3, 0.3)
        live(world, 20, rng, 0.3, 0.6)
        if world is again:
            world.restart()
            world.reload(world.topology.configuration)
        live(world, 30, rng, 0.6, 1.1)
    told = [[(one.phase, one.at, one.evidence) for one in world.found if one.condition is Condition.FORECAST
             and one.phase is not FindingPhase.OPEN] for world in (through, again)]  # fmt: skip
    assert told[0]
    assert told[0] == told[1]
    assert through.state.lookout.dump() == again.state.lookout.dump()


def test_a_false_label_asks_for_a_clearer_trend_up_to_a_bound() -> None:
    forecasts = Forecasts()
    forecasts.reach(1)
    for _ in range(20):
        forecasts.doubt(0)
    assert forecasts.columns["patience"][0] == pytest.approx(1.5)
