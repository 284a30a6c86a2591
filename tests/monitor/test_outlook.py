"""Blind is not down: what fails while nothing outside is in reach says nothing about the target."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from cemd.config.probes import Probe
from cemd.config.vantage import Reference, WayOut
from cemd.model.quality import Outcome
from cemd.monitor.outlook import Outlook, default_gateway
from cemd.monitor.probes import make
from cemd.monitor.probes.base import Reason, Result
from cemd.monitor.probes.tools import Tools
from cemd.monitor.roster import Post
from pydantic import ValidationError

from tests.monitor import peers
from tests.monitor.peers import free_port, tcp_server

SILENT = Result(outcome=Outcome.TIMED_OUT, reason=Reason.NO_ANSWER, detail="no answer.", seconds=0.01)
FINE = Result(outcome=Outcome.OK, reason=Reason.ANSWERED, seconds=0.01)


def references(*ports: int, host: str = "127.0.0.1") -> WayOut:
    return WayOut(
        references=tuple(Reference(host=host, port=port) for port in ports),
        gateway=None,
        every_seconds=60.0,
        timeout_seconds=0.3,
    )


class World:
    """An outlook, and what it let through."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self.told: list[tuple[str, Result]] = []
        self.outlook = Outlook(tools, lambda post, _at, result: self.told.append((post.probe.name, result)), log())

    def post(self, name: str = "far", host: str = "192.0.2.9") -> Post:
        probe = Probe(
            name=name,
            kind="tcp",
            service="s",
            every_seconds=10.0,
            timeout_seconds=1.0,
            params={"host": host, "port": 80},
        )
        return Post(probe=probe, kind=make(probe, self.tools), locals={})


def log() -> Any:
    return structlog.get_logger("test")


@contextlib.asynccontextmanager
async def world(way_out: WayOut | None = None) -> AsyncIterator[World]:
    async with peers.tools() as tools:
        made = World(tools)
        if way_out is not None:
            made.outlook.watch(way_out)
        yield made


async def test_failure_is_the_targets_while_a_reference_is_in_reach() -> None:
    async with tcp_server(peers.hang) as there, world(references(there, free_port())) as made:
        made.outlook.take(made.post(), 1.0, SILENT)
        assert made.told == []  # it waits for the next look
        await made.outlook.look()
    assert [result.outcome for _, result in made.told] == [Outcome.TIMED_OUT]


async def test_failure_is_blind_while_no_reference_is_in_reach() -> None:
    async with world(references(80, 81)) as made:
        made.outlook.take(made.post(), 1.0, SILENT)
        await made.outlook.look(nothing_seen)
        counters = made.outlook.counters()
    [(_, result)] = made.told
    assert (result.outcome, result.reason, result.readings) == (Outcome.BLIND, Reason.WAY_OUT_LOST, ())
    assert "no answer" in result.detail
    assert counters["way_out_blind_runs"] == 1.0
    assert (counters["way_out_gateway"], counters["way_out_reference_1"]) == (1.0, 0.0)


async def nothing_seen() -> dict[str, bool | None]:
    return {"reference_1": False, "reference_2": False, "gateway": True}


async def everything_seen() -> dict[str, bool | None]:
    return {"reference_1": True, "reference_2": True, "gateway": True}


async def unable_to_look() -> dict[str, bool | None]:
    return {"reference_1": None, "reference_2": False}


async def test_run_that_began_before_the_way_out_came_back_is_blind() -> None:
    slow = Result(outcome=Outcome.TIMED_OUT, reason=Reason.NO_ANSWER, seconds=30.0)
    async with world(references(80, 81)) as made:
        await made.outlook.look(nothing_seen)
        made.outlook.take(made.post(), 1.0, slow)  # began half a minute ago: in the middle of it
        await made.outlook.look(everything_seen)
    assert [result.outcome for _, result in made.told] == [Outcome.BLIND]


async def test_host_that_cannot_look_itself_calls_nothing_blind() -> None:
    async with world(references(80, 81)) as made:
        made.outlook.take(made.post(), 1.0, SILENT)
        await made.outlook.look(unable_to_look)
    assert [result.outcome for _, result in made.told] == [Outcome.TIMED_OUT]


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.STATUS_UNEXPECTED, Reason.CERTIFICATE_INVALID])
async def test_target_that_answered_is_never_blind_and_never_waits(reason: Reason) -> None:
    answered = Result(outcome=Outcome.FAILED, reason=reason, seconds=0.01)
    async with world(references(80, 81)) as made:
        await made.outlook.look(nothing_seen)
        made.outlook.take(made.post(), 1.0, answered)
        assert made.told[-1][1] is answered


async def test_targets_on_this_machine_need_no_way_out() -> None:
    async with world(references(80, 81)) as made:
        made.outlook.take(made.post(host="127.0.0.1"), 1.0, SILENT)
        await made.outlook.look(nothing_seen)
    assert [result.outcome for _, result in made.told] == [Outcome.TIMED_OUT]


async def test_results_of_one_probe_keep_their_order() -> None:
    async with world(references(80, 81)) as made:
        made.outlook.take(made.post("a"), 1.0, SILENT)
        made.outlook.take(made.post("a"), 2.0, FINE)
        made.outlook.take(made.post("b"), 2.0, FINE)
        await made.outlook.look(everything_seen)
        made.outlook.take(made.post("a"), 3.0, FINE)
    assert [(name, result.outcome) for name, result in made.told] == [
        ("b", Outcome.OK),
        ("a", Outcome.TIMED_OUT),
        ("a", Outcome.OK),
        ("a", Outcome.OK),
    ]


async def test_nothing_is_held_where_no_reference_is_configured() -> None:
    async with world() as made:
        made.outlook.take(made.post(), 1.0, SILENT)
        assert [result.outcome for _, result in made.told] == [Outcome.TIMED_OUT]


async def test_failed_run_makes_it_look_at_once_and_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    async with tcp_server(peers.hang) as there, world(references(there, there)) as made:
        task = asyncio.create_task(made.outlook.run())
        made.outlook.take(made.post(), 1.0, SILENT)
        async with asyncio.timeout(30):  # though it looks by itself only once a minute
            while not made.told:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [result.outcome for _, result in made.told] == [Outcome.TIMED_OUT]


async def test_silent_reference_is_not_seen_and_a_refusing_one_is() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        async with world(references(port, free_port())) as made:
            parts = dict(await made.outlook._look())
    assert parts["reference_2"] is True


def test_default_gateway_is_read_from_the_routes(tmp_path: Path) -> None:
    routes = tmp_path / "route"
    head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
    routes.write_text(head + "eth0\t0000A8C0\t00000000\t0001\n" + "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t0\n")
    assert default_gateway(routes) == "192.168.1.1"
    routes.write_text(head)
    assert default_gateway(routes) is None
    assert default_gateway(tmp_path / "nowhere") is None


def test_one_reference_alone_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least two"):
        WayOut(references=(Reference(host="192.0.2.1", port=53),))


async def test_a_look_that_is_cut_short_loses_nothing_that_waits_for_it() -> None:
    looking = asyncio.Event()

    async def never_done() -> dict[str, bool | None]:
        looking.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with world(references(80, 81)) as made:
        made.outlook.take(made.post(), 1.0, SILENT)
        task = asyncio.create_task(made.outlook.look(never_done))
        await looking.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert made.told == []
        await made.outlook.look(everything_seen)
    assert [result.outcome for _, result in made.told] == [Outcome.TIMED_OUT]
