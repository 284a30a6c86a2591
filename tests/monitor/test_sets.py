"""Probe sets travel in pieces: all of a set is at work or none of it, and the newest one wins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from cemd.config.probes import Probe
from cemd.config.settings import Settings
from cemd.config.vantage import Vantage
from cemd.monitor import wire
from cemd.monitor.intake.prober_server import PIECE
from cemd.monitor.prober import Prober

from tests.monitor.daemon_side import daemon_side, prober_child, until
from tests.monitor.peers import HERE
from tests.turns import turns_beside

SETTINGS = Settings()
PIECES = 100


def probes(word: str, count: int = PIECES * PIECE) -> list[Probe]:
    params = {"host": "192.0.2.1", "port": 9, "text": word * 200}
    fields = {"kind": "tcp", "service": "s", "every_seconds": 3600.0, "timeout_seconds": 1.0, "params": params}
    return [Probe.model_validate({"name": f"{word}{number}", **fields}) for number in range(count)]


@asynccontextmanager
async def link(socket: Path) -> AsyncIterator[asyncio.StreamReader]:
    """The connection of a prober that takes what it is given."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    writer.write(wire.encode(wire.Hello(version=wire.VERSION, source="prober:home", number=0, pid=1)))
    try:
        yield reader
    finally:
        writer.close()


async def whole_set(reader: asyncio.StreamReader, parts: int = 0) -> tuple[wire.Probes, list[str]]:
    """The next set that is complete: its last frame, and the names of its probes. `parts` have been read already."""
    names: list[str] = []
    while True:
        frame = await wire.read_from_daemon(reader)
        assert isinstance(frame, wire.ProbesPart | wire.Probes)
        if isinstance(frame, wire.ProbesPart) and frame.place == 0:
            names, parts = [], 0
        names += [one["name"] for one in msgspec.json.decode(frame.probes)]
        if isinstance(frame, wire.Probes):
            assert frame.parts == parts
            return frame, names
        assert frame.place == parts
        parts += 1


