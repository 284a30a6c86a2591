"""How many turns others of the loop get while something large is done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


class Turns:
    """Counts from the first turn after it was made."""

    def __init__(self) -> None:
        self.count = 0

    async def take(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


@contextlib.contextmanager
def turns_beside() -> Iterator[Turns]:
    """Within, another task takes every turn that it gets."""
    turns = Turns()
    beside = asyncio.create_task(turns.take())
    try:
        yield turns
    finally:
        beside.cancel()
