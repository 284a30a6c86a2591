"""Connections by the batch: good ones come as columns, others one by one; times are the kernel's, not the loop's."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from cemd.config.probes import Probe
from cemd.config.targets import Targets
from cemd.model.quality import Outcome
from cemd.monitor.probes import make
from cemd.monitor.probes.base import Reason, Result
from cemd.monitor.probes.engines.errands import AnyErrand, Batching, Landed
from cemd.monitor.probes.tools import Tools

from tests.monitor.peers import echo, free_port, hang, look, tcp_server, tools, value


@pytest.fixture
async def lent() -> AsyncIterator[Tools]:
    async with tools() as made:
        yield made


class Book:
    """Takes what lands, by slot."""

    def __init__(self, made: Tools) -> None:
        self.made = made
        made.streams.landing = self
        self.rows: dict[int, tuple[float, ...]] = {}
        self.results: dict[int, Result] = {}
        self.batches = 0
        self.said = asyncio.Event()

    def landed(self, landed: Landed) -> None:
        self.batches += 1
        self.rows.update(zip(landed.slots, landed.values, strict=True))
        self.said.set()

    def ended(self, slot: int, errand: AnyErrand, at: float, seconds: float, result: Result) -> None:
        assert at == 1_000.0
        assert 0.0 <= seconds < errand.timeout
        self.results[slot] = result
        self.said.set()

    def errand(self, kind: str, **params: Any) -> AnyErrand:
        probe = Probe(name="p", kind=kind, service="s", every_seconds=60.0, timeout_seconds=5.0, params=params)
        found = make(probe, self.made)
        assert isinstance(found, Batching)
        errand = found.errand()
        assert errand is not None
        errand.timeout = 5.0
        return errand

    async def told(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.rows) + len(self.results) < count:
                self.said.clear()
                await self.said.wait()

    def send(self, *errands: AnyErrand) -> None:
        now = asyncio.get_running_loop().time()
        self.made.streams.begin(errands, range(len(errands)), now, 1_000.0)  # type: ignore[arg-type] # of the right kind


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):  # of those who only connect
        await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()
    await reader.read()


async def test_good_ones_land_as_columns_and_the_rest_is_told_one_by_one(lent: Tools) -> None:
    book = Book(lent)
    async with tcp_server(answer) as port:
        url = f"http://127.0.0.1:{port}/"
        errands = [
            book.errand("http", url=url),
            book.errand("tcp", host="127.0.0.1", port=port),
            book.errand("http", url=url, status=[500]),
            book.errand("tcp", host="127.0.0.1", port=free_port()),
            book.errand("http", url=url, method="HEAD"),
        ]
        book.send(*errands)
        await book.told(5)
    assert book.rows.keys() == {0, 1, 4}
    assert book.rows[0][0] == 1.0
    assert book.rows[0][2] == 200.0
    assert len(book.rows[0]) == len(errands[0].metrics) + 2
    assert book.rows[1][1] == book.rows[1][2]
    assert [book.results[slot].reason for slot in (2, 3)] == [Reason.STATUS_UNEXPECTED, Reason.REFUSED]
    assert lent.streams.give_up() == []


async def test_policy_is_asked_again_after_it_changed(lent: Tools) -> None:
    book = Book(lent)
    async with tcp_server(echo) as port:
        errand = book.errand("tcp", host="127.0.0.1", port=port)
        book.send(errand)
        await book.told(1)
        lent.names.allow(Targets(loopback=False))
        book.rows.clear()
        book.send(errand)
        await book.told(1)
    assert book.results[0].reason is Reason.TARGET_NOT_ALLOWED


async def test_what_is_given_up_is_told_to_nobody(lent: Tools) -> None:
    book = Book(lent)
    async with tcp_server(hang) as port:
        book.send(book.errand("http", url=f"http://127.0.0.1:{port}/"))
        await asyncio.sleep(0.05)
        assert lent.streams.give_up() == [0]
        await asyncio.sleep(0.05)
    assert not book.rows
    assert not book.results


@contextlib.contextmanager
def slow_server(seconds: float) -> Iterator[int]:
    """A server on a thread of its own, which answers one request so long after it came."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            with door.accept()[0] as peer:
                peer.recv(4096)
                time.sleep(seconds)
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                peer.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield door.getsockname()[1]
        thread.join()


async def test_loop_that_is_busy_meanwhile_does_not_show_in_what_is_measured(lent: Tools) -> None:
    with slow_server(0.02) as port:
        running = asyncio.create_task(look(lent, "http", {"url": f"http://127.0.0.1:{port}/"}))
        await asyncio.sleep(0.01)  # it is asked by now
        time.sleep(0.4)  # noqa: ASYNC251 -- the loop is held, as a long computation would
        result = await running
    assert result.outcome is Outcome.OK
    assert 0.02 <= value(result, "first_byte_seconds") < 0.2
    assert value(result, "response_seconds") < 0.2


async def test_answer_that_came_in_time_counts_though_the_loop_was_busy_until_after_the_deadline(lent: Tools) -> None:
    book = Book(lent)
    with slow_server(0.02) as port:
        errand = book.errand("http", url=f"http://127.0.0.1:{port}/")
        errand.timeout = 0.2
        book.send(errand)
        await asyncio.sleep(0.01)
        time.sleep(0.4)  # noqa: ASYNC251
        await book.told(1)
    assert book.rows.keys() == {0}, book.results


async def test_lost_first_packet_counts_in_the_time_of_the_connection(lent: Tools) -> None:
    """The round trip is that of the packet that was sent again, a second later; a customer would have waited it."""
    with contextlib.ExitStack() as stack:
        door = stack.enter_context(socket.socket())
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        for _ in range(2):  # a full backlog drops the next
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(door.getsockname())
        await asyncio.sleep(0.05)
        port = door.getsockname()[1]
        running = asyncio.create_task(look(lent, "tcp", {"host": "127.0.0.1", "port": port}, seconds=4.0))
        await asyncio.sleep(0.3)
        for _ in range(2):
            door.accept()[0].close()
        result = await running
    assert result.outcome is Outcome.OK
    assert 0.9 < value(result, "connect_seconds") < 3.0
    assert value(result, "handshake_round_trip_seconds") < 0.5
