"""Sockets that wait without a task: told when ready, told before their deadline, and never after they were given up."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import Iterator

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.engines.waits import TICKS_PER_SECOND, RestingWaits, Waits

from tests.monitor.peers import look, tools


class Told:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[int] = []
        self.late_at: float | None = None

    def ready(self, events: int) -> None:
        self.events.append(events)

    def late(self) -> None:
        self.late_at = asyncio.get_running_loop().time()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
async def waits() -> Waits:
    return Waits()


async def test_ready_socket_is_told_and_a_removed_one_is_not(
    waits: Waits, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    told, deadline = Told(), asyncio.get_running_loop().time() + 5
    tick = waits.add(ours.fileno(), told, select.EPOLLIN, deadline)
    theirs.send(b"x")
    await asyncio.sleep(0.01)
    assert told.events
    assert set(told.events) == {select.EPOLLIN}
    waits.remove(ours.fileno(), tick)
    count = len(told.events)
    theirs.send(b"y")
    await asyncio.sleep(0.01)
    assert len(told.events) == count
    waits.close()


async def test_deadlines_come_in_time_and_never_after_the_end(waits: Waits) -> None:
    loop, told = asyncio.get_running_loop(), [Told() for _ in range(6)]
    with contextlib.ExitStack() as stack:
        doors = [stack.enter_context(one) for _ in told for one in socket.socketpair()][::2]
        # the earliest is added last, and one is given up
        deadlines = [loop.time() + 0.05 * (6 - place) for place in range(6)]
        ticks = [
            waits.add(door.fileno(), one, select.EPOLLIN, at)
            for door, one, at in zip(doors, told, deadlines, strict=True)
        ]
        waits.remove(doors[2].fileno(), ticks[2])
        await asyncio.sleep(0.35)
        for place, one in enumerate(told):
            if place == 2:
                assert one.late_at is None
            else:
                assert one.late_at is not None
                assert deadlines[place] - 1.5 / TICKS_PER_SECOND <= one.late_at
        assert not waits._wheel
    waits.close()


async def test_rests_begin_where_events_are_many_and_end_with_them(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    waits, told = RestingWaits(busy_seconds=0.05), Told()

    def rests() -> bool:
        return waits.rests

    waits.add(ours.fileno(), told, select.EPOLLIN | select.EPOLLET, asyncio.get_running_loop().time() + 60)
    for _ in range(300):
        theirs.send(b"x")
        await asyncio.sleep(0.001)
        if rests():
            break
    assert rests()
    for sent in (True, False):
        count = len(told.events)
        if sent:
            theirs.send(b"x")
        for _ in range(400):
            await asyncio.sleep(0.005)
            if len(told.events) > count or not (sent or rests()):
                break
        assert (len(told.events) > count) is sent  # at a rest too, what comes is found, and what does not come is not
    assert not rests()
    for _ in range(300):
        theirs.send(b"x")
        await asyncio.sleep(0.001)
        if rests():
            break
    waits.prompt()
    assert not rests()
    waits.close()


async def test_connection_that_nobody_takes_has_timed_out() -> None:
    """A full backlog drops the SYN, as a host behind a firewall does."""
    with contextlib.ExitStack() as stack:
        door = stack.enter_context(socket.socket())
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(door.getsockname())
        async with tools() as made:
            began = asyncio.get_running_loop().time()
            params = {"host": "127.0.0.1", "port": door.getsockname()[1]}
            result = await look(made, "tcp", params, seconds=0.3)
            assert asyncio.get_running_loop().time() - began < 0.6
    assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, Reason.NO_ANSWER)
