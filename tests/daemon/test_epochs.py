"""Epochs: what is wanted takes effect before the next is read, and thousands of changes are not thousands of lines."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cemd.config.topology import Topology
from cemd.daemon import epochs as module
from cemd.daemon import reload
from cemd.daemon.epochs import MOST_CHANGES_SAID, Epochs
from cemd.daemon.kinds import kinds
from cemd.daemon.places import places
from cemd.loop.core import Core
from cemd.model.entry import ConfigEpoch, Payload
from cemd.store.memory import MemoryStore
from structlog.testing import capture_logs

from tests.daemon.test_reload import write


class Scene:
    """A core that nobody drives, over a root with one set of files."""

    def __init__(self, root: Path) -> None:
        write(root, "one")
        store = MemoryStore().store()
        self.core = Core(store, lambda _entry, _effects: None)
        self.accepted = reload.read(root, kinds(), None, author="test", state=root, rows=store.state)
        where = places(root, self.accepted.configuration.settings, root / "state")
        self.epochs = Epochs(self.core, store, where, root)
        self.posted: list[Payload] = []


async def test_next_files_are_read_only_when_what_was_wanted_is_in_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    read: list[str] = []

    async def answer(*_: object, epoch: str, **__: object) -> reload.Accepted:
        read.append(epoch)
        return scene.accepted

    monkeypatch.setattr(module, "read_apart", answer)
    assert scene.epochs.take(scene.accepted, scene.posted.append)
    reading = asyncio.create_task(scene.epochs.read_apart("test"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not read, "the core has not taken it yet, so nobody knows beside what the files are to be read"
    scene.core.state.epoch = scene.accepted.hash
    scene.epochs.took_effect(scene.accepted.hash)
    await reading
    assert read == [scene.accepted.hash]


async def test_what_is_in_effect_is_not_posted_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.core.state.epoch = scene.accepted.hash
    assert not scene.epochs.take(scene.accepted, scene.posted.append)
    assert not scene.posted
    await asyncio.wait_for(scene.epochs.settle(), 5.0)


async def test_topology_that_was_made_is_expected_by_the_core_before_the_epoch_comes(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    topology = Topology(scene.accepted.configuration)
    scene.epochs.take(scene.accepted, scene.posted.append, topology)
    [posted] = scene.posted
    assert isinstance(posted, ConfigEpoch)
    expected = scene.core.state.expected
    assert expected is not None
    assert (expected.epoch, expected.topology) == (posted.hash, topology)


async def test_of_very_many_changes_some_are_said_and_the_rest_is_counted(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    many = tuple(f"change {number}" for number in range(MOST_CHANGES_SAID + 70))
    accepted = reload.Accepted(
        configuration=scene.accepted.configuration,
        document=scene.accepted.document,
        hash=scene.accepted.hash,
        author="test",
        warnings=(),
        changes=many,
    )
    with capture_logs() as said:
        scene.epochs.take(accepted, scene.posted.append)
    lines = [line for line in said if line["event"] == "configuration_changed"]
    assert [line.get("change") for line in lines[:-1]] == list(many[:MOST_CHANGES_SAID])
    assert lines[-1]["more"] == 70
