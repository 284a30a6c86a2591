"""Which incident found which fault, and who was told of it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from cemd.daemon.kinds import kinds
from cemd.demo.day.alarm import Alarm
from cemd.demo.day.judge import alarms_of, matched, told_twice
from cemd.demo.day.witness import Record, Witness
from cemd.demo.files import shipped_root
from cemd.demo.world.events import Event
from cemd.demo.world.reading import SCENARIOS, read_scenario
from cemd.demo.world.world import World
from cemd.model.incident import Cause, Impact, Incident, IncidentState
from cemd.model.notice import NoticeRows, NoticeState, Phase
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind

TWO_HOURS = 7200.0


@pytest.fixture(scope="module")
def world() -> World:
    return World(read_scenario(SCENARIOS / "small.yaml"), shipped_root() / "rules", kinds(), seed=1)


@pytest.fixture
def twice(world: World) -> tuple[Event, Event]:
    """The same thing breaks, and two hours later once more."""
    first = next(event for event in world.events if event.is_fault)
    later = tuple((begin + TWO_HOURS, end + TWO_HOURS) for begin, end in first.episodes)
    again = replace(
        first, number=99, begin=first.begin + TWO_HOURS, end=first.end + TWO_HOURS, episodes=later, window=None
    )
    return first, again


def an_alarm(event: Event, opened_at: float) -> Alarm:
    return Alarm("inc", opened_at, event.end + 600.0, (event.service,), (), event.service)


def test_an_incident_finds_one_fault_and_another_one_when_it_was_reopened_for_it(
    world: World, twice: tuple[Event, Event]
) -> None:
    first, again = twice
    alarm = an_alarm(first, first.begin + 60.0)
    reopened = replace(alarm, again=(an_alarm(again, again.begin + 60.0),))
    assert list(matched(twice, [alarm], world)) == [first.number]
    found = matched(twice, [reopened], world)
    assert [found[event.number].opened_at - event.begin for event in twice] == [60.0, 60.0]


def test_an_incident_that_was_taken_into_another_finds_only_what_no_other_finds(
    world: World, twice: tuple[Event, Event]
) -> None:
    first, _ = twice
    taken = replace(an_alarm(first, first.begin + 30.0), id="taken", cancelled=True)
    other = an_alarm(first, first.begin + 60.0)
    assert matched([first], [taken, other], world)[first.number] is other
    assert matched([first], [taken], world)[first.number] is taken


def test_a_reopening_counts_for_nothing_where_the_incident_itself_found_nothing(
    world: World, twice: tuple[Event, Event]
) -> None:
    first, again = twice
    false = replace(an_alarm(first, first.begin - TWO_HOURS), over_at=first.begin - 60.0)
    assert matched([again], [replace(false, again=(an_alarm(again, again.begin + 60.0),))], world) == {}


def an_incident(event: Event, *sites: str, **changes: Any) -> Incident:
    made = Incident(
        id="inc",
        trace="t",
        state=IncidentState.IN_PROGRESS,
        quality=Quality.DOWN,
        subject=Subject(kind=SubjectKind.SERVICE, name=event.service),
        cause=Cause(),
        impact=Impact(services=(event.service,), sites=sites),
        findings=(),
        first_hurt_at=event.begin,
        opened_at=event.begin + 60.0,
        changed_at=event.begin + 60.0,
        epoch="e",
        seq=1,
    )
    return msgspec.structs.replace(made, **changes)


def test_an_incident_is_about_every_place_where_it_ever_was(world: World, twice: tuple[Event, Event]) -> None:
    event, _ = twice
    witness = Witness(world)
    witness._saw(an_incident(event, event.site), event.begin + 60.0)
    witness._saw(an_incident(event, "land-town-2"), event.end + 60.0)
    (alarm,) = alarms_of(witness)
    assert alarm.sites == (event.site, "land-town-2")
    assert list(matched([event], [alarm], world)) == [event.number]


def test_a_reopened_incident_is_only_where_it_has_been_since(world: World, twice: tuple[Event, Event]) -> None:
    event, _ = twice
    witness = Witness(world)
    witness._saw(an_incident(event, event.site), event.begin + 60.0)
    witness._saw(an_incident(event, event.site, state=IncidentState.RESOLVED), event.end + 600.0)
    witness._saw(an_incident(event, "land-town-2"), event.end + 900.0)
    (alarm,) = alarms_of(witness)
    assert [one.sites for one in (alarm, *alarm.again)] == [(event.site,), ("land-town-2",)]


def test_two_notices_of_two_faults_that_overlap_are_not_one_notice_twice(twice: tuple[Event, Event]) -> None:
    event, other = twice
    record = Record(np.ones(3, np.bool_), np.zeros(3))
    record.firsts = [("com-1", 1.0, np.array([0, 1])), ("com-2", 2.0, np.array([1, 2])), ("com-3", 3.0, np.array([2]))]
    found = {"com-1": {event.number}, "com-2": {other.number}, "com-3": {event.number, other.number}}
    assert told_twice(event, record, lambda name, _: found[name]) == 0
    assert told_twice(other, record, lambda name, _: found[name]) == 1, "the last hears com-2 and com-3"
    assert told_twice(event, record, lambda *_: set()) == 2, "what found nothing may be about any of them"


def rows(phase: Phase, numbers: Any, digests: Any = ()) -> NoticeRows:
    made = SimpleNamespace(
        communication="com",
        phase=phase,
        customer=numbers,
        digest=np.array(digests, np.int64),
        state=NoticeState.ACCEPTED,
    )
    return cast(NoticeRows, made)


def test_whoever_shares_the_address_that_a_notice_went_to_has_heard_it(
    world: World, twice: tuple[Event, Event]
) -> None:
    event, _ = twice
    witness = Witness(world)
    witness.begin()
    witness.book.communications["com"] = cast(Any, SimpleNamespace(services=(event.service,)))
    addresses = world.people.column("digest_email")
    with_address = np.flatnonzero(world.lives.concerned(event) & (addresses != 0))
    told, other, elsewhere = with_address[:3].tolist()
    kept = addresses[other]
    addresses[other] = addresses[told]
    witness._noticed(rows(Phase.FIRST, np.array([told], np.uint32), [addresses[told]]), event.begin + 400.0)
    addresses[other] = kept
    record = witness.record(event)
    assert record.told_at[[told, other, elsewhere]].tolist() == [event.begin + 400.0, event.begin + 400.0, np.inf]
    assert [numbers.tolist() for *_, numbers in record.firsts] == [[told]], "one notice left"


def test_whoever_was_told_before_and_heard_no_end_knows_of_the_next_fault(
    world: World, twice: tuple[Event, Event]
) -> None:
    event, again = twice
    witness = Witness(world)
    witness.begin()
    witness.book.communications["com"] = cast(Any, SimpleNamespace(services=(event.service,)))
    touched = np.flatnonzero(world.lives.concerned(event))[:2].astype(np.uint32)

    witness._noticed(rows(Phase.FIRST, touched), event.begin + 400.0)
    witness._noticed(rows(Phase.OVER, touched[1:]), event.end + 900.0)
    record = witness.record(again)
    record.touched |= world.lives.concerned(again)
    witness._know_already(again, record, again.begin)
    assert record.told_at[touched].tolist() == [again.begin, np.inf]
    assert record.firsts == []
