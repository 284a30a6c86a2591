"""Real servers on loopback that keep what they got, and misbehave when told to."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import Message as Mail
from typing import Any


class MailSink:
    """A mail server that keeps what it got, or answers as told."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.answer = "250 taken"
        self.refuse: dict[str, str] = {}
        self.sessions = 0
        self.hang_in_data = asyncio.Event()
        self.hang_in_data.set()
        self.answer_seconds = 0.0

    async def handle_RCPT(self, _s: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        await self.hang_in_data.wait()
        await asyncio.sleep(self.answer_seconds)
        return self.answer


@asynccontextmanager
async def mail_server(sink: MailSink, **options: Any) -> AsyncIterator[int]:
    """Serves the sink on a free port."""
    from aiosmtpd.smtp import SMTP

    open_ones: list[Any] = []

    def protocol() -> Any:
        served = SMTP(sink, hostname="localhost", loop=loop, **options)
        open_ones.append(served)
        sink.sessions += 1
        return served

    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        sink.hang_in_data.set()
        server.close()
        for served in open_ones:
            if served.transport is not None:
                served.transport.close()
        await asyncio.sleep(0)
        await server.wait_closed()


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Takes connections and never says a word."""
    writers: list[asyncio.StreamWriter] = []

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in writers:
            writer.close()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def full_server() -> AsyncIterator[int]:
    """A host that answers no attempt to connect: its queue of connections is full, and nobody takes one."""
    clients: list[socket.socket] = []
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        try:
            for _ in range(8):
                clients.append(socket.socket())
                clients[-1].setblocking(False)
                clients[-1].connect_ex(listening.getsockname())
            yield listening.getsockname()[1]
        finally:
            for client in clients:
                client.close()


@asynccontextmanager
async def late_server(port: int, opened: asyncio.Event) -> AsyncIterator[tuple[int, list[int]]]:
    """Takes connections and lets them speak with the server at `port` only once `opened`; tells how many came."""
    came: list[int] = []
    kept: list[asyncio.StreamWriter] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(len(came))
        kept.append(writer)
        await opened.wait()
        behind_reader, behind = await asyncio.open_connection("127.0.0.1", port)
        kept.append(behind)
        await asyncio.gather(pass_on(reader, behind), pass_on(behind_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], came
    finally:
        opened.set()
        for writer in kept:
            writer.close()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def crude_mail_server(answer: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Speaks as much SMTP as it takes to get a mail, and then answers it with any bytes."""
    taken: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 crude\r\n")
        try:
            while line := await reader.readline():
                if line.upper().startswith(b"DATA"):
                    writer.write(b"354 go on\r\n")
                    taken.append(await reader.readuntil(b"\r\n.\r\n"))
                    writer.write(answer + b"\r\n")
                else:
                    writer.write(b"250 ok\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], taken
    finally:
        server.close()
        await server.wait_closed()
