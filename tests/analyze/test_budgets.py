"""Error budgets: the published numbers, no crying over few failures, one finding an episode, restarts and reloads."""

from __future__ import annotations

import numpy as np
import pytest
from cemd.analyze.indicators.budgets import Budgets, threshold
from cemd.config.detection import Budget, BurnRate
from cemd.config.rules import Objective
from cemd.model.finding import Condition, FindingPhase
from cemd.model.quality import Quality

from tests.analyze.world import World, configuration, success_indicator

PERIOD_28 = 28 * 86_400.0
QUICK = Budget(
    promised=0.99,
    period_seconds=86_400.0,
    burn_rates=[BurnRate(budget_share=0.1, long_seconds=1200.0, short_seconds=120.0, quality="degraded")],
    min_samples=20,
)


def with_budget(budget: Budget = QUICK) -> World:
    objective = Objective(at_least=0.01, for_seconds=60.0, clear_for_seconds=60.0, budget=budget)
    return World(configuration(indicators=[success_indicator(objective=objective)]))


def test_thresholds_are_the_published_ones() -> None:
    for period, expected in ((30 * 86_400.0, [14.4, 6, 3, 1]), (PERIOD_28, [13.44, 5.6, 2.8, 0.9333])):
        budget = Budget(promised=0.999, period_seconds=period)
        assert [threshold(budget, rate) for rate in budget.burn_rates] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("failing", "minutes"), [(1.0, 0.864), (0.1, 8.64), (0.02, 43.2)])
def test_it_fires_when_the_published_time_has_passed(failing: float, minutes: float) -> None:
    """(1 - promised) / error · window · burn, after a long good time; ten attempts a second, spread evenly."""
    budgets = Budgets()
    budgets.open(0, Budget(promised=0.999), 60.0)
    per_second = 10
    good = np.arange(0.0, 7200.0, 1.0 / per_second)
    budgets.observe(np.zeros(len(good), np.intp), good, np.ones(len(good)))
    said_after = None
    failures = 0.0
    for second in range(7200, 7200 + int(minutes * 60 * 1.3) + 120):
        at = second + np.arange(per_second) / per_second
        before = failures
        failures += failing * per_second
        bad = int(failures) - int(before)
        budgets.observe(np.zeros(per_second, np.intp), at, np.where(np.arange(per_second) < bad, 0.0, 1.0))
        if len(budgets.tick(second + 1.0).began):
            said_after = (second + 1.0 - 7200) / 60
            break
    assert said_after == pytest.approx(minutes, rel=0.1)


def test_one_finding_that_opens_degraded_and_ends_soon_after_the_errors() -> None:
    world = with_budget()
    world.run(2400)
    world.run(600, success=0.0)
    assert [one.quality for one in world.open(Condition.BUDGET_BURNING)] == [Quality.DEGRADED]
    world.run(400)
    assert world.phases(Condition.BUDGET_BURNING) == [FindingPhase.BEGAN, FindingPhase.ENDED]
    evidence = [one for one in world.found if one.condition is Condition.BUDGET_BURNING][-1].evidence
    assert evidence.threshold == pytest.approx(7.2)
    assert evidence.value is not None
    assert evidence.value > 7.2


def test_a_fast_burn_that_is_over_is_a_warning_while_the_slow_window_still_burns() -> None:
    slow = BurnRate(budget_share=0.1, long_seconds=7200.0, short_seconds=1800.0, quality="at_risk")
    world = with_budget(QUICK.model_copy(update={"burn_rates": [*QUICK.burn_rates, slow]}))
    world.run(2400)
    world.run(600, success=0.0)
    assert [one.quality for one in world.open(Condition.BUDGET_BURNING)] == [Quality.DEGRADED]
    world.run(400)
    assert [one.quality for one in world.open(Condition.BUDGET_BURNING)] == [Quality.AT_RISK]
    world.run(1800)
    assert world.phases(Condition.BUDGET_BURNING)[-1] is FindingPhase.ENDED


def test_few_failures_say_nothing() -> None:
    world = with_budget(QUICK.model_copy(update={"min_failures": 3, "burn_rates": [
        BurnRate(budget_share=0.001, long_seconds=1200.0, short_seconds=120.0, quality="degraded")]}))  # fmt: skip
    world.run(2400)
    world.run(20, success=0.0)
    world.run(100)
    assert world.phases(Condition.BUDGET_BURNING) == []


def test_a_daemon_that_has_just_started_counts_the_unseen_as_good() -> None:
    slow = BurnRate(budget_share=0.1, long_seconds=86_400.0, short_seconds=600.0, quality="at_risk")
    world = with_budget(Budget(promised=0.9, period_seconds=10 * 86_400.0, burn_rates=[slow]))
    world.run(600, success=0.0)  # burns ten times too fast, but for 1/144 of the window only
    assert world.phases(Condition.BUDGET_BURNING) == []


def test_a_restart_and_a_reload_keep_the_budget() -> None:
    through, again = with_budget(), with_budget()
    for world in (through, again):
        world.run(2400)
        world.run(300, success=0.0)
    again.restart()
    again.reload(again.topology.configuration.model_copy(update={"probes": again.topology.configuration.probes}))
    for world in (through, again):
        world.run(600, success=0.0)
        world.run(600)
    assert through.phases(Condition.BUDGET_BURNING) == [FindingPhase.BEGAN, FindingPhase.ENDED]
    assert [one.at for one in through.found if one.condition is Condition.BUDGET_BURNING] == [
        one.at
        for one in again.found
        if one.condition is Condition.BUDGET_BURNING and one.phase is not FindingPhase.OPEN
    ]
