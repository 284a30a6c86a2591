"""radius: FreeRADIUS as the peer; and one of ours that keeps silent, forges and loses."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.radius import _dictionary, _read
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import program
from tests.monitor.peers import complaints, look, tools, value
from tests.monitor.probes.contract import SECRET, Contract
from tests.monitor.programs import free_udp_port, started

ACCEPT, REJECT, ACCOUNTED, CHALLENGE = 2, 3, 5, 11


def answer(request: bytes, code: int, secret: bytes = SECRET.encode(), attributes: bytes = b"") -> bytes:
    """A response as RFC 2865, section 3 has it."""
    head = bytes((code, request[1])) + (20 + len(attributes)).to_bytes(2, "big")
    return head + hashlib.md5(head + request[4:20] + attributes + secret).digest() + attributes  # noqa: S324 -- the protocol has no other


class Server(asyncio.DatagramProtocol):
    """Answers by `reply`; remembers what came."""

    def __init__(self, reply: Callable[[bytes], bytes | None]) -> None:
        self.reply = reply
        self.heard: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.append(data)
        if (told := self.reply(data)) is not None:
            self.transport.sendto(told, addr)


@contextlib.asynccontextmanager
async def server(reply: Callable[[bytes], bytes | None]) -> AsyncIterator[tuple[Server, dict[str, Any]]]:
    made = Server(reply)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: made, local_addr=("127.0.0.1", 0))
    try:
        yield made, {"host": "127.0.0.1", "port": transport.get_extra_info("sockname")[1], "resend_seconds": 0.1}
    finally:
        transport.close()


async def contract(stack: contextlib.AsyncExitStack, secret_file: str) -> Contract:
    _, good = await stack.enter_async_context(server(lambda data: answer(data, ACCEPT)))
    _, bad = await stack.enter_async_context(server(lambda data: answer(data, REJECT)))
    _, mute = await stack.enter_async_context(server(lambda _: None))
    who = {"user": "probe", "secret_file": secret_file, "password_file": secret_file}
    return Contract(good={**good, **who}, failing={**bad, **who}, hanging={**mute, **who})


@pytest.fixture
def who(tmp_path: Path) -> dict[str, Any]:
    for name, text in (("secret", SECRET), ("password", "let-me-in-4711"), ("other", "another-4711")):
        (tmp_path / name).write_text(text + "\n")
    return {"user": "probe", "secret_file": str(tmp_path / "secret"), "password_file": str(tmp_path / "password")}


# FreeRADIUS

_RADIUSD = """
prefix = /usr
libdir = /usr/lib/freeradius
logdir = {folder}
run_dir = {folder}
raddbdir = {folder}
pidfile = {folder}/radiusd.pid
security {{
  allow_core_dumps = no
  reject_delay = 0
}}
client here {{
  ipaddr = 127.0.0.1
  secret = {secret}
}}
modules {{
  pap {{
  }}
  chap {{
  }}
  files {{
    filename = {folder}/users
  }}
  detail {{
    filename = {folder}/detail
  }}
}}
server default {{
  listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = {access}
  }}
  listen {{
    type = acct
    ipaddr = 127.0.0.1
    port = {accounting}
  }}
  authorize {{
    chap
    files
    pap
  }}
  authenticate {{
    Auth-Type PAP {{
      pap
    }}
    Auth-Type CHAP {{
      chap
    }}
  }}
  accounting {{
    detail
  }}
}}
"""
_USERS = 'locked Auth-Type := Reject\n    Reply-Message = "Your account is locked"\n'
_USERS += 'probe Cleartext-Password := "let-me-in-4711"\n    Framed-Pool = "residential", Session-Timeout = 600\n'


@contextlib.asynccontextmanager
async def freeradius(folder: Path) -> AsyncIterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Parameters towards its access and its accounting port."""
    path = program("freeradius")
    assert path is not None
    access, accounting = free_udp_port(), free_udp_port()
    text = _RADIUSD.format(folder=folder, secret=SECRET, access=access, accounting=accounting)
    for name, content in (("radiusd.conf", text), ("users", _USERS), ("dictionary", "")):
        (folder / name).write_text(content)
    async with started(path, "-f", "-d", str(folder), "-l", str(folder / "log")):
        await listening(access)
        yield {"host": "127.0.0.1", "port": access}, {"host": "127.0.0.1", "port": accounting}


async def listening(port: int) -> None:
    """Waits until a datagram to the port is not refused any more."""
    async with asyncio.timeout(60):
        while True:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
                door.connect(("127.0.0.1", port))
                door.send(b"?")
                await asyncio.sleep(0.05)
                try:
                    door.send(b"?")
                    return
                except ConnectionRefusedError:
                    continue


@pytest.mark.needs("freeradius")
@pytest.mark.parametrize("method", ["pap", "chap"])
async def test_test_user_gets_in_and_a_stranger_does_not(tmp_path: Path, who: dict[str, Any], method: str) -> None:
    async with freeradius(tmp_path) as (access, _), tools() as made:
        login = {**access, **who, "method": method}
        good = await look(made, "radius", {**login, "reply": {"Framed-Pool": "residential", "Session-Timeout": 600}})
        other = await look(made, "radius", {**login, "reply": {"Framed-Pool": "business"}})
        wrong = await look(made, "radius", {**login, "password_file": str(tmp_path / "other")})
        kept_out = await look(made, "radius", {**login, "user": "stranger", "expect": "reject"})
        locked = await look(made, "radius", {**login, "user": "locked"})
    assert good.reason is Reason.ANSWERED, good.detail
    assert 0 < value(good, "response_seconds") < 5
    assert (other.outcome, other.reason) == (Outcome.FAILED, Reason.ANSWER_UNEXPECTED)
    assert (wrong.outcome, wrong.reason) == (Outcome.FAILED, Reason.STATUS_UNEXPECTED)
    assert kept_out.reason is Reason.ANSWERED
    assert locked.detail == "the server answered reject, not accept ('Your account is locked')."
    assert other.detail == "the answer's Framed-Pool is 'residential', not 'business'."


