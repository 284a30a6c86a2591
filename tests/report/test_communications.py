"""The life of a communication, as time lines through `handle`."""

from __future__ import annotations

from typing import Any

from cemd.model.customers import ChannelKind, CustomerFlag
from cemd.model.entry import CommandKind, ContactKind
from cemd.model.incident import IncidentChange
from cemd.model.notice import CommunicationState, NoticeState
from cemd.report.view import reason_for, view
from msgspec.structs import replace

from tests.report.world import NOON, World, configuration, people, policy


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


def test_incident_that_comes_back_hours_later_joins_as_a_new_episode() -> None:
    world = World(load=people(2))
    world.hurt()
    world.run(400)
    world.clear()
    world.run(700)
    world.run(2 * 3600, step=600)
    world.hurt()
    world.run(200)
    assert len(world.sent) == 4  # the hold-down runs again
    world.run(200)
    assert world.told("first", 1) == [0, 1]
    assert len(world.state.communications) == 1


def test_relapse_while_over_leaves_stops_it_and_corrects_those_who_heard_it() -> None:
    world = World(load=people(4))
    world.hurt()
    world.run(400)
    world.clear()
    world.tick(650)
    world.take("mail", 2)
    world.relapse()
    world.run(400)
    assert world.told("over") == [0, 1]
    assert world.told("correction") == [0, 1]
    world.clear()
    world.run(700)
    assert sorted(world.told("over", 1)) == [0, 1, 2, 3]
    assert world.told("first") == [0, 1, 2, 3]


def test_channel_on_the_broken_service_is_not_used() -> None:
    both = (1 << ChannelKind.EMAIL) | (1 << ChannelKind.WEBHOOK)
    load = people(3, services=[4, 4, 4], channels=[1, both, both], digest_webhook=[0, 8, 9])
    world = World(load=load)
    world.hurt("mailbox", cause="mail-relay", services=("mailbox", "mail-relay"))
    world.run(400)
    assert {rows.channel for rows in world.rows} == {"hook"}
    assert world.told("first") == [1, 2]
    assert world.reasons() == {"first_notice": 2, "no_working_channel": 1}


def test_only_the_hurt_place_is_told_and_nobody_abroad() -> None:
    load = people(4, site=[0, 1, 2, 0], flags=[0, 0, 0, int(CustomerFlag.ABROAD)])
    world = World(load=load)
    world.hurt(site="east")  # cell-1 lies in the east
    world.run(400)
    assert world.told("first") == [0, 2]
    assert world.reasons()["abroad"] == 1


def test_every_refusal_has_its_reason() -> None:
    flags = [CustomerFlag.MACHINE, CustomerFlag.UNSUBSCRIBED, CustomerFlag.ERASED, 0, 0, 0, 0, 0]
    load = people(8, flags=flags, basis=[1, 1, 1, 8, 1, 1, 1, 1], digest_email=[1, 2, 3, 4, 5, 6, 7, 7])
    world = World(load=load)
    world.contact(ContactKind.CALL_QUEUED, 4)
    world.contact(ContactKind.TICKET_OPENED, 5, service="data")
    world.contact(ContactKind.TICKET_OPENED, 6, service="voice")  # another fault
    world.hurt()
    world.run(400)
    assert world.told("first") == [6]
    assert world.reasons() == {
        "machine": 1, "unsubscribed": 1, "erased": 1, "no_lawful_basis": 1, "in_call_queue": 1, "open_ticket": 1,
        "same_address": 1, "first_notice": 1,
    }  # fmt: skip
    name = world.communication.id
    assert reason_for(world.state, name, 7) == [
        {"phase": "first", "revision": 0, "reason": "same_address", "notice": None}
    ]
    assert reason_for(world.state, name, 6)[0]["notice"] == "accepted"


def test_decided_again_at_dequeue() -> None:
    world = World(load=people(4))
    world.hurt()
    world.run(300, channels=())
    world.contact(ContactKind.CALL_QUEUED, 1)
    world.contact(ContactKind.UNSUBSCRIBED, 2)
    world.take()
    assert world.told("first") == [0, 3]
    assert world.reasons() == {"first_notice": 4, "in_call_queue": 1, "unsubscribed": 1}


