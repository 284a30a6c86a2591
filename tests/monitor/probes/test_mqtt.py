"""mqtt: a real mosquitto with users, rules and TLS, and brokers that lie."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Missed, Reason
from cemd.monitor.probes.mqtt import read_packet
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitor import peers
from tests.monitor.peers import complaints, look, said, tcp_server, tools, value
from tests.monitor.probes.contract import Contract
from tests.monitor.probes.servers import PASSWORD, mosquitto
from tests.monitor.probes.test_http import certificate

CONNACK, SUBACK, PUBACK = bytes.fromhex("2003000000"), bytes.fromhex("900400010001"), bytes.fromhex("40020002")


def broker(*answers: bytes | None, noise: bytes = b"") -> Any:
    """Answers each packet in turn with these bytes; None: with the packet itself, as a broker hands a message out."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            head = await reader.readexactly(2)
            body = await reader.readexactly(head[1])
            writer.write(noise + (head + body if answer is None else answer))
        await writer.drain()
        await reader.read(4096)

    return speak


async def contract(stack: contextlib.AsyncExitStack, secret_file: str) -> Contract:
    port = await stack.enter_async_context(tcp_server(broker(CONNACK, bytes.fromhex("9004000100") + b"\0", None)))
    refusing = await stack.enter_async_context(tcp_server(broker(bytes.fromhex("2003008600"))))
    hang = await stack.enter_async_context(tcp_server(peers.hang))
    return Contract(
        good={"host": "127.0.0.1", "port": port, "qos": "0"},
        failing={"host": "127.0.0.1", "port": refusing, "user": "probe", "password_file": secret_file},
        hanging={"host": "127.0.0.1", "port": hang},
    )


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_real_broker_brings_the_message_back(version: str, tmp_path: Path) -> None:
    files = certificate(tmp_path, days=5)
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "wrong").write_text("not-the-password")
    base: dict[str, Any] = {"host": "127.0.0.1", "mqtt_version": version}
    base |= {"user": "probe", "password_file": str(tmp_path / "password")}
    async with mosquitto(tmp_path, files) as (port, secure), tools() as made:
        base["port"] = port
        good, *others = [await look(made, "mqtt", base) for _ in range(6)]
        light = await look(made, "mqtt", {**base, "qos": "0"})
        refused = await look(made, "mqtt", {**base, "password_file": str(tmp_path / "wrong")})
        closed = await look(made, "mqtt", {**base, "topic": "closed/probe"}, seconds=1)
        tls = {"port": secure, "tls": "direct", "tls_name": "localhost", "ca_file": str(files[0])}
        secured = await look(made, "mqtt", {**base, **tls})
    assert good.reason is Reason.ANSWERED, good.detail
    for metric in ("login_seconds", "subscribe_seconds", "acknowledge_seconds", "round_trip_seconds"):
        assert value(good, metric) > 0.0
    quickest = min(value(one, "acknowledge_seconds") for one in (good, *others))
    assert quickest < 0.03, "a broker of small segments waits 40 ms for our system's word, which is not its own time"
    assert light.reason is Reason.ANSWERED, light.detail
    assert (refused.outcome, refused.reason) == (Outcome.FAILED, Reason.LOGIN_REFUSED)
    assert "not-the-password" not in refused.detail
    assert refused.detail.endswith((": bad user name or password.", ": not authorized."))
    if version == "5":
        assert closed.reason is Reason.STATUS_UNEXPECTED, closed.detail
    else:  # the older version has no word for it: the message is acknowledged and goes nowhere
        assert closed.reason is Reason.NO_ANSWER
    assert secured.reason is Reason.ANSWERED, secured.detail


@pytest.mark.parametrize(
    ("answers", "noise", "reason"),
    [
        ((CONNACK, SUBACK, PUBACK), b"", Reason.NO_ANSWER),
        ((bytes.fromhex("2003008000"),), b"", Reason.STATUS_UNEXPECTED),
        ((b"HTTP/1.1 400\r\n",), b"", Reason.NO_ANSWER),
        ((b"\x20\xff\xff\xff\xff\xff",), b"", Reason.PROTOCOL_BROKEN),
        ((b"\x20\xff\xff\xff\x7f",), b"", Reason.ANSWER_TOO_LARGE),
        ((PUBACK,), b"", Reason.PROTOCOL_BROKEN),
        ((CONNACK, PUBACK), b"", Reason.PROTOCOL_BROKEN),
        ((CONNACK, bytes.fromhex("900400010087")), b"", Reason.STATUS_UNEXPECTED),
        ((CONNACK, SUBACK, bytes.fromhex("4004000287") + b"\0"), b"", Reason.STATUS_UNEXPECTED),
        ((CONNACK, SUBACK, bytes.fromhex("e0018b")), b"", Reason.CLOSED_EARLY),
        ((CONNACK, SUBACK, bytes.fromhex("30050001610078") * 300), b"", Reason.ANSWER_UNEXPECTED),
    ],
    ids=[
        "swallowed", "refused", "http", "endless length", "huge", "wrong answer", "wrong answer later",
        "subscription refused", "message refused", "sent away", "others' messages",
    ],
)  # fmt: skip
async def test_brokers_that_lie(answers: tuple[bytes, ...], noise: bytes, reason: Reason) -> None:
    async with tcp_server(broker(*answers, noise=noise)) as port, tools() as made:
        result = await look(made, "mqtt", {"host": "127.0.0.1", "port": port}, seconds=0.5)
    assert result.reason is reason, result.detail
    assert result.outcome is (Outcome.TIMED_OUT if reason is Reason.NO_ANSWER else Outcome.FAILED)


@settings(max_examples=150)
@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    async def attempt() -> None:
        with contextlib.suppress(Missed), said(data) as talk:
            while True:
                await read_packet(talk)

    asyncio.run(attempt())


@pytest.mark.parametrize(
    "params",
    [{"tls": "starttls"}, {"topic": "a/#"}, {"topic": "$SYS/x"}, {"qos": "2"}, {"mqtt_version": "4"}],
)
def test_absurd_parameters_are_refused_at_load(params: dict[str, Any]) -> None:
    assert complaints("mqtt", {"host": "192.0.2.1", **params})
