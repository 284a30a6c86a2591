"""What datagrams leave by: sockets, where they go, and which answer belongs to which errand.

A `Connected` line is for one server that many ask: the kernel drops what comes from elsewhere and says when nobody
listens there. A `Shared` line is for many servers that few ask: one socket for all of them, which looks itself where an
answer comes from, and reads from the socket's queue of errors whose port is closed. The socket of either, and so the
port, is given up for another with a random one after some seconds or a thousand questions: with a random number and the
question itself an answer cannot be forged unseen.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from weakref import WeakValueDictionary

from cemd.monitor.probes.base import Blind, Reason
from cemd.monitor.probes.engines.arrivals import sender_of
from cemd.monitor.probes.engines.departures import CANNOT, send_block
from cemd.monitor.probes.engines.names import trouble
from cemd.monitor.probes.engines.sockets import Place, SocketParams, family_of, open_socket, place_of
from cemd.monitor.probes.engines.stamps import ANCILLARY_BYTES, SO_TIMESTAMPNS

if TYPE_CHECKING:
    from cemd.monitor.probes.engines.datagram_errand import Errand

Sending: TypeAlias = list[Any]
"""When questions that left together did so: first (nanoseconds of the wall clock, an integer), when they began (time of
the loop), `at` of whoever sent them, and when they were sent last (time of the loop)."""
Run: TypeAlias = "tuple[Errand, int, bytes, Sending]"
"""One question on its way: errand, slot of whoever sent it, number, and when."""
ROTATE_SECONDS = 10.0
"""A source port lives so long,"""
ROTATE_QUESTIONS = 1_000
"""and for so many questions, beside those that leave with the last of them: whoever would forge an answer must hit one
of 60,000 ports within them."""
_IP_RECVERR, _IPV6_RECVERR, _MSG_ERRQUEUE = 11, 25, 0x2000  # of Linux; `socket` has no names for them
_ERRORS = frozenset({(socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)})
_MOST_BYTES = 65_535
_BUFFER_BYTES = 4 << 20
"""Asked of the system, which may give less: room for what comes while the loop is busy."""


class Keys:
    """Numbers of questions, as bytes of one size that nobody can guess; one system call makes many."""

    def __init__(self, size: int, first: int = 0xFF) -> None:
        """`first`: bits that the first byte may have; where they leave one out, it is never zero."""
        self.size = size
        self._first = first
        self.store: list[bytes] = []
        """Those that are ready; take from the end."""

    def fill(self, count: int) -> list[bytes]:
        """Makes sure of so many, and answers the store."""
        if len(self.store) < count:
            made = bytearray(os.urandom((count + 1_000) * self.size))
            if self._first != 0xFF:
                made[:: self.size] = bytes(byte & self._first or 1 for byte in made[:: self.size])
            self.store += [key for (key,) in struct.iter_unpack(f"{self.size}s", made)]
        return self.store

    def one(self) -> bytes:
        """One of them."""
        return self.fill(1).pop()

    def fresh(self, waiting: Mapping[bytes, object]) -> bytes:
        """One that nobody waits for."""
        key = self.store.pop() if self.store else self.one()
        while key in waiting:
            key = self.one()
        return key


class Destination:
    """Where questions go, by which line; all who ask there share it, and leave together."""

    __slots__ = ("__weakref__", "line", "place", "sender")

    def __init__(self, line: Line, place: Place | None) -> None:
        self.line = line
        self.place = place
        """None: a line of one server."""
        self.sender = b"" if place is None else sender_of(place)
        """The place as the system writes the sender of what comes from there."""


class Line(Protocol):
    """How errands leave, and their answers come back."""

    door: Door | None
    """The socket that new errands use; None where one must be opened."""
    keys: Keys
    """Numbers of its questions."""
    shortest: float
    """The shortest pause, or time, of those who use it, seconds."""
    blocks: bool
    """Whether questions leave as blocks; not where the system turned out not to do that."""

    def open(self, now: float) -> Door:
        """Another socket, which new errands use from now on.

        Raises:
            Blind, Missed: there is none to be had.
        """


def place_as_heard(address: str, port: int) -> Place:
    """A place written as the system writes the sender of what it hears; one object for all who ask there.

    Raises:
        Blind: its zone is no interface of this host.
    """
    plain, _, zone = address.partition("%")
    heard = _as_heard(plain, port)
    if not zone:
        return heard
    place = place_of(address, port)  # looked up each time: interfaces come and go
    return (heard[0], *place[1:])


@lru_cache(maxsize=4096)
def _as_heard(address: str, port: int) -> Place:
    family = family_of(address)
    plain = socket.inet_ntop(family, socket.inet_pton(family, address))
    return (plain, port) if family == socket.AF_INET else (plain, port, 0, 0)


class Door:
    """One socket and the errands that wait behind it, by number."""

    __slots__ = (
        "_socket",
        "fileno",
        "key_of",
        "left",
        "line",
        "send",
        "send_to",
        "until",
        "waiting",
        "what",
    )  # fmt: skip

    def __init__(
        self,
        line: Line,
        opened: socket.socket,
        key_of: Callable[[bytes], bytes],
        *,
        until: float,
        left: int,
        what: str = "",
    ) -> None:
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self.line, self.key_of, self.until, self.left = line, key_of, until, left
        self.what = what
        """The one server behind it; "" where there are many."""
        self.waiting: dict[bytes, Run] = {}
        """By number, in the order in which they were sent last."""
        self._socket = opened
        self.fileno = opened.fileno()
        self.send, self.send_to = opened.send, opened.sendto

    def send_block(self, block: bytes, size: int, to: Destination) -> bool:
        """Sends many of one size, the last maybe shorter; False where the system cannot, and nothing has left.

        Raises:
            OSError: nothing has left: the buffer is full, or something is told of what left before.
        """
        try:
            send_block(self._socket, block, size, to.place)
        except OSError as exc:
            if exc.errno not in CANNOT:
                raise
            self.line.blocks = False
            return False
        return True

    def overdue(self, now: float) -> list[Run]:
        """Who waits too long: the first, in the order in which they were sent last, that is too young ends it."""
        due = []
        for run in self.waiting.values():
            errand, _, _, (_, began, _, asked) = run
            if asked + self.line.shortest > now:
                break
            if asked + errand.resend <= now or began + errand.timeout <= now:
                due.append(run)
        return due

    def errors(self) -> Iterator[tuple[bytes, int]]:
        """(number of a question, what the system says of it) for each that came to nothing, on a shared line."""
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(_MOST_BYTES, ANCILLARY_BYTES, _MSG_ERRQUEUE)
            except OSError:
                return
            for level, kind, value in ancillary:
                if (level, kind) in _ERRORS and len(value) >= 4:
                    yield self.key_of(data), int.from_bytes(value[:4], sys.byteorder)

    def close(self) -> None:
        self._socket.close()
        self.waiting.clear()


class Connected:
    """Towards one server."""

    def __init__(
        self, way: SocketParams, place: Place, keys: Keys, key_of: Callable[[bytes], bytes], what: str
    ) -> None:
        self.door: Door | None = None
        self.keys, self.shortest, self.blocks = keys, inf, True
        self.to = Destination(self, None)
        self._way, self._place, self._key_of, self._what = way, place, key_of, what

    def open(self, now: float) -> Door:
        opened = _opened(self._way, family_of(self._place[0]))
        try:
            opened.connect(self._place)
        except OSError as exc:
            opened.close()
            raise trouble(exc.errno or 0, self._what) from exc
        until = now + ROTATE_SECONDS
        self.door = Door(self, opened, self._key_of, until=until, left=ROTATE_QUESTIONS, what=self._what)
        return self.door


class Shared:
    """Towards all servers of one version of IP."""

    def __init__(self, way: SocketParams, family: int, keys: Keys, key_of: Callable[[bytes], bytes]) -> None:
        self.door: Door | None = None
        self.keys, self.shortest, self.blocks = keys, inf, True
        self._destinations: WeakValueDictionary[Place, Destination] = WeakValueDictionary()
        self._way, self._family, self._key_of = way, family, key_of

    def open(self, now: float) -> Door:
        opened = _opened(self._way, self._family)
        if self._family == socket.AF_INET:
            opened.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        else:
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        until = now + ROTATE_SECONDS
        self.door = Door(self, opened, self._key_of, until=until, left=ROTATE_QUESTIONS)
        return self.door

    def to(self, place: Place) -> Destination:
        """The one destination of this place, as long as anybody asks there."""
        found = self._destinations.get(place)
        if found is None:
            found = self._destinations[place] = Destination(self, place)
        return found


def _opened(way: SocketParams, family: int) -> socket.socket:
    try:
        return open_socket(way, family, socket.SOCK_DGRAM)
    except PermissionError as exc:
        raise Blind(Reason.NOT_PERMITTED, f"no socket can be opened: {exc.strerror}.") from exc


class Doors:
    """All sockets that are open. They are asked which of them have something, never waited for."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._doors: dict[int, Door] = {}

    def __iter__(self) -> Iterator[Door]:
        return iter(self._doors.values())

    def __len__(self) -> int:
        return len(self._doors)

    def by(self, line: Line, now: float) -> Door:
        """The socket that questions of a line leave by now.

        Raises:
            Blind, Missed: there is none to be had.
        """
        door = line.door
        return self._open(line, now) if door is None or door.left <= 0 or now > door.until else door

    def _open(self, line: Line, now: float) -> Door:
        door = line.open(now)
        try:
            self._epoll.register(door.fileno, select.EPOLLIN)
        except OSError as exc:
            line.door = None
            door.close()
            raise Blind(Reason.NO_RESOURCES, f"{door.what}: no more sockets can be watched ({exc.strerror}).") from exc
        self._doors[door.fileno] = door
        return door

    def ready(self) -> list[tuple[Door, bool]]:
        """Those that have something, and whether that is an error."""
        found = self._epoll.poll(0) if self._doors else ()
        doors = [(self._doors.get(number), events) for number, events in found]
        return [(door, bool(events & select.EPOLLERR)) for door, events in doors if door is not None]

    def sweep(self, now: float) -> None:
        """Closes those whose time is over and that nobody waits for."""
        for door in [door for door in self._doors.values() if not door.waiting]:
            if now > door.until or door.left <= 0:
                if door.line.door is door:
                    door.line.door = None
                del self._doors[door.fileno]
                door.close()

    def close(self) -> None:
        """Closes all; nobody is told."""
        self._epoll.close()
        for door in self._doors.values():
            door.close()
        self._doors.clear()
