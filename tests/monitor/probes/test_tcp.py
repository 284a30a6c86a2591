"""tcp: connections that are refused, silent, cut short or babbled full."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Missed, Reason
from cemd.monitor.probes.engines.starttls import PRELUDES, Security
from cemd.monitor.probes.engines.trust import Trust
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitor import peers
from tests.monitor.peers import complaints, look, said, tcp_server, tools, value
from tests.monitor.probes.contract import Contract
from tests.monitor.probes.test_http import certificate, context


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
        monkeypatch.setattr(socket, "SocketType", none_left)
        result = await look(made, "tcp", {"host": "127.0.0.1", "port": 80})
        monkeypatch.undo()
    assert (result.outcome, result.reason) == (Outcome.BLIND, Reason.NO_RESOURCES)


# dialogues


async def counter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greets, then answers each line with its number; `quit` ends."""
    writer.write(b"220 ready\r\n")
    number = 0
    while line := await reader.readline():
        number += 1
        writer.write(b"500 no\r\n" if b"bad" in line else b"%d %s" % (200 + number, line))
        if b"quit" in line:
            return


DIALOGUE = [
    {"name": "greeting", "expect": "^220"},
    {"name": "first", "send": "hello {word}\r\n", "expect": r"201 hello \S+\r\n"},
    {"send_hex": "62 79 650d0a", "expect": "202 bye"},
]


async def test_dialogue_is_held_turn_by_turn_and_each_is_timed(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("open-sesame\n")
    params = {"dialogue": DIALOGUE, "secret_files": {"word": str(tmp_path / "word")}}
    async with tcp_server(counter) as port, tools() as made:
        result = await look(made, "tcp", {"host": "127.0.0.1", "port": port, **params})
    assert result.reason is Reason.ANSWERED, result.detail
    turns = [reading.labels for reading in result.readings if reading.metric == "turn_seconds"]
    assert turns == [(("turn", "greeting"),), (("turn", "first"),), (("turn", "3"),)]
    spoken = sum(reading.value for reading in result.readings if reading.metric == "turn_seconds")
    assert value(result, "answer_seconds") == pytest.approx(spoken, abs=0.01)
    assert 0.0 < value(result, "handshake_round_trip_seconds") < 1.0


async def test_rejected_answer_ends_at_once_and_shows_no_secret(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("bad-sesame")
    turns = [{"send": "login {word}\r\n", "expect": "^2.. login", "reject": r"(?m)^[45]\d\d.*"}]
    params = {"dialogue": turns, "secret_files": {"word": str(tmp_path / "word")}}
    async with tcp_server(counter) as port, tools() as made:
        result = await look(made, "tcp", {"host": "127.0.0.1", "port": port, **params})
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.ANSWER_UNEXPECTED)
    assert "500 no" in result.detail
    assert value(result, "connect_seconds") > 0


async def test_secret_that_the_peer_repeats_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("bad4711xyz")
    turns = [{"send": "{word}", "expect": "never", "reject": "said.*"}]
    params = {"dialogue": turns, "secret_files": {"word": str(tmp_path / "word")}}
    async with tcp_server(peers.echo) as port, tools() as made:
        result = await look(made, "tcp", {"host": "127.0.0.1", "port": port, **params})
    assert "said" in result.detail
    assert "bad4711xyz" not in result.detail


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"dialogue": [{"name": "x"}]}, "a turn needs `send`, `send_hex` or `expect`"),
        ({"dialogue": [{"send": "a", "send_hex": "00"}]}, "exclude each other"),
        ({"dialogue": [{"send": "a", "reject": "b"}]}, "`reject` needs `expect`"),
        ({"dialogue": [{"expect": "("}]}, "is no regular expression"),
        ({"dialogue": [{"send": "{pin}"}]}, "turn 1: {pin} is not in secret_files"),
        ({"dialogue": [{"expect": "a"}], "expect": "b"}, "exclude each other"),
        ({"ca_file": "/x"}, "need `tls`"),
        ({"tls": "starttls"}, "Input should be"),
    ],
)
def test_absurd_dialogues_are_refused_at_load(params: dict[str, Any], words: str) -> None:
    assert words in complaints("tcp", {"host": "192.0.2.1", "port": 1, **params})


# TLS


