"""What a kind's test file lends to the tests that every kind must pass: parameters for three sorts of peers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

SECRET = "open-sesame-4711"
"""What the secret file holds: no result and no log may show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Parameters of a kind, as a file of `probes/` would give them."""

    good: dict[str, Any]
    """Towards a peer that answers as it should."""
    failing: dict[str, Any]
    """Towards one that does not, or is not there."""
    hanging: dict[str, Any]
    """Towards one that never comes to an end."""


@contextlib.asynccontextmanager
async def contract_of(kind: str, secret_file: str) -> AsyncIterator[Contract]:
    """Starts the peers of `tests/monitor/probes/test_KIND.py`; they end with the block."""
    async with contextlib.AsyncExitStack() as stack:
        yield await import_module(f"tests.monitor.probes.test_{kind}").contract(stack, secret_file)
