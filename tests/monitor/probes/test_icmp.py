"""icmp: what is lost, late, doubled, out of order or not permitted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes import icmp
from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.engines import stamps
from cemd.monitor.probes.icmp import checksum
from cemd.monitor.protocols.packets import Stream
from hypothesis import given
from hypothesis import strategies as st

from tests.forbidden import forbidden
from tests.monitor import peers
from tests.monitor.peers import look, tools, value
from tests.monitor.probes.contract import Contract
from tests.monitor.probes.lying_host import NOT_PERMITTED

FAST = {"packets": 2, "gap_seconds": 0.01}


async def contract(_stack: contextlib.AsyncExitStack, _secret_file: str) -> Contract:
    return Contract(
        good={"target": "127.0.0.1", **FAST},
        failing={"target": "nobody.invalid", **FAST},
        hanging={"target": "127.0.0.1", "packets": 100, "gap_seconds": 10.0},
    )


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


@pytest.mark.parametrize("batch", [1, 8])
async def test_ipv6_and_batches_lose_nothing(batch: int) -> None:
    async with tools() as made:
        params = {"target": "::1", "packets": 20, "gap_seconds": 0.002, "batch": batch, "payload_bytes": 1_200}
        result = await look(made, "icmp", params)
        peers.skip_without_echoes(result)
        if result.reason is Reason.NO_ROUTE:
            pytest.skip("this host has no IPv6, not even on loopback")
    assert (value(result, "loss_ratio"), value(result, "sent_count")) == (0.0, 20.0)


async def test_host_that_may_not_send_echoes_is_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> Any:
        raise PermissionError(1, "Operation not permitted")

    async with tools() as made:
        monkeypatch.setattr(socket, "socket", forbidden)
        result = await look(made, "icmp", {"target": "127.0.0.1"})
        monkeypatch.undo()
    assert (result.outcome, result.reason, result.readings) == (Outcome.BLIND, Reason.NOT_PERMITTED, ())
    assert "ping_group_range" in result.detail


async def test_clock_that_was_set_meanwhile_is_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    async with tools() as made:
        result = await look(made, "icmp", {"target": "127.0.0.1", **FAST})
        peers.skip_without_echoes(result)
        monkeypatch.setattr(stamps, "STEP_SECONDS", -1.0)  # any movement is too much, and none is
        result = await look(made, "icmp", {"target": "127.0.0.1", **FAST})
    assert (result.outcome, result.reason, result.readings) == (Outcome.BLIND, Reason.CLOCK_STEPPED, ())


TOKEN = b"righttok"


def received(packets: list[bytes], *, raw: bool) -> icmp._Burst:
    """A burst of two requests after these packets came."""

    class Door:
        def recvmsg(self, *_: int) -> tuple[bytes, list[Any], int, None]:
            if not packets:
                raise BlockingIOError
            return packets.pop(0), [], 0, None

    now = time.time_ns()
    made = object.__new__(icmp._Burst)
    made.stream, made.token, made.reply, made.raw_ipv4 = Stream(1.0, sent=2), TOKEN, 0, raw
    made.sent_at, made.error, made.room = [now, now], 0, 128
    made.receive(Door())  # type: ignore[arg-type]
    return made


def answer(sequence: int, token: bytes = TOKEN, kind: int = 0) -> bytes:
    return bytes([kind, 0, 0, 0, 0, 9]) + sequence.to_bytes(2, "big") + token


def test_only_answers_to_this_burst_count() -> None:
    noise = [b"", b"\x45", bytes(28), answer(0, b"wrongtok"), answer(0, kind=8), answer(7), answer(65_535)]
    made = received([*noise, answer(1), answer(1), answer(0)], raw=False)
    assert sorted(made.stream.delays) == [0, 1]
    assert made.stream.duplicates == 1


def test_header_of_ipv4_is_left_out_where_the_socket_hands_it_over() -> None:
    made = received([b"\x45" + bytes(19) + answer(0), b"\x46" + bytes(23) + answer(1), b"\x4f" + bytes(5)], raw=True)
    assert sorted(made.stream.delays) == [0, 1]


@given(st.lists(st.binary(max_size=80), max_size=20), st.booleans())
def test_no_bytes_make_the_reader_raise_or_count(data: list[bytes], raw: bool) -> None:
    assert received([one for one in data if TOKEN not in one], raw=raw).stream.delays == {}


def test_what_the_network_does_is_measured_as_it_is() -> None:
    """A host of our own behind a TUN device loses, doubles, swaps and delays by a list, and that is what is seen."""
    run_inside = subprocess.run(
        ["unshare", "-n", sys.executable, "-m", "tests.monitor.probes.lying_host"],
        capture_output=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    if run_inside.returncode == NOT_PERMITTED or b"unshare failed" in run_inside.stderr:
        forbidden("network namespaces or TUN devices, which a network that loses and doubles is made of")
    assert run_inside.returncode == 0, run_inside.stderr.decode()
    told = json.loads(run_inside.stdout)
    truth, seen = told["truth"], told["seen"]
    assert seen["loss_ratio"] == pytest.approx(truth["lost"] / seen["sent_count"])
    assert seen["duplicate_count"] == truth["doubled"]
    assert seen["reordered_ratio"] == pytest.approx(truth["swapped"] / truth["answered"])
    assert seen["round_trip_median_seconds"] == pytest.approx(truth["median_seconds"], abs=0.0002)
    assert seen["jitter_seconds"] == pytest.approx(truth["jitter_seconds"], abs=0.0006)  # it may be held up
