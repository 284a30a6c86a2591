"""What every kind that opens sockets has in common: source, traffic class, VRF, version of IP, and where it may go."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest
from cemd.config.targets import Targets
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Attempt, Blind, Reason
from cemd.monitor.probes.engines.names import Names
from cemd.monitor.probes.engines.sockets import NAMESPACES, SocketParams, open_socket, place_of

from tests.forbidden import forbidden
from tests.monitor import peers
from tests.monitor.daemon_side import until
from tests.monitor.peers import complaints, look, name_server, tcp_server, tools


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"source_address": "here"}, "is no numeric address"),
        ({"source_address": "::1", "ip_version": "4"}, "is not of IPv4, the ip_version"),
        ({"dscp": 64}, "less than or equal to 63"),
        ({"vrf": "../etc"}, "pattern"),
        ({"ip_version": "5"}, "Input should be"),
    ],
)
def test_absurd_ways_out_are_refused_at_load(params: dict[str, Any], words: str) -> None:
    assert words in complaints("tcp", {"host": "192.0.2.1", "port": 1, **params})


async def test_peer_sees_the_source_address_and_the_traffic_class() -> None:
    params = SocketParams(source_address="127.0.0.7", dscp=46)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
        open_socket(params, socket.AF_INET, socket.SOCK_DGRAM) as door,
    ):
        peer.bind(("127.0.0.1", 0))
        peer.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        door.sendto(b"x", peer.getsockname())
        _, ancillary, _, sender = peer.recvmsg(10, 64)
    assert sender[0] == "127.0.0.7"
    assert [data[0] for level, kind, data in ancillary if (level, kind) == (0, socket.IP_TOS)] == [46 << 2]


async def test_tcp_leaves_from_the_source_address() -> None:
    seen: list[str] = []
    noted = asyncio.Event()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        noted.set()

    async with tcp_server(note) as port, tools() as made:
        result = await look(made, "tcp", {"host": "127.0.0.1", "port": port, "source_address": "127.0.0.9"})
        await asyncio.wait_for(noted.wait(), 30)
    assert result.outcome is Outcome.OK
    assert seen == ["127.0.0.9"]


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"source_address": "192.0.2.55"}, Reason.SOURCE_MISSING),
        ({"vrf": "no-such-vrf"}, Reason.VRF_MISSING),
    ],
)
async def test_way_out_that_this_host_has_not_is_blind(params: dict[str, Any], reason: Reason) -> None:
    async with tools() as made:
        result = await look(made, "tcp", {"host": "127.0.0.1", "port": 9, **params})
    if result.reason is Reason.NOT_PERMITTED and "vrf" in params:
        forbidden("binding a socket to a device, which a VRF is")
    assert (result.outcome, result.reason) == (Outcome.BLIND, reason)


async def test_name_that_leads_to_loopback_is_not_measured() -> None:
    records = {("innocent.example.", "A"): ["127.0.0.1"], ("meta.example.", "A"): ["169.254.169.254"]}
    async with (
        name_server(records) as (_, port),
        tcp_server(peers.hang) as door,
        tools(nameservers=[f"127.0.0.1:{port}"], targets=Targets()) as made,
    ):
        for kind, params in (
            ("tcp", {"host": "innocent.example", "port": door}),
            ("http", {"url": f"http://innocent.example:{door}/"}),
            ("http", {"url": "http://meta.example/latest/credentials"}),
            ("icmp", {"target": "127.0.0.1"}),
            ("dns", {"server": "127.0.0.1", "port": port, "name": "innocent.example"}),
        ):
            result = await look(made, kind, params)
            assert (result.outcome, result.reason) == (Outcome.BLIND, Reason.TARGET_NOT_ALLOWED), kind
            assert "config/cemd.yaml" in result.detail


@pytest.mark.parametrize("kind", ["tcp", "ntp"])
async def test_look_up_that_a_late_loop_finds_unanswered_is_blind_and_not_down(kind: str) -> None:
    """The time for the look-up and that of the attempt are over by the time that the loop turns again."""
    params = {"host": "nowhere.example", "port": 9}
    async with name_server({}) as (server, port), tools(nameservers=[f"127.0.0.1:{port}"]) as made:
        server.mode = "mute"
        attempt = asyncio.create_task(look(made, kind, params, seconds=0.5))
        await until(lambda: server.asked, what="the question")
        time.sleep(0.7)  # noqa: ASYNC251 -- so long others have the processor
        result = await attempt
    assert (result.outcome, result.reason) == (Outcome.BLIND, Reason.NAME_NO_ANSWER)


@pytest.mark.parametrize("kind", ["tcp", "http", "transaction"])
async def test_look_up_whose_own_end_would_come_after_the_attempt_s_is_blind(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is held up between asking how much time is left and using it takes more than there is."""
    params: dict[str, Any] = {"host": "nowhere.example", "port": 9}
    if kind == "http":
        params = {"url": "http://nowhere.example/"}
    if kind == "transaction":
        wait = {"http": {"get": "http://nowhere.example/"}, "until": "$.up == true", "within_seconds": 0.3}
        params = {"steps": [{"name": "ask", "wait": wait}]}
    monkeypatch.setattr(Attempt, "remaining", lambda _: 5.0)
    async with name_server({}) as (server, port), tools(nameservers=[f"127.0.0.1:{port}"]) as made:
        server.mode = "mute"
        result = await look(made, kind, params, seconds=0.5)
    assert (result.outcome, result.reason) == (Outcome.BLIND, Reason.NAME_NO_ANSWER), result.detail


