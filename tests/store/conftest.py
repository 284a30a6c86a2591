"""One suite for every implementation of the protocols: each test runs on memory and on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.house import House, MemoryHouse, SqliteHouse


@pytest.fixture(params=["memory", "sqlite"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    made: House = MemoryHouse() if request.param == "memory" else SqliteHouse(tmp_path / "state")
    yield made
    made.close()
