"""Reading by a child: the same as reading here, refused in the same words, and no child outlives who waits for it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from cemd.daemon import reading, reload
from cemd.daemon.kinds import kinds
from cemd.errors import CemdError, ConfigError
from cemd.store.sqlite import open_store

from tests.daemon.test_reload import write


def state(root: Path) -> Path:
    """A state that holds what the files say now as an epoch."""
    store = open_store(root / "state", ballast_megabytes=0)
    accepted = reload.read(root, kinds(), None, author="test", state=root / "state", rows=store.state)
    store.state.save_epoch(accepted.hash, "test", 0.0, accepted.document)
    store.close()
    return root / "state"


def current(root: Path) -> reload.Accepted:
    store = open_store(root / "state", ballast_megabytes=0)
    try:
        return reload.read(root, kinds(), None, author="test", state=root / "state", rows=store.state)
    finally:
        store.close()


async def test_what_a_child_reads_is_what_would_be_read_here(tmp_path: Path) -> None:
    write(tmp_path, "one")
    where, before = state(tmp_path), current(tmp_path)
    write(tmp_path, "two")
    read = await reading.read_apart(tmp_path, where, before.configuration, epoch=before.hash, author="me")
    here = current(tmp_path)
    assert (read.hash, read.document, read.warnings) == (here.hash, here.document, here.warnings)
    assert read.configuration == here.configuration
    assert read.author == "me"
    assert len(read.changes) == 1
    assert '"two"' in read.changes[0]


async def test_faulty_files_are_refused_in_the_same_words(tmp_path: Path) -> None:
    write(tmp_path, "one")
    where, before = state(tmp_path), current(tmp_path)
    (tmp_path / "config/cemd.yaml").write_text("tick_secnds: 1.0\n")
    with pytest.raises(ConfigError) as here:
        current(tmp_path)
    with pytest.raises(ConfigError) as there:
        await reading.read_apart(tmp_path, where, before.configuration, epoch=before.hash, author="me")
    assert there.value.faults == here.value.faults


async def test_a_child_that_ends_without_an_answer_refuses_the_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text("import os\nos._exit(3)\n")
    with pytest.raises(CemdError, match="ended with code 3 and no answer"):
        await reading.read_apart(tmp_path, tmp_path, None, epoch="", author="me")


async def test_a_child_ends_when_nobody_waits_for_it_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code = f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    (tmp_path / "sitecustomize.py").write_text(code)
    waiting = asyncio.create_task(reading.read_apart(tmp_path, tmp_path, None, epoch="", author="me"))
    async with asyncio.timeout(60):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_an_epoch_that_the_state_does_not_hold_is_said(tmp_path: Path) -> None:
    write(tmp_path, "one")
    answer, _ = reading.answer(tmp_path, state(tmp_path), "0123456789abcdef", "me")
    assert isinstance(answer, reading.Refusal)
    assert "does not hold epoch 0123456789abcdef" in answer.reason
