"""icmp, tcp, dns: what is lost, refused, forged, cut short or babbled."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes import icmp
from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.icmp import checksum, jitter_seconds
from hypothesis import given
from hypothesis import strategies as st

from tests.monitor import peers
from tests.monitor.peers import look, name_server, tcp_server, tools, value

RECORDS = {
    ("shop.example.", "A"): ["192.0.2.7", "192.0.2.8"],
    ("shop.example.", "MX"): ["10 mail.example."],
}


# dns


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"name": "shop.example"}, Reason.ANSWERED),
        ({"name": "shop.example", "answers": ["192.0.2.8"]}, Reason.ANSWERED),
        ({"name": "shop.example", "answers": ["192.0.2.9"]}, Reason.ANSWER_UNEXPECTED),
        ({"name": "shop.example", "min_answers": 3}, Reason.ANSWER_UNEXPECTED),
        ({"name": "shop.example", "type": "MX", "answers": ["10 mail.example."]}, Reason.ANSWERED),
        ({"name": "gone.example"}, Reason.STATUS_UNEXPECTED),
        ({"name": "gone.example", "rcode": "NXDOMAIN"}, Reason.ANSWERED),
        ({"name": "shop.example", "transport": "tcp"}, Reason.ANSWERED),
    ],
)
async def test_answers_are_held_against_what_they_must_be(params: dict[str, Any], reason: Reason) -> None:
    async with name_server(RECORDS) as (_, port), tools() as made:
        result = await look(made, "dns", {"server": "127.0.0.1", "port": port, **params})
    assert result.reason is reason, result.detail
    assert value(result, "response_seconds") > 0


@pytest.mark.parametrize(
    ("mode", "outcome"),
    [
        ("truncate", Outcome.OK),
        ("lose first", Outcome.OK),
        ("mute", Outcome.TIMED_OUT),
        ("garbage", Outcome.TIMED_OUT),
        ("forge", Outcome.TIMED_OUT),
    ],
)
async def test_cut_answers_go_over_tcp_and_noise_is_no_answer(mode: str, outcome: Outcome) -> None:
    async with name_server(RECORDS) as (server, port), tools() as made:
        server.mode = mode
        params = {"server": "127.0.0.1", "port": port, "name": "shop.example", "resend_seconds": 0.1}
        result = await look(made, "dns", params, seconds=0.5)
    assert result.outcome is outcome
    if outcome is Outcome.OK:
        assert value(result, "answer_count") == 2.0
    if mode in {"mute", "garbage"}:
        assert server.asked >= 3


async def test_no_name_server_at_all_is_refused_quickly() -> None:
    async with tools() as made:
        params = {"server": "127.0.0.1", "port": peers.free_port(), "name": "shop.example"}
        result = await look(made, "dns", params)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.REFUSED)
    assert value(result, "duration_seconds") < 1.0


@given(st.binary(max_size=200))
def test_no_bytes_make_the_dns_reader_raise(data: bytes) -> None:
    import dns.message
    from cemd.monitor.probes.dns import _read

    query = dns.message.make_query("shop.example", "A")
    assert _read(data, query) is None
    assert _read(query.id.to_bytes(2, "big") + data, query) is None or len(data) > 8


# tcp


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
        result = await look(made, "tcp", {"host": "127.0.0.1", "port": 80})
        monkeypatch.undo()
    assert (result.outcome, result.reason) == (Outcome.BLIND, Reason.NO_RESOURCES)


# icmp


def burst(sent: int, answers: list[tuple[int, float]]) -> dict[str, float]:
    """Readings of a burst whose answers (sequence, seconds) came in this order."""
    made = icmp._Burst()
    made.sent_at = dict.fromkeys(range(sent), 1_000_000_000)
    for sequence, seconds in answers:
        made.answered(sequence, 1_000_000_000 + int(seconds * 1e9), 1.0)
    return {reading.metric: reading.value for reading in icmp._readings(made)}


def test_loss_order_and_duplicates_are_counted() -> None:
    values = burst(5, [(0, 0.010), (2, 0.011), (1, 0.030), (1, 0.031), (3, 5.0), (77, 0.01)])
    assert values["loss_ratio"] == pytest.approx(0.4)
    assert values["round_trip_seconds"] == pytest.approx(0.017)
    assert values["round_trip_p95_seconds"] == pytest.approx(0.030)
    assert values["reordered_ratio"] == pytest.approx(1 / 3)
    assert values["duplicate_count"] == 1.0
    assert burst(3, []) == {"loss_ratio": 1.0}


def test_jitter_follows_the_formula_of_rfc_3550() -> None:
    assert jitter_seconds([0.01, 0.01, 0.01]) == 0.0
    assert jitter_seconds([0.01, 0.026]) == pytest.approx(0.001)


@given(st.binary(max_size=301))
def test_checksum_of_a_message_with_its_checksum_is_zero(data: bytes) -> None:
    data += b"\0" * (len(data) % 2)
    assert checksum(data + checksum(data).to_bytes(2, "big")) == 0


async def test_burst_over_loopback_is_timed_by_the_kernel() -> None:
    async with tools() as made:
        result = await look(made, "icmp", {"target": "127.0.0.1", "packets": 4, "gap_seconds": 0.01})
        peers.skip_without_echoes(result)
        many = await asyncio.gather(
            *(look(made, "icmp", {"target": f"127.0.0.{n}", "packets": 3, "gap_seconds": 0.01}) for n in range(1, 40))
        )
    assert value(result, "loss_ratio") == 0.0
    assert 0 < value(result, "round_trip_seconds") < 0.05
    assert {value(one, "loss_ratio") for one in many} == {0.0}


async def test_host_that_may_not_send_echoes_is_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> Any:
        raise PermissionError(1, "Operation not permitted")

    async with tools() as made:
        monkeypatch.setattr(socket, "socket", forbidden)
        result = await look(made, "icmp", {"target": "127.0.0.1"})
        monkeypatch.undo()
    assert (result.outcome, result.reason, result.readings) == (Outcome.BLIND, Reason.NOT_PERMITTED, ())
    assert "ping_group_range" in result.detail


def test_stray_packets_are_dropped(tmp_path: Path) -> None:
    class Door:
        def __init__(self) -> None:
            self.packets = [b"", b"\x45", bytes(28), b"\x45" + bytes(60), b"\x00" * 16 + b"wrongtok" + bytes(9)]

        def recvmsg(self, *_: int) -> tuple[bytes, list[Any], int, None]:
            if not self.packets:
                raise BlockingIOError
            return self.packets.pop(), [], 0, None

    made = icmp._Burst()
    made.sent_at = {0: 1}
    done = asyncio.Event()
    icmp._receive(Door(), socket.AF_INET, b"righttok", made, 1.0, done, 1)  # type: ignore[arg-type]
    assert made.round_trips == {}
