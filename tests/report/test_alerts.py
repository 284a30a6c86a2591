"""The notification-log contract for staff: if a firing was sent, its resolve will be sent."""

from __future__ import annotations

from typing import Any

import pytest
from cemd.model.notice import AlertState
from cemd.model.quality import Quality
from cemd.report.alerts import unheard
from cemd.report.channels.base import alert_text

from tests.report.world import World, configuration

ROUTE = {"name": "noc", "channel": "desk", "repeat_seconds": 3600.0}


def world(**changes: Any) -> World:
    return World(configuration([], **changes))


def told(house: World) -> list[bool]:
    return [firing for _, firing in house.alerts]


def test_firing_is_sent_and_then_its_resolve_once() -> None:
    house = world()
    house.hurt()
    house.answer()
    house.tick(60)
    assert told(house) == [True]
    house.resolve()
    house.answer()
    house.tick(86_400)
    assert told(house) == [True, False]


def why(house: World) -> str:
    """Why nobody of the staff was told."""
    (words,) = unheard(house.state.alerts, house.state.incidents, house.topology).values()
    return words


def test_why_nobody_was_told_is_said() -> None:
    house = world(routes=[])
    house.hurt()
    assert why(house) == "config/channels.yaml has no route, so staff hear of nothing"
    house = world()
    house.hurt(quality=Quality.AT_RISK)
    assert why(house) == "no route is told of what is at risk"
    house = world()
    house.hurt(planned=True)
    assert why(house) == "it is announced work"
    house = world(routes=[{**ROUTE, "services": ["voice"]}])
    house.hurt()
    assert why(house) == "no route asks for these services, or for journeys of these owners"
    house.resolve()
    assert why(house) == "it ended before staff were told, or more than 7 days ago"
    house = world()
    house.hurt()
    assert unheard(house.state.alerts, house.state.incidents, house.topology) == {}


def said(house: World) -> str:
    return next(iter(house.state.alerts)).summary


def test_the_end_says_what_is_well_again_and_not_what_was_broken() -> None:
    house = world(sites=[{"name": "country"}, {"name": "east", "title": "The east", "parent": "country"}])
    house.hurt(cause="hlr")
    assert said(house) == "Mobile data is down at The east, cause hlr (probable)"
    house.answer()
    house.resolve()
    assert said(house) == "Mobile data is well again at The east, cause hlr (probable)"
    assert alert_text(next(iter(house.state.alerts)))[0].startswith("[RESOLVED] Mobile data is well again")


def test_a_service_that_no_file_knows_is_called_so() -> None:
    house = world()
    house.hurt("dataa", cause="")
    assert said(house) == "dataa (not in the catalogue) is down at east"


def test_people_read_since_when_and_until_when_in_the_zone_of_the_operator() -> None:
    house = world(settings={"operator": {"zone": "Europe/Vienna"}})
    house.hurt()
    house.answer()
    (row,) = house.state.alerts
    assert row.annotations["since"] == "2025-11-06 13:00:00 CET"
    assert not row.annotations["until"]
    house.tick(60)
    house.clear()
    house.resolve()
    (row,) = house.state.alerts
    assert row.annotations["until"] == "2025-11-06 13:01:00 CET"


def test_what_is_only_less_bad_is_not_called_well() -> None:
    house = world(routes=[{**ROUTE, "qualities": ["down"]}])
    incident = house.hurt()
    house.answer()
    house.hurt(id=incident.id, quality=Quality.DEGRADED)
    assert told(house) == [True, False]
    assert "is degraded at east, of which this route is not told" in said(house)


def test_never_told_and_clear_again_says_nothing() -> None:
    house = world(channels=[], routes=[])
    house.hurt()
    house.resolve()
    house.tick(60)
    assert told(house) == []
    late = world()
    late.hurt()
    late.answer(sent=False)  # surely not told
    late.resolve()
    late.tick(3600)
    assert told(late) == [True]
    assert len(late.state.alerts) == 0


def test_unknown_answer_counts_as_told_so_the_resolve_is_sent() -> None:
    house = world()
    house.hurt()
    house.answer(sent=False, unknown=True)
    house.resolve()
    house.tick(10)
    assert told(house) == [True, False]