@pytest.mark.needs("freeradius")
@pytest.mark.parametrize("mode", ["access", "accounting"])
async def test_silence_says_that_the_secret_may_differ(tmp_path: Path, who: dict[str, Any], mode: str) -> None:
    """FreeRADIUS drops what was made with another secret without a word."""
    who["secret_file"] = str(tmp_path / "other")
    if mode == "accounting":
        del who["password_file"]
    async with freeradius(tmp_path) as ports, tools() as made:
        peer = ports[mode == "accounting"]
        result = await look(made, "radius", {**peer, **who, "mode": mode}, seconds=0.5)
    assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, Reason.NO_ANSWER)
    assert "silent as well where its shared secret is not that of secret_file" in result.detail


@pytest.mark.needs("freeradius")
async def test_session_is_booked_and_closed(tmp_path: Path, who: dict[str, Any]) -> None:
    del who["password_file"]
    async with freeradius(tmp_path) as (_, accounting), tools() as made:
        result = await look(made, "radius", {**accounting, **who, "mode": "accounting"}, run="run-4711")
    assert result.reason is Reason.ANSWERED, result.detail
    assert value(result, "stop_seconds") > 0
    booked = (tmp_path / "detail").read_text()
    assert booked.count('Acct-Session-Id = "run-4711"') == 2
    assert booked.index("Start") < booked.index("Stop")


# ours


async def test_another_secret_is_told_from_silence(tmp_path: Path, who: dict[str, Any]) -> None:
    async with server(lambda data: answer(data, ACCEPT, b"another")) as (_, peer), tools() as made:
        result = await look(made, "radius", {**peer, **who})
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.NOT_AUTHENTICATED)


async def test_another_secret_is_told_also_where_nothing_would_be_sent_again(who: dict[str, Any]) -> None:
    async with server(lambda data: answer(data, ACCEPT, b"another")) as (_, peer), tools() as made:
        result = await look(made, "radius", {**peer, **who, "resend_seconds": 60}, seconds=0.5)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.NOT_AUTHENTICATED)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        (b"\x12\x09gesperr\x12\x04t!", "('gesperr t!')."),
        (b"\x12\x08f\xfcr D", "('f\ufffdr D')."),
        (b"\x12\x10let-me-in-4711", "('[hidden]')."),
        (b"\x12\x02", "not accept."),
    ],
    ids=["two", "no UTF-8", "the password", "empty"],
)
async def test_what_a_server_says_of_a_reject_is_told(attributes: bytes, words: str, who: dict[str, Any]) -> None:
    def reject(data: bytes) -> bytes:
        return answer(data, REJECT, attributes=attributes)

    async with server(reject) as (_, peer), tools() as made:
        result = await look(made, "radius", {**peer, **who})
    assert result.reason is Reason.STATUS_UNEXPECTED
    assert result.detail.endswith(words)


async def test_lost_request_is_sent_again_and_the_same(who: dict[str, Any]) -> None:
    counted: list[int] = []

    def third(data: bytes) -> bytes | None:
        counted.append(1)
        return answer(data, ACCEPT) if len(counted) == 3 else None

    async with server(third) as (made_server, peer), tools() as made:
        result = await look(made, "radius", {**peer, **who})
    assert result.outcome is Outcome.OK
    assert len(set(made_server.heard)) == 1


async def test_answer_without_message_authenticator_is_refused_where_it_is_required(who: dict[str, Any]) -> None:
    async with server(lambda data: answer(data, ACCEPT)) as (_, peer), tools() as made:
        result = await look(made, "radius", {**peer, **who, "require_message_authenticator": True})
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.NOT_AUTHENTICATED)


async def test_start_without_answer_is_stopped_all_the_same(who: dict[str, Any]) -> None:
    del who["password_file"]
    async with server(lambda _: None) as (made_server, peer), tools() as made:
        result = await look(made, "radius", {**peer, **who, "mode": "accounting"}, seconds=0.3)
        await asyncio.sleep(0.05)
    assert result.outcome is Outcome.TIMED_OUT
    status = [data[data.index(bytes((40, 6, 0, 0, 0))) + 5] for data in made_server.heard]
    assert status[0] == 1
    assert status[-1] == 2


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    from pyrad.packet import AuthPacket

    request = AuthPacket(secret=b"s", dict=_dictionary(), id=7)
    request.authenticator = bytes(16)
    assert _read(request, data, enforce=False) is None
    assert _read(request, bytes((ACCEPT, 7)) + data, enforce=True) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"attributes": {"User-Password": "x"}}, "is no attribute that can be given"),
        ({"attributes": {"Session-Timeout": "x"}}, "takes a number"),
        ({"mode": "accounting"}, "belongs to mode access"),
        ({"password_file": None}, "`password_file` is missing: who logs in needs a password"),
    ],
)
def test_absurd_parameters_are_refused_with_a_remedy(who: dict[str, Any], change: dict[str, Any], words: str) -> None:
    assert words in complaints("radius", {"host": "192.0.2.1", **who, **change})
