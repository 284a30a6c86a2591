"""What hurts on although the cause of its incident is well has another cause."""

from __future__ import annotations

import msgspec
from cemd.model.finding import Condition, Finding
from cemd.model.incident import Incident, IncidentState
from cemd.model.quality import Quality

from tests.improve.house import House, configuration
from tests.improve.test_grouping import TOWNS, in_towns

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


def recovered(*left: str, quality: Quality = Quality.DOWN) -> House:
    """A province was dark, and is well again but for the towns that are left."""
    house = House(in_towns("core"))
    found = {town: house.began("core", town, probe=f"core-{town}", quality=quality) for town in TOWNS}
    house.tick(*found.values())
    house.wait(300.0)
    house.tick(*(ended(house, one) for town, one in found.items() if town not in left))
    wait_on(house, ENOUGH)
    return house


def test_one_place_that_stays_dark_when_all_others_are_well_again_is_another_problem() -> None:
    house = recovered(TOWNS[3])
    first, other = house.incidents
    assert (first.cause.service, first.clear_since is not None) == ("core", True)
    assert (str(other.subject), other.cause.site) == (f"service core at {TOWNS[3]}", TOWNS[3])


def test_what_is_left_in_half_of_the_places_is_the_same_problem() -> None:
    assert len(recovered(*TOWNS[:2]).incidents) == 1


def test_one_place_that_only_got_worse_may_take_longer() -> None:
    assert len(recovered(TOWNS[3], quality=Quality.DEGRADED).incidents) == 1


def test_what_is_down_by_one_measure_while_its_probe_answers_again_does_not_part() -> None:
    house = House()
    cause, lost = house.began("hlr"), house.began("sms")
    answers = msgspec.structs.replace(lost, id="f-answers", indicator="answers")
    house.tick(cause, lost, answers)
    house.wait(300.0)
    house.tick(ended(house, cause))
    house.wait(60.0)
    house.tick(ended(house, answers))
    wait_on(house, ENOUGH)
    assert len(house.incidents) == 1


def test_a_slow_probe_has_the_time_of_some_good_looks_in_a_row() -> None:
    made = configuration()
    slow = [one.model_copy(update={"every_seconds": 900.0}) if one.name == "probe-sms" else one for one in made.probes]
    thorough = made.indicators[0].model_copy(update={"min_samples": 3})
    house = House(made.model_copy(update={"probes": slow, "indicators": [thorough]}))
    cause, above = house.began("hlr"), house.began("sms")
    house.tick(cause, above)
    house.wait(300.0)
    house.tick(ended(house, cause))
    wait_on(house, 1.4 * 5 * 900.0)
    assert len(house.incidents) == 1
    wait_on(house, 1200.0)
    assert by_subject(house, "sms").id


def test_what_stands_on_the_cause_in_the_place_that_is_left_parts_with_it_and_not_before() -> None:
    made = in_towns("core", "mobile-data")
    slow = [one.model_copy(update={"every_seconds": 120.0}) if one.service == "core" else one for one in made.probes]
    house = House(made.model_copy(update={"probes": slow}))
    found = {town: house.began("core", town, probe=f"core-{town}") for town in TOWNS}
    data = house.began("mobile-data", TOWNS[3], probe=f"mobile-data-{TOWNS[3]}")
    house.tick(*found.values(), data)
    house.wait(300.0)
    house.tick(*(ended(house, one) for town, one in found.items() if town != TOWNS[3]))
    wait_on(house, 360.0)
    assert len(house.incidents) == 1, "the slow one may still be about to recover"
    wait_on(house, 2 * ENOUGH)
    first, other = house.incidents
    assert (first.clear_since is not None, other.cause.service) == (True, "core")
    assert len(other.findings) == 2


def test_an_answer_of_before_says_nothing_of_now() -> None:
    house = House()
    cause, lost = house.began("hlr"), house.began("sms")
    early = msgspec.structs.replace(lost, id="f-early", indicator="answers")
    house.tick(cause, lost, early)
    house.wait(100.0)
    house.tick(ended(house, early))
    house.wait(200.0)
    house.tick(ended(house, cause))
    wait_on(house, ENOUGH)
    assert len(house.incidents) == 2
