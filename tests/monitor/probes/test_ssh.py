"""ssh: a real sshd, and greetings that are none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Missed, Reason
from cemd.monitor.probes.engines.ssh_session import Session, Way
from cemd.monitor.protocols import Malformed, ssh
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitor import peers
from tests.monitor.peers import complaints, look, said, tcp_server, tools, value
from tests.monitor.probes.contract import SECRET, Contract
from tests.monitor.probes.servers import ssh_key, sshd


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


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    (tmp_path / "secret").write_text(SECRET + "\n")
    return str(tmp_path / "secret")


async def contract(stack: contextlib.AsyncExitStack, secret_file: str) -> Contract:
    host, strict = Host("password"), Host("password", word="another word")
    port = await stack.enter_async_context(tcp_server(host.serve))
    refusing = await stack.enter_async_context(tcp_server(strict.serve))
    hang = await stack.enter_async_context(tcp_server(peers.hang))
    folder = Path(tempfile.mkdtemp(prefix="cemd-ssh-"))
    stack.callback(shutil.rmtree, folder)
    (folder / "known").write_text(f"{host.public_line()}\n{strict.public_line()}\n")
    who = {"host": "127.0.0.1", "user": "probe", "password_file": secret_file, "host_key_file": str(folder / "known")}
    return Contract(good={**who, "port": port}, failing={**who, "port": refusing}, hanging={**who, "port": hang})


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


# Keys and log-ins.


def me() -> str:
    """Who runs the server, and may therefore sign in to it."""
    return pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.needs("sshd")
@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
async def test_user_signs_in_with_a_key_that_a_real_server_knows_and_with_no_other(kind: str, tmp_path: Path) -> None:
    for name in ("mine", "foreign"):
        await ssh_key(tmp_path / name, kind)
    shutil.copy(tmp_path / "mine.pub", tmp_path / "authorized")
    async with sshd(tmp_path) as port, tools() as made:
        base = {"host": "127.0.0.1", "port": port, "host_key_file": str(tmp_path / "host-key.pub"), "user": me()}
        good = await look(made, "ssh", {**base, "key_file": str(tmp_path / "mine")})
        refused = await look(made, "ssh", {**base, "key_file": str(tmp_path / "foreign")})
        impostor = await look(
            made, "ssh", {**base, "key_file": str(tmp_path / "mine"), "host_key_file": str(tmp_path / "foreign.pub")}
        )
    assert good.reason is Reason.ANSWERED, good.detail
    assert value(good, "exchange_seconds") > 0
    assert value(good, "login_seconds") > 0
    assert (refused.outcome, refused.reason) == (Outcome.FAILED, Reason.LOGIN_REFUSED)
    assert "publickey" in refused.detail
    assert value(refused, "exchange_seconds") > 0
    known = Reason.NOT_AUTHENTICATED if kind == "ed25519" else Reason.ANSWER_UNEXPECTED
    assert (impostor.outcome, impostor.reason) == (Outcome.FAILED, known), impostor.detail


@pytest.mark.needs("sshd")
@pytest.mark.parametrize(
    "lines",
    [
        ("KexAlgorithms ecdh-sha2-nistp256", "Ciphers aes256-ctr", "MACs hmac-sha2-512"),
        ("KexAlgorithms curve25519-sha256", "Ciphers aes128-ctr", "MACs hmac-sha1"),
    ],
    ids=["p256", "curve25519"],
)
async def test_wrong_password_is_refused_over_every_choice_of_algorithms(
    lines: tuple[str, ...], tmp_path: Path
) -> None:
    """A right one needs a user of the system; that a server of our own takes it is tested below."""
    (tmp_path / "password").write_text("wrong-horse-4711\n")
    async with sshd(tmp_path, *lines) as port, tools() as made:
        base = {"host": "127.0.0.1", "port": port, "host_key_file": str(tmp_path / "host-key.pub")}
        result = await look(made, "ssh", {**base, "user": me(), "password_file": str(tmp_path / "password")})
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.LOGIN_REFUSED), result.detail
    assert "wrong-horse" not in repr(result)


@pytest.mark.needs("sshd")
async def test_server_that_offers_nothing_in_common_is_told_with_what_it_offers(tmp_path: Path) -> None:
    async with sshd(tmp_path, "Ciphers chacha20-poly1305@openssh.com") as port, tools() as made:
        result = await look(
            made, "ssh", {"host": "127.0.0.1", "port": port, "host_key_file": str(tmp_path / "host-key.pub")}
        )
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.ANSWER_UNEXPECTED)
    assert "of cipher the server offers chacha20-poly1305, none of ours" in result.detail


class Host:
    """A server of our own to the end of a log-in. `ways`: what it takes; `twist` what it makes of its signature."""

    def __init__(self, *ways: str, word: str = SECRET, twist: Callable[[bytes], bytes] = lambda data: data) -> None:
        self.key = ed25519.Ed25519PrivateKey.generate()
        self.heard: list[bytes] = []
        self._ways, self._word, self._twist = ways, word.encode(), twist

    def public_line(self) -> str:
        openssh = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        return self.key.public_key().public_bytes(*openssh).decode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):  # whoever was refused is gone
            await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-own\r\n")
        greeting = (await reader.readline()).strip()
        there, back = Way(), Way()
        talk = Heard(reader)

        def say(payload: bytes) -> None:
            writer.write(there.written(payload))

        async def hear() -> bytes:
            self.heard.append(await back.read(talk))  # type: ignore[arg-type]
            return self.heard[-1]

        own = ssh.write_offer(bytes(16), ("ssh-ed25519",))
        say(own)
        theirs = await hear()
        point = ssh.Reader((await hear())[1:]).string()
        half = x25519.X25519PrivateKey.generate()
        secret = half.exchange(x25519.X25519PublicKey.from_public_bytes(point))
        blob, mine = ssh.public_blob(self.key), half.public_key().public_bytes_raw()
        digest = ssh.exchange_hash(greeting, b"SSH-2.0-own", theirs, own, blob, point, mine, secret=secret)
        say(b"\x1f" + ssh.string(blob) + ssh.string(mine) + ssh.string(self._twist(ssh.signed(self.key, digest))))
        say(bytes((ssh.NEWKEYS,)))
        await hear()
        for way, letters in ((back, b"ACE"), (there, b"BDF")):
            start, key, proof = (
                ssh.derived(secret, digest, digest, bytes((letter,)), size)
                for letter, size in zip(letters, (16, 16, 32), strict=True)
            )
            cipher = Cipher(algorithms.AES(key), modes.CTR(start))
            way.secure(cipher.decryptor() if way is back else cipher.encryptor(), proof, "sha256")
        say(b"\x02" + ssh.string(b"never mind"))
        await hear()
        say(bytes((ssh.SERVICE_ACCEPT,)) + ssh.string(b"ssh-userauth"))
        say(bytes((ssh.BANNER,)) + ssh.string(b"Authorised use only") + ssh.string(b""))
        await self._judge(say, hear)

    async def _judge(self, say: Callable[[bytes], None], hear: Callable[[], Awaitable[bytes]]) -> None:
        while True:
            asked = await hear()
            right = asked.endswith(ssh.string(self._word))
            if (
                asked[0] == ssh.LOGIN
                and ssh.string(b"keyboard-interactive") in asked
                and "keyboard-interactive" in self._ways
            ):
                prompts = (2).to_bytes(4, "big") + ssh.string(b"Name: ") + b"\1" + ssh.string(b"Word: ") + b"\0"
                say(bytes((ssh.ASKS,)) + ssh.string(b"") * 3 + prompts)
            elif right and (asked[0] == ssh.ANSWERS or "password" in self._ways):
                say(bytes((ssh.WELCOME,)))
            elif asked[0] == ssh.DISCONNECT:
                return
            else:
                say(bytes((ssh.REFUSED,)) + ssh.string(",".join(self._ways).encode()) + b"\0")


class Heard:
    """What `Way` reads from, over a stream of asyncio."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.exactly = reader.readexactly


