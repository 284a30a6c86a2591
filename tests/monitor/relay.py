"""Stands before a port of 127.0.0.1, over TCP and by datagrams, and hands everything on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable
from typing import Any


class Relay:
    """What comes back can be changed on its way: by `back` of a connection, by `datagrams_back` of each datagram."""

    def __init__(self, port: int) -> None:
        self._there = port
        self._talks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self, host: str = "127.0.0.1") -> AsyncIterator[int]:
        """The port on which it listens, for both."""
        loop = asyncio.get_running_loop()
        while True:
            server = await asyncio.start_server(self._serve, host, 0)
            port: int = server.sockets[0].getsockname()[1]
            with contextlib.suppress(OSError):  # somebody has this port for datagrams: the next one
                datagrams, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self, self._there), local_addr=(host, port)
                )
                break
            server.close()
        try:
            yield port
        finally:
            datagrams.close()
            server.close()
            for task in list(self._talks):
                task.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: asyncio.Task[None] | None = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        doors = [writer]
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there, back = await asyncio.open_connection("127.0.0.1", self._there)
            doors.append(back)
            await asyncio.gather(self._on(reader, back), self.back(there, writer))
        for door in doors:
            door.transport.abort()
        self._talks.discard(task)

    @staticmethod
    async def _on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.write_eof()

    async def back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What the port says over a connection, until its end."""
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    def datagrams_back(self, data: bytes) -> Iterable[bytes]:
        """What becomes of a datagram from the port."""
        return (data,)


class _Datagrams(asyncio.DatagramProtocol):
    """Hands datagrams on, and what comes back to whoever asked, each by a socket of its own."""

    def __init__(self, relay: Relay, there: int) -> None:
        self._relay, self._there = relay, there
        self._ways: dict[Any, socket.socket] = {}

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if addr not in self._ways:
            way = self._ways[addr] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            way.connect(("127.0.0.1", self._there))
            asyncio.get_running_loop().add_reader(way.fileno(), self._back, way, addr)
        with contextlib.suppress(OSError):
            self._ways[addr].send(data)

    def _back(self, way: socket.socket, addr: Any) -> None:
        with contextlib.suppress(OSError):
            for data in self._relay.datagrams_back(way.recv(65_535)):
                self._transport.sendto(data, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        for way in self._ways.values():
            asyncio.get_running_loop().remove_reader(way.fileno())
            way.close()
