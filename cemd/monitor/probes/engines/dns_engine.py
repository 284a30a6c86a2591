"""Questions over datagrams: few sockets for very many questions, each answer matched by id, server and question.

A socket is connected to one server, so that the kernel drops what comes from elsewhere, and is given up for one with
another random port after some seconds: with a random id and the question itself an answer cannot be forged unseen.
Nothing here knows more of DNS than the header and where a question ends; a loss is mended by asking again.
"""

from __future__ import annotations

import asyncio
import os
import socket
from array import array
from collections import deque
from collections.abc import Callable, Hashable
from heapq import heappop, heappush

from cemd.monitor.probes.base import Blind, Missed
from cemd.monitor.probes.engines.names import trouble
from cemd.monitor.probes.engines.sockets import SocketParams, family_of, open_socket, place_of

ROTATE_SECONDS = 10.0
"""A source port lives so long."""
TICK_SECONDS = 0.02
"""Lost questions and deadlines are looked at so often."""
_MOST_BYTES = 65_535
_AT_ONCE = 64
"""Answers taken before others of the loop have their turn."""

Told = Callable[["Asked", "bytes | Missed | Blind | None", float], None]
"""Told the answer, or what is wrong, or None at the deadline; and the seconds since the question was first sent."""


class Query:
    """A message to send, whose first two bytes are replaced by a random id; made once a probe."""

    __slots__ = ("end", "lowered", "question", "tail")

    def __init__(self, wire: bytes) -> None:
        self.tail = wire[2:]
        self.end = question_end(wire)
        self.question = wire[12 : self.end]
        self.lowered = self.question.lower()


class Asked:
    """One question on its way. `cancel` forgets it: nobody is told."""

    __slots__ = ("after", "asked_at", "deadline", "door", "look_at", "number", "query", "resend", "told")

    def __init__(self, query: Query, told: Told, asked_at: float, deadline: float, resend: float) -> None:
        self.query, self.told, self.asked_at, self.deadline, self.resend = query, told, asked_at, deadline, resend
        self.look_at = asked_at + resend
        self.number = 0
        self.door: _Door | None = None
        """Where it waits for its answer; None when it is over."""
        self.after: Callable[[], object] | None = None
        """What ends that which the answer has begun."""

    def cancel(self) -> None:
        if self.door is not None:
            self.door.waiting.pop(self.number, None)
            self.door = None
        if self.after is not None:
            self.after()


