"""Peers that are slow, and kinds that hold a conversation: every one ends at its deadline, whatever drips."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason

from tests.monitor.peers import look, tcp_server, tools, value

DRIPS: dict[str, tuple[dict[str, Any], bytes]] = {
    "tcp": ({"expect": "never"}, b"220 x"),
    "smtp": ({}, b"220-"),
    "imap": ({}, b"* OK "),
    "ldap": ({}, b"\x30\x7f\x02\x01\x02"),
    "ssh": ({}, b"SSH-2.0-"),
    "mqtt": ({}, b"\x20\x7f"),
}


@pytest.mark.parametrize("kind", sorted(DRIPS))
async def test_peer_that_drips_a_byte_now_and_then_has_timed_out(kind: str) -> None:
    params, first = DRIPS[kind]

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while not writer.is_closing():
            await asyncio.sleep(0.01)
            writer.write(b"x")
            await writer.drain()

    loop = asyncio.get_running_loop()
    async with tcp_server(drip) as port, tools() as made:
        began = loop.time()
        result = await look(made, kind, {"host": "127.0.0.1", "port": port, **params}, seconds=0.3)
        assert loop.time() - began < 1.0
    assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, Reason.NO_ANSWER), result.detail
    assert value(result, "success") == 0.0


@pytest.mark.parametrize("kind", sorted(DRIPS))
async def test_peer_that_resets_the_connection_closed_early(kind: str) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with tcp_server(reset) as port, tools() as made:
        result = await look(made, kind, {"host": "127.0.0.1", "port": port, **DRIPS[kind][0]})
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.CLOSED_EARLY), result.detail
