"""udp: answers that come, come late, come wrong, or never."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason

from tests.monitor import peers
from tests.monitor.peers import complaints, look, tools, value
from tests.monitor.probes.contract import Contract

Answers = Callable[[bytes, int], list[bytes]]


class Peer(asyncio.DatagramProtocol):
    """Answers each datagram with what `answers` makes of it and its number, from 0."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.heard: list[bytes] = []
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.append(data)
        for answer in self.answers(data, len(self.heard) - 1):
            self.transport.sendto(answer, addr)


@contextlib.asynccontextmanager
async def udp_peer(answers: Answers) -> AsyncIterator[tuple[Peer, int]]:
    transport, peer = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Peer(answers), local_addr=("127.0.0.1", 0)
    )
    try:
        yield peer, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def contract(stack: contextlib.AsyncExitStack, secret_file: str) -> Contract:
    _, echo = await stack.enter_async_context(udp_peer(lambda data, _: [b"you said " + data]))
    _, mute = await stack.enter_async_context(udp_peer(lambda _, __: []))
    secret = {"secret_files": {"pin": secret_file}}
    rejects = {"dialogue": [{"send": "{pin}", "expect": "never", "reject": "you said.*"}], **secret}
    return Contract(
        good={"host": "127.0.0.1", "port": echo, "send": "hello", "expect": "you said hello"},
        failing={"host": "127.0.0.1", "port": echo, **rejects},
        hanging={"host": "127.0.0.1", "port": mute, "send": "hello"},
    )


async def test_answer_is_timed_by_the_kernel_and_not_by_a_busy_loop() -> None:
    async with udp_peer(lambda data, _: [data]) as (_, port), tools() as made:
        busy = asyncio.get_running_loop().call_later(0.02, time.sleep, 0.3)
        await asyncio.sleep(0.01)
        result = await look(made, "udp", {"host": "127.0.0.1", "port": port, "send": "x"})
        busy.cancel()
    assert result.reason is Reason.ANSWERED
    assert value(result, "response_seconds") < 0.2


@pytest.mark.parametrize(
    ("answers", "params", "reason"),
    [
        (lambda data, _: [data], {"send": "x"}, Reason.ANSWERED),
        (lambda _, __: [b"noise", b"", b"\0\xff\1"], {"send_hex": "00ff", "expect": r"\xff\x01"}, Reason.ANSWERED),
        (lambda data, n: [data] if n else [], {"send": "x", "resend_seconds": 0.05}, Reason.ANSWERED),
        (lambda _, __: [b"noise"], {"send": "x", "expect": "y", "resend_seconds": 0.1}, Reason.NO_ANSWER),
        (lambda _, __: [b"n"] * 150, {"send": "x", "expect": "y", "resend_seconds": 0.05}, Reason.NO_ANSWER),
    ],
    ids=["any", "noise first", "lost first", "never right", "babble"],
)
async def test_answers(answers: Answers, params: dict[str, Any], reason: Reason) -> None:
    async with udp_peer(answers) as (peer, port), tools() as made:
        result = await look(made, "udp", {"host": "127.0.0.1", "port": port, **params}, seconds=0.6)
    assert result.reason is reason, result.detail
    if reason is Reason.ANSWERED:
        assert value(result, "resend_count") == len(peer.heard) - 1


async def test_dialogue_goes_turn_by_turn() -> None:
    turns = [{"send": "one", "expect": "one"}, {"name": "second", "send": "two", "expect": "two"}]
    async with udp_peer(lambda data, _: [data]) as (peer, port), tools() as made:
        result = await look(made, "udp", {"host": "127.0.0.1", "port": port, "dialogue": turns})
    assert peer.heard == [b"one", b"two"]
    labels = [reading.labels for reading in result.readings if reading.metric == "turn_seconds"]
    assert labels == [(("turn", "1"),), (("turn", "second"),)]


async def test_port_where_nobody_listens_is_refused() -> None:
    async with tools() as made:
        result = await look(made, "udp", {"host": "127.0.0.1", "port": peers.free_port(), "send": "x"})
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.REFUSED)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "nothing is sent"),
        ({"dialogue": [{"expect": "x"}]}, "must send something"),
        ({"dialogue": [{"send": "x"}], "send": "y"}, "exclude each other"),
        ({"send_hex": "0"}, "pattern"),
    ],
)
def test_absurd_parameters_are_refused_at_load(params: dict[str, Any], words: str) -> None:
    assert words in complaints("udp", {"host": "192.0.2.1", "port": 1, **params})
