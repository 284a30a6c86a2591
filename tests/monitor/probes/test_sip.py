"""sip: kamailio asks for credentials, SIPp takes calls; one of ours that loses, lies and keeps silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.engines.sip_agent import Identity, _parse, credentials
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import program
from tests.monitor import peers
from tests.monitor.peers import complaints, look, tcp_server, tools, value
from tests.monitor.probes.contract import SECRET, Contract
from tests.monitor.programs import free_udp_port, started


def response(request: bytes, code: int, *, tag: str = "far", more: str = "") -> bytes:
    """An answer with the request's own headers."""
    kept = [
        line
        for line in request.decode().split("\r\n")
        if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")
    ]
    head = "\r\n".join(f"{line};tag={tag}" if line.startswith("To:") and "tag=" not in line else line for line in kept)
    return f"SIP/2.0 {code} Because\r\n{head}\r\n{more}Content-Length: 0\r\n\r\n".encode()


@dataclass
class Phone(asyncio.DatagramProtocol):
    """Answers each method with these codes, in turn; remembers what it was asked."""

    codes: dict[str, list[int]] = field(default_factory=dict)
    lose: int = 0
    lose_cancels: int = 0
    more: str = ""
    twist: Callable[[bytes], bytes] = lambda data: data
    heard: list[str] = field(default_factory=list)
    invite: bytes = b""
    sender: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        method = data.split(b" ", 1)[0].decode()
        self.heard.append(method)
        self.sender = addr
        if len(self.heard) <= self.lose or (method == "CANCEL" and self.heard.count(method) <= self.lose_cancels):
            return
        if method == "INVITE":
            self.invite = data
        for code in self.codes.get(method, []):
            self.transport.sendto(self.twist(response(data, code, more=self.more)), addr)
        if method == "CANCEL":
            self.transport.sendto(response(data, 200), addr)
            self.transport.sendto(response(self.invite, 487), addr)


@contextlib.asynccontextmanager
async def phone(*, address: str = "127.0.0.1", **given_: Any) -> AsyncIterator[tuple[Phone, dict[str, Any]]]:
    made = Phone(**given_)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: made, local_addr=(address, 0))
    try:
        yield made, {"host": address, "port": transport.get_extra_info("sockname")[1]}
    finally:
        transport.close()


async def contract(stack: contextlib.AsyncExitStack, secret_file: str) -> Contract:
    _, good = await stack.enter_async_context(phone(codes={"OPTIONS": [200]}))
    asking = f'WWW-Authenticate: Digest realm="{SECRET[:4]}", nonce="1"\r\n'
    _, bad = await stack.enter_async_context(phone(codes={"REGISTER": [401]}, more=asking))
    _, mute = await stack.enter_async_context(phone(codes={"INVITE": [100]}))
    return Contract(
        good=good,
        failing={**bad, "method": "register", "password_file": secret_file},
        hanging={**mute, "method": "invite", "call": "4711"},
    )


# real servers

_KAMAILIO = """
children=1
tcp_children=1
log_stderror=yes
disable_tcp=no
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "auth.so"
modparam("auth", "nonce_expire", 60)
modparam("auth", "algorithm", "{algorithm}")
modparam("auth", "qop", "auth")
request_route {{
    if (method == "REGISTER") {{
        if (!pv_www_authenticate("example.net", "{password}", "0")) {{
            www_challenge("example.net", "1");
            exit;
        }}
    }}
    sl_send_reply("200", "OK");
    exit;
}}
"""


@contextlib.asynccontextmanager
async def kamailio(folder: Path, algorithm: str = "MD5") -> AsyncIterator[dict[str, Any]]:
    path = program("kamailio")
    assert path is not None
    port = free_udp_port()
    conf = folder / "kamailio.cfg"
    conf.write_text(_KAMAILIO.format(port=port, password=SECRET, algorithm=algorithm))
    async with started(path, "-DD", "-f", str(conf), "-m", "16", "-M", "4", "-Y", str(folder), "-w", str(folder)):
        await accepting(port)
        yield {"host": "127.0.0.1", "port": port}


