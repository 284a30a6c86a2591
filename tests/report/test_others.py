"""Two problems of different causes that hurt the same customers: each hears once that a service does not work, and that
it works again when nothing hurts it any more."""

from __future__ import annotations

from typing import Any

from cemd.model.incident import Incident

from tests.report.world import World, people


def two_problems(**columns: Any) -> tuple[World, Incident, Incident]:
    """Data is disturbed in the east and told of; ten minutes later something else disturbs it too, for longer."""
    world = World(load=people(4, **columns))
    first = world.hurt("data", cause="hlr", id="inc-hlr")
    world.run(600)
    second = world.hurt("data", cause="power", id="inc-power")
    world.run(600)
    return world, first, second


def over(world: World, incident: Incident) -> None:
    world.incident = incident
    world.clear()


def test_who_was_told_of_a_service_is_not_told_again_of_another_problem_of_it() -> None:
    world, _, _ = two_problems()
    assert world.told("first") == [0, 1, 2, 3]
    assert world.reasons()["already_told"] == 4


def test_who_is_hurt_in_a_further_service_hears_of_the_other_problem() -> None:
    world = World(load=people(4, services=[0b001, 0b011, 0b010, 0b011]))
    world.hurt("data", cause="hlr", id="inc-hlr")
    world.run(600)
    world.hurt("data", cause="power", id="inc-power", services=("data", "voice"))
    world.run(600)
    assert sorted(world.told("first")) == [0, 1, 1, 2, 3, 3]


def test_the_end_waits_while_another_problem_hurts_the_same_service() -> None:
    world, first, second = two_problems()
    over(world, first)
    world.run(1800)
    assert world.told("over") == []
    over(world, second)
    world.run(1800)
    assert sorted(world.told("over")) == [0, 1, 2, 3]
    assert {one.state for one in world.state.communications} == {"ended"}


def test_who_is_not_hurt_by_the_other_problem_hears_the_end_at_once() -> None:
    world = World(load=people(4, site=[0, 0, 2, 2]))  # the last two in a cell of the east
    first = world.hurt("data", cause="hlr", id="inc-hlr")
    world.run(600)
    second = world.hurt("data", site="cell-1", cause="power", id="inc-power")
    world.run(600)
    over(world, first)
    world.run(1800)
    assert sorted(world.told("over")) == [0, 1]
    over(world, second)
    world.run(1800)
    assert sorted(world.told("over")) == [0, 1, 2, 3]


def test_the_end_is_told_however_long_the_other_problem_lasted() -> None:
    world, first, second = two_problems()
    over(world, first)
    world.run(4 * 3600.0, step=60.0)
    over(world, second)
    world.run(1800)
    assert sorted(world.told("over")) == [0, 1, 2, 3]


def test_a_problem_that_nobody_confirmed_holds_no_end_back() -> None:
    world = World(load=people(4))
    first = world.hurt("data", cause="hlr", id="inc-hlr")
    world.run(600)
    world.hurt("data", cause="power", id="inc-power", confirmed=False)
    over(world, first)
    world.run(900)
    assert sorted(world.told("over")) == [0, 1, 2, 3]


def test_a_restart_keeps_the_end_waiting() -> None:
    world, first, second = two_problems()
    over(world, first)
    world.run(900)
    world.restart()
    world.run(900)
    assert world.told("over") == []
    over(world, second)
    world.run(1800)
    assert sorted(world.told("over")) == [0, 1, 2, 3]
