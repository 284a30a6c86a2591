"""The time line says truly why each finding joined: it is the cause, stands on it, is hurt already, and so on."""

from __future__ import annotations

from cemd.model.entry import CommandKind
from cemd.model.incident import Incident
from cemd.model.quality import Quality

from tests.improve.house import House


def joined(incident: Incident) -> list[str]:
    return [item.what for item in incident.timeline if " joins: " in item.what]


def test_the_cause_itself_joins_as_the_cause_and_what_follows_stands_on_it() -> None:
    house = House()
    house.tick(house.began("shop"), house.began("portal"))
    assert house.only().cause.service == "crm"
    house.tick(house.began("crm", probe="probe-crm"), house.began("top-up"))
    assert joined(house.only())[1:] == [
        "service crm joins: it is its probable cause.",
        "service top-up joins: it stands on crm, its probable cause.",
    ]


def test_what_shares_a_dependency_says_which() -> None:
    house = House()
    house.tick(house.began("shop"), house.began("portal"))
    assert joined(house.only()) == ["service shop joins: it may share its cause, crm."]


def test_what_lies_deeper_says_what_stands_on_it() -> None:
    house = House()
    house.tick(house.began("mobile-data"))
    house.tick(house.began("hlr"))
    assert joined(house.only()) == ["service hlr joins: it is what mobile-data stands on."]


def test_a_second_finding_on_the_same_service_is_hurt_already() -> None:
    house = House()
    house.tick(house.began("sms"), house.began("core"))
    incident = next(one for one in house.incidents if one.subject.name == "sms")
    house.command(CommandKind.CONFIRM, incident.id, note="hlr")
    house.tick(house.began("sms", "east", quality=Quality.DEGRADED))
    incident = next(one for one in house.incidents if one.id == incident.id)
    assert joined(incident) == ["service sms at east joins: it is hurt in it already."]


def test_what_hurts_again_was_hurt_before_or_was_the_cause() -> None:
    house = House()
    hlr, sms = house.began("hlr"), house.began("sms")
    house.tick(hlr, sms)
    house.tick(house.ended(hlr), house.ended(sms), after=60.0)
    house.tick(after=700.0)
    house.tick(house.began("sms"))
    house.tick(house.began("hlr"), after=30.0)
    assert joined(house.only())[0] == "service sms joins: it stands on hlr, which is hurt in it."
    assert joined(house.only())[1] == "service sms joins: it was hurt in it before."
    assert joined(house.only())[2] == "service hlr joins: it is its probable cause."
