"""One TCP connection without a task: opened, timed, closed. What `tcp` does most, at the price of its system calls."""

from __future__ import annotations

import errno
import select
import socket
from time import monotonic

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Blind, Cancel, Done, Missed, Reason, Result, Values
from cemd.monitor.probes.engines.names import LOCAL_TROUBLE, trouble
from cemd.monitor.probes.engines.sockets import Place, SocketParams, family_of, open_socket, place_of
from cemd.monitor.probes.engines.visit import round_trip_seconds
from cemd.monitor.probes.engines.waits import Waits

_METRICS = ("connect_seconds", "handshake_round_trip_seconds")
_BROKEN = select.EPOLLERR | select.EPOLLHUP
_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_UNDER_WAY = frozenset({0, errno.EINPROGRESS})


class Target:
    """Where connections go: a numeric address, and what of the way to it is the same each time."""

    __slots__ = ("address", "family", "params", "place", "plain", "port")

    def __init__(self, params: SocketParams, address: str, port: int) -> None:
        self.params = params
        self.address = address
        self.port = port
        self.family = family_of(address)
        self.plain = params.vrf is None and params.source_address is None and not params.dscp
        self.place: Place | None = None if "%" in address else place_of(address, port)
        """With a zone it is looked up each time: interfaces come and go."""

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


class Connecting:
    """One attempt, from `begin` until `done` is called or it is given up."""

    __slots__ = ("_began", "_done", "_door", "_number", "_target", "_tick", "_waits")

    def __init__(self, target: Target, waits: Waits, done: Done) -> None:
        self._target = target
        self._waits = waits
        self._done = done
        self._door: socket.SocketType | None = None
        self._number = self._tick = -1
        self._began = 0.0

    def begin(self, deadline: float) -> Cancel:
        """Starts the handshake; answers what gives it up.

        Raises:
            Missed, Blind: it cannot be started.
        """
        target = self._target
        place = target.place or place_of(target.address, target.port)
        door = self._door = target.open()
        self._began = monotonic()
        number = door.connect_ex(place)
        if number not in _UNDER_WAY:
            door.close()
            raise target.trouble(number)
        self._number = door.fileno()
        try:
            self._tick = self._waits.add(self._number, self, select.EPOLLOUT, deadline)
        except OSError as exc:
            door.close()
            raise Blind(Reason.NO_RESOURCES, f"no more sockets can be watched: {exc.strerror}.") from exc
        return self.give_up

    def ready(self, events: int) -> None:
        """The handshake is over."""
        seconds, door = monotonic() - self._began, self._door
        if door is None:
            return
        if events & _BROKEN and (number := door.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            self.give_up()
            self._done(_failed(self._target.trouble(number)))
            return
        round_trip = round_trip_seconds(door)
        self.give_up()
        readings = Values(_METRICS, (seconds, round_trip))
        self._done(Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings, seconds=seconds))

    def late(self) -> None:
        """There was no answer."""
        self.give_up()
        words = "no answer before the deadline."
        self._done(Result(outcome=Outcome.TIMED_OUT, reason=Reason.NO_ANSWER, detail=words))

    def give_up(self) -> None:
        """Closes what is open."""
        if self._door is not None:
            self._waits.remove(self._number, self._tick)
            self._door.close()
            self._door = None


def _failed(found: Blind | Missed) -> Result:
    """As a result, what was found out too late to be raised."""
    if isinstance(found, Missed):
        return Result(outcome=found.outcome, reason=found.reason, detail=found.detail)
    return Result(outcome=Outcome.BLIND, reason=found.reason, detail=str(found))