def test_told_by_an_agent_gets_no_end_but_a_reason() -> None:
    world = World(load=people(3))
    world.hurt()
    world.run(400)
    world.contact(ContactKind.TOLD_BY_AGENT, 1, communication=world.communication.id)
    world.contact(ContactKind.UNSUBSCRIBED, 2)
    world.clear()
    world.run(700)
    assert world.told("over") == [0]
    assert world.reasons() == {"first_notice": 3, "over_notice": 1, "told_by_agent": 1, "unsubscribed": 1}


NIGHT = {"quiet_hours": {"start": "12:30", "end": "13:30"}, "hold_seconds": 0.0}


def test_quiet_hours_hold_the_first_notice_and_decide_again_at_their_end() -> None:
    world = World(configuration([policy(**NIGHT)]), people(2, zone=[0, 3], site=[1, 1]))
    world.at = NOON + 3600 * 5 + 2400  # 12:40 in New York, where the site is; past two in Tokyo
    world.hurt(site="west")
    world.run(60)
    assert world.told("first") == [1]
    world.run(3600)
    assert world.told("first") == [1, 0]


def test_cleared_during_quiet_hours_is_never_said_to_those_who_slept() -> None:
    world = World(configuration([policy(**NIGHT)]), people(2, zone=[0, 3], site=[1, 1]))
    world.at = NOON + 3600 * 5 + 2400
    world.hurt(site="west")
    world.run(60)
    world.clear()
    world.run(7200, step=60)
    assert world.told("first") == [1]
    assert world.told("over") == [1]
    assert world.reasons() == {"first_notice": 1, "quiet_hours": 1, "incident_over": 1, "over_notice": 1}


def test_end_held_by_long_quiet_hours_is_replaced_by_its_reason() -> None:
    rule = policy(quiet_hours={"start": "12:20", "end": "18:00"}, hold_seconds=0.0)
    world = World(configuration([rule]), people(1, zone=[2], site=[1]))
    world.at = NOON + 3600 * 5  # noon in New York
    world.hurt(site="west")
    world.run(600)
    world.clear()
    world.run(8 * 3600, step=600)
    assert world.told("first") == [0]
    assert world.told("over") == []
    assert world.reasons()["quiet_hours_passed"] == 1
    assert world.communication.state is CommunicationState.ENDED


def test_safety_ignores_quiet_hours() -> None:
    rule = policy(quiet_hours={"start": "00:00", "end": "23:59"}, message_class="safety", hold_seconds=0.0)
    world = World(configuration([rule]), people(1))
    world.hurt()
    world.run(60)
    assert world.told("first") == [0]


def test_cap_counts_the_reserved_end_of_what_is_still_open() -> None:
    caps = [{"most": 3, "window_seconds": 86_400.0}]
    world = World(configuration([policy(caps=caps)]), people(2, services=[3, 2]))
    world.hurt("data")
    world.run(400)
    world.hurt("voice")
    world.run(400)
    assert world.told("first") == [0, 1]  # one is told of data, the other of voice
    assert world.reasons()["frequency_cap"] == 1


def test_kill_switch_stops_at_once_and_what_waited_is_decided_again_after_it() -> None:
    world = World(load=people(4))
    world.hurt()
    world.run(300, channels=())
    assert world.take("mail", 1) == 1
    assert world.command(CommandKind.KILL).stopped is True
    assert world.take("mail", 10) == 0
    world.run(100)
    assert len(world.sent) == 1
    world.command(CommandKind.UNKILL)
    world.run(50)
    assert world.told("first") == [0, 1, 2, 3]


def test_stopping_again_what_is_stopped_keeps_since_when_and_by_whom() -> None:
    world = World()
    world.command(CommandKind.KILL)
    first = world.state.sending
    assert (first.killed_by, first.killed_at) == ("anna", world.at)
    world.at += 60
    world.command(CommandKind.KILL)
    assert world.state.sending == first
    world.command(CommandKind.UNKILL)
    assert (world.state.sending.killed_by, world.state.sending.killed_at) == ("", None)


