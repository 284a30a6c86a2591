"""Which incident found which fault."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cemd.daemon.kinds import kinds
from cemd.demo.day.alarm import Alarm
from cemd.demo.day.judge import matched
from cemd.demo.files import shipped_root
from cemd.demo.world.events import Event
from cemd.demo.world.reading import SCENARIOS, read_scenario
from cemd.demo.world.world import World

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


def test_a_reopening_counts_for_nothing_where_the_incident_itself_found_nothing(
    world: World, twice: tuple[Event, Event]
) -> None:
    first, again = twice
    false = replace(an_alarm(first, first.begin - TWO_HOURS), over_at=first.begin - 60.0)
    assert matched([again], [replace(false, again=(an_alarm(again, again.begin + 60.0),))], world) == {}
