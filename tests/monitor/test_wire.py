"""Frames: what is none is said, and nothing else ever happens."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from cemd.model.measurement import SeriesKey
from cemd.monitor import wire
from hypothesis import given
from hypothesis import strategies as st

FRAMES: list[wire.FromProber] = [
    wire.Hello(version=1, source="prober:home", number=5, pid=1),
    wire.Declare(first=0, keys=(SeriesKey(probe="p", metric="success", labels=(("a", "b"),)),)),
    wire.Measured(number=6, series=b"\0" * 4, at=b"\0" * 8, value=b"\0" * 8, outcome=b"\0"),
    wire.Progress(counters={"runs_ok": 1.0}),
    wire.Taken(epoch="e", probes=1, refused=("no",)),
]


async def heard(sent: bytes) -> list[wire.FromProber]:
    reader = asyncio.StreamReader()
    reader.feed_data(sent)
    reader.feed_eof()
    frames = []
    while (frame := await wire.read_from_prober(reader)) is not None:
        frames.append(frame)
    return frames


async def test_frames_arrive_as_they_were_sent() -> None:
    assert await heard(b"".join(map(wire.encode, FRAMES))) == FRAMES


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: type(frame).__name__)
async def test_connection_that_ends_within_a_frame_ends_quietly(frame: wire.FromProber) -> None:
    sent = wire.encode(frame)
    for size in range(len(sent)):
        assert await heard(sent[:size]) == []


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_wire_error(sent: bytes) -> None:
    with contextlib.suppress(wire.WireError):
        asyncio.run(heard(sent))
    with contextlib.suppress(wire.WireError):
        wire.decode(sent, wire.from_prober)


@given(st.sampled_from(FRAMES), st.data())
def test_no_damage_to_a_frame_raises_anything_but_a_wire_error(frame: wire.FromProber, data: st.DataObject) -> None:
    body = bytearray(wire.encode(frame)[4:])
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=4)):
        body[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(wire.WireError):
        found = wire.decode(bytes(body), wire.from_prober)
        if isinstance(found, wire.Measured):
            wire.columns(found)
