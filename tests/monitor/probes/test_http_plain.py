"""http the quick way, without libcurl: every way in which an answer may end, be cut, be late or be nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Missed, Reason
from cemd.monitor.probes.engines.exchange import Call
from cemd.monitor.probes.engines.requests import Answer, Proxy, Request
from cemd.monitor.probes.tools import Tools
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitor.peers import look, tcp_server, tools, value
from tests.monitor.probes.test_http import certificate, context


@pytest.fixture
async def lent(tmp_path: Path) -> AsyncIterator[Tools]:
    async with tools(state=tmp_path) as made:
        yield made


def speaks(*parts: bytes, close: bool = True, pause: float = 0.02) -> Any:
    """A server that sends these bytes part by part, whatever it is asked."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        if not close:
            await reader.read()

    return talk


async def ask(lent: Tools, talk: Any, *, seconds: float = 5.0, **more: Any) -> Answer:
    async with tcp_server(talk) as port:
        return await lent.web.fetch(Request(url=f"http://127.0.0.1:{port}/", **more), seconds)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n5\r\n two2\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "status", "body"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"], 200, b"one"),
        ([CHUNKED], 200, b"one two2"),
        ([CHUNKED[at : at + 7] for at in range(0, len(CHUNKED), 7)], 200, b"one two2"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b""),
        ([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno"], 404, b"no"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], 200, b"ok"),
        ([b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"], 200, b"ok"),
        ([CHUNKED.replace(b"\r\n\r\n3", b"\r\nContent-Length: 99\r\n\r\n3  ", 1)], 200, b"one two2"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 More\r\n\r\n"], 200, b"ok"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok garbage"], 200, b"ok"),
    ],
    ids=[
        "length",
        "chunked",
        "in crumbs",
        "no body",
        "interim",
        "interim apart",
        "bare LF",
        "both",
        "two answers",
        "more behind",
    ],
)
async def test_answer_ends_where_its_message_ends(parts: list[bytes], status: int, body: bytes, lent: Tools) -> None:
    answer = await ask(lent, speaks(*parts, close=False))
    assert (answer.status, answer.body) == (status, body)


async def test_body_without_a_length_ends_with_the_connection(lent: Tools) -> None:
    answer = await ask(lent, speaks(b"HTTP/1.0 200 OK\r\nX-Node: east\r\n\r\nall", b" of it"))
    assert (answer.body, answer.headers) == (b"all of it", {"x-node": "east"})


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], Reason.CLOSED_EARLY),
        ([b"HTTP/1.1 200 OK\r\nContent-"], Reason.CLOSED_EARLY),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"], Reason.CLOSED_EARLY),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"], Reason.CLOSED_EARLY),
        ([b"SSH-2.0-OpenSSH_9.6\r\n"], Reason.PROTOCOL_BROKEN),
        ([b"HTTP/1.1 200 OK\r\n" + b"X-Pad: y\r\n" * 40_000], Reason.PROTOCOL_BROKEN),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x" * 2_000], Reason.ANSWER_TOO_LARGE),
    ],
    ids=["nothing", "half a header", "half a body", "no last chunk", "not HTTP", "endless header", "too large"],
)
async def test_what_is_wrong_is_told_by_its_reason(parts: list[bytes], reason: Reason, lent: Tools) -> None:
    with pytest.raises(Missed) as caught:
        await ask(lent, speaks(*parts), max_body_bytes=1_000)
    assert (caught.value.reason, caught.value.outcome) == (reason, Outcome.FAILED)


@pytest.mark.parametrize(
    ("parts", "words"), [([], "no answer"), ([b"HTTP/1.1 200 OK\r\n"], "no whole answer")], ids=["silent", "half"]
)
async def test_deadline_says_what_did_not_come(parts: list[bytes], words: str, lent: Tools) -> None:
    with pytest.raises(Missed) as caught:
        await ask(lent, speaks(*parts, close=False), seconds=0.2)
    assert (caught.value.reason, caught.value.outcome) == (Reason.NO_ANSWER, Outcome.TIMED_OUT)
    assert words in caught.value.detail


async def test_large_request_is_sent_as_fast_as_it_is_read(lent: Tools) -> None:
    body = b"0123456789" * 500_000

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)
        got = await reader.readexactly(len(body))
        right = got == body and b"Content-Type: application/x-www-form-urlencoded" in head
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % (200 if right else 400))

    assert (await ask(lent, talk, method="POST", body=body)).status == 200


