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
import socket
import struct
import time
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Attempt, Blind, Host, Missed, ProbeParams, Reading, Reason, Result, Way
from cemd.monitor.probes.names import trouble
from cemd.monitor.probes.packets import Stream, figures
from cemd.monitor.probes.sockets import SocketParams, family_of, open_socket, place_of
from cemd.monitor.probes.stamps import ANCILLARY_BYTES, SO_TIMESTAMPNS, WallClock, kernel_stamp
from cemd.monitor.probes.tools import Tools

_HEADER = struct.Struct("!BBHHH")
_ECHO = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}  # request, reply
_TOKEN_BYTES = 8
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

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        return ((("target",), self.target),)


@dataclass(slots=True)
class _Burst:
    """One burst in progress. Times are nanoseconds of the wall clock, as the kernel stamps them."""

    stream: Stream
    token: bytes
    reply: int
    raw_ipv4: bool
    sent_at: list[int]
    done: asyncio.Event
    wanted: int
    error: int = 0


class Icmp:
    """`loss_ratio` of `sent_count`; `round_trip_seconds` (mean) with min, median, p95, p99 and max; `jitter_seconds`
    (RFC 3550), `delay_variation_mean_seconds` (RFC 3393), `delay_variation_p95_seconds` (above the quickest, RFC 5481);
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
        params = self._params
        address = await self._names.address(params.target, attempt.remaining(), params.version())
        family = family_of(address)
        door, kind = _open(params, family)
        with door:
            _towards(door, address, self.target)
            raw = kind == socket.SOCK_RAW
            burst = _Burst(
                stream=Stream(params.wait_seconds),
                token=secrets.token_bytes(_TOKEN_BYTES),
                reply=_ECHO[family][1],
                raw_ipv4=raw and family == socket.AF_INET,
                sent_at=[],
                done=asyncio.Event(),
                wanted=params.packets,
            )
            wall = WallClock()
            await self._exchange(door, _ECHO[family][0], burst, attempt)
            wall.check()
        return self._result(burst)

    def _result(self, burst: _Burst) -> Result:
        readings = tuple(
            Reading(metric=name, value=value) for name, value in figures(burst.stream, "round_trip").items()
        )
        if burst.stream.delays:
            return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)
        if burst.error:
            found = trouble(burst.error, f"echo to {self.target}")
            if isinstance(found, Missed):
                found.readings = readings
            raise found
        words = f"none of {burst.stream.sent} requests was answered."
        return Result(outcome=Outcome.TIMED_OUT, reason=Reason.NO_ANSWER, readings=readings, detail=words)

    async def _exchange(self, door: socket.socket, request: int, burst: _Burst, attempt: Attempt) -> None:
        loop = asyncio.get_running_loop()
        params = self._params
        body = burst.token + bytes(index % 256 for index in range(params.payload_bytes - _TOKEN_BYTES))
        identifier = secrets.randbelow(65_536)
        base = _sum(_HEADER.pack(request, 0, 0, identifier, 0) + body)
        loop.add_reader(door.fileno(), _receive, door, burst)
        try:
            for first in range(0, params.packets, params.batch):
                if attempt.remaining() <= _MARGIN_SECONDS:
                    break
                for sequence in range(first, min(first + params.batch, params.packets)):
                    header = _HEADER.pack(request, 0, _folded(base + sequence), identifier, sequence)
                    _send(door, header + body, burst)
                if burst.stream.sent < params.packets:
                    await asyncio.sleep(min(params.gap_seconds, attempt.remaining()))
            wait = min(params.wait_seconds, attempt.remaining() - _MARGIN_SECONDS)
            try:
                async with asyncio.timeout(max(0.0, wait)):
                    await burst.done.wait()
            except TimeoutError:
                pass  # what has not come is lost
        finally:
            loop.remove_reader(door.fileno())


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


def _send(door: socket.socket, packet: bytes, burst: _Burst) -> None:
    burst.stream.sent += 1
    burst.sent_at.append(time.time_ns())
    try:
        door.send(packet)
    except (BlockingIOError, InterruptedError):
        pass  # our own queue is full: as lost as on the way
    except OSError as exc:
        burst.error = exc.errno or errno.EIO


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


def _receive(door: socket.socket, burst: _Burst) -> None:
    """Takes all that has arrived; anything that is not an answer to this burst is dropped."""
    token, sent_at, stream = burst.token, burst.sent_at, burst.stream
    while True:
        try:
            data, ancillary, _, _ = door.recvmsg(9_216, ANCILLARY_BYTES)
        except BlockingIOError:
            break
        except OSError as exc:
            burst.error = exc.errno or errno.EIO
            break
        start = (
            (data[0] & 0x0F) * 4 if burst.raw_ipv4 and data else 0
        )  # a raw socket of IPv4 hands the IP header over too
        if data[start + 8 : start + 8 + _TOKEN_BYTES] != token or data[start] != burst.reply:
            continue
        sequence = int.from_bytes(data[start + 6 : start + 8], "big")
        if sequence < len(sent_at):
            at = kernel_stamp(ancillary) or time.time_ns()
            stream.arrived(sequence, (at - sent_at[sequence]) / 1e9)
    if len(stream.delays) >= burst.wanted:
        burst.done.set()
