"""icmp: a burst of echo requests; loss, round trip, jitter and order, timed by the kernel.

An unprivileged datagram socket is tried first (`net.ipv4.ping_group_range`), then a raw one; where neither may be
opened the probe is blind. Every run has an id and a token of its own, so that answers to somebody else, or to an
earlier run, never count. Receive times come from the kernel (SO_TIMESTAMPNS): stamps taken in Python under load are
wrong by orders of magnitude.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
import struct
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Attempt, Blind, Host, ProbeParams, Reading, Reason, Result, Way
from cemd.monitor.probes.names import trouble
from cemd.monitor.probes.sockets import SocketParams, family_of, open_socket, place_of
from cemd.monitor.probes.tools import Tools

_SO_TIMESTAMPNS = 35  # Linux, everywhere but on sparc and parisc; `socket` has no name for it before Python 3.13
_TIMESPEC = struct.Struct("@qq")
_HEADER = struct.Struct("!BBHHH")
_ECHO = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}  # request, reply
_TOKEN_BYTES = 8
_MARGIN_SECONDS = 0.02
"""The burst ends this long before the deadline, so that a late answer is loss and not a lost result."""


class IcmpParams(SocketParams):
    """A burst of echo requests to one host."""

    target: Host
    """Name or address."""
    packets: Annotated[int, Field(ge=1, le=100)] = 5
    """Requests in a burst; 5 tell a lost packet from a lost host."""
    gap_seconds: Annotated[float, Field(ge=0.002, le=10)] = 0.2
    """Time between requests."""
    wait_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Answers that come later than this after their request are lost; never beyond the probe's timeout."""
    payload_bytes: Annotated[int, Field(ge=_TOKEN_BYTES, le=8_000)] = 56
    """Bytes in each request beside the headers, as ping sends."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        return ((("target",), self.target),)


@dataclass(slots=True)
class _Burst:
    """What came back of one burst. Times are nanoseconds of the wall clock, as the kernel stamps them."""

    sent_at: dict[int, int] = field(default_factory=dict)
    round_trips: dict[int, float] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    duplicates: int = 0
    error: int = 0

    def answered(self, sequence: int, at: int, wait_seconds: float) -> None:
        if sequence not in self.sent_at:
            return
        if sequence in self.round_trips:
            self.duplicates += 1
            return
        seconds = (at - self.sent_at[sequence]) / 1e9
        if 0.0 <= seconds <= wait_seconds:
            self.round_trips[sequence] = seconds
            self.order.append(sequence)


class Icmp:
    """`loss_ratio`, `round_trip_seconds` (mean), `round_trip_p95_seconds`, `jitter_seconds` (RFC 3550),
    `reordered_ratio` (RFC 4737), `duplicate_count`."""

    word: ClassVar[str] = "icmp"
    Params: ClassVar[type[ProbeParams]] = IcmpParams

    def __init__(self, params: IcmpParams, tools: Tools) -> None:
        self._params = params
        self._names = tools.names

    @property
    def target(self) -> str:
        return self._params.target

    @property
    def group(self) -> str:
        return self._params.target

    async def run(self, attempt: Attempt) -> Result:
        address = await self._names.address(self._params.target, attempt.remaining(), self._params.version())
        family = family_of(address)
        with _open(self._params, family) as door:
            burst = await self._exchange(door, family, address, attempt)
        if burst.error and not burst.round_trips:
            raise trouble(burst.error, f"echo to {self.target}")
        readings = _readings(burst)
        if burst.round_trips:
            return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)
        words = f"none of {len(burst.sent_at)} requests was answered."
        return Result(outcome=Outcome.TIMED_OUT, reason=Reason.NO_ANSWER, readings=readings, detail=words)

    async def _exchange(self, door: socket.socket, family: int, address: str, attempt: Attempt) -> _Burst:
        loop = asyncio.get_running_loop()
        params, burst, done = self._params, _Burst(), asyncio.Event()
        place = place_of(address, 0)
        token = secrets.token_bytes(_TOKEN_BYTES)
        body = token + bytes(index % 256 for index in range(params.payload_bytes - _TOKEN_BYTES))
        loop.add_reader(door.fileno(), _receive, door, family, token, burst, params.wait_seconds, done, params.packets)
        try:
            identifier = secrets.randbelow(65_536)
            for sequence in range(params.packets):
                if attempt.remaining() <= _MARGIN_SECONDS:
                    break
                burst.sent_at[sequence] = time.time_ns()
                try:
                    door.sendto(_request(family, identifier, sequence, body), place)
                except OSError as exc:
                    if exc.errno not in {errno.EAGAIN, errno.EWOULDBLOCK}:
                        burst.error = exc.errno or errno.EIO
                if sequence + 1 < params.packets:
                    await asyncio.sleep(min(params.gap_seconds, attempt.remaining()))
            wait = min(params.wait_seconds, attempt.remaining() - _MARGIN_SECONDS)
            try:
                async with asyncio.timeout(max(0.0, wait)):
                    await done.wait()
            except TimeoutError:
                pass  # what has not come is lost
        finally:
            loop.remove_reader(door.fileno())
        return burst


def _open(params: SocketParams, family: int) -> socket.socket:
    """A socket for echoes, unprivileged where the system allows it.

    Raises:
        Blind: neither kind may be opened here.
    """
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            door = open_socket(params, family, kind, protocol)
        except PermissionError:
            continue
        door.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        return door
    raise Blind(
        Reason.NOT_PERMITTED,
        "this host may not send echoes; widen net.ipv4.ping_group_range or grant CAP_NET_RAW to the prober.",
    )


def _request(family: int, identifier: int, sequence: int, body: bytes) -> bytes:
    kind = _ECHO[socket.AddressFamily(family)][0]
    unsummed = _HEADER.pack(kind, 0, 0, identifier, sequence) + body
    header: bytes = _HEADER.pack(kind, 0, checksum(unsummed), identifier, sequence)
    return header + body


def checksum(data: bytes) -> int:
    """Internet checksum (RFC 1071); the kernel works out that of ICMPv6 by itself.

    >>> hex(checksum(bytes.fromhex("0001f203f4f5f6f7")))
    '0x220d'
    """
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _receive(
    door: socket.socket, family: int, token: bytes, burst: _Burst, wait: float, done: asyncio.Event, wanted: int
) -> None:
    """Takes all that has arrived; anything that is not an answer to this burst is dropped."""
    while True:
        try:
            data, ancillary, _, _ = door.recvmsg(9_216, 128)
        except BlockingIOError:
            return
        except OSError as exc:
            burst.error = exc.errno or errno.EIO
            return
        at = _stamp(ancillary)
        if family == socket.AF_INET and data[:1] and data[0] >> 4 == 4:
            data = data[(data[0] & 0x0F) * 4 :]  # a raw socket of IPv4 hands the IP header over too
        if len(data) < _HEADER.size + len(token) or data[0] != _ECHO[socket.AddressFamily(family)][1]:
            continue
        if data[_HEADER.size : _HEADER.size + len(token)] == token:
            burst.answered(int(_HEADER.unpack_from(data)[4]), at or time.time_ns(), wait)
            if len(burst.round_trips) >= wanted:
                done.set()


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """When the kernel received it, in nanoseconds of the wall clock; None where it does not say."""
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(value) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(value)
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return None


def jitter_seconds(round_trips: list[float]) -> float:
    """Interarrival jitter after RFC 3550, section 6.4.1, on round trips in the order of their requests.

    >>> round(jitter_seconds([0.010, 0.026, 0.010]), 7)
    0.0019375
    """
    jitter = 0.0
    for before, after in pairwise(round_trips):
        jitter += (abs(after - before) - jitter) / 16
    return jitter


def _readings(burst: _Burst) -> tuple[Reading, ...]:
    sent, trips = len(burst.sent_at), [burst.round_trips[number] for number in sorted(burst.round_trips)]
    values = {"loss_ratio": 1.0 - len(trips) / sent if sent else 1.0}
    if trips:
        ranked = sorted(trips)
        late = sum(number < max(burst.order[:place]) for place, number in enumerate(burst.order) if place)
        values["round_trip_seconds"] = sum(trips) / len(trips)
        values["round_trip_p95_seconds"] = ranked[max(0, -(-95 * len(ranked) // 100) - 1)]
        values["reordered_ratio"] = late / len(trips)
        values["duplicate_count"] = float(burst.duplicates)
    if len(trips) > 1:
        values["jitter_seconds"] = jitter_seconds(trips)
    return tuple(Reading(metric=metric, value=value) for metric, value in values.items())