Script = list[bytes | re.Pattern[bytes]]
SCRIPTS: dict[str, Script] = {
    "smtp": [
        b"220-hi\r\n220 mx\r\n",
        re.compile(b"EHLO .*\n"),
        b"250-mx\r\n250-STARTTLS\r\n250 HELP\r\n",
        re.compile(b"STARTTLS\r\n"),
        b"220 go\r\n",
    ],
    "ftp": [b"220 ftp\r\n", re.compile(b"AUTH TLS\r\n"), b"234 go\r\n"],
    "nntp": [b"200 news\r\n", re.compile(b"STARTTLS\r\n"), b"382 go\r\n"],
    "imap": [
        b"* OK hi\r\n",
        re.compile(b"a1 CAPABILITY\r\n"),
        b"* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK done\r\n",
        re.compile(b"a2 STARTTLS\r\n"),
        b"a2 OK go\r\n",
    ],
    "pop3": [
        b"+OK hi\r\n",
        re.compile(b"CAPA\r\n"),
        b"+OK list\r\nUSER\r\nSTLS\r\n.\r\n",
        re.compile(b"STLS\r\n"),
        b"+OK go\r\n",
    ],
    "sieve": [b'"SIEVE" "fileinto"\r\n"STARTTLS"\r\nOK "hi"\r\n', re.compile(b"STARTTLS\r\n"), b'OK "go"\r\n'],
    "ldap": [re.compile(b"1.3.6.1.4.1.1466.20037"), bytes.fromhex("300c02010178070a010004000400")],
    "postgres": [re.compile(b"\x00\x00\x00\x08\x04\xd2\x16\x2f"), b"S"],
    "xmpp": [
        re.compile(b"<stream:stream to='localhost'.*>"),
        b"<stream:stream><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
        re.compile(b"<starttls .*/>"),
        b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    ],
    "direct": [],
}
REFUSALS: dict[str, Script] = {
    "smtp": [b"220 mx\r\n", re.compile(b"EHLO .*\n"), b"250-mx\r\n250 HELP\r\n"],
    "ftp": [b"220 ftp\r\n", re.compile(b"AUTH TLS\r\n"), b"500 what\r\n"],
    "nntp": [b"200 news\r\n", re.compile(b"STARTTLS\r\n"), b"580 no\r\n"],
    "imap": [b"* OK hi\r\n", re.compile(b"a1 CAPABILITY\r\n"), b"* CAPABILITY IMAP4rev1\r\na1 OK done\r\n"],
    "pop3": [b"+OK hi\r\n", re.compile(b"CAPA\r\n"), b"+OK list\r\nUSER\r\n.\r\n"],
    "sieve": [b'"SIEVE" "fileinto"\r\nOK "hi"\r\n'],
    "ldap": [re.compile(b"1.3.6.1.4.1.1466.20037"), bytes.fromhex("300c02010178070a010204000400")],
    "postgres": [re.compile(b"\x00\x00\x00\x08\x04\xd2\x16\x2f"), b"N"],
    "mysql": [bytes.fromhex("2f000000") + b"\x0a8.0\0" + bytes(12) + b"\0\xff\xf7" + bytes(27)],
    "xmpp": [re.compile(b"<stream:stream.*>"), b"<stream:stream><stream:features></stream:features>"],
}


