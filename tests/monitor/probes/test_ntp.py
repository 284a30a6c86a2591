"""ntp: a real chronyd, and servers that lie, refuse, or are lost themselves."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cemd.config.probes import Probe
from cemd.kit.parent import end_with_starter
from cemd.model.quality import Outcome
from cemd.monitor.probes import faults
from cemd.monitor.probes import ntp as kinds
from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.engines.clock_state import ClockState
from cemd.monitor.probes.ntp import read_said
from cemd.monitor.protocols.stamp_packets import ntp_of
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import program
from tests.monitor import peers
from tests.monitor.peers import look, tools, value
from tests.monitor.probes.contract import Contract
from tests.monitor.probes.test_udp import udp_peer

PACKET = struct.Struct("!BBbbII4sQQQQ")


def server(
    *,
    leap: int = 0,
    stratum: int = 2,
    mode: int = 4,
    ahead: float = 0.0,
    root_delay: float = 0.01,
    root_dispersion: float = 0.02,
    reference: bytes = b"GPS\0",
    held: float = 0.0,
    origin: int = 0,
    sent: int | None = None,
) -> Callable[[bytes, int], list[bytes]]:
    """A time server that says what it is told to say; `origin` is added to the stamp that it must hand back."""

    def answer(data: bytes, _: int) -> list[bytes]:
        nonce = PACKET.unpack(data)[10]
        now = time.time_ns() + int(ahead * 1e9)
        out = ntp_of(now + int(held * 1e9)) if sent is None else sent
        head = leap << 6 | 4 << 3 | mode
        roots = (int(root_delay * 65_536), int(root_dispersion * 65_536))
        parts = (ntp_of(now - 30_000_000_000), nonce + origin, ntp_of(now), out)
        return [PACKET.pack(head, stratum, 6, -20, *roots, reference, *parts)]

    return answer


async def contract(stack: contextlib.AsyncExitStack, _secret_file: str) -> Contract:
    _, good = await stack.enter_async_context(udp_peer(server()))
    _, lost = await stack.enter_async_context(udp_peer(server(leap=3, stratum=16)))
    _, mute = await stack.enter_async_context(udp_peer(lambda _, __: []))
    return Contract(
        good={"host": "127.0.0.1", "port": good},
        failing={"host": "127.0.0.1", "port": lost},
        hanging={"host": "127.0.0.1", "port": mute},
    )


@pytest.mark.parametrize(
    ("says", "params", "reason"),
    [
        (server(), {}, Reason.ANSWERED),
        (server(leap=1), {}, Reason.ANSWERED),
        (server(leap=3, stratum=16), {}, Reason.SERVER_UNSYNCHRONISED),
        (server(leap=3, stratum=0, reference=b"RATE"), {}, Reason.STATUS_UNEXPECTED),
        (server(stratum=5), {"max_stratum": 4}, Reason.ANSWER_UNEXPECTED),
        (server(stratum=0), {}, Reason.ANSWER_UNEXPECTED),
        (server(stratum=200), {}, Reason.ANSWER_UNEXPECTED),
        (server(root_delay=2.0, root_dispersion=1.0), {}, Reason.ANSWER_UNEXPECTED),
        (server(held=-1.0), {}, Reason.PROTOCOL_BROKEN),
        (server(sent=0), {}, Reason.PROTOCOL_BROKEN),
        (server(mode=3), {}, Reason.NO_ANSWER),
        (server(origin=1), {}, Reason.NO_ANSWER),
        (lambda data, _: [data[:47], b"", b"\xff" * 48, data], {}, Reason.NO_ANSWER),
    ],
    ids=[
        "good", "leap second", "lost", "kiss of death", "far", "stratum 0", "stratum 200", "distant", "back in time",
        "no stamp", "not a server", "forged", "garbage",
    ],
)  # fmt: skip
async def test_what_a_server_says_of_itself_is_judged(says: Any, params: dict[str, Any], reason: Reason) -> None:
    async with udp_peer(says) as (_, port), tools() as made:
        result = await look(made, "ntp", {"host": "127.0.0.1", "port": port, **params}, seconds=0.3)
    assert result.reason is reason, result.detail
    if reason is Reason.STATUS_UNEXPECTED:
        assert "'RATE'" in result.detail


async def test_offset_and_round_trip_are_those_of_rfc_5905() -> None:
    async with udp_peer(server(ahead=3.5, held=0.5)) as (_, port), tools() as made:
        result = await look(made, "ntp", {"host": "127.0.0.1", "port": port})
    # T2 = T1 + 3.5, T3 = T2 + 0.5, T4 = T1: ((T2 - T1) + (T3 - T4)) / 2 = 3.75, and no round trip is left
    assert value(result, "offset_seconds") == pytest.approx(3.75, abs=0.05)
    assert value(result, "round_trip_seconds") == 0.0
    assert value(result, "reference_age_seconds") == pytest.approx(30.5, abs=0.01)
    assert value(result, "root_distance_seconds") == pytest.approx(0.025, abs=1e-4)


@pytest.mark.parametrize(
    ("synchronised", "ahead", "outcome", "reason"),
    [
        (True, 0.0, Outcome.OK, Reason.ANSWERED),
        (True, -2.0, Outcome.FAILED, Reason.ANSWER_UNEXPECTED),
        (False, -2.0, Outcome.BLIND, Reason.CLOCK_UNSYNCHRONISED),
    ],
    ids=["right", "liar", "we do not know"],
)
async def test_offset_counts_only_where_our_own_clock_is_right(
    synchronised: bool, ahead: float, outcome: Outcome, reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "clock_state", lambda: ClockState(synchronised, 1e-4))
    async with udp_peer(server(ahead=ahead)) as (_, port), tools() as made:
        result = await look(made, "ntp", {"host": "127.0.0.1", "port": port, "max_offset_seconds": 0.5})
    assert (result.outcome, result.reason) == (outcome, reason)


async def test_lost_question_is_asked_again() -> None:
    says = server()
    async with udp_peer(lambda data, n: says(data, n) if n else []) as (peer, port), tools() as made:
        result = await look(made, "ntp", {"host": "127.0.0.1", "port": port, "resend_seconds": 1.0})
    assert result.reason is Reason.ANSWERED
    assert len({PACKET.unpack(data)[10] for data in peer.heard}) == 2, "each question has a nonce of its own"
    assert all(data[1:40] == bytes(39) for data in peer.heard), "and says nothing else of this host"


@given(st.binary(max_size=80), st.integers(0, 2**64 - 1))
def test_no_bytes_make_the_reader_raise(data: bytes, nonce: int) -> None:
    read_said(data, nonce)


def test_absurd_parameters_are_refused_at_load() -> None:
    given = {"host": "192.0.2.1", "max_stratum": 16, "resend_seconds": 0.1}
    probe = Probe(name="p", kind="ntp", service="s", every_seconds=9.0, timeout_seconds=1.0, params=given)
    assert len(faults(probe)) == 2


@pytest.mark.needs("chronyd")
async def test_real_server(tmp_path: Path) -> None:
    port = peers.free_port()
    (tmp_path / "chrony.conf").write_text(
        f"port {port}\ncmdport 0\nbindcmdaddress /\nlocal stratum 8\nallow 127.0.0.1\nbindaddress 127.0.0.1\n"
        f"pidfile {tmp_path}/pid\n"
    )
    words = ["-d", "-x", "-U", "-f", str(tmp_path / "chrony.conf")]
    child = await asyncio.create_subprocess_exec(
        str(program("chronyd")),
        *words,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=end_with_starter,
    )
    try:
        async with tools() as made:
            for _ in range(50):
                result = await look(made, "ntp", {"host": "127.0.0.1", "port": port})
                if result.reason not in {Reason.REFUSED, Reason.SERVER_UNSYNCHRONISED}:
                    break
                await asyncio.sleep(0.1)
        assert result.reason is Reason.ANSWERED, result.detail
        assert value(result, "stratum_code") == 8.0
        assert abs(value(result, "offset_seconds")) < 0.05
    finally:
        child.terminate()
        await child.communicate()
