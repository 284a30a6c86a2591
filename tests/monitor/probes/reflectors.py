"""Far ends for `stamp` and `voice`: cemd's own reflector, and a way to it that loses, holds and doubles by a list."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from cemd.monitor.reflector import Reflector


@contextlib.asynccontextmanager
async def reflector(**given: Any) -> AsyncIterator[Reflector]:
    made = Reflector(**{"host": "127.0.0.1", "port": 0, **given})
    made.open()
    try:
        yield made
    finally:
        made.close()


Fate = Callable[[int], list[float]]
"""What happens to packet `n` of a direction: the seconds after which it goes on, once for each copy."""


def through(number: int) -> list[float]:
    """Nothing happens to it."""
    del number
    return [0.0]


class Way(asyncio.DatagramProtocol):
    """A relay in front of a reflector. Each direction counts its packets from 0."""

    def __init__(self, there: Fate, back: Fate) -> None:
        self.fates = (there, back)
        self.counts = [0, 0]
        self.near: asyncio.DatagramTransport
        self.far: asyncio.DatagramTransport | None = None
        self.sender: Any = None

    def connection_made(self, transport: Any) -> None:
        self.near = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.sender = addr
        self.carry(0, data)

    def carry(self, direction: int, data: bytes) -> None:
        number = self.counts[direction]
        self.counts[direction] += 1
        for seconds in self.fates[direction](number):
            if seconds:
                asyncio.get_running_loop().call_later(seconds, self.deliver, direction, data)
            else:
                self.deliver(direction, data)

    def deliver(self, direction: int, data: bytes) -> None:
        if direction == 0 and self.far is not None and not self.far.is_closing():
            self.far.sendto(data)
        elif direction == 1 and not self.near.is_closing():
            self.near.sendto(data, self.sender)


class _Far(asyncio.DatagramProtocol):
    def __init__(self, way: Way) -> None:
        self.way = way

    def datagram_received(self, data: bytes, _addr: Any) -> None:
        self.way.carry(1, data)


@contextlib.asynccontextmanager
async def way_to(port: int, there: Fate = through, back: Fate = through) -> AsyncIterator[tuple[Way, int]]:
    loop = asyncio.get_running_loop()
    near, way = await loop.create_datagram_endpoint(lambda: Way(there, back), local_addr=("127.0.0.1", 0))
    far, _ = await loop.create_datagram_endpoint(lambda: _Far(way), remote_addr=("127.0.0.1", port))
    way.far = far
    try:
        yield way, near.get_extra_info("sockname")[1]
    finally:
        near.close()
        far.close()
