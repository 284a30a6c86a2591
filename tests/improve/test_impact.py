"""Whom it hurts, counted from columns."""

from __future__ import annotations

import pytest
from cemd.config.probes import Probe
from cemd.model.finding import Condition
from cemd.model.quality import Quality

from tests.improve.house import GRAPH, House, configuration
from tests.improve.test_grouping import TOWNS, in_towns


def test_hurt_spreads_upwards_and_stops_at_what_measures_healthy() -> None:
    house = House()
    house.tick(house.began("payment"))
    assert house.only().impact.services == ("payment",), "top-up and shop are watched and fine"
    house.tick(house.began("top-up"))
    assert house.only().impact.services == ("top-up", "payment")


def test_who_looks_from_a_wider_place_does_not_see_that_a_town_is_well() -> None:
    towns = in_towns("hlr", "sms")
    wide = Probe(name="data", kind="tcp", service="mobile-data", site="east", every_seconds=30, timeout_seconds=5)
    house = House(towns.model_copy(update={"probes": [*towns.probes, wide]}))
    house.tick(house.began("hlr", TOWNS[0], probe=f"hlr-{TOWNS[0]}"))
    assert house.only().impact.places == {"mobile-data": (TOWNS[0],)}


def test_a_cause_that_nobody_sees_hurt_hurts_nothing_that_is_watched_and_not_broken() -> None:
    house = House()
    unusual = house.began("portal", condition=Condition.ANOMALY, quality=Quality.AT_RISK)
    house.tick(house.began("top-up"), house.began("shop"), unusual)
    assert house.only().cause.service == "crm", "nobody measures crm; payment, below the two as well, is fine"
    assert house.only().impact.services == ("top-up", "shop", "crm")
    house.tick(house.began("portal"))
    assert house.only().impact.services == ("top-up", "shop", "portal", "crm")


def test_steps_and_moments_of_truth_follow_the_services() -> None:
    house = House()
    house.tick(house.began("top-up"))
    impact = house.only().impact
    assert impact.journeys == ("pay",)
    assert impact.steps == ("pay/charge",)
    assert impact.moments_of_truth == ("pay/charge",)
    assert impact.touchpoints == ("app",)


def test_touchpoints_elsewhere_are_not_hurt() -> None:
    house = House()
    house.tick(house.began("shop", "east"))
    assert house.only().impact.touchpoints == ()


def test_customers_everywhere_are_those_with_a_hurt_sold_service() -> None:
    house = House(population=100)
    house.tick(house.began("mobile-data"))
    assert house.only().impact.customers == 50


def test_the_most_customers_that_were_ever_hurt_stay_known_while_it_recovers() -> None:
    house = House(population=90)
    everywhere = house.began("mobile-data")
    house.tick(everywhere, house.began("mobile-data", "east"))
    assert house.only().impact.customers == 45
    house.tick(house.ended(everywhere))
    assert (house.only().impact.customers, house.only().impact.peak_customers) == (15, 45)


def test_what_recovers_first_is_hurt_nowhere_else_because_something_else_still_is() -> None:
    house = House()
    data = house.began("mobile-data", "east")
    odd = house.began("mobile-data", "east", condition=Condition.ANOMALY, quality=Quality.AT_RISK)
    house.tick(data, odd, house.began("sms", "west"), house.began("hlr", "land"))
    assert house.only().impact.places == {"mobile-data": ("east",), "sms": ("west",)}
    house.tick(house.ended(data))
    assert house.only().impact.places == {"mobile-data": ("east",), "sms": ("west",)}


def test_what_is_seen_hurt_in_a_third_of_the_places_of_its_cause_is_hurt_in_all_of_them() -> None:
    house = House(in_towns("hlr", "sms"))
    hlr = [house.began("hlr", town, probe=f"hlr-{town}") for town in TOWNS]
    one, other = (house.began("sms", town, probe=f"sms-{town}") for town in TOWNS[:2])
    house.tick(*hlr, one)
    assert house.only().impact.places["sms"] == TOWNS[:1], "elsewhere it is watched and fine"
    house.tick(other)
    assert house.only().impact.places["sms"] == TOWNS, "a few looks may pass by chance"


