"""What datagrams leave by: sockets, and which answer belongs to which errand.

A `Connected` line is for one server that many ask: the kernel drops what comes from elsewhere and says when nobody
listens there. Its socket, and so its port, is given up for another with a random one after some seconds or a thousand
questions: with a random number and the question itself an answer cannot be forged unseen.
"""

from __future__ import annotations

import os
import socket
from array import array
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Protocol, TypeAlias

from cemd.monitor.probes.base import Blind, Reason
from cemd.monitor.probes.engines.names import trouble
from cemd.monitor.probes.engines.sockets import Place, SocketParams, family_of, open_socket
from cemd.monitor.probes.engines.stamps import SO_TIMESTAMPNS

if TYPE_CHECKING:
    from cemd.monitor.probes.engines.datagrams import Errand

Run: TypeAlias = "tuple[Errand, int, int, int, float, float, float]"
"""One question on its way: errand, slot of whoever sent it, number, when it was first sent (nanoseconds of the wall
clock), when it began (time of the loop), `at` of whoever sent it, and when it was sent last (time of the loop)."""
ROTATE_SECONDS = 10.0
"""A source port lives so long,"""
ROTATE_QUESTIONS = 1_000
"""and for so many questions: whoever would forge an answer must hit one of 60,000 ports within them."""
_BUFFER_BYTES = 4 << 20
"""Asked of the system, which may give less: room for what comes while the loop is busy."""


class Numbers:
    """Random numbers that nobody can guess, from a store that one system call fills."""

    def __init__(self) -> None:
        self._short, self._long = array("H"), array("I")

    def short(self) -> int:
        """One of 16 bits."""
        if not self._short:
            self._short.frombytes(os.urandom(8192))
        return self._short.pop()

    def long(self) -> int:
        """One from 1 to 2^31 - 1."""
        if not self._long:
            self._long.frombytes(os.urandom(8192))
        return (self._long.pop() & 0x7FFF_FFFF) or 1


class Line(Protocol):
    """How errands leave, and their answers come back."""

    door: Door | None
    """The socket that new errands use; None where one must be opened."""
    number: Callable[[], int]
    """Makes the number of a question."""

    def open(self, now: float) -> Door:
        """Another socket, which new errands use from now on.

        Raises:
            Blind, Missed: there is none to be had.
        """


class Door:
    """One socket and the errands that wait behind it, by number."""

    __slots__ = (
        "_socket", "fileno", "left", "line", "number_of", "receive", "send", "send_to", "shortest", "until", "waiting",
        "what",
    )  # fmt: skip

    def __init__(
        self,
        line: Line,
        opened: socket.socket,
        number_of: Callable[[bytes], int],
        *,
        until: float,
        left: int,
        what: str,
    ) -> None:
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self.line, self.number_of, self.until, self.left, self.what = line, number_of, until, left, what
        self.waiting: dict[int, Run] = {}
        """By number, in the order in which they were sent last."""
        self.shortest = inf
        """The shortest pause, or time, of those who waited here, seconds."""
        self._socket = opened
        self.fileno = opened.fileno()
        self.send, self.send_to, self.receive = opened.send, opened.sendto, opened.recvmsg

    def close(self) -> None:
        self._socket.close()
        self.waiting.clear()


class Connected:
    """Towards one server."""

    def __init__(
        self, way: SocketParams, place: Place, number: Callable[[], int], number_of: Callable[[bytes], int], what: str
    ) -> None:
        self.door: Door | None = None
        self.number = number
        self._way, self._place, self._number_of, self._what = way, place, number_of, what

    def open(self, now: float) -> Door:
        opened = _opened(self._way, family_of(self._place[0]))
        try:
            opened.connect(self._place)
        except OSError as exc:
            opened.close()
            raise trouble(exc.errno or 0, self._what) from exc
        until = now + ROTATE_SECONDS
        self.door = Door(self, opened, self._number_of, until=until, left=ROTATE_QUESTIONS, what=self._what)
        return self.door


def _opened(way: SocketParams, family: int) -> socket.socket:
    try:
        return open_socket(way, family, socket.SOCK_DGRAM)
    except PermissionError as exc:
        raise Blind(Reason.NOT_PERMITTED, f"no socket can be opened: {exc.strerror}.") from exc
