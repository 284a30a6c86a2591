"""The roster: what did not change is kept as it is, what changed is made anew, what cannot run here is blind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from cemd.config.probes import Probe
from cemd.kit.tasks import Slices
from cemd.monitor import wire
from cemd.monitor.probes.tools import Tools
from cemd.monitor.roster import Arriving, Post, Unrunnable

from tests.monitor.peers import tools
from tests.turns import turns_beside


@pytest.fixture
async def lent(tmp_path: Path) -> AsyncIterator[Tools]:
    async with tools(state=tmp_path) as made:
        yield made


def probe(name: str, port: int = 1, **more: object) -> Probe:
    params = {"host": "127.0.0.1", "port": port}
    fields = {"name": name, "kind": "tcp", "service": "s", "every_seconds": 10.0, "timeout_seconds": 1.0, **more}
    return Probe.model_validate({**fields, "params": params})


async def posts_of(
    probes: list[Probe | dict[str, object]], before: dict[str, Post], lent: Tools, *, pieces: int = 1
) -> tuple[dict[str, Post], list[str]]:
    """The posts of a set that comes in so many pieces, and what is said of those that cannot run."""
    arriving = Arriving(before, lent, Slices())
    parts = [one if isinstance(one, dict) else one.model_dump(mode="json") for one in probes]
    for piece in range(pieces):
        await arriving.take("e", msgspec.json.encode(parts[piece::pieces]))
    assert arriving.parts == pieces
    return arriving.posts, arriving.refused


async def test_what_did_not_change_is_the_same_post_and_what_did_is_made_anew(lent: Tools) -> None:
    before, _ = await posts_of([probe("a"), probe("b"), probe("c")], {}, lent)
    before["b"].failing = True
    after, refused = await posts_of([probe("b", 2), probe("a"), probe("d")], before, lent)
    assert refused == []
    assert list(after) == ["b", "a", "d"]
    assert after["a"] is before["a"]
    assert after["b"] is not before["b"]
    assert after["b"].failing


async def test_renamed_probe_keeps_its_identity(lent: Tools) -> None:
    before, _ = await posts_of([probe("old")], {}, lent)
    after, _ = await posts_of([probe("new", renamed_from="old")], before, lent)
    assert list(after) == list(before) == ["old"]


async def test_what_cannot_be_read_or_run_here_is_said_and_the_rest_works(lent: Tools) -> None:
    odd = {**probe("odd").model_dump(mode="json"), "unheard_of": 1}
    posts, refused = await posts_of([odd, probe("later", kind="telepathy"), probe("fine")], {}, lent)
    assert list(posts) == ["later", "fine"]
    assert isinstance(posts["later"].kind, Unrunnable)
    assert len(refused) == 2
    with pytest.raises(wire.WireError):
        await Arriving({}, lent, Slices()).take("e", b"{}")


async def test_others_have_their_turn_while_a_large_set_is_read(lent: Tools) -> None:
    with turns_beside() as turns:
        await posts_of([probe(f"p{number}") for number in range(2_000)], {}, lent)
    assert turns.count > 3
