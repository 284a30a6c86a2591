"""The peers: small epoll servers in processes of their own that count every attempt by the address it was sent to.

A connection is counted when it is accepted, a datagram when it is read, an echo when a raw socket sees it. Those that
hang take what comes and say nothing. What the kernel dropped before anybody could count it is counted too, by the
kernel: then the comparison says nothing, and the run says so.
"""

from __future__ import annotations

import contextlib
import resource
import secrets
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np
from cemd.monitor.protocols import Malformed
from cemd.monitor.protocols.ber import INTEGER, OCTETS, SEQUENCE, Reader, integer, oid, sequence, tlv
from cemd.monitor.protocols.snmp import V2C, Pdu, ValueType
from numpy.typing import NDArray

from .world import ANSWERS, FAILS, HANGS, MOST, number_of, role_of

STREAMS: Final = ("tcp", "http")
DATAGRAMS: Final = ("dns", "udp", "stamp", "snmp", "ntp")
_BUFFER_BYTES = 64 << 20
_SO_RCVBUFFORCE, _SO_MEMINFO, _MEMINFO_DROPS = 33, 55, 8
_IP_PKTINFO = 8
_HEADERS_BYTES = 28
"""Of IPv4 without options, and of an echo."""
_SOL_RAW, _ICMP_FILTER, _ECHO_REQUEST = 255, 1, 8
_PACKET_INFO = struct.Struct("@i4s4s")
_NTP_EPOCH = 2_208_988_800
_AT_ONCE = 256
_GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_BAD = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Counting:
    """What a process of peers has seen."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(MOST, dtype=np.int64)
        self.strangers = 0

    def seen(self, address: bytes) -> int:
        """Counts one attempt; answers its probe, -1 where the address is nobody's."""
        number = number_of(address)
        if number < 0:
            self.strangers += 1
        else:
            self.counts[number] += 1
        return number


@dataclass(frozen=True, slots=True)
class Report:
    """Counts by number of the probe, and what the kernel dropped unseen."""

    counts: NDArray[np.int64]
    dropped: int


# Streams.


class Streams:
    """Takes connections; answers requests of `http`."""

    def __init__(self) -> None:
        self.counting = Counting()
        self.poll = select.epoll()
        self.doors: dict[int, tuple[socket.socket, str]] = {}
        self._open: dict[int, tuple[socket.socket, int]] = {}
        for kind in STREAMS:
            door = socket.create_server(("0.0.0.0", 0), backlog=65_535)  # noqa: S104 -- every address of 127.0.0.0/8
            door.setblocking(False)
            self.doors[door.fileno()] = (door, kind)
            self.poll.register(door.fileno(), select.EPOLLIN)

    def handle(self, number: int) -> None:
        if number in self.doors:
            self._accept(*self.doors[number])
        elif number in self._open:
            self._read(*self._open[number])

    def ports(self) -> dict[str, int]:
        """Where each kind is answered."""
        return {kind: door.getsockname()[1] for door, kind in self.doors.values()}

    def dropped(self) -> int:
        """The kernel's count of connections that found no place in a queue, of this machine."""
        lines = [
            line.split() for line in Path("/proc/net/netstat").read_text().splitlines() if line.startswith("TcpExt:")
        ]
        values = dict(zip(lines[0][1:], map(int, lines[1][1:]), strict=True))
        return values.get("ListenOverflows", 0) + values.get("ListenDrops", 0)

    def _accept(self, door: socket.socket, kind: str) -> None:
        for _ in range(_AT_ONCE):
            try:
                link, _ = door.accept()
            except BlockingIOError:
                return
            probe = self.counting.seen(socket.inet_aton(link.getsockname()[0]))
            link.setblocking(False)
            self._open[link.fileno()] = (link, probe if kind == "http" else -1)
            self.poll.register(link.fileno(), select.EPOLLIN)

    def _read(self, link: socket.socket, probe: int) -> None:
        try:
            data = link.recv(65_536)
            if data and probe >= 0 and (manner := role_of(probe).manner) != HANGS:
                link.sendall(_GOOD if manner == ANSWERS else _BAD)
                data = b""
        except OSError:
            data = b""
        if not data:
            del self._open[link.fileno()]
            link.close()


# Datagrams.


