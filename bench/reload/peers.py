"""The peer of all probes: answers datagrams and notes, by the kernel's stamp, when each address was asked."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from array import array
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray
from tests.scenario.long_run.peers import name_answer
from tests.scenario.long_run.world import ANSWERS, number_of

_IP_PKTINFO, _SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 8, 35, 33
_PACKET_INFO = struct.Struct("@i4s4s")
_STAMP = struct.Struct("@qq")
_AT_ONCE = 256


class Peer:
    """One socket for `dns`, one for `udp`, on every address of 127.0.0.0/8."""

    def __init__(self) -> None:
        self.numbers, self.at = array("i"), array("d")
        self.poll = select.epoll()
        self.doors = {kind: self._door() for kind in ("dns", "udp")}
        self._kinds = {door.fileno(): (door, kind) for kind, door in self.doors.items()}

    def _door(self) -> socket.socket:
        door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        door.bind(("0.0.0.0", 0))  # noqa: S104 -- every address of 127.0.0.0/8
        door.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        door.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        with contextlib.suppress(PermissionError):
            door.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        door.setblocking(False)
        self.poll.register(door.fileno(), select.EPOLLIN)
        return door

    def handle(self, place: int) -> None:
        """Answers what has come."""
        door, kind = self._kinds[place]
        for _ in range(_AT_ONCE):
            try:
                data, notes, _flags, sender = door.recvmsg(2048, 128)
            except BlockingIOError:
                return
            told = {(level, word): content for level, word, content in notes}
            address = _PACKET_INFO.unpack(told[socket.IPPROTO_IP, _IP_PKTINFO])[2]
            seconds, nanoseconds = _STAMP.unpack(told[socket.SOL_SOCKET, _SO_TIMESTAMPNS])
            self.numbers.append(number_of(address))
            self.at.append(seconds + nanoseconds / 1e9)
            answer = data if kind == "udp" else name_answer(data, ANSWERS)
            here = (socket.IPPROTO_IP, _IP_PKTINFO, _PACKET_INFO.pack(0, address, b"\0\0\0\0"))
            with contextlib.suppress(OSError):
                door.sendmsg([answer], [here], 0, sender)


def _work(control: Connection) -> None:
    peer = Peer()
    control.send({kind: door.getsockname()[1] for kind, door in peer.doors.items()})
    peer.poll.register(control.fileno(), select.EPOLLIN)
    while True:
        for place, _ in peer.poll.poll():
            if place != control.fileno():
                peer.handle(place)
                continue
            try:
                control.recv()
            except EOFError:
                return
            control.send((np.array(peer.numbers), np.array(peer.at)))


class Asked:
    """The peer, as the bench sees it."""

    def __init__(self, control: Connection) -> None:
        self._control = control
        self.ports: dict[str, int] = control.recv()

    def report(self) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Every question so far: number of the probe, wall-clock time."""
        self._control.send("report")
        numbers, at = self._control.recv()
        return numbers, at


@contextlib.contextmanager
def running_peer() -> Iterator[Asked]:
    """Starts the process; it ends with the block."""
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_work, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Asked(ours)
    finally:
        ours.close()
        process.join(5)
        if process.is_alive():
            process.kill()
