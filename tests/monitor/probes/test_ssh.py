"""ssh: a real sshd, and greetings that are none."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Missed, Reason
from cemd.monitor.probes.ssh import read_offer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitor import peers
from tests.monitor.peers import look, said, tcp_server, tools, value
from tests.monitor.probes.contract import Contract
from tests.monitor.probes.servers import sshd


def offer(*lists: bytes) -> bytes:
    """The first packet of a server that offers these."""
    body = b"\x14" + bytes(16) + b"".join(len(one).to_bytes(4, "big") + one for one in lists) + bytes(5)
    return (1 + len(body) + 4).to_bytes(4, "big") + b"\x04" + body + bytes(4)


OFFER = offer(b"curve25519-sha256", b"ssh-ed25519,rsa-sha2-512", *[b"aes128-ctr"] * 2, *[b"hmac-sha2-256"] * 6)


def server(*parts: bytes) -> Any:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(parts))
        await writer.drain()
        await reader.read(4096)

    return speak


async def contract(stack: contextlib.AsyncExitStack, _secret_file: str) -> Contract:
    port = await stack.enter_async_context(tcp_server(server(b"welcome\r\nSSH-2.0-test\r\n", OFFER)))
    hang = await stack.enter_async_context(tcp_server(peers.hang))
    return Contract(
        good={"host": "127.0.0.1", "port": port, "software": "test$|test\r", "host_keys": ["ssh-ed25519"]},
        failing={"host": "127.0.0.1", "port": port, "host_keys": ["ssh-dss"]},
        hanging={"host": "127.0.0.1", "port": hang},
    )


@pytest.mark.needs("sshd")
async def test_real_server_greets_and_offers(tmp_path: Path) -> None:
    async with sshd(tmp_path) as port, tools() as made:
        base = {"host": "127.0.0.1", "port": port}
        good = await look(made, "ssh", {**base, "software": "OpenSSH_", "host_keys": ["ssh-ed25519"]})
        other = await look(made, "ssh", {**base, "host_keys": ["rsa-sha2-512"]})
        wrong = await look(made, "ssh", {**base, "software": "dropbear"})
    assert good.reason is Reason.ANSWERED, good.detail
    assert value(good, "greeting_seconds") > 0
    assert value(good, "offer_seconds") > 0
    assert (other.reason, wrong.reason) == (Reason.ANSWER_UNEXPECTED, Reason.ANSWER_UNEXPECTED)
    assert "ssh-ed25519" in other.detail
    assert "OpenSSH" in wrong.detail


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ((b"SSH-1.5-old\r\n", OFFER), Reason.PROTOCOL_BROKEN),
        ((b"SSH-1.99-both\r\n", OFFER), Reason.ANSWERED),
        ((b"220 smtp\r\n" * 10_000,), Reason.ANSWER_TOO_LARGE),
        ((b"SSH-2.0-x\r\n", b"\xff" * 40), Reason.PROTOCOL_BROKEN),
        ((b"SSH-2.0-x\r\n", OFFER[:5] + b"\x02" + OFFER[6:]), Reason.PROTOCOL_BROKEN),
        ((b"SSH-2.0-x\r\n", offer(b"a")), Reason.PROTOCOL_BROKEN),
    ],
    ids=["version 1", "both versions", "another protocol", "garbage", "another packet", "cut list"],
)
async def test_greetings(parts: tuple[bytes, ...], reason: Reason) -> None:
    async with tcp_server(server(*parts)) as port, tools() as made:
        result = await look(made, "ssh", {"host": "127.0.0.1", "port": port})
    assert result.reason is reason, result.detail
    assert (result.outcome is Outcome.OK) is (reason is Reason.ANSWERED)


@settings(max_examples=150)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=120).map(lambda rest: OFFER[:22] + rest)))
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    async def attempt() -> None:
        with contextlib.suppress(Missed), said(data) as talk:
            await read_offer(talk)

    asyncio.run(attempt())