def test_after_a_restore_nothing_leaves_until_a_person_releases_it() -> None:
    world = World(load=people(4))
    world.hurt()
    world.run(300, channels=())
    world.restart()
    world.command(CommandKind.HOLD_SENDING)
    world.run(100)
    assert world.sent == []
    world.command(CommandKind.RELEASE, world.communication.id)
    world.run(50)
    assert len(world.sent) == 4


def test_informational_in_flight_at_a_kill_is_unknown_and_never_sent_again() -> None:
    world = World(load=people(2))
    world.hurt()
    world.run(300, channels=())
    world.take(state=None)
    world.restart()
    world.run(3600)
    assert world.told("first") == [0, 1]
    assert world.state.told_of(world.communication.id).states() == {"unknown": 2}


def test_safety_in_flight_at_a_kill_is_sent_again() -> None:
    world = World(configuration([policy(message_class="safety")]), people(2))
    world.hurt()
    world.run(300, channels=())
    world.take(state=None)
    world.restart()
    assert world.told("first") == [0, 1, 0, 1]
    assert {rows.notice_id(0) for rows in world.rows} == {f"{world.communication.id}.0.0.0"}


def test_policy_set_back_to_shadow_stops_first_notices_but_the_end_is_owed() -> None:
    world = World(load=people(4))
    world.hurt()
    world.run(300, channels=())
    world.take("mail", 2)
    world.reload(configuration([policy(mode="shadow")]))
    world.run(100)
    assert world.told("first") == [0, 1]
    world.reload(configuration([]))
    world.clear()
    world.run(700)
    assert world.told("over") == [0, 1]
    assert world.reasons()["policy_withdrawn"] == 2


def test_told_means_that_the_transport_accepted_it() -> None:
    world = World()
    world.hurt()
    for _ in range(31):
        world.tick(10)
    world.take("mail", state=None)
    world.tick(10)
    (seen,) = view(world.state, world.customers).communications
    assert (seen.told, seen.in_flight) == (0, 8)
    (rows,) = world.rows
    world.outcome(rows, NoticeState.ACCEPTED, [0, 1, 2])
    world.outcome(rows, NoticeState.UNKNOWN, [3])
    world.outcome(rows, NoticeState.FAILED, [4, 5, 6])
    world.tick(10)
    (seen,) = view(world.state, world.customers).communications
    assert (seen.told, seen.in_flight, seen.unknown) == (3, 1, 1)
    world.outcome(rows, NoticeState.ACCEPTED, [7])
    world.tick(10)
    (seen,) = view(world.state, world.customers).communications
    assert (seen.told, seen.in_flight) == (4, 0)


def two_faults() -> dict[str, Any]:
    """One cause, data disturbed in the east and voice in the west."""
    return {
        "services": ("data", "voice"),
        "sites": ("east", "west"),
        "places": {"data": ("east",), "voice": ("west",)},
        "cause": "hlr",
    }


EAST, WEST = 0, 1
DATA, VOICE = 1, 2


def test_two_faults_of_one_cause_reach_who_is_hurt_by_either_and_nobody_between_them() -> None:
    load = people(5, services=[DATA, VOICE, DATA, VOICE, DATA | VOICE], site=[EAST, WEST, WEST, EAST, WEST])
    world = World(load=load)
    world.hurt(**two_faults())
    world.run(400)
    assert world.told("first") == [0, 1, 4]
    assert world.communication.places == {"data": ("east",), "voice": ("west",)}


def test_fault_that_spreads_to_a_place_where_another_was_reaches_the_newcomers() -> None:
    load = people(4, services=[DATA, VOICE, DATA, VOICE], site=[EAST, WEST, WEST, EAST])
    world = World(load=load)
    first = world.hurt(**two_faults())
    world.run(400)
    places = {"data": ("east", "west"), "voice": ("west",)}
    wider = replace(first, impact=replace(first.impact, places=places))
    world.tell(IncidentChange.CHANGED, wider)
    world.run(100)
    assert world.told("first") == [0, 1, 2]


