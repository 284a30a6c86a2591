"""What tests of every kind share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cemd.monitor.probes.tools import Tools

from tests.monitor import peers
from tests.monitor.probes.contract import SECRET


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    return str(file)


@pytest.fixture
async def tools(tmp_path: Path) -> AsyncIterator[Tools]:
    async with peers.tools(state=tmp_path / "state") as made:
        yield made
