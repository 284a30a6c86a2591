"""icmp: what is lost, late, doubled, out of order or not permitted."""

from __future__ import annotations

import asyncio
import contextlib
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
from tests.monitor.peers import look, tools, value
from tests.monitor.probes.contract import Contract

FAST = {"packets": 2, "gap_seconds": 0.01}


async def contract(_stack: contextlib.AsyncExitStack, _secret_file: str) -> Contract:
    return Contract(
        good={"target": "127.0.0.1", **FAST},
        failing={"target": "nobody.invalid", **FAST},
        hanging={"target": "127.0.0.1", "packets": 100, "gap_seconds": 10.0},
    )


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