@pytest.mark.parametrize("ways", [("password",), ("publickey", "keyboard-interactive")], ids=["outright", "asked"])
async def test_password_is_shown_to_the_server_that_is_known(
    ways: tuple[str, ...], secret_file: str, tmp_path: Path
) -> None:
    host = Host(*ways)
    (tmp_path / "known").write_text(f"# of ssh-keyscan\n[own.example]:22 {host.public_line()} comment\n")
    async with tcp_server(host.serve) as port, tools() as made:
        base = {"host": "127.0.0.1", "port": port, "host_key_file": str(tmp_path / "known"), "user": "probe"}
        good = await look(made, "ssh", {**base, "password_file": secret_file})
        (tmp_path / "wrong").write_text("another-4711")
        wrong = await look(made, "ssh", {**base, "password_file": str(tmp_path / "wrong")})
    assert good.reason is Reason.ANSWERED, good.detail
    assert value(good, "login_seconds") > 0
    assert (wrong.outcome, wrong.reason) == (Outcome.FAILED, Reason.LOGIN_REFUSED)


@pytest.mark.parametrize(
    ("twist", "reason"),
    [
        (lambda data: data[:-1] + bytes((data[-1] ^ 1,)), Reason.SIGNATURE_INVALID),
        (lambda data: data[:5], Reason.PROTOCOL_BROKEN),
        (lambda data: ssh.string(b"rsa-sha2-256") + data[15:], Reason.PROTOCOL_BROKEN),
    ],
    ids=["wrong", "cut", "of another algorithm"],
)
async def test_no_word_is_said_to_a_server_that_cannot_prove_its_key(
    twist: Callable[[bytes], bytes], reason: Reason, secret_file: str, tmp_path: Path
) -> None:
    host = Host("password", twist=twist)
    (tmp_path / "known").write_text(host.public_line())
    async with tcp_server(host.serve) as port, tools() as made:
        base = {"host": "127.0.0.1", "port": port, "host_key_file": str(tmp_path / "known"), "user": "probe"}
        result = await look(made, "ssh", {**base, "password_file": secret_file})
    assert (result.outcome, result.reason) == (Outcome.FAILED, reason), result.detail
    assert len(host.heard) <= 2


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"user": "u"}, "user needs password_file or key_file"),
        ({"password_file": "/p"}, "each of them needs user"),
        ({"user": "u", "password_file": "/p", "key_file": "/k"}, "give one of the two"),
        ({"user": "u", "key_file": "/k"}, "host_key_file"),
        ({"ca_file": "/c"}, "no certificates of TLS"),
    ],
)
def test_absurd_parameters_are_refused_with_a_remedy(params: dict[str, Any], words: str) -> None:
    assert words in complaints("ssh", {"host": "192.0.2.1", **params})


