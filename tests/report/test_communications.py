"""The life of a communication, as time lines through `handle`."""

from __future__ import annotations

from cemd.model.entry import CommandKind
from cemd.model.notice import CommunicationState

from tests.report.world import World, configuration, people, policy


def test_affected_customers_are_told_once_and_told_again_when_it_was_stable() -> None:
    world = World()
    world.hurt()
    world.run(290)
    assert world.sent == []
    world.run(30)
    assert world.told("first") == list(range(8))
    world.clear()
    world.run(590)
    assert world.told("over") == []
    world.run(30)
    assert world.told("over") == list(range(8))
    assert world.communication.state is CommunicationState.ENDED
    world.run(3600)
    assert len(world.sent) == 16


def test_cleared_before_the_first_notice_says_nothing_and_counts_why() -> None:
    world = World()
    world.hurt()
    world.run(200)
    world.clear()
    world.run(2000)
    assert world.sent == []
    assert world.reasons() == {"incident_over": 8}


def test_unconfirmed_by_the_deadline_is_recorded_with_its_reason() -> None:
    world = World()
    world.hurt(confirmed=False)
    world.run(1300)
    assert world.sent == []
    assert world.communication.state is CommunicationState.DECLINED
    assert world.reasons() == {"not_confirmed": 8}


def test_shadow_decides_and_shows_but_nothing_leaves() -> None:
    world = World(configuration([policy(mode="shadow", ceiling=None)]))
    world.hurt()
    world.run(900)
    world.clear()
    world.run(900)
    assert world.sent == []
    assert world.reasons() == {"first_notice": 8, "over_notice": 8}
    assert world.communication.state is CommunicationState.ENDED


def test_audience_above_the_ceiling_waits_for_a_person() -> None:
    world = World(configuration([policy(ceiling=5)]))
    world.hurt()
    world.run(600)
    assert world.sent == []
    assert world.communication.state is CommunicationState.HELD
    world.command(CommandKind.RELEASE, world.communication.id)
    world.run(60)
    assert world.told("first") == list(range(8))


def test_relapse_after_over_is_corrected_once_without_a_second_first() -> None:
    world = World(load=people(4))
    world.hurt()
    world.run(400)
    world.clear()
    world.run(700)
    world.relapse()
    world.run(600)
    world.clear()
    world.run(700)
    assert world.told("first") == [0, 1, 2, 3]
    assert world.told("correction") == [0, 1, 2, 3]
    assert world.told("over") == [0, 1, 2, 3] * 2
