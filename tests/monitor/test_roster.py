"""The roster: what did not change is kept as it is, what changed is made anew, what cannot run here is blind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from cemd.config.probes import Probe
from cemd.monitor import wire
from cemd.monitor.probes.tools import Tools
from cemd.monitor.roster import Unrunnable, posts_of

from tests.monitor.peers import tools


@pytest.fixture
async def lent(tmp_path: Path) -> AsyncIterator[Tools]:
    async with tools(state=tmp_path) as made:
        yield made


def probe(name: str, port: int = 1, **more: object) -> Probe:
    params = {"host": "127.0.0.1", "port": port}
    fields = {"name": name, "kind": "tcp", "service": "s", "every_seconds": 10.0, "timeout_seconds": 1.0, **more}
    return Probe.model_validate({**fields, "params": params})


def frame(*probes: Probe | dict[str, object]) -> wire.Probes:
    parts = [one if isinstance(one, dict) else one.model_dump(mode="json") for one in probes]
    return wire.Probes(epoch="e", probes=msgspec.json.encode(parts), at_once=10)


async def test_what_did_not_change_is_the_same_post_and_what_did_is_made_anew(lent: Tools) -> None:
    before, _ = await posts_of(frame(probe("a"), probe("b"), probe("c")), {}, lent)
    before["b"].failing = True
    after, refused = await posts_of(frame(probe("b", 2), probe("a"), probe("d")), before, lent)
    assert refused == []
    assert list(after) == ["b", "a", "d"]
    assert after["a"] is before["a"]
    assert after["b"] is not before["b"]
    assert after["b"].failing


async def test_renamed_probe_keeps_its_identity(lent: Tools) -> None:
    before, _ = await posts_of(frame(probe("old")), {}, lent)
    after, _ = await posts_of(frame(probe("new", renamed_from="old")), before, lent)
    assert list(after) == list(before) == ["old"]


async def test_what_cannot_be_read_or_run_here_is_said_and_the_rest_works(lent: Tools) -> None:
    odd = {**probe("odd").model_dump(mode="json"), "unheard_of": 1}
    posts, refused = await posts_of(frame(odd, probe("later", kind="telepathy"), probe("fine")), {}, lent)
    assert list(posts) == ["later", "fine"]
    assert isinstance(posts["later"].kind, Unrunnable)
    assert len(refused) == 2
    with pytest.raises(wire.WireError):
        await posts_of(wire.Probes(epoch="e", probes=b"{}", at_once=1), {}, lent)


async def test_others_have_their_turn_while_a_large_set_is_read(lent: Tools) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    await posts_of(frame(*(probe(f"p{number}") for number in range(2_000))), {}, lent)
    beside.cancel()
    assert turns > 3