@pytest.mark.parametrize(
    "text", ["", "no key", "ssh-ed25519 AAAA", "ssh-dss AAAAB3NzaC1kc3MAAAAA", "@revoked * ssh-ed25519 x"]
)
async def test_files_that_hold_no_key_are_blind_and_say_so(text: str, secret_file: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text)
    host = Host("password")
    (tmp_path / "known").write_text(host.public_line())
    base = {"host": "127.0.0.1", "user": "probe"}
    async with tcp_server(host.serve) as port, tools() as made:
        strange = await look(
            made, "ssh", {**base, "port": port, "password_file": secret_file, "host_key_file": str(tmp_path / "file")}
        )
        no_key = await look(
            made,
            "ssh",
            {**base, "port": port, "key_file": str(tmp_path / "file"), "host_key_file": str(tmp_path / "known")},
        )
    for result in (strange, no_key):
        assert (result.outcome, result.reason) == (Outcome.BLIND, Reason.FILE_UNREADABLE), result.detail


# Bytes.


@settings(max_examples=150)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=120).map(lambda rest: OFFER[:22] + rest)))
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    async def attempt() -> None:
        with contextlib.suppress(Missed), said(data) as talk:
            await Session(talk, b"SSH-2.0-x").read_offer()

    asyncio.run(attempt())


KEY = ssh.public_blob(ed25519.Ed25519PrivateKey.generate())


@given(
    st.one_of(st.binary(max_size=100), st.binary(max_size=60).map(lambda rest: KEY[:19] + rest), st.just(KEY)),
    st.one_of(st.binary(max_size=100), st.binary(max_size=80).map(lambda rest: ssh.string(b"ssh-ed25519") + rest)),
)
def test_no_bytes_prove_anything_or_make_the_reader_of_proofs_raise(key: bytes, signature: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert not ssh.is_signed(key, "ssh-ed25519", signature, b"data")


@settings(max_examples=60)
@given(st.binary(max_size=300), st.sampled_from(["once", "long"]))
def test_no_bytes_after_the_keys_make_the_reader_of_packets_raise(data: bytes, how: str) -> None:
    async def attempt() -> None:
        way = Way()
        way.secure(Cipher(algorithms.AES(bytes(16)), modes.CTR(bytes(16))).decryptor(), bytes(32), "sha256")
        with contextlib.suppress(Missed), said(data * (20 if how == "long" else 1)) as talk:
            await way.read(talk)

    asyncio.run(attempt())


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=5))
def test_packets_are_read_as_they_were_written_in_clear_and_sealed(payloads: list[bytes]) -> None:
    async def attempt() -> None:
        for sealed in (False, True):
            there, back = Way(), Way()
            if sealed:
                cipher = Cipher(algorithms.AES(bytes(32)), modes.CTR(bytes(16)))
                there.secure(cipher.encryptor(), b"k" * 64, "sha512")
                back.secure(cipher.decryptor(), b"k" * 64, "sha512")
            with said(b"".join(map(there.written, payloads))) as talk:
                assert [await back.read(talk) for _ in payloads] == payloads

    asyncio.run(attempt())


@given(st.integers(0, 1 << 256))
def test_numbers_are_written_as_the_protocol_has_them(number: int) -> None:
    """Source: RFC 4251, section 5."""
    written = ssh.mpint(number.to_bytes(40, "big"))
    assert int.from_bytes(written[4:], "big", signed=True) == number
    assert written[4:6] != b"\0\0"
    assert ssh.Reader(written).string() == written[4:]
