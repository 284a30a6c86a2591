"""The probable cause, and when there is none to name."""

from __future__ import annotations

import msgspec
from cemd.config.catalogue import Domain, Service
from cemd.config.topology import Topology
from cemd.model.entry import CommandKind, ConfigEpoch
from cemd.model.finding import Condition
from cemd.model.incident import Confidence
from cemd.model.quality import Quality

from tests.improve.house import House, configuration
from tests.improve.test_grouping import TOWNS, in_towns


def test_a_hurt_service_above_healthy_ones_is_its_own_cause() -> None:
    house = House()
    house.tick(house.began("mobile-data"))
    cause = house.only().cause
    assert (cause.service, cause.confidence) == ("mobile-data", Confidence.PROBABLE)
    assert not any("core" in rival for rival in cause.rivals), "core measures healthy: no candidate"


def test_a_dependency_that_is_only_unusual_is_no_rival_when_it_would_have_shown_a_failure() -> None:
    house = House(configuration(graph={"mobile-data": ["hlr"], "hlr": []}))
    unusual = house.began("hlr", condition=Condition.ANOMALY, quality=Quality.AT_RISK)
    house.tick(house.began("mobile-data"), unusual)
    assert house.only().cause.service == "", "hlr had no time to show it"
    house.tick(after=180.0)
    assert house.only().cause.service == "mobile-data"


def test_what_is_hurt_in_one_place_is_not_the_cause_where_it_is_watched_and_shows_nothing() -> None:
    house = House(in_towns("hlr", "sms"))
    house.tick(*(house.began("sms", town, probe=f"sms-{town}") for town in TOWNS))
    house.tick(house.began("hlr", TOWNS[0], probe=f"hlr-{TOWNS[0]}"))
    house.tick(after=180.0)
    assert all(one.cause.service != "hlr" or one.impact.sites == TOWNS[:1] for one in house.incidents)


def test_what_was_well_while_others_were_down_is_not_their_cause() -> None:
    house = House()
    house.tick(house.began("sms"), house.began("mobile-data"))
    house.wait(400.0)
    house.tick(house.began("hlr"))
    house.tick(after=60.0)
    assert all(one.cause.service != "hlr" for one in house.incidents if one.subject.name != "hlr")


def test_the_deepest_hurt_service_wins_over_what_stands_on_it() -> None:
    house = House()
    house.tick(house.began("hlr"), house.began("mobile-data"), house.began("sms"))
    cause = house.only().cause
    assert cause.service == "hlr"
    assert "hlr is hurt itself: success objective broken." in cause.reasons
    assert "3 of 3 findings are on hlr or on what stands on it." in cause.reasons
    assert cause.rivals[0].startswith("database")


def test_what_is_measured_often_is_no_rival_of_the_hurt_service_that_it_stands_on() -> None:
    house = House()
    once = house.began("mobile-data", "east")
    house.tick(*(msgspec.structs.replace(once, id=f"f-{number}", probe=f"p-{number}") for number in range(20)))
    house.tick(house.began("core"), after=30.0)
    assert house.only().cause.service == "core"


def test_healthy_siblings_speak_against_a_dependency_that_nobody_measures() -> None:
    house = House()
    house.tick(house.began("shop"), house.began("portal"))
    assert house.only().cause.service == "crm", "top-up may be too slow to show it"
    house.tick(after=600.0)
    cause = house.only().cause
    assert cause.service != "crm", "top-up stands on crm and is fine after ten minutes"


def test_an_unclear_case_names_rivals_and_no_cause() -> None:
    house = House()
    house.tick(house.began("shop"), house.began("portal"))
    house.tick(after=600.0)
    cause = house.only().cause
    assert cause.confidence is Confidence.UNDETERMINED
    assert cause.service == ""
    assert {rival.split()[0] for rival in cause.rivals} >= {"crm", "shop"}
    assert "does not tell" in cause.reasons[0]


def test_services_in_a_circle_count_as_one() -> None:
    graph = {"one": ["other"], "other": ["one"], "above": ["one"]}
    house = House(configuration(graph=graph))
    house.tick(house.began("one"), house.began("other"), house.began("above"))
    assert house.only().cause.service in ("one", "other")


def test_a_change_shortly_before_speaks_for_a_candidate() -> None:
    config = configuration()
    house = House(config)
    house.enter(ConfigEpoch(hash="a", author="ana", document=b""))
    changed = [
        one if one.name != "crm" else Service(name="crm", function="new", domain=Domain.IT, platform="p")
        for one in config.services
    ]
    house.topology = Topology(config.model_copy(update={"services": changed}))
    house.enter(ConfigEpoch(hash="b", author="ana", document=b""), after=60.0)
    house.wait(120.0)
    house.tick(house.began("shop"), house.began("portal"))
    assert any("changed" in reason for reason in house.only().cause.reasons)


def test_a_person_who_names_the_cause_is_right() -> None:
    house = House()
    house.tick(house.began("shop"))
    house.command(CommandKind.CONFIRM, house.only().id, note="crm")
    house.tick(house.began("payment"), after=61.0)
    cause = house.only().cause
    assert (cause.service, cause.confidence, cause.reasons) == ("crm", Confidence.CONFIRMED, ("ana says so.",))


def test_a_finding_without_any_known_service_still_opens_an_incident() -> None:
    house = House()
    house.tick(house.began("retired-service"))
    assert house.only().cause.service == "retired-service"


def test_recovery_of_what_stands_on_the_cause_speaks_not_against_it() -> None:
    house = House()
    sms, data = house.began("sms"), house.began("mobile-data")
    house.tick(house.began("hlr"), data, sms)
    named = house.only().cause
    house.tick(house.ended(sms), after=600.0)
    house.tick(house.ended(data), after=600.0)
    assert house.only().cause.reasons == named.reasons
    assert house.only().cause.score == named.score


def test_what_is_unusual_in_one_town_is_no_rival_of_what_is_hurt_in_four() -> None:
    house = House(in_towns("mobile-data", "core"))
    unusual = house.began("core", TOWNS[0], condition=Condition.ANOMALY, quality=Quality.AT_RISK)
    house.tick(unusual, *(house.began("mobile-data", town) for town in TOWNS[:4]))
    assert house.only().cause.service == "mobile-data"