def test_of_a_fault_everywhere_and_one_at_a_place_who_is_abroad_hears_of_the_first_alone() -> None:
    abroad = CustomerFlag.PRESENT | CustomerFlag.ABROAD
    world = World(load=people(3, services=[DATA, VOICE, DATA], site=[WEST, WEST, EAST], flags=[abroad, abroad, 0]))
    world.hurt(**{**two_faults(), "sites": (), "places": {"data": (), "voice": ("west",)}})
    world.run(400)
    assert world.told("first") == [0, 2]


def test_who_is_abroad_hears_of_what_spreads_until_it_is_disturbed_everywhere() -> None:
    world = World(load=people(2, flags=[0, int(CustomerFlag.ABROAD)]))
    incident = world.hurt(site="east")
    world.run(400)
    assert world.told("first") == [0]
    world.hurt(id=incident.id, site="country")
    world.run(50)
    assert world.told("first") == [0], "a place, however large"
    world.hurt(id=incident.id, site="")
    world.run(50)
    assert world.told("first") == [0, 1]


def test_wider_impact_reaches_those_who_are_new_to_it() -> None:
    world = World(load=people(4, site=[0, 0, 1, 1]))
    incident = world.hurt(site="east")
    world.run(400)
    assert world.told("first") == [0, 1]
    world.hurt(id=incident.id, site="country")
    world.run(50)
    assert world.told("first") == [0, 1, 2, 3]


def test_wider_impact_above_the_ceiling_waits_for_a_person() -> None:
    world = World(configuration([policy(ceiling=3)]), load=people(4, site=[0, 0, 1, 1]))
    incident = world.hurt(site="east")
    world.run(400)
    assert world.told("first") == [0, 1]
    world.hurt(id=incident.id, site="country")
    world.run(50)
    assert world.told("first") == [0, 1]
    assert world.communication.state is CommunicationState.HELD
    world.command(CommandKind.RELEASE, world.communication.id)
    world.run(60)
    assert world.told("first") == [0, 1, 2, 3]


def test_impact_that_widens_while_a_person_decides_reaches_the_newcomers_on_release() -> None:
    world = World(configuration([policy(ceiling=1)]), load=people(4, site=[0, 0, 1, 1]))
    incident = world.hurt(site="east")
    world.run(400)
    assert world.communication.state is CommunicationState.HELD
    world.hurt(id=incident.id, site="country")
    world.run(50)
    assert world.sent == []
    assert world.communication.state is CommunicationState.HELD
    world.command(CommandKind.RELEASE, world.communication.id)
    world.run(60)
    assert sorted(world.told("first")) == [0, 1, 2, 3]
    world.run(600)
    assert len(world.sent) == 4


def test_a_place_within_one_that_was_told_is_nothing_new() -> None:
    world = World(load=people(4, site=[0, 0, 2, 1]))
    incident = world.hurt(site="east", cause="hlr")
    world.run(400)
    world.customers.load(people(4, site=[0, 0, 2, 2]))  # the last one comes by when all but the cell is well
    world.hurt(id=incident.id, site="cell-1", cause="hlr")
    world.run(60)
    assert world.told("first") == [0, 1, 2]


def test_impact_that_comes_back_wider_before_it_was_stable_reaches_the_newcomers() -> None:
    world = World(load=people(4, site=[0, 0, 1, 1]))
    incident = world.hurt(site="east")
    world.run(400)
    world.clear()
    world.run(100)
    assert world.communication.state is CommunicationState.STABILISING
    world.hurt(id=incident.id, site="country")
    world.run(60)
    assert world.told("first") == [0, 1, 2, 3]
    assert world.told("over") == []


def test_who_is_well_again_when_a_person_releases_it_hears_of_it_only_when_it_comes_back() -> None:
    world = World(configuration([policy(ceiling=1)]), load=people(4, site=[0, 0, 1, 1]))
    incident = world.hurt(site="country")
    world.run(400)
    assert world.communication.state is CommunicationState.HELD
    world.hurt(id=incident.id, site="east")
    world.command(CommandKind.RELEASE, world.communication.id)
    world.run(60)
    assert sorted(world.told("first")) == [0, 1]
    assert world.reasons()["not_affected"] == 2
    world.hurt(id=incident.id, site="country")
    world.run(60)
    assert sorted(world.told("first")) == [0, 1, 2, 3]
    assert len(world.sent) == 4