class Datagrams:
    """Made and used inside one running loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._askers: dict[Hashable, Asker] = {}
        self._due: dict[float, deque[Asked]] = {}
        """Questions by their pause before they are sent again, so that every row is in the order of its times."""
        self._ending: list[tuple[float, int, Asked]] = []
        """Those whose deadline comes before that pause is over: a heap."""
        self._timer: asyncio.TimerHandle | None = None
        self._numbers = array("H")

    def asker(self, way: SocketParams, server: str, port: int) -> Asker:
        """What asks one server by its numeric address."""
        key = (way.source_address, way.vrf, way.dscp, server, port)
        if key not in self._askers:
            self._askers[key] = Asker(self, way, server, port)
        return self._askers[key]

    def close(self) -> None:
        """Closes all; nobody is told."""
        if self._timer is not None:
            self._timer.cancel()
        for asker in self._askers.values():
            asker.close()
        self._askers.clear()

    def number(self) -> int:
        """A random id that nobody can guess, from a store that one system call fills."""
        if not self._numbers:
            self._numbers.frombytes(os.urandom(8192))
        return self._numbers.pop()

    def watch(self, asked: Asked) -> None:
        """Looks at a question again when its time to answer is over."""
        if asked.deadline < asked.look_at:
            heappush(self._ending, (asked.deadline - TICK_SECONDS, id(asked), asked))
        else:
            row = self._due.get(asked.resend)
            if row is None:
                row = self._due[asked.resend] = deque()
            row.append(asked)
        if self._timer is None:
            self._timer = self.loop.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        now = self.loop.time()
        again = []
        for row in self._due.values():
            while row and (row[0].door is None or row[0].look_at <= now):
                again.append(row.popleft())
        while self._ending and self._ending[0][0] <= now:
            again.append(heappop(self._ending)[2])
        for asked in again:
            if asked.door is not None:
                self._again(asked, asked.door, now)
        for asker in self._askers.values():
            asker.sweep(now)
        waits = self._ending or any(self._due.values())
        busy = waits or any(asker.doors for asker in self._askers.values())
        self._timer = self.loop.call_later(TICK_SECONDS if waits else 1.0, self._tick) if busy else None

    def _again(self, asked: Asked, door: _Door, now: float) -> None:
        """A question without an answer: its deadline has come, or it is sent once more."""
        if now >= asked.deadline - TICK_SECONDS:
            asked.cancel()
            asked.told(asked, None, now - asked.asked_at)
            return
        asked.look_at = now + asked.resend
        self.watch(asked)
        door.send_again(asked)


class Asker:
    """Asks one server; its sockets come and go."""

    def __init__(self, datagrams: Datagrams, way: SocketParams, server: str, port: int) -> None:
        self._datagrams, self._way, self._server, self._port = datagrams, way, server, port
        self._door: _Door | None = None
        self.doors: list[_Door] = []

    def ask(self, query: Query, told: Told, *, deadline: float, resend: float) -> Asked:
        """Sends a question until it is answered, the deadline comes, or it is cancelled.

        Raises:
            Blind, Missed: it cannot be sent.
        """
        datagrams = self._datagrams
        now = datagrams.loop.time()
        door = self._door
        if door is None or now > door.until:
            door = self._door = _Door(datagrams.loop, self._way, self._server, self._port, now + ROTATE_SECONDS)
            self.doors.append(door)
        asked = Asked(query, told, now, deadline, resend)
        number = datagrams.number()
        while number in door.waiting:
            number = datagrams.number()
        asked.number, asked.door = number, door
        door.waiting[number] = asked
        door.send_again(asked)
        datagrams.watch(asked)
        return asked

    def sweep(self, now: float) -> None:
        """Closes sockets whose time is over and that nobody waits for."""
        if len(self.doors) > 1 or (self._door is not None and now > self._door.until):
            for door in [door for door in self.doors if now > door.until and not door.waiting]:
                door.close()
                self.doors.remove(door)
                if door is self._door:
                    self._door = None

    def close(self) -> None:
        for door in self.doors:
            door.close()
        self.doors.clear()


class _Door:
    """One socket and the questions that wait behind it, by id."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, way: SocketParams, server: str, port: int, until: float
    ) -> None:
        self.until = until
        self.waiting: dict[int, Asked] = {}
        self._loop = loop
        self._what = f"name server {server}"
        self._socket = open_socket(way, family_of(server), socket.SOCK_DGRAM)
        try:
            self._socket.connect(place_of(server, port))
        except OSError as exc:
            self._socket.close()
            raise trouble(exc.errno or 0, self._what) from exc
        loop.add_reader(self._socket.fileno(), self._ready)

    def send_again(self, asked: Asked) -> None:
        try:
            self._socket.send(asked.number.to_bytes(2, "big") + asked.query.tail)
        except BlockingIOError:
            pass  # the system's buffer is full: as good as lost, and asked again
        except OSError as exc:
            self._fail(exc)

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self.waiting.clear()

    def _ready(self) -> None:
        receive, waiting, clock = self._socket.recv, self.waiting, self._loop.time
        for _ in range(_AT_ONCE):
            try:
                data = receive(_MOST_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                self._fail(exc)
                return
            if len(data) < 12:
                continue
            asked = waiting.get(data[0] << 8 | data[1])
            if asked is not None and answers(data, asked.query):
                del waiting[asked.number]
                asked.door = None
                asked.told(asked, data, clock() - asked.asked_at)
            if not waiting:
                return

    def _fail(self, exc: OSError) -> None:
        """The port over there is closed, or the way to it: so for all who wait."""
        waiting = list(self.waiting.values())
        self.waiting.clear()
        for asked in waiting:
            asked.door = None
            self._loop.call_soon(asked.told, asked, trouble(exc.errno or 0, self._what), 0.0)


def answers(data: bytes, query: Query) -> bool:
    """Whether a message of at least 12 bytes is an answer (QR, opcode 0) to exactly this question."""
    if data[2] & 0xF8 != 0x80 or data[4] or data[5] != 1:
        return False
    question = data[12 : query.end]
    return question == query.question or question.lower() == query.lowered


def question_end(wire: bytes) -> int:
    """Where the one question of our own query ends."""
    place = 12
    while wire[place]:
        place += wire[place] + 1
    return place + 5
