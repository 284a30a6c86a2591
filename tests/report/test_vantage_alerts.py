"""Staff hear of vantage points that are not heard, customers never: a firing that was sent gets its resolve."""

from __future__ import annotations

from typing import Any

import pytest
from cemd.model.entry import Tick
from cemd.model.finding import Condition, Evidence, Finding, FindingPhase
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind
from cemd.report.channels.base import alert_text
from msgspec.structs import replace

from tests.report.world import NOON, World, configuration, policy

ROUTE = {"name": "noc", "channel": "desk", "repeat_seconds": 3600.0}
PROBE = {
    "name": "data-up", "kind": "tcp", "service": "data", "every_seconds": 30, "timeout_seconds": 5,
    "vantages": ["south"], "params": {"host": "192.0.2.1", "port": 80},
}  # fmt: skip
SILENT = Finding(
    id="fnd-1",
    trace="trc-1",
    condition=Condition.SILENCE,
    phase=FindingPhase.BEGAN,
    quality=Quality.UNKNOWN,
    subject=Subject(kind=SubjectKind.VANTAGE, name="south"),
    began_at=NOON,
    at=NOON,
    seq=1,
    epoch="e",
    evidence=Evidence(blind=("south",), since=NOON - 120.0, note="nothing comes from it any more"),
)
BACK = replace(SILENT, phase=FindingPhase.ENDED)
STATED = replace(SILENT, phase=FindingPhase.OPEN)


def world(policies: list[dict[str, Any]] | None = None, **changes: Any) -> World:
    settings = {"operator": {"zone": "Europe/Vienna"}, "vantages": [{"name": "south", "title": "The south"}]}
    return World(configuration(policies or [], **{"settings": settings, "probes": [PROBE], **changes}))


def say(house: World, *findings: Finding) -> None:
    house.enter(Tick(), findings=findings)


def told(house: World) -> list[bool]:
    return [firing for _, firing in house.alerts]


def test_staff_are_told_once_and_hear_when_it_is_heard_again() -> None:
    house = world()
    say(house, SILENT)
    (row,) = house.state.alerts
    subject, body = alert_text(row)
    assert subject == "[FIRING] vantage point The south is not heard"
    assert body.splitlines()[2:] == [
        "since: 2025-11-06 12:58:00 CET",
        "about: nothing comes from it any more",
        "",
        "finding: fnd-1",
        "explain: cemd explain fnd-1",
    ]
    house.answer()
    house.tick(60)
    say(house, BACK)
    (row,) = house.state.alerts
    assert (row.summary, row.annotations["until"]) == (
        "vantage point The south is heard again",
        "2025-11-06 13:01:00 CET",
    )
    house.answer()
    house.tick(86_400)
    assert told(house) == [True, False]


def test_customers_hear_nothing() -> None:
    house = world([policy(hold_seconds=0.0)])
    say(house, SILENT)
    house.run(3600.0)
    assert house.sent == []
    assert len(house.state.communications) == 0


@pytest.mark.parametrize(
    "changes",
    [{"services": ["data"]}, {"owners": ["sales"]}, {"vantage_points": False}],
    ids=["of-services", "of-owners", "not-wanted"],
)
def test_a_route_of_something_else_hears_nothing(changes: dict[str, Any]) -> None:
    house = world(routes=[{**ROUTE, **changes}])
    say(house, SILENT)
    assert told(house) == []


@pytest.mark.parametrize("meanwhile", [True, False], ids=["silent-still", "heard-meanwhile"])
def test_a_restart_goes_on_with_what_is_silent_and_ends_what_is_heard(meanwhile: bool) -> None:
    house = world()
    say(house, SILENT)
    house.answer()
    house.restart(after_seconds=600.0, findings=(STATED,) if meanwhile else ())
    house.answer()
    house.tick(60)
    assert told(house) == ([True] if meanwhile else [True, False])


def test_what_was_in_flight_at_a_kill_is_told_again() -> None:
    house = world()
    say(house, SILENT)
    house.restart(findings=(STATED,))
    assert told(house) == [True, True]


def test_a_route_that_a_reload_brings_hears_of_it_and_one_that_it_takes_away_hears_an_end() -> None:
    house = world()
    say(house, SILENT)
    house.answer()
    house.reload(world(routes=[ROUTE, {**ROUTE, "name": "lead"}]).topology.configuration)
    house.answer()
    assert [name for name, _ in house.alerts] == ["noc/desk/fnd-1", "lead/desk/fnd-1"]
    house.reload(world(routes=[{**ROUTE, "vantage_points": False}]).topology.configuration)
    house.answer()
    assert told(house) == [True, True, False, False]
    assert all("no longer told through route" in row.summary for row in house.state.alerts)


def test_one_that_a_reload_leaves_without_probes_is_not_said_to_be_heard() -> None:
    house = world()
    say(house, SILENT)
    house.answer()
    house.reload(world(probes=[]).topology.configuration)
    say(house, BACK)
    (row,) = house.state.alerts
    assert row.summary == "vantage point south has nothing to measure any more"
