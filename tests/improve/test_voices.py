"""What confirms a service problem beside its probe: customers who fail by the part of those at its place, just then."""

from __future__ import annotations

import msgspec
import pytest
from cemd.config.catalogue import Site
from cemd.config.configuration import Configuration
from cemd.config.rules import Selector
from cemd.model.finding import Condition, Evidence, Finding, FindingPhase
from cemd.model.quality import Quality

from tests.improve.house import House
from tests.improve.house import configuration as usual
from tests.improve.test_hearing import PATIENT, heard, hears

# a third of the customers of mobile-data are in the east


def configuration(graph: dict[str, list[str]] | None = None) -> Configuration:
    """The operator, to whom it is pushed what customers get done."""
    made = usual(grouping=PATIENT, graph=graph)
    pushed = {"name": "steps-done", "of": Selector(source="http:journeys", metric="step_success_ratio")}
    steps = made.indicators[0].model_copy(update={**pushed, "window_seconds": 900.0, "objective": None})
    return made.model_copy(update={"indicators": [*made.indicators, steps]})


@pytest.fixture
def house() -> House:
    return House(configuration(), population=600)


def in_the_east(house: House) -> Finding:
    """A probe alone says so, and nobody knows whether the line is up: it opens an incident at once."""
    finding = hears(house.began("mobile-data", "east"), heard(None, 0.0, service="mobile-data"))
    house.tick(finding)
    assert house.only().confirmed_at is None
    return finding


def again(finding: Finding, value: float, attempts: float = 90.0) -> Finding:
    return hears(finding, heard(value, attempts, service="mobile-data"))


def steps_warn(house: House, value: float) -> Finding:
    """Customers' own steps, counted of everywhere, of which so many succeed."""
    warning = house.began(
        "mobile-data", condition=Condition.OBJECTIVE_WARNING, quality=Quality.AT_RISK, probe="http:journeys"
    )
    return msgspec.structs.replace(warning, evidence=msgspec.structs.replace(warning.evidence, value=value))


def test_customers_who_fail_by_the_part_of_the_place_confirm_what_one_probe_sees(house: House) -> None:
    finding = in_the_east(house)
    house.tick(again(finding, 0.67), after=60.0)
    assert house.only().confirmed_by == "2 independent sources"
    assert house.only().timeline[-1].what == "confirmed by 2 independent sources: probe-mobile-data, steps-done."


def test_where_every_second_fails_at_the_place_they_confirm_it_too(house: House) -> None:
    finding = in_the_east(house)
    house.tick(again(finding, 0.83), after=60.0)
    assert house.only().confirmed_at is not None


def test_customers_who_get_it_done_confirm_nothing(house: House) -> None:
    finding = in_the_east(house)
    house.tick(again(finding, 0.998), after=60.0)
    assert house.only().confirmed_at is None


def test_so_many_who_fail_that_others_must_be_among_them_confirm_nothing_of_the_place(house: House) -> None:
    finding = in_the_east(house)
    house.tick(again(finding, 0.2), after=60.0)
    assert house.only().confirmed_at is None


def test_who_may_fail_for_something_else_that_is_hurt_confirms_nothing(house: House) -> None:
    finding = in_the_east(house)
    house.tick(house.began("hlr", "west"), after=30.0)  # it waits, as others see nothing
    house.tick(again(finding, 0.67), after=30.0)
    assert house.only().confirmed_at is None


def test_who_fails_long_after_it_began_fails_for_something_else(house: House) -> None:
    finding = in_the_east(house)
    house.tick(after=900.0)
    house.tick(again(finding, 0.67), after=60.0)
    assert house.only().confirmed_at is None


def test_customers_are_heard_after_a_restart(house: House) -> None:
    finding = in_the_east(house)
    house.start_again()
    house.tick(again(finding, 0.67), after=60.0)
    assert house.only().confirmed_at is not None


def test_customers_of_a_service_that_stands_on_it_are_a_voice_and_hold_nothing_back(house: House) -> None:
    graph = {"payment": [], "crm": ["payment"], "top-up": ["crm"]}
    unheard = house.began("payment")
    finding = hears(unheard, heard(1.0, 90.0, service="top-up"))
    house = House(configuration(graph), population=600)
    house.tick(finding)
    assert house.only().subject.name == "payment", "they may have another way"
    house.tick(again(finding, 0.67), after=60.0)
    assert house.only().confirmed_at is not None


