"""Sockets that wait without a task: told when ready, told before their deadline, and never after they were given up."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
from collections.abc import Iterator

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.engines.sockets import SocketParams
from cemd.monitor.probes.engines.streams import Knock, Target
from cemd.monitor.probes.engines.waits import TICKS_PER_SECOND, RestingWaits, Waits

from tests.monitor.peers import free_port, look, tools, value


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


class Asked:
    """Something fresh: how often was it asked?"""

    def __init__(self) -> None:
        self.count = 0

    def met(self) -> None:
        self.count += 1


async def test_what_is_fresh_is_asked_once_by_the_next_look_or_soon_without_one(waits: Waits) -> None:
    assert not waits.meet(Asked())
    waits.close()
    resting, first, second = RestingWaits(), Asked(), Asked()

    def busy() -> bool:
        return resting.busy

    assert resting.meet(first)
    assert busy()
    resting.look()
    resting.look()
    assert first.count == 1
    assert not busy()
    assert resting.meet(second)
    async with asyncio.timeout(5):
        while not second.count:
            await asyncio.sleep(0.001)
    assert (first.count, second.count) == (1, 1)
    resting.close()


def backlog_that_is_full(stack: contextlib.ExitStack) -> int:
    """A port where nobody is taken: a full backlog drops the SYN, as a host behind a firewall does."""
    door = stack.enter_context(socket.socket())
    door.bind(("127.0.0.1", 0))
    door.listen(0)
    for _ in range(3):
        filler = stack.enter_context(socket.socket())
        filler.setblocking(False)
        filler.connect_ex(door.getsockname())
    return int(door.getsockname()[1])


async def test_connections_that_are_not_watched_end_as_those_that_are() -> None:
    """Good, refused and without an answer; then given up before anybody looks."""
    with contextlib.ExitStack() as stack:
        full = backlog_that_is_full(stack)
        port = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        async with tools() as made:
            for where, outcome, reason in (
                (port, Outcome.OK, Reason.ANSWERED),
                (free_port(), Outcome.FAILED, Reason.REFUSED),
                (full, Outcome.TIMED_OUT, Reason.NO_ANSWER),
            ):
                result = await look(made, "tcp", {"host": "127.0.0.1", "port": where}, seconds=0.3)
                assert (result.outcome, result.reason) == (outcome, reason)
                assert result.seconds < 0.4
                if outcome is Outcome.OK:
                    assert 0.0 < value(result, "connect_seconds") < 0.1
            told: list[Exception] = []
            knock = Silent(Target(SocketParams(), "127.0.0.1", port), made.resting, told)
            knock.begin(asyncio.get_running_loop().time() + 5)()
            made.resting.look()
            assert told == []


@pytest.mark.parametrize("near", [True, False], ids=["asked", "watched"])
@pytest.mark.parametrize("abruptly", [True, False], ids=["reset", "closed"])
async def test_connection_that_its_peer_ends_at_once_stood_all_the_same(near: bool, abruptly: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = Target(SocketParams(), "127.0.0.1", server.getsockname()[1])
        target.near = near
        async with tools() as made:
            told: list[Exception] = []
            knock = Silent(target, made.resting, told)
            knock.begin(asyncio.get_running_loop().time() + 5)
            taken, _ = server.accept()
            if abruptly:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            taken.close()  # before anybody has looked
            made.resting.look()
    assert "it stood" in str(told)


class Silent(Knock):
    """A connection that must not end."""

    __slots__ = ("_told",)

    def __init__(self, target: Target, waits: Waits, told: list[Exception]) -> None:
        super().__init__(target, waits)
        self._told = told

    def stands(self, seconds: float, round_trip: float) -> None:
        self._told.append(AssertionError(f"it stood after {seconds} s, {round_trip} s"))

    def failed(self, fault: Exception) -> None:
        self._told.append(fault)


async def test_target_that_is_far_is_watched_from_the_first_moment_once_that_is_known() -> None:
    async with tools() as made:
        server = socket.create_server(("127.0.0.1", 0))
        target = Target(SocketParams(), "127.0.0.1", server.getsockname()[1])
        target.near = False
        told: list[Exception] = []
        knock = Silent(target, made.resting, told)
        knock.begin(asyncio.get_running_loop().time() + 5)
        async with asyncio.timeout(5):
            while not told:
                await asyncio.sleep(0.001)
        assert "it stood" in str(told)
        assert target.near, "it stood at once, as one that is near does"
        server.close()


async def test_connection_that_nobody_takes_has_timed_out() -> None:
    with contextlib.ExitStack() as stack:
        port = backlog_that_is_full(stack)
        async with tools() as made:
            began = asyncio.get_running_loop().time()
            params = {"host": "127.0.0.1", "port": port}
            result = await look(made, "tcp", params, seconds=0.3)
            assert asyncio.get_running_loop().time() - began < 0.6
    assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, Reason.NO_ANSWER)
