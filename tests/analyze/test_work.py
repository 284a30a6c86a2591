"""Announced work: what is measured under it opens nothing later; what is still bad when it is over is found at once."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from cemd.analyze.indicators.work import AnnouncedWork
from cemd.config.configuration import Configuration
from cemd.config.detection import Budget, BurnRate
from cemd.config.maintenance import Maintenance
from cemd.config.rules import Objective, Summary
from cemd.config.topology import Topology
from cemd.model.finding import Condition, FindingPhase
from cemd.model.quality import Outcome

from tests.analyze.world import T0, World, configuration, delay_indicator, success_indicator

BROKEN = Condition.OBJECTIVE_BROKEN
SLOW = success_indicator(min_samples=3, window_seconds=300.0)


def window(begins: float, ends: float, *services: str, name: str = "patch") -> Maintenance:
    return Maintenance(
        name=name,
        services=list(services or ("payment",)),
        begins_at=datetime.fromtimestamp(T0 + begins, UTC).isoformat(),
        ends_at=datetime.fromtimestamp(T0 + ends, UTC).isoformat(),
    )


def announced(*windows: Maintenance, **changes: object) -> Configuration:
    return configuration(maintenance=list(windows), **{"indicators": [SLOW], **changes})


def look(world: World, value: float, at: float | None = None) -> None:
    outcome = Outcome.OK if value else Outcome.FAILED
    world.samples((world.series["pay-web", "success"], value, outcome), at=at)


def pass_until(world: World, seconds: float) -> None:
    while world.now < T0 + seconds:
        world.tick(2.0)


def test_a_slow_probe_that_failed_under_work_opens_nothing_after_it() -> None:
    """A run every 300 s: after the end, the window still holds the looks of before, and no newer one."""
    world = World(announced(window(10.0, 600.0)))
    for at in (480.0, 490.0, 500.0):
        pass_until(world, at)
        look(world, 0.0)
    pass_until(world, 590.0)
    assert len(world.open(BROKEN)) == 1, "it is hurt, and improve knows that it is planned"
    pass_until(world, 602.0)
    assert world.open(BROKEN) == []
    assert world.found[-1].evidence.note == "announced work is over: judged anew by what is measured since"
    look(world, 0.0, at=T0 + 598.0)  # on its way when the window ended
    pass_until(world, 790.0)
    look(world, 1.0)
    pass_until(world, 1000.0)
    assert world.phases(BROKEN) == [FindingPhase.BEGAN, FindingPhase.ENDED]


def test_one_bad_look_under_work_and_one_after_it_break_nothing() -> None:
    world = World(announced(window(10.0, 600.0), indicators=[success_indicator(window_seconds=300.0, min_samples=1)]))
    pass_until(world, 570.0)
    look(world, 0.0)
    pass_until(world, 580.0)
    look(world, 1.0)
    pass_until(world, 610.0)
    look(world, 0.0)
    pass_until(world, 900.0)
    assert world.open(BROKEN) == []


def test_work_that_overruns_is_found_by_the_first_sample_after_its_end() -> None:
    world = World(announced(window(10.0, 600.0)))
    for at in (480.0, 490.0, 500.0):
        pass_until(world, at)
        look(world, 0.0)
    pass_until(world, 640.0)
    look(world, 0.0)
    pass_until(world, 640.0 + 62.0)
    assert len(world.open(BROKEN)) == 1, "broken for its 60 seconds"
    assert world.open(BROKEN)[0].evidence.since > T0 + 600.0


def test_a_delay_that_overruns_is_found_too() -> None:
    world = World(announced(window(10.0, 600.0), indicators=[delay_indicator(summary=Summary.P50)]))
    world.run(650.0, success=None, delay=3.0)
    assert len(world.open(BROKEN)) == 1
    assert world.open(BROKEN)[0].evidence.since > T0 + 600.0


def test_what_was_broken_before_the_work_stays_so() -> None:
    world = World(announced(window(300.0, 600.0)))
    world.run(700.0, success=0.0)
    assert world.phases(BROKEN) == [FindingPhase.BEGAN]


def test_windows_without_a_gap_are_one_and_a_shortened_one_ends_at_once() -> None:
    world = World(announced(window(10.0, 300.0, name="first"), window(200.0, 900.0, "core", name="second")))
    world.run(700.0, success=0.0)
    assert world.phases(BROKEN) == [FindingPhase.BEGAN]
    world.reload(announced())
    world.tick(2.0)
    assert world.open(BROKEN) == []


def test_what_covers_does_not_depend_on_when_it_is_asked() -> None:
    windows = [window(0.0, 300.0), window(200.0, 900.0), window(1000.0, 1100.0), window(1100.0, 2000.0)]
    topology = Topology(announced(*windows))
    places = [("payment", ""), ("top-up", ""), ("core", "")]  # top-up stands on payment, payment on core
    asked = AnnouncedWork(topology)
    told = [(-10.0, 0.0, 900.0), (500.0, 0.0, 900.0), (900.0, 1000.0, 2000.0), (1500.0, 1000.0, 2000.0)]
    for at, begins, ends in [*told, (2000.0, np.nan, np.nan)]:
        for work in (asked, AnnouncedWork(topology)):
            plan = work.plan(places, T0 + at)
            assert plan.begins - T0 == pytest.approx([begins, begins, np.nan], nan_ok=True)
            assert plan.ends - T0 == pytest.approx([ends, ends, np.nan], nan_ok=True)


def test_work_survives_a_restart() -> None:
    world = World(announced(window(10.0, 600.0)))
    world.run(590.0, success=0.0)
    assert len(world.open(BROKEN)) == 1
    world.now += 100.0
    world.restart()
    world.tick(2.0)
    assert world.open(BROKEN) == []


@pytest.mark.parametrize(("begins", "burns"), [(10.0, False), (9_000.0, True)], ids=["under work", "before any work"])
def test_announced_work_uses_up_no_error_budget(begins: float, burns: bool) -> None:
    rate = BurnRate(long_seconds=300.0, short_seconds=60.0, budget_share=0.01, quality="degraded")
    budget = Budget(promised=0.99, burn_rates=[rate], min_samples=10)
    objective = Objective(at_least=0.01, for_seconds=60.0, clear_for_seconds=60.0, budget=budget)
    world = World(announced(window(begins, 10_000.0), indicators=[success_indicator(objective=objective)]))
    world.run(400.0, success=0.0)
    assert bool(world.open(Condition.BUDGET_BURNING)) == burns
