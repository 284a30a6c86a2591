"""Pushed series whose labels the catalogue does not know: kept, judged by nobody, and judged once it knows them."""

from __future__ import annotations

import pytest
from cemd.config.catalogue import Service, Site
from cemd.config.configuration import Configuration
from cemd.config.rules import Selector
from cemd.model.finding import Condition

from tests.analyze.world import World, configuration, series, service, success_indicator

PUSHED = success_indicator(of=Selector(source="http:counters", metric="success"))


def config(*more: Service, sites: list[Site] | None = None) -> Configuration:
    services = [*configuration().services, *more]
    return configuration(services=services, sites=sites or [], indicators=[PUSHED])


def broken(world: World) -> list[str]:
    """Failures are pushed for four minutes; of which services an objective is broken then."""
    (pushed,) = [one for one in world.state.table.series if one.source == "http:counters"]
    for _ in range(24):
        world.samples((pushed, 0.0), source="http:counters")
        world.tick(10)
    return [one.subject.name for one in world.open(Condition.OBJECTIVE_BROKEN)]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"service": "payment"}, ["payment"]),
        ({"service": "paymant"}, []),
        ({"service": "payment", "site": "esat"}, []),
        ({"service": "payment", "touchpoint": "ap"}, []),
    ],
    ids=["known", "service", "site", "touchpoint"],
)
def test_only_what_the_catalogue_knows_is_judged(labels: dict[str, str], found: list[str]) -> None:
    world = World(config(), known=[series(0, "http:counters", "success", "http:counters", **labels)])
    assert broken(world) == found


def test_what_was_kept_is_judged_as_soon_as_a_reload_brings_the_name() -> None:
    known = [series(0, "http:counters", "success", "http:counters", service="billing")]
    world = World(config(), known=known)
    assert broken(world) == []
    world.restart()
    world.reload(config(service("billing")))
    assert broken(world) == ["billing"]
    world.reload(config())
    world.tick(2)
    assert world.open(Condition.OBJECTIVE_BROKEN) == []