def test_who_was_told_before_a_relapse_and_moved_away_counts_against_the_ceiling() -> None:
    world = World(configuration([policy(ceiling=3)]), load=people(4, site=[0, 0, 1, 1]))
    world.hurt()
    world.run(400)
    world.clear()
    world.run(700)
    world.customers.load(people(4, site=[1, 1, 0, 0]))
    world.relapse()
    world.run(600)
    assert sorted(world.told("first")) == [0, 1]
    assert world.communication.state is CommunicationState.HELD


def test_end_of_quiet_hours_above_the_ceiling_waits_for_a_person() -> None:
    world = World(configuration([policy(ceiling=3, **NIGHT)]), people(2, site=[1, 1]))
    world.at = NOON + 3600 * 5 + 2400  # 12:40 in New York, where the site is: both sleep
    world.hurt(site="west")
    world.run(60)
    assert world.sent == []
    world.enter(people(4, site=[1, 1, 1, 1]))  # two more, before they wake
    world.customers.load(people(4, site=[1, 1, 1, 1]))
    world.run(3600)
    assert world.sent == []
    assert world.communication.state is CommunicationState.HELD
    world.command(CommandKind.RELEASE, world.communication.id)
    world.run(60)
    assert world.told("first") == [0, 1, 2, 3]


def test_incident_outside_the_policy_opens_nothing() -> None:
    world = World(configuration([policy(services=["voice"])]))
    world.hurt()
    world.hurt(planned=True, services=("voice",))
    world.run(1000)
    assert len(world.state.communications) == 0


def test_impact_that_shrinks_before_the_first_notice_reaches_only_those_who_are_still_hurt() -> None:
    world = World(load=people(4, site=[0, 0, 1, 1]))
    incident = world.hurt(site="country")
    world.run(100)
    world.hurt(id=incident.id, site="east")
    world.run(400)
    assert world.told("first") == [0, 1]


def test_safety_that_was_settled_but_not_applied_before_the_end_is_not_sent_again() -> None:
    world = World(configuration([policy(message_class="safety")]), people(2))
    world.hurt()
    world.run(300, channels=())
    world.take(state=None)
    sent = world.rows[-1]
    world.restart(replay=lambda: world.outcome(sent, NoticeState.ACCEPTED, [0]))
    assert world.told("first") == [0, 1, 1]


def test_a_first_notice_that_is_still_on_its_way_holds_back_nobody_elses_end() -> None:
    world = World()
    world.hurt()
    world.run(300, channels=())
    world.take(capacity=1, state=None)  # hangs
    world.run(30)
    assert world.told("first") == list(range(8))
    (slow,) = [rows for rows in world.rows if len(rows.customer) == 1]
    (number,) = slow.customer.tolist()
    world.clear()
    world.run(620)
    assert world.told("over") == [one for one in range(8) if one != number], "nobody hears the end before the beginning"
    assert world.communication.ended_at is None
    world.outcome(slow, NoticeState.ACCEPTED)
    world.run(20)
    assert sorted(world.told("over")) == list(range(8))
    assert world.communication.ended_at is not None


def test_a_first_notice_that_never_arrived_is_owed_no_end() -> None:
    world = World()
    world.hurt()
    world.run(300, channels=())
    world.take(capacity=1, state=None)
    world.run(30)
    (slow,) = [rows for rows in world.rows if len(rows.customer) == 1]
    world.clear()
    world.run(620)
    world.outcome(slow, NoticeState.FAILED)
    world.run(20)
    assert len(world.told("over")) == 7
    assert world.communication.state is CommunicationState.ENDED


def test_two_incidents_that_turn_out_to_have_one_cause_tell_a_customer_once() -> None:
    world = World(load=people(4, services=[3, 3, 1, 2]))
    data = world.hurt("data")
    world.run(100)
    voice = world.hurt("voice")
    core = replace(data.cause, service="core")
    for incident in (data, voice):
        world.tell(IncidentChange.CHANGED, replace(incident, cause=core))
    world.run(600)
    assert sorted(world.told("first")) == [0, 1, 2, 3]
    for incident in (data, voice):
        world.tell(IncidentChange.CLEARED, replace(incident, cause=core, clear_since=world.at, findings=()))
    world.run(900)
    assert sorted(world.told("over")) == [0, 1, 2, 3]


