"""icmp: bursts of echo requests; loss, round trip, variation and order, timed by the kernel.

An unprivileged datagram socket is tried first (`net.ipv4.ping_group_range`), then a raw one; where neither may be
opened the probe is blind. Every run has an id and a token of its own, so that answers to somebody else, or to an
earlier run, never count. Receive times come from the kernel (SO_TIMESTAMPNS): stamps taken in Python under load are
wrong by orders of magnitude. Up to eight requests leave back to back; more would time our own queue.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import select
import socket
import struct
import time
from functools import cache, partial
from typing import Annotated, ClassVar

from pydantic import Field

from cemd.kit.tasks import settle
from cemd.model.quality import Outcome
from cemd.monitor.probes.attempts import result_of
from cemd.monitor.probes.base import (
    Attempt,
    Blind,
    Cancel,
    Done,
    Host,
    Missed,
    ProbeParams,
    Reason,
    Result,
    Values,
    Way,
)
from cemd.monitor.probes.engines.names import is_address, trouble
from cemd.monitor.probes.engines.sockets import SocketParams, family_of, open_socket, place_of
from cemd.monitor.probes.engines.stamps import ANCILLARY_BYTES, SO_TIMESTAMPNS, WallClock, kernel_stamp
from cemd.monitor.probes.tools import Tools
from cemd.monitor.protocols.packets import Stream, figure_names, figures

_HEADER = struct.Struct("!BBHHH")
_ECHO = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}  # request, reply
_TOKEN_BYTES = 8
_HEADERS_BYTES = 72
"""Room for the headers of IPv4, with options, and of ICMP; what is longer than was asked for is no answer of ours."""
_MARGIN_SECONDS = 0.02
"""The burst ends this long before the deadline, so that a late answer is loss and not a lost result."""


class IcmpParams(SocketParams):
    """A burst of echo requests to one host."""

    target: Host
    """Name or address."""
    packets: Annotated[int, Field(ge=1, le=1000)] = 5
    """Requests in a burst; 5 tell a lost packet from a lost host, hundreds are needed to see a loss of a percent."""
    gap_seconds: Annotated[float, Field(ge=0.002, le=10)] = 0.2
    """Time from one batch of requests to the next."""
    batch: Annotated[int, Field(ge=1, le=8)] = 1
    """Requests that leave back to back; more than 1 is cheaper and makes the later of a batch seem a few µs slower."""
    wait_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Answers that come later than this after their request are lost; never beyond the probe's timeout."""
    payload_bytes: Annotated[int, Field(ge=_TOKEN_BYTES, le=8_000)] = 56
    """Bytes in each request beside the headers, as ping sends."""

    hop_limit: Annotated[int, Field(ge=1, le=255)] | None = None
    """Routers that a packet may pass (time to live); a target further away does not answer. Default: the system's."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        return ((("target",), self.target),)

    def least_seconds(self) -> float:
        return (self.packets - 1) // self.batch * self.gap_seconds


class Icmp:
    """`loss_ratio` of `sent_count`; `round_trip_seconds` (mean) with min, median, p95, p99 and max; `jitter_seconds`
    (RFC 3550), `delay_variation_mean_seconds` (RFC 3393), `delay_variation_p95_seconds` (above the quickest, RFC 5481);
    `reordered_ratio` (RFC 4737), `duplicate_count`."""

    word: ClassVar[str] = "icmp"
    Params: ClassVar[type[ProbeParams]] = IcmpParams
    metrics: ClassVar[frozenset[str] | None] = figure_names("round_trip")

    def __init__(self, params: IcmpParams, tools: Tools) -> None:
        self.params = params
        self.waits = tools.resting
        self.log = tools.log
        self._names = tools.names
        self._numeric = is_address(params.target)

    @property
    def target(self) -> str:
        return self.params.target

    @property
    def group(self) -> str:
        return self.params.target

    def launch(self, deadline: float, done: Done) -> Cancel | None:
        """Where no name must be looked up."""
        if not self._numeric:
            return None
        return _Burst(self, self._names.check(self.target, self.target), deadline, done).begin()

    async def run(self, attempt: Attempt) -> Result:
        address = await self._names.address(self.target, attempt.remaining(), self.params.version())
        over: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        give_up = _Burst(self, address, attempt.deadline, partial(settle, over)).begin()
        try:
            return await over
        finally:
            give_up()


class _Burst:
    """One burst in progress, without a task. Times are nanoseconds of the wall clock, as the kernel stamps them."""

    def __init__(self, kind: Icmp, address: str, deadline: float, done: Done) -> None:
        self._kind = kind
        self._address = address
        self._done: Done | None = done
        self._loop = asyncio.get_running_loop()
        self._end = deadline - _MARGIN_SECONDS
        self._timer: asyncio.TimerHandle | None = None
        self._tick = -1
        self._door: socket.socket | None = None
        self._wall = WallClock()
        self.stream = Stream(kind.params.wait_seconds)
        self.sent_at: list[int] = []
        self.token = secrets.token_bytes(_TOKEN_BYTES)
        self.reply = 0
        self.raw_ipv4 = False
        self.room = kind.params.payload_bytes + _HEADERS_BYTES
        self.error = 0

    def begin(self) -> Cancel:
        """Opens the socket and sends the first batch; answers what gives the burst up.

        Raises:
            Missed, Blind: the host cannot be reached from here, or this host may send no echoes.
        """
        params, family = self._kind.params, family_of(self._address)
        door, kind = _open(params, family)
        try:
            _towards(door, self._address, self._kind.target)
            if params.hop_limit is not None:
                _limit_hops(door, family, params.hop_limit)
            self._tick = self._kind.waits.add(door.fileno(), self, select.EPOLLIN, self._end + 1.0)
        except BaseException:
            door.close()
            raise
        self._door = door
        request, self.reply = _ECHO[family]
        self.raw_ipv4 = kind == socket.SOCK_RAW and family == socket.AF_INET
        body = self.token + _padding(params.payload_bytes - _TOKEN_BYTES)
        identifier = secrets.randbelow(65_536)
        self._head = partial(_HEADER.pack, request, 0)
        self._identifier, self._body = identifier, body
        self._base = _sum(_HEADER.pack(request, 0, 0, identifier, 0) + body)
        self._send_batch()
        return self.give_up

    def _send_batch(self) -> None:
        params, door, sent_at = self._kind.params, self._door, self.sent_at
        if door is None:
            return
        for sequence in range(len(sent_at), min(len(sent_at) + params.batch, params.packets)):
            header = self._head(_folded(self._base + sequence), self._identifier, sequence)
            packet = header + self._body
            self.stream.sent += 1
            sent_at.append(time.time_ns())
            try:
                door.send(packet)
            except (BlockingIOError, InterruptedError):
                pass  # our own queue is full: as lost as on the way
            except OSError as exc:
                self.error = exc.errno or errno.EIO
        now = self._loop.time()
        if len(sent_at) < params.packets and now + params.gap_seconds < self._end:
            self._timer = self._loop.call_at(now + params.gap_seconds, self._send_batch)
        else:
            at = min(now + params.wait_seconds, self._end)
            if len(sent_at) < params.packets:
                at = self._end  # the burst is cut short by the deadline
            self._timer = self._loop.call_at(at, self._finish)

    def ready(self, _events: int) -> None:
        """Takes what has arrived."""
        if self._door is not None:
            self.receive(self._door)
            if len(self.stream.delays) >= self._kind.params.packets:
                self._finish()

    def late(self) -> None:
        """Never comes: the burst ends by its own timer long before."""

    def receive(self, door: socket.socket) -> None:
        """Takes all that has arrived; anything that is not an answer to this burst is dropped."""
        token, sent_at, arrived, reply = self.token, self.sent_at, self.stream.arrived, self.reply
        while True:
            try:
                data, ancillary, _, _ = door.recvmsg(self.room, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError as exc:
                self.error = exc.errno or errno.EIO
                return
            # a raw socket of IPv4 hands the IP header over too
            start = (data[0] & 0x0F) * 4 if self.raw_ipv4 and data else 0
            if data[start + 8 : start + 8 + _TOKEN_BYTES] != token or data[start] != reply:
                continue
            sequence = int.from_bytes(data[start + 6 : start + 8], "big")
            if sequence < len(sent_at):
                at = kernel_stamp(ancillary) or time.time_ns()
                arrived(sequence, (at - sent_at[sequence]) / 1e9)

    def _finish(self) -> None:
        if self._door is not None:
            self.receive(self._door)  # what has come in time and nobody has looked at yet
        done = self._done
        self.give_up()
        if done is None:
            return
        try:
            self._wall.check()
            result = self._result()
        except Exception as exc:  # noqa: BLE001 -- as in `measure`: told as a result, since nobody waits for a raise
            result = result_of(exc, self._kind, self._kind.target, self._kind.log)
        done(result)

    def _result(self) -> Result:
        values = figures(self.stream, "round_trip")
        readings = Values(tuple(values), tuple(values.values()))
        if self.stream.sent < self._kind.params.packets:
            words = f"the deadline came after {self.stream.sent} of {self._kind.params.packets} requests."
            return Result(outcome=Outcome.TIMED_OUT, reason=Reason.NO_ANSWER, readings=readings, detail=words)
        if self.stream.delays:
            return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)
        if self.error:
            found = trouble(self.error, f"echo to {self._kind.target}")
            if isinstance(found, Missed):
                found.readings = readings
            raise found
        words = f"none of {self.stream.sent} requests was answered."
        return Result(outcome=Outcome.TIMED_OUT, reason=Reason.NO_ANSWER, readings=readings, detail=words)

    def give_up(self) -> None:
        """Ends it; nobody is told."""
        self._done = None
        if self._timer is not None:
            self._timer.cancel()
        if self._door is not None:
            self._kind.waits.remove(self._door.fileno(), self._tick)
            self._door.close()
            self._door = None


@cache
def _padding(size: int) -> bytes:
    return bytes(index % 256 for index in range(size))


def _open(params: SocketParams, family: int) -> tuple[socket.socket, int]:
    """A socket for echoes and its kind, unprivileged where the system allows it.

    Raises:
        Blind: neither kind may be opened here.
    """
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            door = open_socket(params, family, kind, protocol)
        except PermissionError:
            continue
        door.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        return door, kind
    raise Blind(
        Reason.NOT_PERMITTED,
        "this host may not send echoes; widen net.ipv4.ping_group_range or grant CAP_NET_RAW to the prober.",
    )


def _towards(door: socket.socket, address: str, target: str) -> None:
    """Ties the socket to its peer: nobody else's packets arrive, and what routers say about it does."""
    try:
        door.connect(place_of(address, 0))
    except OSError as exc:
        raise trouble(exc.errno or 0, f"echo to {target}") from exc


def _limit_hops(door: socket.socket, family: int, hops: int) -> None:
    if family == socket.AF_INET:
        door.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
    else:
        door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)


def _sum(data: bytes) -> int:
    return sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))


def _folded(total: int) -> int:
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def checksum(data: bytes) -> int:
    """Internet checksum (RFC 1071); the kernel works out that of ICMPv6 by itself.

    >>> hex(checksum(bytes.fromhex("0001f203f4f5f6f7")))
    '0x220d'
    """
    return _folded(_sum(data))
