"""One TCP connection without a task: opened, timed, used, closed, at little more than the price of its system calls.

A stream waits in the prober's epoll, where it is entered once, for edges: whoever reads goes on until nothing is left.
What it is opened for stands in a class that goes on where the connection stands.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from time import monotonic

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Blind, Cancel, Missed, Reason
from cemd.monitor.probes.engines.names import LOCAL_TROUBLE, trouble
from cemd.monitor.probes.engines.sockets import Place, SocketParams, family_of, open_socket, place_of
from cemd.monitor.probes.engines.waits import REST_SECONDS, Waits

_BROKEN = select.EPOLLERR | select.EPOLLHUP
_EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_UNDER_WAY = frozenset({0, errno.EINPROGRESS})
_TCP_INFO = struct.Struct("=B67xI28xI")
"""Of `struct tcp_info` (linux/tcp.h), whose fields keep their places: tcpi_state, tcpi_rtt in microseconds,
tcpi_total_retrans."""
_UNDER_WAY_STATES, _CLOSED = frozenset({2, 3}), 7
"""Of tcpi_state: SYN_SENT and SYN_RECV; and CLOSE, after a reset. In every other state the handshake is over."""
_STOOD = frozenset({errno.ECONNRESET, errno.EPIPE})
"""What a reset leaves of a connection that stood; one of the handshake is a refusal."""


_NEAR_SECONDS = REST_SECONDS / 2


class Target:
    """Where connections go: a numeric address, and what of the way to it is the same each time."""

    __slots__ = ("address", "family", "near", "params", "place", "plain", "port")

    def __init__(self, params: SocketParams, address: str, port: int) -> None:
        self.params = params
        self.address = address
        self.port = port
        self.family = family_of(address)
        self.plain = params.vrf is None and params.source_address is None and not params.dscp
        self.place: Place | None = None if "%" in address else place_of(address, port)
        """With a zone it is looked up each time: interfaces come and go."""
        self.near = True
        """Whether the last connection stood at once; nobody knows of the first."""

    def open(self) -> socket.SocketType:
        """A socket for one connection.

        Raises:
            Blind: this host cannot open it.
        """
        try:
            if self.plain:
                return socket.SocketType(self.family, _STREAM, 0)
            return open_socket(self.params, self.family, socket.SOCK_STREAM)
        except OSError as exc:
            reason = LOCAL_TROUBLE.get(exc.errno or 0, Reason.NO_RESOURCES)
            raise Blind(reason, f"no socket can be opened: {exc.strerror}.") from exc

    def trouble(self, number: int) -> Blind | Missed:
        """What an error number of a connection means."""
        return trouble(number, f"connection to {self.address} port {self.port}")


class Stream:
    """One connection, from `begin` until it has ended or is given up; each way it is closed first."""

    __slots__ = ("_number", "_stands", "_tick", "_waits", "began", "door", "target")

    def __init__(self, target: Target, waits: Waits) -> None:
        self.target = target
        self._waits = waits
        self.door: socket.SocketType | None = None
        self._number = self._tick = -1
        self._stands = False
        self.began = 0.0

    def connected(self, door: socket.SocketType, events: int) -> None:
        """The handshake of TCP is over, and these events came with that."""
        raise NotImplementedError

    def go_on(self, door: socket.SocketType, events: int) -> None:
        """Something has arrived, there is room to send, or the peer has closed."""
        raise NotImplementedError

    def failed(self, fault: Exception) -> None:
        """It cannot go on."""
        raise NotImplementedError

    def awaited(self) -> str:
        """What has not come, when the deadline is near."""
        return "no answer before the deadline."

    def begin(self, deadline: float) -> Cancel:
        """Starts to connect; answers what gives it up.

        Raises:
            Missed, Blind: it cannot be started.
        """
        self._start_to_connect()
        self._watch(deadline)
        return self.give_up

    def _start_to_connect(self) -> None:
        target = self.target
        place = target.place or place_of(target.address, target.port)
        door = target.open()
        self.began = monotonic()
        number = door.connect_ex(place)
        if number not in _UNDER_WAY:
            door.close()
            raise target.trouble(number)
        self.door = door

    def _watch(self, deadline: float) -> None:
        """Waits for what happens to it."""
        door = self.door
        if door is None:
            return
        number = door.fileno()
        try:
            self._tick = self._waits.add(number, self, _EDGES, deadline)
        except OSError as exc:
            self.give_up()
            raise Blind(Reason.NO_RESOURCES, f"no more sockets can be watched: {exc.strerror}.") from exc
        self._number = number

    def ready(self, events: int) -> None:
        """Of `Waiting`."""
        door = self.door
        if door is None:
            return
        try:
            if self._stands:
                self.go_on(door, events)
                return
            if events & _BROKEN:
                self._check(door)
            self._stands = True
            self.connected(door, events)
        except Exception as exc:  # noqa: BLE001 -- whoever asked must hear of it, also where the fault is ours
            self.give_up()
            self.failed(exc)

    def _check(self, door: socket.SocketType) -> None:
        if number := door.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise self.target.trouble(number)

    def late(self) -> None:
        """Of `Waiting`."""
        words = self.awaited()
        self.give_up()
        self.failed(Missed(Reason.NO_ANSWER, words, outcome=Outcome.TIMED_OUT))

    def later(self) -> None:
        """More may be there than others of the loop should wait for: it goes on after their turn."""
        self._waits.soon(self)

    def hurry(self) -> None:
        """What comes next is waited for: a peer that is not read cannot send on."""
        self._waits.prompt()

    def give_up(self) -> None:
        """Closes what is open."""
        if self.door is not None:
            if self._number >= 0:
                self._waits.remove(self._number, self._tick)
            self.door.close()
            self.door = None


class Knock(Stream):
    """A connection of which nothing is wanted but that it stands.

    Where the last one to this target stood within half a rest, it is not watched at all: the next look asks it, which
    comes within a rest, and one that stands by then is over. So it costs four system calls: socket, connect, TCP_INFO
    and close. One that does not stand by then is watched from then on. A peer that closes or resets what stood does not
    undo that it stood, however soon and whoever looks when.
    """

    __slots__ = ("_deadline",)

    def stands(self, seconds: float, round_trip: float) -> None:
        """It stands, and is closed already: how long the handshake took, and its round trip, in seconds."""
        raise NotImplementedError

    def begin(self, deadline: float) -> Cancel:
        """As `Stream.begin`."""
        self._start_to_connect()
        if self.target.near and self._waits.meet(self):
            self._deadline = deadline
        else:
            self._watch(deadline)
        return self.give_up

    def met(self) -> None:
        """Of `Fresh`."""
        door = self.door
        if door is None:
            return
        try:
            info = door.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
            if info[0] in _UNDER_WAY_STATES:
                self.target.near = False
                self._watch(self._deadline)
            else:
                if info[0] == _CLOSED:
                    self._check(door)
                self._over(info)
        except Exception as exc:  # noqa: BLE001 -- as in `ready`
            self.give_up()
            self.failed(exc)

    def _check(self, door: socket.SocketType) -> None:
        number = door.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number and number not in _STOOD:
            raise self.target.trouble(number)

    def connected(self, door: socket.SocketType, events: int) -> None:
        """As `Stream.connected`."""
        del events
        self._over(door.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))

    def _over(self, info: bytes) -> None:
        seconds, round_trip = _handshake(info, monotonic() - self.began)
        self.target.near = seconds < _NEAR_SECONDS
        self.give_up()
        self.stands(seconds, round_trip)


def handshake_seconds(door: socket.SocketType, waited: float) -> tuple[float, float]:
    """(how long the handshake of a connection that has just been made took, its round trip), seen by the kernel.

    So it is free of the time that we took to notice (TCP_INFO). Where a packet was sent again, the round trip is only
    that of the last one, and the handshake took as long as we `waited`.
    """
    return _handshake(door.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size), waited)


def _handshake(info: bytes, waited: float) -> tuple[float, float]:
    _, microseconds, again = _TCP_INFO.unpack(info)
    round_trip = microseconds / 1e6
    return (waited if again or not 0.0 < round_trip < waited else round_trip), round_trip