def test_what_is_hurt_in_most_of_its_places_while_something_below_it_is_hurt_everywhere_is_hurt_everywhere() -> None:
    house = House(in_towns("mobile-data"))
    data = [house.began("mobile-data", town, probe=f"mobile-data-{town}") for town in TOWNS]
    house.tick(house.began("hlr"), *data[:2])
    assert house.only().impact.places == {"mobile-data": TOWNS[:2], "sms": ()}, "it may be hurt for its own reason"
    house.tick(data[2])
    assert house.only().impact.places == {"mobile-data": (), "sms": ()}
    house.tick(*map(house.ended, data[1:]))
    assert house.only().impact.places["mobile-data"] == TOWNS[:1], "elsewhere it is well again"


def test_what_is_hurt_in_most_of_its_places_without_anything_below_it_is_hurt_there() -> None:
    house = House(in_towns("mobile-data"))
    house.tick(*(house.began("mobile-data", town, probe=f"mobile-data-{town}") for town in TOWNS))
    assert house.only().impact.places == {"mobile-data": TOWNS}


def test_customers_at_a_place_exclude_other_places_and_name_the_unknown() -> None:
    house = House(population=90)
    house.tick(house.began("mobile-data", "east"))
    impact = house.only().impact
    assert impact.customers == 15
    assert "no site of theirs is known: 15 customers" in impact.uncertainty
    wide = House(population=90)
    wide.tick(wide.began("mobile-data", "land"))
    assert wide.only().impact.customers == 30


def test_a_cause_without_place_hurts_customers_only_where_their_service_is_hurt() -> None:
    house = House(population=90)
    house.tick(house.began("hlr"), house.began("mobile-data", "east"))
    assert house.only().cause.service == "hlr"
    assert house.only().impact.sites == ("east",)
    assert house.only().impact.customers == 15


def test_two_faults_of_one_cause_hurt_each_service_where_it_is_hurt_and_not_where_the_other_is() -> None:
    house = House(configuration(graph={**GRAPH, "top-up": ["payment", "hlr"]}), population=90)
    house.tick(house.began("hlr"), house.began("mobile-data", "east"), house.began("top-up", "west"))
    impact = house.only().impact
    assert (impact.places["mobile-data"], impact.places["top-up"]) == (("east",), ("west",))
    assert impact.sites == ("east", "west")
    data_in_the_east, top_up_in_the_west = 15, 6
    assert impact.customers == data_in_the_east + top_up_in_the_west


def test_what_nobody_measures_is_hurt_where_what_it_stands_on_is_and_not_where_something_else_of_the_incident_is() -> (
    None
):
    graph = {**GRAPH, "portal": ["top-up"], "top-up": ["payment", "hlr"]}
    shown = configuration(graph=graph)
    blind = shown.model_copy(update={"probes": [one for one in shown.probes if one.service != "portal"]})
    house = House(blind)
    house.tick(house.began("hlr"), house.began("mobile-data", "east"), house.began("top-up", "west"))
    assert house.only().impact.places["portal"] == ("west",)


def test_user_minutes_accrue_from_first_hurt_until_clear_and_write_a_row_a_minute() -> None:
    house = House(population=100)
    finding = house.began("mobile-data")
    house.tick(finding)
    writes = 0
    for _ in range(300):
        before = house.stored["incident"][house.only().id]
        house.tick()
        writes += house.stored["incident"][house.only().id] != before
    house.tick(house.ended(finding))
    assert writes in (9, 10)
    assert house.only().impact.user_minutes == pytest.approx(50 * (2 + 600 + 2) / 60, abs=0.01)
    house.tick(after=300.0)
    assert house.only().impact.user_minutes == pytest.approx(50 * 604 / 60, abs=0.01)


def test_a_critical_service_comes_first_whatever_the_count() -> None:
    house = House(population=100)
    house.tick(house.began("emergency"), house.began("mobile-data", quality=Quality.DEGRADED))
    house.tick(after=120.0)  # core, below both, is fine
    by_name = {one.subject.name: one for one in house.incidents}
    assert by_name["emergency"].priority == 1
    assert 1 < by_name["mobile-data"].priority <= 10
    assert 0 < by_name["mobile-data"].importance_factor < 90
