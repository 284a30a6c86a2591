"""imap: a real dovecot, and servers that are none."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason

from tests.monitor import peers
from tests.monitor.peers import look, tcp_server, tools, value
from tests.monitor.probes.contract import SECRET, Contract
from tests.monitor.probes.servers import dovecot
from tests.monitor.probes.test_http import certificate


async def mailboxes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As much of a server as the contract needs; it repeats what it was told, as servers should not."""
    writer.write(b"* OK hello\r\n")
    while line := await reader.readline():
        tag = line.split()[0]
        if b"AUTHENTICATE" in line:
            writer.write(b"+ \r\n")
            told = (await reader.readline()).strip()
            writer.write(b"b1 NO not " + told + b" " + SECRET.encode() + b"\r\n")
        else:
            writer.write(b"* BYE bye\r\n" + tag + b" OK done\r\n")
            return


async def contract(stack: contextlib.AsyncExitStack, secret_file: str) -> Contract:
    port = await stack.enter_async_context(tcp_server(mailboxes))
    hang = await stack.enter_async_context(tcp_server(peers.hang))
    return Contract(
        good={"host": "127.0.0.1", "port": port},
        failing={"host": "127.0.0.1", "port": port, "user": "probe", "password_file": secret_file},
        hanging={"host": "127.0.0.1", "port": hang},
    )


@pytest.mark.needs("dovecot")
async def test_real_server_is_secured_signed_in_to_and_looked_into(tmp_path: Path) -> None:
    files = certificate(tmp_path, days=5)
    password, wrong = tmp_path / "password", tmp_path / "wrong"
    password.write_text(SECRET)
    wrong.write_text("not-the-password")
    base: dict[str, Any] = {"host": "127.0.0.1", "tls": "starttls", "tls_name": "localhost", "ca_file": str(files[0])}
    async with dovecot(files) as port, tools() as made:
        base |= {"port": port, "user": "probe", "password_file": str(password)}
        good = await look(made, "imap", {**base, "mailbox": "INBOX"}, seconds=10)
        clear = await look(made, "imap", {"host": "127.0.0.1", "port": port}, seconds=10)
        missing = await look(made, "imap", {**base, "mailbox": 'No "such" box'}, seconds=10)
        refused = await look(made, "imap", {**base, "password_file": str(wrong)}, seconds=10)
    assert good.reason is Reason.ANSWERED, good.detail
    assert value(good, "message_count") == 0.0
    for metric in ("starttls_seconds", "tls_seconds", "login_seconds", "mailbox_seconds"):
        assert value(good, metric) > 0.0
    assert (clear.reason, missing.reason) == (Reason.ANSWERED, Reason.ANSWER_UNEXPECTED)
    assert (refused.outcome, refused.reason) == (Outcome.FAILED, Reason.LOGIN_REFUSED)
    assert "not-the-password" not in refused.detail


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [
        (b"* BYE too busy\r\n", Reason.STATUS_UNEXPECTED),
        (b"220 smtp\r\n", Reason.STATUS_UNEXPECTED),
        (b"", Reason.CLOSED_EARLY),
        (b"* OK " + b"x" * 200_000, Reason.ANSWER_TOO_LARGE),
    ],
    ids=["busy", "another protocol", "silent", "endless"],
)
async def test_servers_that_are_none(greeting: bytes, reason: Reason) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()

    async with tcp_server(speak) as port, tools() as made:
        result = await look(made, "imap", {"host": "127.0.0.1", "port": port})
    assert (result.outcome, result.reason) == (Outcome.FAILED, reason), result.detail


async def test_a_server_that_falls_silent_is_told_with_what_was_done_until_then() -> None:
    async def silent_after_its_greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hello\r\n")
        await peers.hang(reader, writer)

    params = {"host": "127.0.0.1", "user": "probe", "password_file": "/dev/null"}
    async with tcp_server(peers.hang) as mute, tcp_server(silent_after_its_greeting) as polite, tools() as made:
        at_once = await look(made, "imap", {"host": "127.0.0.1", "port": mute}, seconds=0.3)
        later = await look(made, "imap", params | {"port": polite}, seconds=0.3)
    assert (at_once.outcome, at_once.reason) == (Outcome.TIMED_OUT, Reason.NO_ANSWER)
    assert at_once.detail == "no answer before the deadline; done until then: connect."
    assert value(at_once, "connect_seconds") < 0.3
    assert later.detail == "no answer before the deadline; done until then: connect, greeting."
    assert value(later, "success") == 0.0