@pytest.mark.parametrize("count", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
async def test_set_arrives_whole_and_in_order_whatever_its_size(count: int, tmp_path: Path) -> None:
    sent = probes("p", count)
    async with daemon_side(tmp_path / "s") as side:
        side.server.set_probes("e", sent, SETTINGS)
        async with link(tmp_path / "s") as reader:
            last, names = await whole_set(reader)
    assert names == [one.name for one in sent]
    assert (last.epoch, last.parts) == ("e", max(0, -(-count // PIECE) - 1))


async def test_loop_turns_while_a_large_set_is_handed_out(tmp_path: Path) -> None:
    async with daemon_side(tmp_path / "s") as side, link(tmp_path / "s") as reader:
        await until(side.server.connected, what="the link")
        with turns_beside() as turns:
            side.server.set_probes("e", probes("p"), SETTINGS)
            handed_out_at_once = turns.count
            frame = await wire.read_from_daemon(reader)
        assert isinstance(frame, wire.ProbesPart)
        assert len(msgspec.json.decode(frame.probes)) == PIECE
    assert handed_out_at_once == 0, "handing a set out waits for nobody and begins later"
    assert turns.count > 0


async def test_set_that_another_overtakes_is_not_finished(tmp_path: Path) -> None:
    async with daemon_side(tmp_path / "s") as side:
        side.server.set_probes("old", probes("old"), SETTINGS)
        async with link(tmp_path / "s") as reader:
            first = await wire.read_from_daemon(reader)
            assert isinstance(first, wire.ProbesPart)
            assert first.epoch == "old"
            new = probes("new", 2 * PIECE)
            side.server.set_probes("new", new, SETTINGS)
            last, names = await whole_set(reader, parts=1)
    assert last.epoch == "new"
    assert names == [one.name for one in new]


async def test_run_asked_for_while_a_set_is_on_its_way_is_asked_behind_it(tmp_path: Path) -> None:
    async with daemon_side(tmp_path / "s") as side:
        side.server.set_probes("old", probes("old", 1), SETTINGS)
        async with link(tmp_path / "s") as reader:
            await whole_set(reader)
            assert side.server.recheck("old0")
            assert await wire.read_from_daemon(reader) == wire.RecheckNow(probe="old0")
            side.server.set_probes("new", probes("new"), SETTINGS)
            assert side.server.recheck("new7"), "before the first piece of the set has left"
            first = await wire.read_from_daemon(reader)
            assert isinstance(first, wire.ProbesPart)
            assert side.server.recheck("new8")
            assert side.server.recheck("new7"), "a run that is asked for twice"
            last, _ = await whole_set(reader, parts=1)
            assert last.epoch == "new"
            asked = [await wire.read_from_daemon(reader) for _ in range(2)]
            assert asked == [wire.RecheckNow(probe="new7"), wire.RecheckNow(probe="new8")]


async def test_run_asked_for_of_a_prober_that_has_no_probes_yet_waits_for_them(tmp_path: Path) -> None:
    async with daemon_side(tmp_path / "s") as side, link(tmp_path / "s") as reader:
        await until(side.server.connected, what="the link")
        assert side.server.recheck("p0")
        side.server.set_probes("e", probes("p", 1), SETTINGS)
        await whole_set(reader)
        assert await wire.read_from_daemon(reader) == wire.RecheckNow(probe="p0")


async def test_run_that_nobody_can_be_asked_for_is_said(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        async with daemon_side(tmp_path / "s") as side:
            assert not side.server.recheck("alone")
            async with link(tmp_path / "s"):
                await until(side.server.connected, what="the link")
                assert side.server.recheck("held")
            await until(lambda: not side.server.connected(), what="the end of the link")
    said = [line["probes"] for line in lines if line["event"] == "intake.runs_not_asked"]
    assert said == [["alone"], ["held"]]


async def test_probe_that_only_the_coming_set_has_runs_when_it_is_asked_to(tmp_path: Path) -> None:
    """Its own time is an hour away: what runs is what was asked for, by a real prober of a large set."""
    asked = probes("new")[4_321].model_copy(update={"params": {"host": "127.0.0.1", "port": 1}})
    new = [one if one.name != asked.name else asked for one in probes("new")]
    async with daemon_side(tmp_path / "s", max_series=100_000) as side:
        side.server.set_probes("old", [], SETTINGS)
        async with prober_child(tmp_path / "s", tmp_path / "state"):
            await until(lambda: side.server.counters, what="a prober that has its set")
            side.server.set_probes("new", new, SETTINGS.model_copy(update={"targets": HERE}))
            assert side.server.recheck(asked.name)
            await until(lambda: side.log.samples(asked.name, "success"), what="the run")


@pytest.mark.parametrize(
    "frames",
    [
        [wire.ProbesPart(epoch="e", place=1, probes=b"[]")],
        [
            wire.ProbesPart(epoch="e", place=0, probes=b"[]"),
            wire.Probes(epoch="e", probes=b"[]", at_once=10, parts=2),
        ],
    ],
    ids=["begins in the middle", "a piece is missing"],
)
async def test_prober_takes_no_set_of_which_a_piece_is_missing(frames: list[wire.FromDaemon], tmp_path: Path) -> None:
    prober = Prober(socket=tmp_path / "s", state=tmp_path / "state", log=structlog.get_logger())
    *good, bad = frames
    for frame in good:
        await prober._hear(frame)
    with pytest.raises(wire.WireError, match="is not the next"):
        await prober._hear(bad)
    stopping = asyncio.Event()
    stopping.set()
    await prober.run(stopping)


async def test_prober_that_was_cut_off_within_a_set_begins_the_next_one_anew(tmp_path: Path) -> None:
    prober = Prober(socket=tmp_path / "s", state=tmp_path / "state", log=structlog.get_logger())
    stopping = asyncio.Event()
    running = asyncio.create_task(prober.run(stopping))
    one, other = (msgspec.json.encode([each.model_dump(mode="json")]) for each in probes("p", 2))
    await prober._hear(wire.ProbesPart(epoch="e", place=0, probes=one))
    assert not prober._posts, "nothing of a set is at work before its last piece"
    await prober._hear(wire.ProbesPart(epoch="e", place=0, probes=one))
    await prober._hear(wire.Probes(epoch="e", probes=other, at_once=10, parts=1))
    assert list(prober._posts) == ["p0", "p1"]
    stopping.set()
    await running


async def test_part_that_several_vantage_points_have_is_encoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    dump = Probe.model_dump_json

    def counted(self: Probe, **given: Any) -> str:
        encoded.append(self.name)
        return dump(self, **given)

    monkeypatch.setattr(Probe, "model_dump_json", counted)
    names = ("east", "west", "north")
    settings = SETTINGS.model_copy(update={"vantages": tuple(Vantage(name=name) for name in names)})
    everywhere = probes("all", 1)[0].model_copy(update={"vantages": names})
    north = probes("one", 1)[0].model_copy(update={"vantages": ("north",)})
    async with daemon_side(tmp_path / "s") as side:
        side.server.set_probes("e1", [everywhere, north], settings)
        parts = {}
        for name in names:
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            writer.write(wire.encode(wire.Hello(version=wire.VERSION, source=f"prober:{name}", number=0, pid=1)))
            frame = await wire.read_from_daemon(reader)
            assert isinstance(frame, wire.Probes)
            parts[name] = [one["name"] for one in msgspec.json.decode(frame.probes)]
            writer.close()
        assert parts == {"east": ["all0"], "west": ["all0"], "north": ["all0", "one0"]}
        assert encoded == ["all0", "all0", "one0"]


async def test_a_probe_is_known_by_its_uid_before_another_one_by_that_name_and_only_those_of_the_newest_set(
    tmp_path: Path,
) -> None:
    one, other = probes("p", 2)
    other = other.model_copy(update={"uid": "p0"})
    one = one.model_copy(update={"uid": "old"})
    async with daemon_side(tmp_path / "s") as side:
        side.server.set_probes("e", [one, other], SETTINGS)
        assert [side.server.probe_called(name) for name in ("p0", "p1", "old", "x")] == [other, other, one, None]
        side.server.set_probes("f", [one], SETTINGS)
        assert [side.server.probe_called(name) for name in ("p0", "p1", "old")] == [one, None, one]
