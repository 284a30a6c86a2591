"""A call centre that is overrun because something else hurts many customers is no problem of its own."""

from __future__ import annotations

import pytest
from cemd.config.catalogue import Touchpoint, TouchpointChannel
from cemd.config.configuration import Configuration

from tests.improve.house import GRAPH, House, configuration


def with_a_call_centre() -> Configuration:
    made = configuration(graph={**GRAPH, "care": []})
    line = Touchpoint(name="line", channel=TouchpointChannel.CALL_CENTRE, depends_on=["care"])
    return made.model_copy(update={"touchpoints": [*made.touchpoints, line]})


@pytest.fixture
def house() -> House:
    return House(with_a_call_centre(), population=100)


def subjects(house: House) -> list[str]:
    return [one.subject.name for one in house.incidents]


def test_it_waits_while_an_incident_that_began_before_hurts_many(house: House) -> None:
    house.tick(house.began("mobile-data"))
    house.tick(house.began("care", probe="mqtt:telemetry"), after=60.0)
    assert subjects(house) == ["mobile-data"]
    (waiting,) = (one for one in house.state.findings if one.waits)
    assert waiting.waits == f"customers call because of {house.incidents[0].id}, which hurts 50 of them."


def test_it_opens_when_that_incident_was_over_long_ago_and_it_is_still_overrun(house: House) -> None:
    data = house.began("mobile-data")
    house.tick(data)
    house.tick(house.began("care", probe="mqtt:telemetry"), after=60.0)
    house.tick(house.ended(data))
    house.tick(after=601.0)
    assert subjects(house) == ["mobile-data"]
    house.tick(after=3601.0)
    house.tick()
    assert subjects(house) == ["mobile-data", "care"]


def test_a_probe_of_the_call_centre_is_believed(house: House) -> None:
    house.tick(house.began("mobile-data"))
    house.tick(house.began("care", probe="probe-care"), after=60.0)
    assert subjects(house) == ["mobile-data", "care"]


def test_few_callers_overrun_nobody() -> None:
    house = House(with_a_call_centre(), population=100)
    house.tick(house.began("payment"))  # nothing that is sold is hurt
    house.tick(house.began("care", probe="mqtt:telemetry"), after=60.0)
    assert subjects(house) == ["payment", "care"]


def test_what_was_overrun_before_is_an_incident(house: House) -> None:
    calls = house.began("care", probe="mqtt:telemetry")
    house.tick(calls)
    house.tick(house.began("mobile-data"), after=60.0)
    assert subjects(house) == ["care", "mobile-data"]
