"""Epochs: a rollback holds over a reload and a restart until somebody changes the files."""

from __future__ import annotations

from pathlib import Path

import pytest
from cemd.daemon import reload
from cemd.daemon.kinds import kinds
from cemd.errors import ConfigError, StoreError
from cemd.store.memory import MemoryStore

SERVICES = """
services:
  - {{name: web, title: "{title}", function: portal, domain: it, platform: nginx, sold: true}}
"""


def write(root: Path, title: str) -> None:
    (root / "config/catalogue").mkdir(parents=True, exist_ok=True)
    (root / "config/cemd.yaml").write_text("tick_seconds: 1.0\n")
    (root / "config/catalogue/services.yaml").write_text(SERVICES.format(title=title))


def read(root: Path, rows: MemoryStore, current: reload.Accepted | None) -> reload.Accepted:
    configuration = current.configuration if current is not None else None
    accepted = reload.read(root, kinds(), configuration, author="test", state=root, rows=rows.state)
    rows.state.save_epoch(accepted.hash, accepted.author, 0.0, accepted.document)
    return accepted


def test_a_reload_says_what_changed(tmp_path: Path) -> None:
    rows = MemoryStore()
    write(tmp_path, "Portal")
    first = read(tmp_path, rows, None)
    write(tmp_path, "Web portal")
    second = read(tmp_path, rows, first)
    assert second.hash != first.hash
    assert len(second.changes) == 1
    assert "Web portal" in second.changes[0]


def test_a_rollback_holds_until_the_files_change(tmp_path: Path) -> None:
    rows = MemoryStore()
    write(tmp_path, "one")
    first = read(tmp_path, rows, None)
    write(tmp_path, "two")
    second = read(tmp_path, rows, first)
    reload.pin(tmp_path, first.hash, tmp_path)
    assert read(tmp_path, rows, second).hash == first.hash
    assert read(tmp_path, rows, None).hash == first.hash
    write(tmp_path, "three")
    assert read(tmp_path, rows, first).configuration.services[0].title == "three"


def test_a_rollback_holds_over_faulty_files_until_they_change(tmp_path: Path) -> None:
    rows = MemoryStore()
    write(tmp_path, "one")
    first = read(tmp_path, rows, None)
    (tmp_path / "config/cemd.yaml").write_text("tick_secnds: 1.0\n")
    reload.pin(tmp_path, first.hash, tmp_path)
    again = read(tmp_path, rows, None)
    assert again.hash == first.hash
    assert [first.hash in warning for warning in again.warnings] == [True]
    assert reload.settings_to_start_with(tmp_path, kinds(), tmp_path).tick_seconds == 2.0  # of the daemon's own
    (tmp_path / "config/cemd.yaml").write_text("tick_secnds: 2.0\n")
    with pytest.raises(ConfigError):
        read(tmp_path, rows, None)
    with pytest.raises(ConfigError):
        reload.settings_to_start_with(tmp_path, kinds(), tmp_path)


def test_faulty_files_are_refused_whole(tmp_path: Path) -> None:
    write(tmp_path, "one")
    (tmp_path / "config/cemd.yaml").write_text("tick_secnds: 1.0\n")
    with pytest.raises(ConfigError, match=r"config/cemd\.yaml:1:1: .*tick_secnds"):
        read(tmp_path, MemoryStore(), None)


def test_a_damaged_pin_says_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, "one")
    (tmp_path / reload.PIN).write_text("not json")
    with pytest.raises(StoreError, match="delete it"):
        read(tmp_path, MemoryStore(), None)
