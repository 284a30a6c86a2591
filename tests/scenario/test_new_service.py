"""A service and a fault that the code has never seen, added by YAML alone to a running daemon, are found and told."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest_asyncio
from aiohttp import web
from cemd.demo.population import write_csv
from cemd.demo.telco import HttpDoor

from tests.scenario.world import World, open_world

CATALOGUE = """
services:
  - name: tide-gauge
    title: Tide gauge
    function: sensors
    domain: partner
    platform: harbour-authority
  - name: sailing-weather
    title: Sailing weather
    function: content
    domain: it
    platform: weather-service
    depends_on: [tide-gauge]
    sold: true
  - name: mooring
    title: Mooring bookings
    function: content
    domain: it
    platform: mooring-service
    depends_on: [tide-gauge]
    sold: true
"""
JOURNEYS = """
touchpoints:
  - {name: chart-plotter, title: Chart plotter, category: customer, channel: device, offers: [sailing-weather]}
journeys:
  - name: sail-home
    title: Sail home
    macro_journey: use-the-service
    stage: use
    process: fault-handling
    owner: harbour-desk
    steps:
      - {name: read, touchpoint: chart-plotter, needs: [sailing-weather], moment_of_truth: true}
"""
PROBES = """
values: {gauge: "http://127.0.0.1:GAUGE", weather: "http://127.0.0.1:WEATHER", mooring: "http://127.0.0.1:MOORING"}
probes:
  - {name: gauge-level, kind: http, service: tide-gauge, every_seconds: 2, timeout_seconds: 1,
     params: {url: "{gauge}/level", json_condition: "$.metres >= 0"}}
  - {name: weather-now, kind: http, service: sailing-weather, touchpoint: chart-plotter, every_seconds: 2,
     timeout_seconds: 1, params: {url: "{weather}/now", json_condition: "$.wind_knots >= 0"}}
  - {name: mooring-free, kind: http, service: mooring, every_seconds: 2, timeout_seconds: 1,
     params: {url: "{mooring}/free", json_condition: "$.free >= 0"}}
"""
PEOPLE = 25


class Harbour:
    """Three real web services; the gauge lies when it is told to, and the other two refuse what makes no sense."""

    def __init__(self) -> None:
        self.metres = 3.5
        self._doors = [
            HttpDoor(_answering("/level", lambda: {"metres": self.metres}), 0),
            HttpDoor(_answering("/now", lambda: {"wind_knots": 12 if self.metres >= 0 else -1}), 0),
            HttpDoor(_answering("/free", lambda: {"free": 4 if self.metres >= 0 else -1}), 0),
        ]

    async def open(self) -> tuple[int, int, int]:
        for door in self._doors:
            await door.open()
        gauge, weather, mooring = (door.number for door in self._doors)
        return gauge, weather, mooring

    async def close(self) -> None:
        for door in self._doors:
            await door.close()


def _answering(path: str, answer: object) -> web.Application:
    async def handle(_: web.Request) -> web.Response:
        assert callable(answer)
        return web.json_response(answer())

    app = web.Application()
    app.router.add_get(path, handle)
    return app


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


@pytest_asyncio.fixture
async def harbour() -> AsyncIterator[Harbour]:
    harbour = Harbour()
    try:
        yield harbour
    finally:
        await harbour.close()


def add_the_harbour(world: World, ports: tuple[int, int, int]) -> set[str]:
    """Writes the YAML files and gives some customers the service; returns the addresses of those who may be told."""
    text = PROBES
    for word, port in zip(("GAUGE", "WEATHER", "MOORING"), ports, strict=True):
        text = text.replace(word, str(port))
    (world.root / "config/catalogue/harbour.yaml").write_text(CATALOGUE)
    (world.root / "config/catalogue/sailing.yaml").write_text(JOURNEYS)
    (world.root / "probes/harbour.yaml").write_text(text)
    chosen = [one for one in world.everybody if one.may_be_told][:PEOPLE]
    sailors = {one.reference for one in chosen}
    world.everybody = [
        replace(one, services=(*one.services, "sailing-weather")) if one.reference in sailors else one
        for one in world.everybody
    ]
    write_csv(world.root / "customers.csv", world.everybody)
    return {one.email for one in chosen}


async def test_yaml_alone_makes_an_unknown_fault_found_named_and_told(world: World, harbour: Harbour) -> None:
    # 0 s: the daemon knows nothing of the harbour
    await world.start_daemon()
    await world.wait_ready()
    # files are added, and the running daemon is told to read them
    sailors = add_the_harbour(world, await harbour.open())
    world.daemon.send_signal(signal.SIGHUP)

    async def is_watched() -> bool:
        services = await world.api.items("services")
        return {"healthy"} == {one["quality"] for one in services if one["name"] in ("tide-gauge", "mooring")}

    await world.until(is_watched, "the new services are watched and healthy", 60)
    # the gauge lies: a fault for which no line of code exists
    harbour.metres = -9999.0

    async def is_named() -> bool:
        return any(one["cause"]["service"] == "tide-gauge" for one in await world.incidents())

    await world.until(is_named, "an incident names the tide gauge", 40)

    async def hurts_all() -> bool:
        services = {name for one in await world.incidents() for name in one["impact"]["services"]}
        return services == {"tide-gauge", "sailing-weather", "mooring"}

    await world.until(hurts_all, "it hurts what stands on the tide gauge, and nothing else", 20)
    (incident,) = await world.incidents()
    assert incident["impact"]["journeys"] == ["sail-home"]
    assert incident["impact"]["customers"] == PEOPLE

    async def all_told() -> bool:
        return len(world.mails()) >= len(sailors)

    await world.until(all_told, "everybody who has the new service is told", 60)
    # the gauge is mended: the same people hear that it is over
    harbour.metres = 3.5

    async def all_over() -> bool:
        return await world.communication_state() == "ended"

    await world.until(all_over, "the all-clear has left", 90)
    phase_of = world.subjects().phase_of
    received = sorted((phase_of(mail.subject), mail.to) for mail in world.mails())
    assert received == sorted((phase, address) for phase in ("first", "over") for address in sailors)
