"""ldap: a real slapd, and bytes that are no directory."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from cemd.config.probes import Probe
from cemd.model.quality import Outcome
from cemd.monitor.probes import faults
from cemd.monitor.probes.base import Missed, Reason
from cemd.monitor.probes.ldap import read_message
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitor import peers
from tests.monitor.peers import look, said, tcp_server, tools, value
from tests.monitor.probes.contract import Contract
from tests.monitor.probes.servers import PASSWORD, slapd
from tests.monitor.probes.test_http import certificate

BOUND = bytes.fromhex("300c02010261070a010004000400")
REFUSED = bytes.fromhex("300c02010261070a013104000400")


def directory(answer: bytes) -> Any:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        await writer.drain()
        await reader.read(4096)

    return speak


async def contract(stack: contextlib.AsyncExitStack, secret_file: str) -> Contract:
    port = await stack.enter_async_context(tcp_server(directory(BOUND)))
    refusing = await stack.enter_async_context(tcp_server(directory(REFUSED)))
    hang = await stack.enter_async_context(tcp_server(peers.hang))
    return Contract(
        good={"host": "127.0.0.1", "port": port},
        failing={"host": "127.0.0.1", "port": refusing, "user": "cn=a", "password_file": secret_file},
        hanging={"host": "127.0.0.1", "port": hang},
    )


@pytest.mark.needs("slapd")
async def test_real_directory_is_bound_to_and_searched(tmp_path: Path) -> None:
    files = certificate(tmp_path, days=5)
    password, wrong = tmp_path / "password", tmp_path / "wrong"
    password.write_text(PASSWORD)
    wrong.write_text("not-the-password")
    people = {"base": "dc=example", "scope": "subtree", "filter": "(ou=*)", "min_entries": 2}
    async with slapd(tmp_path, files) as port, tools() as made:
        base: dict[str, Any] = {"host": "127.0.0.1", "port": port}
        login = {"user": "cn=probe,dc=example", "password_file": str(password)}
        nobody = await look(made, "ldap", {**base, "search": {"base": ""}})
        good = await look(made, "ldap", {**base, **login, "search": people})
        few = await look(made, "ldap", {**base, **login, "search": {**people, "filter": "(ou=people)"}})
        lost = await look(made, "ldap", {**base, **login, "search": {"base": "dc=nowhere"}})
        refused = await look(made, "ldap", {**base, **login, "password_file": str(wrong)})
        secured = await look(
            made, "ldap", {**base, **login, "tls": "starttls", "tls_name": "localhost", "ca_file": str(files[0])}
        )
    assert (nobody.reason, value(nobody, "entry_count")) == (Reason.ANSWERED, 1.0), nobody.detail
    assert (good.reason, value(good, "entry_count")) == (Reason.ANSWERED, 2.0), good.detail
    assert (few.reason, value(few, "entry_count")) == (Reason.ANSWER_UNEXPECTED, 1.0)
    assert lost.reason is Reason.STATUS_UNEXPECTED
    assert (refused.outcome, refused.reason) == (Outcome.FAILED, Reason.LOGIN_REFUSED)
    assert secured.reason is Reason.ANSWERED, secured.detail
    assert value(secured, "certificate_expiry_days") == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Reason.PROTOCOL_BROKEN),
        (bytes.fromhex("3084ffffffff"), Reason.ANSWER_TOO_LARGE),
        (bytes.fromhex("300c02010961070a010004000400"), Reason.PROTOCOL_BROKEN),
        (bytes.fromhex("300c0201026107"), Reason.NO_ANSWER),
        (bytes.fromhex("3003020102"), Reason.PROTOCOL_BROKEN),
        (bytes.fromhex("300c02010264070a010004000400"), Reason.PROTOCOL_BROKEN),
        (bytes.fromhex("300c02010261070a010204000400"), Reason.STATUS_UNEXPECTED),
    ],
    ids=["http", "huge", "another number", "cut in the stream", "cut in itself", "another operation", "protocol error"],
)
async def test_answers_that_are_none(answer: bytes, reason: Reason) -> None:
    async with tcp_server(directory(answer)) as port, tools() as made:
        params = {"host": "127.0.0.1", "port": port}
        result = await look(made, "ldap", params, seconds=0.5 if reason is Reason.NO_ANSWER else 5)
    assert result.reason is reason, result.detail
    assert result.outcome is (Outcome.TIMED_OUT if reason is Reason.NO_ANSWER else Outcome.FAILED)


@settings(max_examples=150)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda data: BOUND[:2] + data)))
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    async def attempt() -> None:
        with contextlib.suppress(Missed), said(data) as talk:
            (await read_message(talk, 2)).words()

    asyncio.run(attempt())


def test_filter_that_is_none_is_refused_at_load() -> None:
    params = {"host": "192.0.2.1", "search": {"base": "", "filter": "(&(a=b)(c=d))"}}
    probe = Probe(name="p", kind="ldap", service="s", every_seconds=9.0, timeout_seconds=1.0, params=params)
    assert [way for way, _ in faults(probe)] == [("params", "search", "filter")]
