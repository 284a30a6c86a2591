"""diameter: freeDiameter as the node; and one of ours that asks back, breaks off and lies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.diameter import read_message
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import program
from tests.monitor.peers import complaints, free_port, look, tcp_server, tools, value
from tests.monitor.probes.contract import Contract
from tests.monitor.probes.test_http import certificate
from tests.monitor.programs import started

WHO = {"origin_host": "probe.example.net", "origin_realm": "example.net"}
CAPABILITIES, WATCHDOG, LEAVE = 257, 280, 282


class Node:
    """Answers every request with these results; `ask` makes it ask its own watchdog first."""

    def __init__(self, results: dict[int, int] | None = None, *, ask: bool = False, mute: bool = False) -> None:
        self.results = results or {}
        self.ask = ask
        self.mute = mute
        self.heard: list[int] = []
        self.obliged = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(4)
                message = read_message(head + await reader.readexactly(int.from_bytes(head[1:], "big") - 4))
                assert message is not None
                if not message.header.is_request:
                    self.obliged += message.result_code == 2001
                    continue
                self.heard.append(message.header.command_code)
                if self.mute:
                    continue
                if self.ask:
                    writer.write(self.watchdog())
                writer.write(self.answer(message))

    def answer(self, request: Any) -> bytes:
        answer = request.to_answer()
        answer.result_code = self.results.get(request.header.command_code, 2001)
        answer.origin_host, answer.origin_realm = b"node.example.net", b"example.net"
        if request.header.command_code == CAPABILITIES:
            answer.host_ip_address = "127.0.0.1"
            answer.vendor_id, answer.product_name = 0, "node"
            answer.auth_application_id = [4]
        whole: bytes = answer.as_bytes()
        return whole

    def watchdog(self) -> bytes:
        from diameter.message.commands import DeviceWatchdogRequest

        request = DeviceWatchdogRequest()
        request.header.hop_by_hop_identifier = 7
        request.origin_host, request.origin_realm = b"node.example.net", b"example.net"
        return bytes(request.as_bytes())


@contextlib.asynccontextmanager
async def node(*given_: Any, **more: Any) -> AsyncIterator[tuple[Node, dict[str, Any]]]:
    made = Node(*given_, **more)
    async with tcp_server(made.talk) as port:
        yield made, {"host": "127.0.0.1", "port": port, **WHO}


async def contract(stack: contextlib.AsyncExitStack, _secret_file: str) -> Contract:
    _, good = await stack.enter_async_context(node())
    _, bad = await stack.enter_async_context(node({CAPABILITIES: 3010}))
    _, mute = await stack.enter_async_context(node(mute=True))
    return Contract(good=good, failing=bad, hanging=mute)


_FREEDIAMETER = """
Identity = "node.example.net";
Realm = "example.net";
Port = {port};
SecPort = 0;
No_SCTP;
ListenOn = "127.0.0.1";
TLS_Cred = "{certificate}", "{key}";
TLS_CA = "{certificate}";
LoadExtension = "acl_wl.fdx" : "{folder}/acl.conf";
LoadExtension = "dict_nasreq.fdx";
LoadExtension = "dict_dcca.fdx";
"""


@contextlib.asynccontextmanager
async def freediameter(folder: Path) -> AsyncIterator[dict[str, Any]]:
    path = program("freediameter")
    assert path is not None
    port = free_port()
    cert, key = certificate(folder, days=10, name="node.example.net")
    (folder / "acl.conf").write_text("ALLOW_OLD_TLS ALLOW_IPSEC probe.example.net\n")
    conf = folder / "node.conf"
    conf.write_text(_FREEDIAMETER.format(port=port, folder=folder, certificate=cert, key=key))
    async with started(path, "-c", str(conf)):
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                await writer.wait_closed()
                break
        yield {"host": "127.0.0.1", "port": port, **WHO}


@pytest.mark.needs("freediameter")
async def test_freediameter_takes_us_as_a_peer_again_and_again_and_no_stranger(tmp_path: Path) -> None:
    async with freediameter(tmp_path) as peer, tools() as made:
        wanted = {**peer, "auth_applications": [4], "expect_host": "node.example.net"}
        for _ in range(3):  # a peer that took leave may come again at once
            result = await look(made, "diameter", wanted)
            assert result.reason is Reason.ANSWERED, result.detail
            assert value(result, "capabilities_seconds") > 0
            assert value(result, "watchdog_seconds") > 0
            assert value(result, "leave_seconds") > 0
        other = await look(made, "diameter", {**wanted, "expect_host": "other.example.net"})
        stranger = await look(made, "diameter", {**peer, "origin_host": "stranger.example.net"})
    assert (other.outcome, other.reason) == (Outcome.FAILED, Reason.ANSWER_UNEXPECTED)
    assert stranger.outcome is Outcome.FAILED


async def test_leave_is_taken_and_the_nodes_own_watchdog_answered() -> None:
    async with node(ask=True) as (made_node, peer), tools() as made:
        result = await look(made, "diameter", {**peer, "expect_applications": [4]})
        await asyncio.sleep(0.05)
    assert result.reason is Reason.ANSWERED, result.detail
    assert made_node.heard == [CAPABILITIES, WATCHDOG, LEAVE]
    assert made_node.obliged >= 2


async def test_leave_is_taken_when_the_attempt_is_cut_short() -> None:
    async with node() as (made_node, peer), tools() as made:
        made_node.answer = (  # type: ignore[method-assign]
            lambda request: b"" if request.header.command_code == WATCHDOG else Node.answer(made_node, request)
        )
        result = await look(made, "diameter", peer, seconds=0.4)
        await asyncio.sleep(0.05)
    assert result.outcome is Outcome.TIMED_OUT
    assert made_node.heard == [CAPABILITIES, WATCHDOG, LEAVE]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"expect_applications": [16777251]}, Reason.ANSWER_UNEXPECTED),
        ({"expect_host": "NODE.example.net"}, Reason.ANSWERED),
        ({"result_code": 3010}, Reason.STATUS_UNEXPECTED),
    ],
    ids=["application", "host", "result"],
)
async def test_answer_is_held_against_what_is_expected(more: dict[str, Any], reason: Reason) -> None:
    async with node() as (_, peer), tools() as made:
        result = await look(made, "diameter", {**peer, **more})
    assert result.reason is reason, result.detail


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", Reason.CLOSED_EARLY),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Reason.PROTOCOL_BROKEN),
        (b"\x01\xff\xff\xff", Reason.PROTOCOL_BROKEN),
        (b"\x01\x00\x00\x18" + bytes(20), Reason.PROTOCOL_BROKEN),
    ],
    ids=["closed", "http", "huge", "cut"],
)
async def test_what_is_no_diameter_is_said(said: bytes, reason: Reason) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(said)
        await writer.drain()

    async with tcp_server(speak) as port, tools() as made:
        result = await look(made, "diameter", {"host": "127.0.0.1", "port": port, **WHO}, seconds=1.0)
    assert (result.outcome, result.reason) == (Outcome.FAILED, reason), result.detail


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda whole: whole.replace(b"\0\0\x01\x08@\0\0\x18node.example.net", b"\0\0\x01\x08@\0\0\x08"),
            "calls itself ''",
        ),
        (lambda whole: whole[:5] + WATCHDOG.to_bytes(3, "big") + whole[8:], "another command"),
    ],
    ids=["nameless", "other command"],
)
async def test_answer_that_lacks_what_it_must_say_is_told(change: Callable[[bytes], bytes], words: str) -> None:
    async with node() as (made_node, peer), tools() as made:
        made_node.answer = lambda request: _sized(change(Node.answer(made_node, request)))  # type: ignore[method-assign]
        result = await look(made, "diameter", {**peer, "expect_host": "node.example.net"}, seconds=1.0)
    assert result.outcome is Outcome.FAILED, result.detail
    assert result.detail is not None
    assert words in result.detail


def _sized(whole: bytes) -> bytes:
    return whole[:1] + len(whole).to_bytes(3, "big") + whole[4:]


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    read_message(data)
    read_message(b"\x01" + (len(data) + 20).to_bytes(3, "big") + bytes(16) + data)


@pytest.mark.parametrize(
    ("params", "words"),
    [({"origin_host": "a b"}, "pattern"), ({"auth_applications": [-1]}, "greater"), ({"result_code": 7}, "greater")],
)
def test_absurd_parameters_are_refused_with_a_remedy(params: dict[str, Any], words: str) -> None:
    assert words in complaints("diameter", {"host": "192.0.2.1", **WHO, **params})