async def test_look_up_is_given_up_at_once_when_the_attempt_is() -> None:
    async with name_server({}) as (server, port), tools(nameservers=[f"127.0.0.1:{port}"]) as made:
        server.mode = "mute"
        attempt = asyncio.create_task(look(made, "tcp", {"host": "nowhere.example", "port": 9}))
        await until(lambda: server.asked, what="the question")
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt


async def test_new_policy_counts_from_the_next_run_on() -> None:
    async with tcp_server(peers.hang) as port, tools(targets=Targets()) as made:
        before = await look(made, "tcp", {"host": "127.0.0.1", "port": port})
        made.names.allow(Targets(loopback=True))
        after = await look(made, "tcp", {"host": "127.0.0.1", "port": port})
    assert (before.reason, after.reason) == (Reason.TARGET_NOT_ALLOWED, Reason.ANSWERED)


async def test_same_policy_again_has_nobody_looked_at_anew_and_another_one_everybody() -> None:
    names = Names(targets=Targets(loopback=True))
    allowed = names.targets
    hosts = [f"127.0.0.{number}" for number in range(1, 6)]
    assert [names.check(host, host) for host in hosts] == hosts
    names.allow(Targets(loopback=True))
    assert names.targets is allowed
    names.allow(Targets())
    for host in (*hosts, *hosts):
        with pytest.raises(Blind, match="loopback"):
            names.check(host, host)


def test_zone_of_a_link_local_address_becomes_its_number() -> None:
    assert place_of("fe80::1%lo", 5) == ("fe80::1", 5, 0, socket.if_nametoindex("lo"))
    with pytest.raises(Blind, match="no interface"):
        place_of("fe80::1%nothing0", 5)


async def test_vrf_is_left_by_its_own_door_and_home_stays_home(namespace: str) -> None:
    inside = SocketParams(vrf=namespace)
    with open_socket(inside, socket.AF_INET, socket.SOCK_STREAM) as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        port = door.getsockname()[1]
        async with tools() as made:
            there = await look(made, "tcp", {"host": "127.0.0.1", "port": port, "vrf": namespace})
            here = await look(made, "tcp", {"host": "127.0.0.1", "port": port})
    assert there.reason is Reason.ANSWERED
    assert here.reason is Reason.REFUSED
    assert (NAMESPACES / namespace).exists()
