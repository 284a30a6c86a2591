"""Whole scenarios under faults: customers, journeys, incidents and transports together."""

from __future__ import annotations

import msgspec
from cemd.simulation.plan import Plan
from cemd.simulation.run import START_MONOTONIC, Simulation, simulate

from tests.simulation.scenes import scene


def test_a_scenario_keeps_every_promise_while_its_customers_live() -> None:
    report = simulate(8, 0.4, build=scene())
    assert report.broken is None, report.broken
    assert report.faults > 2
    assert report.told > 10
    assert report.told_wrongly == 0
    assert report.incidents > 0
    assert report.alerts > 0
    assert report.contacts > 40
    assert report.starts > 5
    assert report.kills


def test_what_a_plan_leaves_out_does_not_happen() -> None:
    whole = scene()(Plan(seed=2, days=1.0), START_MONOTONIC)
    name, _ = whole.faults()[0]
    left = scene()(Plan(seed=2, days=1.0, only=(name,)), START_MONOTONIC)
    assert left.faults() == whole.faults()
    report = Simulation(Plan(seed=2, days=1.0, until=0.05, only=()), build=scene()).run()
    assert report.broken is None
    assert (report.starts, report.kills, report.faults, report.incidents) == (1, {}, 0, 0)


def test_a_prober_writes_the_time_of_its_own_clock() -> None:
    world = scene()(Plan(seed=2, days=1.0), START_MONOTONIC)
    from cemd.simulation.fakes import entropy
    from cemd.store.memory import MemoryStore

    world.begin(MemoryStore().series, entropy(1, "begin"))
    now = START_MONOTONIC + world.round_seconds
    wall = world.begins_at + world.round_seconds + 3600.0  # an hour ahead
    came = world.pass_round(entropy(1, "round"), now, wall)
    times = [payload.at for payload in came if hasattr(payload, "at")]
    assert times
    assert all(((at > wall - world.round_seconds - 1.0) & (at <= wall)).all() for at in times)


def test_a_scenario_lives_the_same_life_twice() -> None:
    first, second = (simulate(5, 0.08, build=scene()) for _ in range(2))
    assert msgspec.structs.replace(first, cpu_seconds=0.0) == msgspec.structs.replace(second, cpu_seconds=0.0)