@pytest.mark.parametrize(("value", "confirms"), [(0.7, True), (0.2, False)], ids=["of-the-place", "of-many-more"])
def test_a_pushed_warning_of_a_wider_place_confirms_what_may_be_its_reason(value: float, confirms: bool) -> None:
    house = House(configuration(), population=600)
    house.tick(house.began("mobile-data", "east"))
    house.tick(steps_warn(house, value), after=30.0)
    assert (house.only().confirmed_at is not None) is confirms


def test_a_pushed_warning_confirms_where_nobody_knows_who_is_where() -> None:
    house = House(configuration())
    house.tick(house.began("mobile-data", "east"))
    house.tick(steps_warn(house, 0.2), after=30.0)
    assert house.only().confirmed_at is not None


def test_what_has_ended_is_confirmed_by_nobody(house: House) -> None:
    finding = in_the_east(house)
    house.tick(msgspec.structs.replace(finding, phase=FindingPhase.ENDED), after=60.0)
    house.tick(again(finding, 0.67), after=60.0)
    assert house.only().clear_since is None, "it is stated open anew: it hurts again"


def test_a_shop_where_nobody_lives_has_its_part_of_those_around_it() -> None:
    made = configuration()
    shops = [Site(name=f"shop-{number}", kind="shop", parent="east") for number in (1, 2)]
    house = House(made.model_copy(update={"sites": [*made.sites, *shops]}), population=600)
    finding = hears(house.began("mobile-data", "shop-1"), heard(None, 0.0, service="mobile-data"))
    house.tick(finding)
    house.tick(again(finding, 0.3), after=30.0)
    assert house.only().confirmed_at is None, "it serves a sixth of all who are counted"
    house.tick(again(finding, 0.83), after=30.0)
    assert house.only().confirmed_at is not None


def test_a_service_that_customers_feel_is_hurt_whatever_a_few_looks_at_it_say() -> None:
    graph = {"payment": [], "top-up": ["payment"]}
    house = House(configuration(graph), population=600)
    lossy = msgspec.structs.replace(house.began("payment", quality=Quality.DEGRADED), indicator="loss")
    lossy = hears(lossy, heard(None, 0.0, service="top-up"))
    house.tick(lossy, msgspec.structs.replace(lossy, id="f-other", probe="other", evidence=Evidence()))
    assert house.only().confirmed_at is not None
    assert house.only().impact.places == {}, "it is watched and fine"
    house.tick(hears(lossy, heard(0.75, 90.0, service="top-up")), after=30.0)
    house.tick(after=60.0)
    assert house.only().impact.places == {"top-up": ()}


@pytest.mark.parametrize(
    ("quality", "ago", "usual", "confirms"),
    [
        (Quality.DOWN, 1200.0, 0.66, True),
        (Quality.DOWN, 300.0, 0.66, False),
        (Quality.DEGRADED, 1200.0, 0.66, False),
        (Quality.DOWN, 1200.0, 0.2, False),
    ],
    ids=["all-the-while", "not-long-before", "only-worse", "of-many-more"],
)
def test_what_was_down_before_is_in_what_is_usual(
    house: House, quality: Quality, ago: float, usual: float, *, confirms: bool
) -> None:
    west = house.began("mobile-data", "west", quality=quality)  # nobody tells its customers either
    house.tick(west, msgspec.structs.replace(west, id="f-lossy", quality=Quality.DEGRADED))
    house.wait(ago)
    mine = msgspec.structs.replace(house.began("mobile-data", "east"), id="f-east")

    def says(value: float, attempts: float) -> Finding:
        said = msgspec.structs.replace(heard(value, attempts, service="mobile-data"), usual=usual)
        return hears(mine, said)

    house.tick(says(usual, 0.0))
    house.tick(msgspec.structs.replace(says(usual - usual / 3, 300.0), phase=FindingPhase.OPEN), after=60.0)
    (east,) = (one for one in house.incidents if one.subject.site == "east")
    assert (east.confirmed_at is not None) is confirms