class Datagrams:
    """Answers datagrams from the address that they were sent to, and sees echoes pass."""

    def __init__(self) -> None:
        self.counting = Counting()
        self.poll = select.epoll()
        self.doors: dict[int, tuple[socket.socket, str]] = {}
        self.payload_bytes = 64 + secrets.randbelow(1_300)
        """Of the echoes that are counted: a raw socket sees those of everybody on this machine."""
        for kind in DATAGRAMS:
            door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            door.bind(("0.0.0.0", 0))  # noqa: S104 -- every address of 127.0.0.0/8
            door.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            self._add(door, kind)
        with contextlib.suppress(PermissionError):
            echoes = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            echoes.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << _ECHO_REQUEST) & 0xFFFFFFFF))
            self._add(echoes, "icmp")

    def handle(self, number: int) -> None:
        door, kind = self.doors[number]
        for _ in range(_AT_ONCE):
            try:
                if kind == "icmp":
                    packet = door.recv(2048)
                    if len(packet) == _HEADERS_BYTES + self.payload_bytes:
                        self.counting.seen(packet[16:20])
                else:
                    self._answer(door, kind, *door.recvmsg(2048, 64))
            except BlockingIOError:
                return

    def ports(self) -> dict[str, int]:
        """Where each kind is answered; of `icmp`, the size of its echoes."""
        ports = {kind: door.getsockname()[1] for door, kind in self.doors.values() if kind != "icmp"}
        return {**ports, "icmp": self.payload_bytes}

    def dropped(self) -> int:
        """Datagrams that found no place in the buffer of a socket."""
        memory = [door.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36) for door, _ in self.doors.values()]
        return sum(struct.unpack("=9I", one)[_MEMINFO_DROPS] for one in memory)

    def _add(self, door: socket.socket, kind: str) -> None:
        door.setblocking(False)
        with contextlib.suppress(PermissionError):
            door.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self.doors[door.fileno()] = (door, kind)
        self.poll.register(door.fileno(), select.EPOLLIN)

    def _answer(self, door: socket.socket, kind: str, data: bytes, notes: list[Any], _flags: int, sender: Any) -> None:
        address = _PACKET_INFO.unpack(notes[0][2])[2]
        number = self.counting.seen(address)
        if number < 0 or (manner := role_of(number).manner) == HANGS:
            return
        answer = _ANSWERS[kind](data, manner)
        if answer:
            here = (socket.IPPROTO_IP, _IP_PKTINFO, _PACKET_INFO.pack(0, address, b"\0\0\0\0"))
            with contextlib.suppress(OSError):
                door.sendmsg([answer], [here], 0, sender)


def _ntp_now() -> int:
    return int((time.time() + _NTP_EPOCH) * 2**32)


def name_answer(data: bytes, manner: str) -> bytes:
    """One address for whatever was asked, or SERVFAIL."""
    end = 12
    while data[end]:
        end += data[end] + 1
    question = data[12 : end + 5]
    if manner == FAILS:
        return data[:2] + b"\x81\x82\0\1\0\0\0\0\0\0" + question
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1"
    return data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question + record


def reflection(data: bytes, _manner: str) -> bytes:
    """What a stateless reflector says to a test packet (RFC 8762)."""
    sequence_number, stamp, error, session = struct.unpack("!IQHH", data[:16])
    now = _ntp_now()
    fields = (sequence_number, now, error, session, now, sequence_number, stamp, error, 0, 64)
    return struct.pack("!IQHHQIQHHB", *fields).ljust(max(44, len(data)), b"\0")


def time_answer(data: bytes, _manner: str) -> bytes:
    """A server of stratum 2 whose clock is this machine's."""
    now = _ntp_now()
    return (
        struct.pack("!BBbbII4sQQ", 0x24, 2, 6, -20, 64, 64, b"\x7f\0\0\1", now, 0)[:24]
        + data[40:48]
        + struct.pack("!QQ", now, now)
    )


def agent_answer(data: bytes, _manner: str) -> bytes:
    """An uptime for whatever name was asked (v2c)."""
    try:
        outer = Reader(data).inside(SEQUENCE)
        outer.number()
        community = outer.content(OCTETS)
        _tag, pdu = outer.any()
        request, _, _ = pdu.number(), pdu.number(), pdu.number()
        names = pdu.inside(SEQUENCE)
        bound = []
        while names.more():
            name = names.inside(SEQUENCE).object_id()
            bound.append(sequence((oid(name), tlv(ValueType.TICKS, b"\x01\x00"))))
    except Malformed:
        return b""
    body = tlv(
        Pdu.RESPONSE, tlv(INTEGER, request.to_bytes(5, "big", signed=True)), integer(0), integer(0), sequence(bound)
    )
    return sequence((integer(V2C), tlv(OCTETS, community), body))


_ANSWERS: Mapping[str, Callable[[bytes, str], bytes]] = {
    "dns": name_answer,
    "udp": lambda data, _manner: data,
    "stamp": reflection,
    "snmp": agent_answer,
    "ntp": time_answer,
}


# Processes.


def work(serve: type[Streams] | type[Datagrams], control: Connection) -> None:
    """A process of peers: says its ports, serves, and reports when it is asked; ends with who started it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # those who hang are held open
    peers = serve()
    dropped_before = peers.dropped()
    control.send(peers.ports())
    peers.poll.register(control.fileno(), select.EPOLLIN)
    while True:
        for number, _ in peers.poll.poll():
            if number == control.fileno():
                try:
                    control.recv()
                except EOFError:
                    return
                control.send(Report(peers.counting.counts, peers.dropped() - dropped_before))
            else:
                peers.handle(number)


class Peers:
    """Both processes, as the bench sees them."""

    def __init__(self, controls: list[Connection]) -> None:
        self._controls = controls
        self.ports: dict[str, int] = {}
        for control in controls:
            self.ports.update(control.recv())

    def report(self) -> Report:
        """What all have seen so far."""
        for control in self._controls:
            control.send("report")
        reports: list[Report] = [control.recv() for control in self._controls]
        return Report(sum(one.counts for one in reports), sum(one.dropped for one in reports))  # type: ignore[arg-type]


@contextlib.contextmanager
def running_peers() -> Iterator[Peers]:
    """Starts the processes; they end with the block."""
    spawn = get_context("spawn")
    controls, processes = [], []
    for serve in (Streams, Datagrams):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=work, args=(serve, theirs), daemon=True)
        process.start()
        theirs.close()
        controls.append(ours)
        processes.append(process)
    try:
        yield Peers(controls)
    finally:
        for control in controls:
            control.close()
        for process in processes:
            process.join(5)
            if process.is_alive():
                process.kill()
