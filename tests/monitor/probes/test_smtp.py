"""smtp: a real server with users and TLS, and servers that refuse, babble or hang."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason

from tests.monitor import peers
from tests.monitor.peers import complaints, look, tcp_server, tools, value
from tests.monitor.probes.contract import SECRET, Contract
from tests.monitor.probes.test_http import certificate, context


class Relay:
    """Takes mail for example.net only, and none goes through."""

    def __init__(self) -> None:
        self.mails = 0

    async def handle_RCPT(  # noqa: N802 -- the library's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if not address.endswith("@example.net"):
            return "550 5.7.1 relaying denied"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, _server: Any, _session: Any, _envelope: Any) -> str:  # noqa: N802
        self.mails += 1
        return "250 taken"


def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> Any:
    from aiosmtpd.smtp import AuthResult

    right = (data.login, data.password) == (b"probe", SECRET.encode())
    return AuthResult(success=right, handled=False)


@contextlib.asynccontextmanager
async def relay(tls: ssl.SSLContext | None = None, **given: Any) -> AsyncIterator[tuple[Relay, int]]:
    from aiosmtpd.smtp import SMTP

    handler = Relay()

    def make() -> asyncio.Protocol:
        return SMTP(handler, tls_context=tls, authenticator=authenticate, auth_require_tls=False, **given)

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    try:
        yield handler, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)


async def contract(stack: contextlib.AsyncExitStack, secret_file: str) -> Contract:
    _, port = await stack.enter_async_context(relay())
    hang = await stack.enter_async_context(tcp_server(peers.hang))
    login = {"user": "probe", "password_file": secret_file}
    return Contract(
        good={"host": "127.0.0.1", "port": port, "recipient": "a@example.net"},
        failing={"host": "127.0.0.1", "port": port, "recipient": "a@example.org", **login},
        hanging={"host": "127.0.0.1", "port": hang},
    )


async def test_mail_for_somebody_is_asked_for_and_none_is_sent(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(SECRET)
    login = {"user": "probe", "password_file": str(tmp_path / "password")}
    async with relay() as (handler, port), tools() as made:
        params = {"host": "127.0.0.1", "port": port, "recipient": "noc@example.net", "sender": "p@example.net", **login}
        result = await look(made, "smtp", params)
    assert result.reason is Reason.ANSWERED, result.detail
    for metric in ("connect_seconds", "greeting_seconds", "hello_seconds", "login_seconds", "recipient_seconds"):
        assert value(result, metric) >= 0.0
    assert handler.mails == 0


@pytest.mark.parametrize(
    ("params", "password", "reason"),
    [
        ({"recipient": "noc@example.org"}, None, Reason.STATUS_UNEXPECTED),
        ({}, "wrong-password", Reason.LOGIN_REFUSED),
        ({"tls": "starttls"}, None, Reason.TLS_NOT_OFFERED),
    ],
    ids=["relay", "password", "tls"],
)
async def test_refusals_are_told_apart(
    params: dict[str, Any], password: str | None, reason: Reason, tmp_path: Path
) -> None:
    given = dict(params)
    if password is not None:
        (tmp_path / "password").write_text(password)
        given |= {"user": "probe", "password_file": str(tmp_path / "password")}
    files = certificate(tmp_path, days=5)
    async with relay() as (_, port), tools() as made:
        result = await look(made, "smtp", {"host": "127.0.0.1", "port": port, "ca_file": str(files[0]), **given})
    assert (result.outcome, result.reason) == (Outcome.FAILED, reason)
    assert password is None or password not in result.detail
    assert value(result, "connect_seconds") >= 0.0


async def test_log_in_goes_through_starttls_with_a_verified_certificate(tmp_path: Path) -> None:
    files = certificate(tmp_path, days=5)
    (tmp_path / "password").write_text(SECRET)
    login = {"user": "probe", "password_file": str(tmp_path / "password"), "tls": "starttls", "tls_name": "localhost"}
    async with relay(context(files), require_starttls=True) as (_, port), tools() as made:
        params = {"host": "127.0.0.1", "port": port, "ca_file": str(files[0]), **login}
        result = await look(made, "smtp", params)
    assert result.reason is Reason.ANSWERED, result.detail
    assert value(result, "certificate_expiry_days") == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [
        (b"554 go away\r\n", Reason.STATUS_UNEXPECTED),
        (b"220 hi\r\n", Reason.CLOSED_EARLY),
        (b"", Reason.CLOSED_EARLY),
        (b"no number at all\r\n", Reason.ANSWER_UNEXPECTED),
        (b"220-" + b"x" * 200_000, Reason.ANSWER_TOO_LARGE),
    ],
    ids=["refused", "gone", "silent", "another protocol", "endless"],
)
async def test_servers_that_are_none(greeting: bytes, reason: Reason) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()
        if greeting.startswith(b"220 hi"):
            await reader.readline()

    async with tcp_server(speak) as port, tools() as made:
        result = await look(made, "smtp", {"host": "127.0.0.1", "port": port})
    assert (result.outcome, result.reason) == (Outcome.FAILED, reason), result.detail


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"user": "probe"}, "belong together"),
        ({"user": "probe", "password_file": "/p"}, "would go in clear"),
        ({"sender": "a@example.net"}, "sender needs recipient"),
        ({"recipient": "a@b>\r\nDATA"}, "pattern"),
    ],
)
def test_absurd_parameters_are_refused_at_load(params: dict[str, Any], words: str) -> None:
    assert words in complaints("smtp", {"host": "192.0.2.1", **params})