def test_failed_attempt_is_tried_again_with_growing_waits() -> None:
    house = world()
    house.hurt()
    seconds = []
    for _ in range(4):
        began = house.at
        house.answer(sent=False)
        while not house.tick(1).alerts:
            pass
        seconds.append(house.at - began)
    assert seconds == [5, 10, 20, 40]


def test_repeated_after_its_interval_while_firing() -> None:
    house = world()
    house.hurt()
    house.answer()
    house.tick(3599)
    assert told(house) == [True]
    house.tick(1)
    assert told(house) == [True, True]


def test_kill_between_send_and_answer_sends_again_and_resolves() -> None:
    house = world()
    house.hurt()
    house.restart()
    assert told(house) == [True, True]
    house.resolve()  # while the answer is still awaited
    house.restart()
    assert told(house)[-1] is False
    house.answer()
    house.tick(86_400)
    assert told(house).count(False) == 1


def test_removed_route_hears_the_resolve_on_its_old_channel() -> None:
    house = world()
    house.hurt()
    house.answer()
    house.reload(configuration([], routes=[]))
    assert told(house) == [True, False]
    assert said(house).endswith("; no longer told through route noc")
    house.answer()
    house.tick(86_400)
    assert told(house) == [True, False]


def test_removed_channel_makes_the_resolve_impossible_and_says_so() -> None:
    house = world()
    house.hurt()
    house.answer()
    house.reload(configuration([], routes=[], channels=[]))
    (row,) = house.state.alerts
    assert row.state is AlertState.FAILED
    assert "no longer configured" in row.failure


def test_an_alert_that_was_refused_for_good_is_tried_again_slowly_and_at_once_after_a_reload() -> None:
    house = world()
    house.hurt()
    house.answer(sent=False, permanent=True, reason="it answers 404.")
    (row,) = house.state.alerts
    assert (row.state, row.failure) == (AlertState.FAILED, "it answers 404.")
    house.tick(800)
    assert told(house) == [True]
    house.tick(200)
    assert told(house) == [True, True]
    house.answer(sent=False, permanent=True, reason="it answers 404.")
    house.reload(configuration([]))
    assert told(house) == [True, True, True]
    house.answer()
    house.tick(3000)
    assert told(house) == [True, True, True]


def test_a_channel_that_comes_back_is_told_the_resolve_that_it_is_owed() -> None:
    house = world()
    house.hurt()
    house.answer()
    house.reload(configuration([], routes=[], channels=[]))
    house.tick(3600)
    assert told(house) == [True]
    house.reload(configuration([], routes=[]))
    assert told(house) == [True, False]


def test_moved_route_ends_on_the_old_channel_and_fires_on_the_new() -> None:
    house = world()
    house.hurt()
    house.answer()
    house.reload(configuration([], routes=[{**ROUTE, "channel": "pager"}]))
    assert sorted(house.alerts[1:]) == sorted(
        [(f"noc/desk/{house.incident.id}", False), (f"noc/pager/{house.incident.id}", True)]  # type: ignore[union-attr]
    )


def test_new_route_hears_of_what_is_on_already() -> None:
    house = world(routes=[])
    house.hurt()
    house.reload(configuration([]))
    assert told(house) == [True]


def test_change_of_quality_is_news_and_nothing_else_is() -> None:
    house = world()
    incident = house.hurt()
    house.answer()
    house.hurt(id=incident.id, cause="data")
    assert told(house) == [True]
    house.hurt(id=incident.id, quality=Quality.DEGRADED)
    assert told(house) == [True, True]


@pytest.mark.parametrize(
    ("route", "hears"),
    [
        ({"qualities": ["degraded"]}, False),
        ({"services": ["voice"]}, False),
        ({"services": ["data"]}, True),
        ({"owners": ["shop"]}, False),
    ],
    ids=["quality", "other service", "service", "owner"],
)
def test_route_hears_only_what_it_asked_for(route: dict[str, Any], hears: bool) -> None:
    house = world(routes=[{**ROUTE, **route}])
    house.hurt()
    assert told(house) == ([True] if hears else [])


def test_alertmanager_is_refreshed_before_the_alert_would_end() -> None:
    channels = [{"name": "desk", "kind": "alertmanager", "to": "staff", "params": {"refresh_seconds": 30.0}}]
    house = world(channels=channels)
    house.hurt()
    first = house.effects.alerts[0]
    assert first.ends_at == house.at + 150
    house.answer()
    house.tick(30)
    assert told(house) == [True, True]
