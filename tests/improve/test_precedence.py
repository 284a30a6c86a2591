"""Faults of different causes that overlap in time stay apart, by the order in which they showed."""

from __future__ import annotations

from cemd.config.topology import Topology
from cemd.improve.picture import Picture
from cemd.improve.precedence import was_well_meanwhile
from cemd.improve.records import AttachedFinding
from cemd.model.finding import Finding
from cemd.model.quality import Quality

from tests.improve.house import House
from tests.improve.test_grouping import TOWNS, in_towns

LONG = 400.0
"""Seconds by which every probe of the house would have shown what began with the first one."""


def causes(house: House) -> list[str]:
    return sorted(one.cause.service for one in house.incidents)


def test_a_second_cause_of_what_is_hurt_already_opens_its_own_incident() -> None:
    house = House()
    house.tick(house.began("hlr"), house.began("mobile-data"))
    house.wait(30.0)
    house.tick(house.began("core"))
    assert causes(house) == ["core", "hlr"], "neither stands on the other"


def test_a_deeper_cause_of_something_that_nothing_else_explains_still_joins() -> None:
    house = House()
    house.tick(house.began("mobile-data"), house.began("sms"))
    house.wait(30.0)
    house.tick(house.began("core"))
    assert len(house.incidents) == 1, "mobile-data stands on core, and nothing below it was seen hurt before"


def test_what_breaks_below_long_after_what_stands_on_it_was_down_is_another_fault() -> None:
    house = House()
    house.tick(house.began("hlr"))
    house.wait(LONG)
    house.tick(house.began("database", probe="probe-hlr"))
    assert len(house.incidents) == 1, "nobody watches the database, so nobody saw it well"
    house = House()
    house.tick(house.began("mobile-data"))
    house.wait(LONG)
    house.tick(house.began("hlr"))
    assert [one.subject.name for one in house.incidents] == ["mobile-data", "hlr"]
    assert house.incidents[0].cause.service != "hlr"


def test_what_only_got_worse_by_and_by_may_have_a_cause_that_shows_late() -> None:
    house = House()
    house.tick(house.began("mobile-data", quality=Quality.DEGRADED))
    house.wait(LONG)
    house.tick(house.began("hlr"))
    assert causes(house) == ["hlr"]


def go_down(house: House, *towns: str, after: float = 0.0) -> None:
    house.wait(after)
    house.tick(*(house.began("hlr", town, probe=f"hlr-{town}", since=house.at) for town in towns))


def test_neighbouring_towns_that_go_down_minutes_apart_are_two_incidents() -> None:
    house = House(in_towns("hlr"))
    go_down(house, *TOWNS[:3])
    go_down(house, TOWNS[3], after=LONG)
    assert [one.impact.sites for one in house.incidents] == [TOWNS[:3], TOWNS[3:4]]


def test_towns_that_go_down_one_after_the_other_are_one_spreading_incident() -> None:
    house = House(in_towns("hlr"))
    go_down(house, *TOWNS[:2])
    go_down(house, TOWNS[2], after=130.0)
    go_down(house, TOWNS[3], after=LONG)
    assert len(house.incidents) == 1


def test_whoever_has_no_lookout_was_never_seen_well() -> None:
    house = House()

    def seen(finding: Finding) -> AttachedFinding:
        return AttachedFinding(finding=finding)

    earlier = seen(house.began("sms"))
    house.wait(LONG)
    topology = Topology(house.topology.configuration)
    picture = Picture(topology, house.state.watch(topology), [earlier], at=house.at, anomaly_opens=False)
    assert was_well_meanwhile(seen(house.began("hlr")), earlier, picture)
    assert not was_well_meanwhile(seen(house.began("crm")), earlier, picture)