async def accepting(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return


@pytest.mark.needs("kamailio")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_kamailio_answers_options_and_lets_the_test_user_in(
    tmp_path: Path, transport: str, algorithm: str
) -> None:
    for name, text in (("right", SECRET), ("wrong", "another-4711")):
        (tmp_path / name).write_text(text)
    async with kamailio(tmp_path, algorithm) as port, tools() as made:
        peer = {**port, "transport": transport}
        options = await look(made, "sip", peer)
        user = {**peer, "method": "register", "user": "probe", "domain": "example.net"}
        right = await look(made, "sip", {**user, "password_file": str(tmp_path / "right")})
        wrong = await look(made, "sip", {**user, "password_file": str(tmp_path / "wrong")})
        bare = await look(made, "sip", user)
    assert options.reason is Reason.ANSWERED, options.detail
    assert right.reason is Reason.ANSWERED, right.detail
    assert value(right, "response_code") == 200
    assert (wrong.outcome, wrong.reason) == (Outcome.FAILED, Reason.NOT_AUTHENTICATED)
    assert (bare.outcome, bare.reason) == (Outcome.FAILED, Reason.NOT_AUTHENTICATED)


@pytest.mark.needs("sipp")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_call_is_answered_and_hung_up(tmp_path: Path, transport: str) -> None:
    path = program("sipp")
    assert path is not None
    port = free_udp_port()
    mode = "u1" if transport == "udp" else "t1"
    arguments = ("-sn", "uas", "-i", "127.0.0.1", "-p", str(port), "-t", mode, "-m", "1", "-nostdin", "-trace_stat")
    statistics = ("-stf", str(tmp_path / "calls.csv"), "-fd", "1")
    async with started(path, *arguments, *statistics), tools() as made:
        call = {"host": "127.0.0.1", "port": port, "transport": transport, "method": "invite", "call": "4711"}
        async with asyncio.timeout(60):
            while True:
                result = await look(made, "sip", {**call, "until": "answered"})
                if result.reason is not Reason.REFUSED:
                    break
                await asyncio.sleep(0.05)
    assert result.reason is Reason.ANSWERED, result.detail
    dial, up = value(result, "post_dial_seconds"), value(result, "answer_seconds")
    assert 0 < dial <= up
    assert value(result, "disconnect_seconds") > 0


# ours


async def test_call_that_rings_is_taken_back_and_confirmed() -> None:
    async with phone(codes={"INVITE": [100, 180]}) as (made_phone, port), tools() as made:
        result = await look(made, "sip", {**port, "method": "invite", "call": "4711"})
        await asyncio.sleep(0.05)
    assert result.reason is Reason.ANSWERED, result.detail
    assert value(result, "post_dial_seconds") > 0
    assert made_phone.heard == ["INVITE", "CANCEL", "ACK"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_far_end_is_told_where_it_reaches_us(address: str) -> None:
    async with phone(codes={"INVITE": [100, 180]}, address=address) as (made_phone, port), tools() as made:
        result = await look(made, "sip", {**port, "method": "invite", "call": "4711"})
    assert result.reason is Reason.ANSWERED, result.detail
    shown = f"[{address}]" if ":" in address else address
    head, _, body = made_phone.invite.decode().partition("\r\n\r\n")
    [contact] = [line for line in head.split("\r\n") if line.startswith("Contact:")]
    assert contact == f"Contact: <sip:cemd@{shown}:{made_phone.sender[1]}>"
    assert f"Via: SIP/2.0/UDP {shown}:{made_phone.sender[1]};" in head
    assert f"c=IN IP{'6' if ':' in address else '4'} {address}\r\n" in body


async def test_call_is_taken_back_though_the_first_word_for_it_is_lost() -> None:
    async with phone(codes={"INVITE": [100, 180]}, lose_cancels=1) as (made_phone, port), tools() as made:
        result = await look(made, "sip", {**port, "method": "invite", "call": "4711"})
        await asyncio.sleep(0.05)
    assert result.reason is Reason.ANSWERED, result.detail
    assert made_phone.heard == ["INVITE", "CANCEL", "CANCEL", "ACK"]


async def test_call_that_never_rings_is_taken_back_at_the_deadline() -> None:
    async with phone(codes={"INVITE": [100]}) as (made_phone, port), tools() as made:
        result = await look(made, "sip", {**port, "method": "invite", "call": "4711"}, seconds=0.4)
        await asyncio.sleep(0.05)
    assert result.outcome is Outcome.TIMED_OUT
    assert made_phone.heard == ["INVITE", "CANCEL"]


async def test_refused_call_is_confirmed_and_said() -> None:
    async with phone(codes={"INVITE": [486]}) as (made_phone, port), tools() as made:
        call = {**port, "method": "invite", "call": "4711"}
        busy = await look(made, "sip", call)
        wanted = await look(made, "sip", {**call, "status": [486]})
        await asyncio.sleep(0.05)
    assert (busy.outcome, busy.reason) == (Outcome.FAILED, Reason.STATUS_UNEXPECTED)
    assert value(busy, "response_code") == 486
    assert wanted.outcome is Outcome.OK
    assert made_phone.heard == ["INVITE", "ACK"] * 2


async def test_registration_is_taken_back() -> None:
    async with phone(codes={"REGISTER": [200]}) as (made_phone, port), tools() as made:
        result = await look(made, "sip", {**port, "method": "register", "bind_seconds": 60})
    assert result.outcome is Outcome.OK
    assert made_phone.heard == ["REGISTER", "REGISTER"]


async def test_lost_request_is_sent_again() -> None:
    async with phone(codes={"OPTIONS": [200]}, lose=1) as (made_phone, port), tools() as made:
        result = await look(made, "sip", port)
    assert result.outcome is Outcome.OK
    assert len(made_phone.heard) == 2


@pytest.mark.parametrize(
    "twist",
    [
        lambda _: b"\xff" * 40,
        lambda data: data.replace(b"branch=z9", b"branch=z8"),
        lambda data: data.replace(b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE"),
        lambda data: data[:40],
    ],
    ids=["noise", "branch", "method", "cut"],
)
async def test_what_answers_nothing_is_waited_past(twist: Callable[[bytes], bytes]) -> None:
    async with phone(codes={"OPTIONS": [200]}, twist=twist) as (_, port), tools() as made:
        result = await look(made, "sip", port, seconds=0.4)
    assert result.outcome is Outcome.TIMED_OUT


async def test_stream_without_end_is_cut() -> None:
    async with tcp_server(peers.babble) as port, tools() as made:
        result = await look(made, "sip", {"host": "127.0.0.1", "port": port, "transport": "tcp"})
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.ANSWER_TOO_LARGE)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    assert _parse(b"SIP/2.0 " + data) is None or data
    _parse(data)


def test_digest_is_that_of_the_standard() -> None:
    """Source: RFC 7616, section 3.9.1."""
    challenge = {
        "realm": "http-auth@example.org",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "qop": "auth, auth-int",
        "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    }
    who = Identity(uri="", user="Mufasa", password="Circle of Life")
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    for algorithm, proof in (
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ):
        said = credentials({**challenge, "algorithm": algorithm}, who, "GET", "/dir/index.html", cnonce=cnonce)
        assert f'response="{proof}"' in said


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"method": "invite"}, "which needs it"),
        ({"call": "4711"}, "belongs to method invite"),
        ({"bind_seconds": 60}, "belongs to method register"),
        ({"method": "invite", "call": "a b"}, "pattern"),
    ],
)
def test_absurd_parameters_are_refused_with_a_remedy(params: dict[str, Any], words: str) -> None:
    assert words in complaints("sip", {"host": "192.0.2.1", **params})