def test_two_incidents_of_different_causes_tell_whoever_both_hurt_of_each() -> None:
    world = World(load=people(4, services=[3, 3, 1, 2]))
    world.hurt("data")
    world.hurt("voice")
    world.run(600)
    assert sorted(world.told("first")) == [0, 0, 1, 1, 2, 3]


def test_what_comes_back_in_nothing_that_is_sold_is_no_correction() -> None:
    world = World(load=people(4))
    incident = world.hurt("data", cause="hlr", services=("hlr", "data"))
    world.run(400)
    world.clear()
    world.run(700)
    assert (len(world.told("first")), len(world.told("over"))) == (4, 4)
    again = replace(incident, impact=replace(incident.impact, services=("hlr",), places={}))
    world.tell(IncidentChange.REOPENED, again)
    world.run(900)
    assert len(world.sent) == 8, "customers of data, which stands on hlr and is well, hear nothing"


def test_what_comes_back_in_one_place_is_corrected_there_alone() -> None:
    world = World(load=people(4, site=[0, 0, 1, 1]))
    incident = world.hurt(site="country")
    world.run(400)
    world.clear()
    world.run(700)
    assert world.told("over") == [0, 1, 2, 3]
    again = replace(incident, impact=replace(incident.impact, sites=("west",)))
    world.tell(IncidentChange.REOPENED, again)
    world.run(600)
    assert world.told("correction") == [2, 3]
    world.clear()
    world.run(700)
    assert world.told("over", 1) == [2, 3], "the others heard theirs, and it held"


def test_what_comes_back_and_spreads_is_corrected_there_too_once() -> None:
    world = World(load=people(6, site=[0, 0, 1, 1, 2, 2]))
    incident = world.hurt(site="country")
    world.run(400)
    world.clear()
    world.run(700)
    assert world.told("over") == [0, 1, 2, 3, 4, 5]
    again = replace(incident, impact=replace(incident.impact, sites=("west",)))
    world.tell(IncidentChange.REOPENED, again)
    world.run(600)
    assert world.told("correction") == [2, 3]
    wider = replace(again, impact=replace(again.impact, sites=("west", "east")))
    world.tell(IncidentChange.CHANGED, wider)
    world.run(60)
    assert sorted(world.told("correction")) == [0, 1, 2, 3, 4, 5], "a cell lies in the east"
    world.run(600)
    assert len(world.told("first")) == 6, "nobody hears a second first notice"
    world.clear()
    world.run(700)
    assert sorted(world.told("over", 1)) == [0, 1, 2, 3, 4, 5]


def test_a_correction_that_spreads_while_others_wait_for_their_channel_is_not_lost() -> None:
    world = World(load=people(4, site=[0, 0, 1, 1]))
    incident = world.hurt(site="country")
    world.run(400)
    world.clear()
    world.run(700)
    again = replace(incident, impact=replace(incident.impact, sites=("west",)))
    world.tell(IncidentChange.REOPENED, again)
    world.run(600, channels=())
    world.tell(IncidentChange.CHANGED, replace(again, impact=replace(again.impact, sites=("west", "east"))))
    world.run(60, channels=())
    world.run(120)
    assert sorted(world.told("correction")) == [0, 1, 2, 3]


def test_whoever_was_well_in_one_relapse_is_corrected_in_the_next() -> None:
    world = World(load=people(4, site=[0, 0, 1, 1]))
    incident = world.hurt(site="country")
    world.run(400)
    for place in ("west", "east"):
        world.clear()
        world.run(700)
        again = replace(incident, impact=replace(incident.impact, sites=(place,)))
        world.tell(IncidentChange.REOPENED, again)
        world.run(600)
    assert world.told("correction", 1) == [2, 3]
    assert world.told("correction", 2) == [0, 1]
    world.clear()
    world.run(700)
    assert sorted(world.told("over")) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(world.told("first")) == 4