def scripted(script: Script, secure: ssl.SSLContext | None) -> Any:
    """A server that says and hears its script, then speaks TLS and answers as `echo`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = b""
        for part in script:
            if isinstance(part, bytes):
                writer.write(part)
                continue
            while not (found := part.search(heard)):
                if not (data := await reader.read(4096)):
                    return
                heard += data
            heard = heard[found.end() :]
        if secure is not None:
            await writer.start_tls(secure)
            writer.write(b"you said " + await reader.read(4096))
            await writer.drain()
        await reader.read(-1)

    return serve


@pytest.mark.parametrize("protocol", sorted(SCRIPTS))
async def test_tls_begins_after_the_word_of_each_protocol(protocol: str, tmp_path: Path) -> None:
    files = certificate(tmp_path, days=20)
    params = {"tls": protocol, "ca_file": str(files[0]), "tls_name": "localhost", "send": "hello", "expect": "you said"}
    async with tcp_server(scripted(SCRIPTS[protocol], context(files))) as port, tools() as made:
        result = await look(made, "tcp", {"host": "127.0.0.1", "port": port, **params})
    assert result.reason is Reason.ANSWERED, result.detail
    assert value(result, "certificate_expiry_days") == pytest.approx(20, abs=0.1)
    assert value(result, "tls_seconds") > 0
    assert any(reading.metric == "starttls_seconds" for reading in result.readings) is (protocol != "direct")


async def test_tls_of_mysql_begins_without_an_answer(tmp_path: Path) -> None:
    """Its client goes on with TLS at once, so this server takes no byte more than it must before it does too."""
    files = certificate(tmp_path, days=20)
    secure = context(files)

    def serve(listener: socket.socket) -> bytes:
        door, _ = listener.accept()
        with door:
            door.sendall(bytes.fromhex("2f000000") + b"\x0a8.0\0" + bytes(12) + b"\0\xff\xff" + bytes(27))
            wish = door.recv(36, socket.MSG_WAITALL)
            with secure.wrap_socket(door, server_side=True):
                return wish

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        serving = asyncio.create_task(asyncio.to_thread(serve, listener))
        params = {"tls": "mysql", "ca_file": str(files[0]), "tls_name": "localhost"}
        async with tools() as made:
            port = listener.getsockname()[1]
            result = await look(made, "tcp", {"host": "127.0.0.1", "port": port, **params})
        wish = await serving
    assert result.reason is Reason.ANSWERED, result.detail
    assert wish[:4] == b"\x20\x00\x00\x01"
    assert int.from_bytes(wish[4:8], "little") & 0x0800, "the flag that asks for TLS"


@pytest.mark.parametrize("protocol", sorted(REFUSALS))
async def test_server_that_offers_no_tls_is_found(protocol: str, tmp_path: Path) -> None:
    files = certificate(tmp_path, days=20)
    params = {"tls": protocol, "ca_file": str(files[0]), "tls_name": "localhost"}
    async with tcp_server(scripted(REFUSALS[protocol], None)) as port, tools() as made:
        result = await look(made, "tcp", {"host": "127.0.0.1", "port": port, **params})
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.TLS_NOT_OFFERED), result.detail


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"tls_name": "other.example"}, Reason.CERTIFICATE_INVALID),
        ({"tls_name": "localhost", "certificate_days": 30.0}, Reason.CERTIFICATE_INVALID),
        ({"tls_name": "localhost", "ca_file": "/nowhere/ca.pem"}, Reason.NO_TRUST),
    ],
)
async def test_certificate_is_verified(params: dict[str, Any], reason: Reason, tmp_path: Path) -> None:
    files = certificate(tmp_path, days=20)
    given = {"tls": "direct", "ca_file": str(files[0]), **params}
    async with tcp_server(scripted([], context(files))) as port, tools() as made:
        result = await look(made, "tcp", {"host": "127.0.0.1", "port": port, **given})
    assert result.reason is reason, result.detail
    assert (result.outcome is Outcome.BLIND) is (reason is Reason.NO_TRUST)


async def test_words_in_clear_behind_the_start_of_tls_are_refused(tmp_path: Path) -> None:
    files = certificate(tmp_path, days=20)
    params = {"tls": "smtp", "ca_file": str(files[0]), "tls_name": "localhost"}
    script = [*SCRIPTS["smtp"][:-1], b"220 go\r\n250 injected\r\n"]
    async with tcp_server(scripted(script, None)) as port, tools() as made:
        result = await look(made, "tcp", {"host": "127.0.0.1", "port": port, **params})
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.PROTOCOL_BROKEN)


async def test_context_is_made_once_a_trust_set(tmp_path: Path) -> None:
    files = certificate(tmp_path, days=20)
    trust = Trust()
    first = trust.context(str(files[0]))
    assert trust.context(str(files[0])) is first
    os.utime(files[0], (1, 1))
    assert trust.context(str(files[0])) is not first


@settings(max_examples=60)
@given(data=st.binary(max_size=300), protocol=st.sampled_from(sorted(map(str, PRELUDES))))
def test_no_bytes_of_a_server_break_the_start_of_tls(data: bytes, protocol: str) -> None:
    async def attempt() -> None:
        with contextlib.suppress(Missed), said(data) as talk:
            await PRELUDES[Security(protocol)](talk, "localhost")

    asyncio.run(attempt())
