"""What hurts on although the cause of its incident is well has another cause."""

from __future__ import annotations

import msgspec
from cemd.model.finding import Condition, Finding
from cemd.model.incident import Incident, IncidentState
from cemd.model.quality import Quality

from tests.improve.house import House

ENOUGH = 600.0
"""Seconds in which every probe of the house sees that something is well again."""


def ended(house: House, finding: Finding) -> Finding:
    """As analyze says it: with the instant of the end."""
    return msgspec.structs.replace(house.ended(finding), at=house.at + 2.0)


def hidden() -> tuple[House, Finding, Finding]:
    """hlr is well again, and what stood on it is not."""
    house = House()
    cause, above, data = house.began("hlr"), house.began("sms"), house.began("mobile-data")
    house.tick(cause, above, data)
    house.wait(300.0)
    house.tick(ended(house, cause), ended(house, data))
    return house, cause, above


def by_subject(house: House, name: str) -> Incident:
    return next(one for one in house.incidents if one.subject.name == name)


def wait_on(house: House, seconds: float) -> None:
    for _ in range(int(seconds // 60)):
        house.tick(after=60.0)


def test_what_hurts_on_is_an_incident_of_its_own() -> None:
    house, _, above = hidden()
    wait_on(house, 60.0)
    assert len(house.incidents) == 1, "it had no time to recover"
    wait_on(house, ENOUGH)
    sms = by_subject(house, "sms")
    assert above.id in sms.findings
    assert sms.first_hurt_at >= by_subject(house, "hlr").opened_at + 300.0


def test_the_first_incident_is_over_without_what_parted() -> None:
    house, _, _ = hidden()
    wait_on(house, ENOUGH + 700.0)
    first = by_subject(house, "hlr")
    assert first.state is IncidentState.RESOLVED
    assert any("hlr is well, and it is not" in one.what for one in first.timeline)


def test_what_hurts_on_joins_the_open_incident_that_explains_it() -> None:
    house = House()
    cause, above = house.began("hlr"), house.began("mobile-data")
    house.tick(cause, above)
    house.wait(60.0)
    core = house.began("core")
    house.tick(core)
    assert len(house.incidents) == 2
    house.wait(300.0)
    house.tick(ended(house, cause))
    wait_on(house, ENOUGH)
    assert len(house.incidents) == 2
    assert set(by_subject(house, "core").findings) == {core.id, above.id}
    assert by_subject(house, "hlr").clear_since is not None


def test_what_stands_on_a_cause_that_comes_and_goes_stays() -> None:
    house = House()
    cause, above = house.began("hlr"), house.began("sms")
    house.tick(cause, above)
    house.wait(60.0)
    house.tick(ended(house, cause))
    house.wait(60.0)
    again = house.began("hlr", since=house.at)
    house.tick(again)
    house.wait(60.0)
    house.tick(ended(house, again))
    wait_on(house, ENOUGH)
    assert len(house.incidents) == 1


def test_what_begins_when_the_cause_is_well_already_does_not_part_and_has_another_cause() -> None:
    house = House()
    cause, above = house.began("hlr"), house.began("sms")
    house.tick(cause, above)
    house.wait(300.0)
    house.tick(ended(house, cause), ended(house, above))
    house.tick(after=601.0)
    odd = house.began("hlr", condition=Condition.ANOMALY, quality=Quality.AT_RISK)
    house.tick(house.began("sms", since=house.at), odd)
    wait_on(house, ENOUGH)
    assert len(house.incidents) == 1
    assert (house.incidents[0].reopened, house.incidents[0].cause.service) == (1, "sms")
