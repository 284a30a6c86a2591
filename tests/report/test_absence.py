"""Nobody watched for a while: what is said afterwards stands on what was measured afterwards."""

from __future__ import annotations

from cemd.model.entry import CommandKind
from cemd.model.notice import CommunicationState, NoticeState

from tests.report.world import World, configuration, policy

HOURS = 8 * 3600.0


def test_an_hour_long_absence_is_no_hold_down() -> None:
    world = World()
    world.hurt()
    world.run(100)
    world.restart(after_seconds=HOURS)
    world.run(290)
    assert world.sent == []
    world.run(30)
    assert world.told("first") == list(range(8))


def test_what_turns_out_to_be_over_after_an_absence_is_told_to_nobody() -> None:
    world = World()
    world.hurt()
    world.run(290)
    world.restart(after_seconds=HOURS)
    world.run(60)
    world.clear()
    world.run(3600)
    assert world.sent == []
    assert world.reasons() == {"incident_over": 8}


def test_a_usual_restart_puts_nothing_off() -> None:
    world = World()
    world.hurt()
    world.run(200)
    world.restart(after_seconds=60)
    world.run(50)
    assert world.told("first") == list(range(8))


def test_the_deadline_of_a_confirmation_does_not_pass_while_nobody_could_confirm() -> None:
    world = World()
    world.hurt(confirmed=False)
    world.run(600)
    world.restart(after_seconds=HOURS)
    world.run(590)
    assert world.communication.state is CommunicationState.HOLDING
    world.run(30)
    assert world.reasons() == {"not_confirmed": 8}


def test_a_confirmed_problem_is_not_declined_because_the_hold_down_begins_late() -> None:
    world = World(configuration([policy(decide_by_seconds=310.0)]))
    world.hurt()
    world.run(290)
    world.restart(after_seconds=130)
    world.run(320)
    assert world.told("first") == list(range(8))


def test_first_notices_that_are_left_over_wait_for_the_hold_down_as_well() -> None:
    world = World()
    world.hurt()
    world.run(300, channels=())
    assert world.take(capacity=3) == 3
    world.restart(after_seconds=HOURS)
    world.run(290)
    assert len(world.told("first")) == 3
    world.run(30)
    assert len(world.told("first")) == 8


def test_over_needs_the_stability_that_somebody_watched() -> None:
    world = World()
    world.hurt()
    world.run(320)
    world.clear()
    world.run(100)
    world.restart(after_seconds=HOURS)
    world.run(590)
    assert world.told("over") == []
    world.run(30)
    assert world.told("over") == list(range(8))


def test_a_release_by_a_person_waits_for_the_hold_down_after_an_absence() -> None:
    world = World(configuration([policy(ceiling=5)]))
    world.hurt()
    world.run(320)
    assert world.communication.state is CommunicationState.HELD
    world.restart(after_seconds=HOURS)
    world.command(CommandKind.RELEASE, world.communication.id)
    world.run(290)
    assert world.sent == []
    world.run(30)
    assert world.told("first") == list(range(8))
    assert all(rows.state is NoticeState.IN_FLIGHT for rows in world.rows)


def test_an_end_that_was_decided_waits_until_somebody_watched_and_is_not_lost() -> None:
    world = World(configuration([policy(valid_for_seconds=3600.0)]))
    world.hurt()
    world.run(320)
    world.clear()
    world.run(620, channels=())
    assert world.take(capacity=3) == 3
    world.restart(after_seconds=HOURS)
    world.run(590)
    assert len(world.told("over")) == 3
    world.run(30)
    assert world.told("over") == list(range(8))