async def test_large_answer_is_read_to_its_end_and_others_have_their_turn_meanwhile(lent: Tools) -> None:
    body = b"0123456789" * 1_000_000
    turns = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turns
        await reader.read(10_000)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(body)
        while turns < 10_000:
            turns += 1
            await asyncio.sleep(0)

    answer = await ask(lent, talk, max_body_bytes=len(body))
    assert answer.body == body
    assert turns > 3


async def test_server_that_speaks_before_it_is_asked_is_heard(lent: Tools) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Full\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    assert (await ask(lent, talk)).status == 503


@pytest.mark.parametrize(
    ("url", "more", "line"),
    [
        ("http://a.example", {}, b"GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: cemd\r\nAccept: */*\r\n\r\n"),
        ("http://a.example:80/x?y=1#z", {}, b"GET /x?y=1 HTTP/1.1\r\nHost: a.example\r\n"),
        ("https://[2001:db8::1]:8443/", {}, b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n"),
        (
            "http://a.example/",
            {"headers": {"host": "b", "accept": "", "X": "1"}},
            b"User-Agent: cemd\r\nhost: b\r\nX: 1",
        ),
        ("http://a.example/", {"method": "PUT"}, b"Content-Length: 0\r\n\r\n"),
    ],
    ids=["bare", "path and query", "address and port", "own fields", "no body"],
)
def test_request_is_written_as_any_client_would(url: str, more: dict[str, Any], line: bytes) -> None:
    assert line in Call(Request(url=url, **more), "192.0.2.1").message


@pytest.mark.parametrize(
    "more",
    [
        {"http2": True},
        {"method": "HEAD"},
        {"proxy": Proxy(url="http://192.0.2.9:3128")},
        {"post_quantum": True},
        {"url": "http://a.example/ü"},
        {"url": "http://a.example/a/../b"},
        {"headers": {"X": "a\r\nY: b"}},
    ],
    ids=["http2", "head", "proxy", "post-quantum", "beyond ASCII", "dots", "line breaks"],
)
def test_what_is_not_plain_goes_by_libcurl(more: dict[str, Any]) -> None:
    assert not Request(**{"url": "http://a.example/", **more}).plain


async def test_secure_exchange_times_its_phases_and_reads_the_end_each_time(lent: Tools, tmp_path: Path) -> None:
    files = certificate(tmp_path, days=20)
    talk = speaks(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", close=False)
    async with tcp_server(talk, ssl_context=context(files)) as port:
        params = {"url": f"https://localhost:{port}/", "ca_file": str(files[0])}
        for _ in range(2):
            result = await look(lent, "http", params)
            assert result.outcome is Outcome.OK, result.detail
            assert value(result, "certificate_expiry_days") == pytest.approx(20, abs=0.1)
            phases = ("name", "connect", "tls", "first_byte")
            spent = sum(value(result, f"{phase}_seconds") for phase in phases)
            assert 0 < value(result, "tls_seconds") < spent <= value(result, "response_seconds")


async def test_connection_cut_within_the_answer_is_closed_early_also_under_tls(lent: Tools, tmp_path: Path) -> None:
    files = certificate(tmp_path, days=20)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort")
        await writer.drain()
        writer.transport.abort()

    async with tcp_server(talk, ssl_context=context(files)) as port:
        params = {"url": f"https://localhost:{port}/", "ca_file": str(files[0])}
        result = await look(lent, "http", params)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.CLOSED_EARLY)


PIECES = [b"HTTP/1.1 200 OK\r\n", b"Content-Length: 5\r\n", b"\r\n", b"hello", b"HTTP/1.1 101 S\r\n"]
TOLD = {Reason.ANSWERED, Reason.STATUS_UNEXPECTED, Reason.CLOSED_EARLY, Reason.PROTOCOL_BROKEN}


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.one_of(st.binary(max_size=80), st.sampled_from(PIECES)), max_size=6))
async def test_no_bytes_of_a_server_break_the_reader(parts: list[bytes]) -> None:
    async with tools() as made, tcp_server(speaks(*parts, pause=0.0)) as port:
        result = await look(made, "http", {"url": f"http://127.0.0.1:{port}/"})
    assert result.reason in TOLD, result.detail
