"""What surely did not leave is due again: it goes out as the same row while it is right, and is cancelled when not."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from cemd.model.entry import CommandKind, ContactKind
from cemd.model.notice import CommunicationState, NoticeRows, NoticeState, Phase

from tests.report.test_promises import snapshot
from tests.report.world import World, configuration, people, policy


def a_world(n: int = 4, **changes: Any) -> World:
    return World(configuration([policy(**changes)]), people(n))


def in_hand(world: World, *, hurts: bool = True, capacity: int = 100) -> NoticeRows:
    """First notices that were handed over and have no outcome yet."""
    if hurts:
        world.hurt()
    world.run(310, channels=())
    world.take("mail", capacity, None)
    return world.rows[-1]


def states(world: World) -> dict[str, int]:
    return world.state.told_of(world.communication.id).states()


def at_its_end() -> World:
    """Four were told and it is over: their ends are due to leave."""
    world = a_world()
    world.hurt()
    world.run(400)
    world.clear()
    world.run(650, channels=())
    return world


def back(world: World, rows: NoticeRows) -> None:
    world.outcome(rows, NoticeState.DUE)


def decided(world: World, reason: str) -> int:
    return world.reasons().get(reason, 0)


def test_what_came_back_goes_out_again_as_the_same_notice() -> None:
    world = a_world()
    rows = in_hand(world)
    back(world, rows)
    assert states(world) == {"due": 4}
    assert world.state.told_of(world.communication.id).heard() == (0, 0, 0)
    world.run(30)
    assert states(world) == {"accepted": 4}
    again = world.rows[-1]
    assert [again.notice_id(place) for place in range(4)] == [rows.notice_id(place) for place in range(4)]
    assert again.expires_at > rows.expires_at
    assert len(world.store.outbox(world.communication.id).customer) == 4


def test_it_rests_before_it_goes_out_again_and_longer_the_older_it_is() -> None:
    world = a_world()
    tries: list[float] = []
    back(world, in_hand(world))
    began = world.at
    while world.at < began + 1800:
        world.tick(1)
        if "mail" in world.due and world.take("mail", 10, None):
            tries.append(world.at - began)
            back(world, world.rows[-1])
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert tries[0] <= 2
    assert gaps == sorted(gaps)
    assert 50 <= gaps[-1] <= 61
    assert len(tries) < 60


def test_a_restart_in_between_keeps_it_and_sends_it_once() -> None:
    world = a_world()
    rows = in_hand(world, capacity=3)
    world.outcome(rows, NoticeState.DUE, [0, 1])  # the third was being submitted when the process was killed
    lived = snapshot(world.state)
    world.restart(after_seconds=20)
    assert states(world) == {"due": 2, "unknown": 1}
    world.run(30)
    assert states(world) == {"accepted": 3, "unknown": 1}
    assert sorted(world.told("first")) == [0, 0, 1, 1, 2, 3]
    assert lived != snapshot(world.state)


def test_what_was_logged_and_not_applied_before_the_end_is_due_after_the_start() -> None:
    world = a_world()
    rows = in_hand(world)
    world.restart(lambda: back(world, rows))
    assert states(world) == {"due": 4}


def test_said_of_an_earlier_handing_over_it_brings_nothing_back() -> None:
    world = a_world()
    first = in_hand(world)
    back(world, first)
    world.run(10, channels=())
    world.take("mail", 10, None)
    back(world, first)  # told twice, late
    assert states(world) == {"in_flight": 4}
    back(world, world.rows[-1])
    assert states(world) == {"due": 4}


@pytest.mark.parametrize("state", [NoticeState.UNKNOWN, NoticeState.ACCEPTED, NoticeState.FAILED], ids=str)
def test_what_may_have_left_or_is_settled_is_never_due(state: NoticeState) -> None:
    world = a_world()
    rows = in_hand(world)
    world.outcome(rows, state)
    back(world, rows)
    assert states(world) == {state.name.lower(): 4}


def test_over_before_it_could_leave_it_is_cancelled_and_nobody_hears_an_end() -> None:
    world = a_world()
    back(world, in_hand(world))
    world.clear()
    world.run(1500)
    assert states(world) == {"cancelled": 4}
    assert decided(world, "incident_over") == 4
    assert world.told("over") == []
    assert world.communication.state is CommunicationState.ENDED


def test_what_comes_back_after_the_end_began_is_cancelled_at_once() -> None:
    world = a_world()
    rows = in_hand(world, capacity=2)
    world.take("mail")
    world.clear()
    world.run(700)
    assert sorted(world.told("over")) == [2, 3]
    back(world, rows)
    world.run(1500)
    assert sorted(world.told("over")) == [2, 3]
    assert states(world) == {"cancelled": 2, "accepted": 4}
    assert world.communication.state is CommunicationState.ENDED


def test_an_end_that_did_not_leave_is_told_though_all_had_ended() -> None:
    world = at_its_end()
    world.take("mail", state=None)
    world.tick(10)
    assert world.communication.state == "ended"
    back(world, world.rows[-1])
    assert world.communication.state == "ending"
    world.restart(after_seconds=30)
    world.run(60)
    assert states(world) == {"accepted": 8}
    assert world.communication.state is CommunicationState.ENDED


def test_an_end_that_cannot_leave_for_too_long_has_a_named_reason() -> None:
    world = at_its_end()
    world.take("mail", state=None)
    back(world, world.rows[-1])
    world.run(8000, channels=())
    assert states(world) == {"accepted": 4, "cancelled": 4}
    assert decided(world, "no_working_channel") == 4
    assert world.communication.state is CommunicationState.ENDED


def test_an_end_that_did_not_leave_before_a_relapse_comes_with_the_last_one_and_brings_no_correction() -> None:
    world = at_its_end()
    world.take("mail", 2, None)
    back(world, world.rows[-1])
    world.relapse()
    world.run(1000)
    assert world.told("correction") == []
    world.clear()
    world.run(1500)
    heard = [customer for customer, phase in accepted(world) if phase is Phase.OVER]
    assert sorted(heard) == [0, 1, 2, 3]


def accepted(world: World) -> list[tuple[int, Phase]]:
    columns = world.store.outbox(world.communication.id)
    return [
        (customer, Phase(phase))
        for customer, phase, state in zip(
            columns.customer.tolist(), columns.phase.tolist(), columns.state.tolist(), strict=True
        )
        if state == NoticeState.ACCEPTED
    ]


def test_a_short_pause_of_the_problem_does_not_lose_it() -> None:
    world = a_world()
    back(world, in_hand(world))
    world.clear()
    world.run(60)
    assert states(world) == {"due": 4}
    world.relapse()
    world.run(60)
    assert states(world) == {"accepted": 4}


def test_who_has_a_ticket_by_now_is_not_told() -> None:
    world = a_world()
    back(world, in_hand(world))
    world.contact(ContactKind.TICKET_OPENED, 2, service="data")
    world.run(60)
    assert states(world) == {"accepted": 3, "cancelled": 1}
    assert decided(world, "open_ticket") == 1


def test_who_has_another_address_by_now_is_not_told() -> None:
    world = a_world()
    back(world, in_hand(world))
    world.customers.columns["digest_email"][1] = 99
    world.run(60)
    assert states(world) == {"accepted": 3, "cancelled": 1}


def test_who_sleeps_by_now_is_told_in_the_morning() -> None:
    world = a_world(quiet_hours={"start": "13:08", "end": "15:00"})  # on the clock of Berlin; it is 13:00 there
    back(world, in_hand(world))
    world.run(300, channels=())
    world.run(3600)
    assert states(world) == {"due": 4}
    assert world.due == []  # nobody asks in vain all night
    assert world.take("mail") == 0
    world.run(3600)
    assert states(world) == {"accepted": 4}


def test_it_keeps_its_place_under_the_cap_and_that_of_its_end() -> None:
    world = a_world(caps=[{"most": 2, "window_seconds": 86_400.0}])
    back(world, in_hand(world))
    world.run(60)
    world.clear()
    world.run(1500)
    assert states(world) == {"accepted": 8}


def test_what_a_person_declined_or_withdrew_does_not_go_out_again() -> None:
    world = a_world()
    back(world, in_hand(world))
    world.command(CommandKind.DECLINE, world.communication.id)
    world.run(60)
    assert states(world) == {"cancelled": 4}
    assert decided(world, "declined") == 4

    other = a_world()
    back(other, in_hand(other))
    other.reload(configuration([policy(mode="shadow")]))
    other.run(60)
    assert states(other) == {"cancelled": 4}
    assert decided(other, "policy_withdrawn") == 4


def test_what_came_back_after_a_person_declined_is_cancelled() -> None:
    world = a_world()
    world.hurt()
    world.run(310, channels=())
    world.take("mail", 2)
    world.take("mail", 2, None)
    rows = world.rows[-1]
    world.command(CommandKind.DECLINE, world.communication.id)
    back(world, rows)
    world.run(60)
    assert states(world) == {"accepted": 2, "cancelled": 2}


def test_held_sending_holds_what_came_back_too() -> None:
    world = a_world()
    back(world, in_hand(world))
    world.command(CommandKind.HOLD_SENDING)
    world.run(60)
    assert states(world) == {"due": 4}
    world.command(CommandKind.RELEASE)
    world.run(60)
    assert states(world) == {"accepted": 4}


def test_addresses_that_are_refused_for_the_time_being_keep_nobody_waiting() -> None:
    world = a_world(20)
    rows = in_hand(world, capacity=2)
    back(world, rows)
    told = 0
    while told < 18:
        world.tick(1)
        assert world.at < rows.at + 120, told
        if "mail" in world.due:
            before = len(world.rows)
            world.take("mail", 2, None)
            for each in world.rows[before:]:
                bad = each.customer[0] < 2
                world.outcome(each, NoticeState.DUE if bad else NoticeState.ACCEPTED)
                told += 0 if bad else len(each.customer)


def test_an_outcome_cannot_hand_anything_over() -> None:
    world = a_world()
    rows = in_hand(world)
    back(world, rows)
    world.outcome(rows, NoticeState.IN_FLIGHT)
    assert states(world) == {"due": 4}
    assert world.store.outbox(world.communication.id).state.tolist() == [NoticeState.DUE] * 4
