"""tcp: connections that are refused, silent, cut short or babbled full."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason

from tests.monitor import peers
from tests.monitor.peers import look, tcp_server, tools
from tests.monitor.probes.contract import Contract


async def contract(stack: contextlib.AsyncExitStack, _secret_file: str) -> Contract:
    echo = await stack.enter_async_context(tcp_server(peers.echo))
    hang = await stack.enter_async_context(tcp_server(peers.hang))
    return Contract(
        good={"host": "127.0.0.1", "port": echo, "send": "hello", "expect": "you said hello"},
        failing={"host": "127.0.0.1", "port": peers.free_port()},
        hanging={"host": "127.0.0.1", "port": hang, "expect": "never"},
    )


@pytest.mark.parametrize(
    ("talk", "params", "reason"),
    [
        (peers.hang, {}, Reason.ANSWERED),
        (peers.echo, {"send": "hello\r\n", "expect": "^you said hel+o"}, Reason.ANSWERED),
        (peers.babble, {"expect": "never", "max_answer_bytes": 20_000}, Reason.ANSWER_TOO_LARGE),
    ],
    ids=["connect", "expect", "babble"],
)
async def test_connections(talk: Any, params: dict[str, Any], reason: Reason) -> None:
    async with tcp_server(talk) as port, tools() as made:
        result = await look(made, "tcp", {"host": "127.0.0.1", "port": port, **params})
    assert result.reason is reason, result.detail


async def test_peer_that_closes_without_the_expected_text_failed() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"421 too busy\r\n")

    async with tcp_server(speak) as port, tools() as made:
        result = await look(made, "tcp", {"host": "127.0.0.1", "port": port, "expect": "^220"})
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.ANSWER_UNEXPECTED)
    assert "421 too busy" in result.detail


async def test_refused_and_silent_are_told_apart() -> None:
    async with tcp_server(peers.hang) as port, tools() as made:
        silent = await look(made, "tcp", {"host": "127.0.0.1", "port": port, "expect": "x"}, seconds=0.3)
        refused = await look(made, "tcp", {"host": "127.0.0.1", "port": peers.free_port()})
    assert (silent.outcome, silent.reason) == (Outcome.TIMED_OUT, Reason.NO_ANSWER)
    assert (refused.outcome, refused.reason) == (Outcome.FAILED, Reason.REFUSED)


async def test_host_without_a_route_or_descriptors_is_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object, **__: object) -> Any:
        raise OSError(24, "Too many open files")

    async with tools() as made:
        monkeypatch.setattr(socket, "socket", none_left)
        result = await look(made, "tcp", {"host": "127.0.0.1", "port": 80})
        monkeypatch.undo()
    assert (result.outcome, result.reason) == (Outcome.BLIND, Reason.NO_RESOURCES)
