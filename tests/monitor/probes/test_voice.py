"""voice: calls through a way that loses, holds and swaps by a list, and what a listener would have made of them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import pytest
from cemd.model.emodel import Codec, mos_of, r_factor
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.engines.sender import Session
from cemd.monitor.probes.stamp import Reflector
from cemd.monitor.probes.tools import make_tools
from cemd.monitor.probes.voice import CodecName, Voice, VoiceParams
from cemd.monitor.protocols.packets import Stream

from tests.monitor import peers
from tests.monitor.peers import look, tools, value
from tests.monitor.probes.contract import Contract
from tests.monitor.probes.reflectors import reflector, way_to
from tests.monitor.probes.test_udp import udp_peer

FAST = {"call_seconds": 0.2, "wait_seconds": 0.3}


async def contract(stack: contextlib.AsyncExitStack, secret_file: str) -> Contract:
    far = await stack.enter_async_context(reflector())
    _, mute = await stack.enter_async_context(udp_peer(lambda _, __: []))
    return Contract(
        good={"host": "127.0.0.1", "port": far.port, **FAST},
        failing={"host": "127.0.0.1", "port": peers.free_port(), "key_file": secret_file, **FAST},
        hanging={"host": "127.0.0.1", "port": mute, "call_seconds": 60.0, "wait_seconds": 60.0},
    )


async def test_clean_call_is_as_good_as_the_codec_lets_it_be() -> None:
    async with reflector() as far, tools() as made:
        result = await look(made, "voice", {"host": "127.0.0.1", "port": far.port, "buffer_seconds": 0.5, **FAST})
    assert result.reason is Reason.ANSWERED, result.detail
    assert value(result, "loss_ratio") == value(result, "discarded_ratio") == 0.0
    assert value(result, "one_way_delay_seconds") == pytest.approx(0.52, abs=0.05)
    assert value(result, "g114_class") == 2.0
    assert value(result, "mos") == pytest.approx(mos_of(r_factor(0.52, Codec(0, 25.1))), abs=0.3)


async def test_packets_have_the_size_and_the_pace_of_the_codec() -> None:
    sizes: list[int] = []

    def note(data: bytes, _: int) -> list[bytes]:
        sizes.append(len(data))
        return []

    async with udp_peer(note) as (_, port), tools() as made:
        for codec in ("g711", "g723.1"):
            result = await look(made, "voice", {"host": "127.0.0.1", "port": port, "codec": codec, **FAST})
            assert (result.outcome, value(result, "mos")) == (Outcome.TIMED_OUT, 1.0)
    assert sizes == [172] * 10 + [44] * 7  # 12 of RTP and the frame, but no less than a test packet


async def test_loss_counts_against_the_direction_that_lost() -> None:
    def back(number: int) -> list[float]:
        return [] if number in {4, 5, 12} else [0.0]

    async with reflector() as far, tools() as made, way_to(far.port, back=back) as (_, port):
        result = await look(made, "voice", {"host": "127.0.0.1", "port": port, "call_seconds": 0.6})
    assert value(result, "forward_loss_ratio") == 0.0
    assert value(result, "backward_loss_ratio") == pytest.approx(3 / 30)
    assert value(result, "backward_mos") < value(result, "forward_mos") - 0.3
    assert value(result, "mos") == value(result, "backward_mos")


# what the listener has, on sessions of known truth


def session(forward: Sequence[float | None], *, hold: float = 0.0, synchronised: bool = False) -> Session:
    """All that came back: a stateful reflector saw what is not None; the way back takes `hold`."""
    made = Session(Stream(1.0, sent=len(forward)), synchronised=synchronised)
    reached = 0
    for number, delay in enumerate(forward):
        if delay is not None:
            made.stream.arrived(number, delay + hold)
            made.forward[number], made.backward[number] = delay + 1000.0, hold - 1000.0  # the clocks are far apart
            made.highest_sent, made.highest_reflected = number, reached
            reached += 1
    return made


@pytest.fixture
async def voice() -> Voice:
    made = make_tools()
    try:
        return Voice(VoiceParams(host="192.0.2.1", codec=CodecName.G711), made)
    finally:
        await made.aclose()


async def test_what_comes_too_late_for_the_buffer_is_as_good_as_lost(voice: Voice) -> None:
    delays: Sequence[float | None] = [0.02] * 97 + [0.081, 0.3, 0.02]
    forward, backward = voice._played(session(delays))
    assert forward.discarded_ratio == pytest.approx(0.02)
    assert (forward.lost_ratio, backward.lost_ratio, backward.discarded_ratio) == (0.0, 0.0, 0.0)
    values = voice._judged(session(delays))
    expected = r_factor(forward.delay_seconds, Codec(0, 4.3), loss_ratio=0.02, burst_ratio=forward.burst_ratio)
    assert values["r_factor"] == pytest.approx(expected)


async def test_offset_of_the_clocks_is_no_delay(voice: Voice) -> None:
    forward, backward = voice._played(session([0.02] * 50, hold=0.06))
    assert forward.delay_seconds == pytest.approx(0.04 + 0.06 + 0.02)
    assert backward.delay_seconds == pytest.approx(forward.delay_seconds)


async def test_bursts_of_loss_are_worse_than_as_many_single_losses(voice: Voice) -> None:
    single: Sequence[float | None] = [None if number % 20 == 5 else 0.02 for number in range(100)]
    bursts: Sequence[float | None] = [None if 40 <= number < 45 else 0.02 for number in range(100)]
    one, other = (voice._judged(session(delays)) for delays in (single, bursts))
    assert one["forward_mos"] > other["forward_mos"]


async def test_class_is_told_only_of_enough_packets(voice: Voice) -> None:
    told = [voice._classes(session([0.05] * 500)) for _ in range(7)]
    assert told[:5] == [{}] * 5
    assert told[5] == told[6] == {"y1541_class": 0.0}
    assert sum(sent for sent, _ in voice._calls) == 3000
    assert voice._classes(session([None if number % 50 else 0.05 for number in range(500)]))["y1541_class"] == 5.0


def test_stateless_reflector_charges_both_directions() -> None:
    assert Reflector("stateless") is Reflector.STATELESS
    assert math.isclose(VoiceParams(host="192.0.2.1").buffer_seconds, 0.06)
