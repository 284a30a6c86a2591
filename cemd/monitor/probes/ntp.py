"""ntp: asks a time server as a client would (RFC 5905, mode 3) and judges what it says of itself.

Our packet says nothing of this host: its transmit stamp is a random number, which must come back, so that nobody who
did not see the question can answer it. Times of our own are the kernel's. An offset is between two clocks: it counts
against the server only where ours follows a source of its own.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
import time
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import (
    Attempt,
    Blind,
    Host,
    Missed,
    Port,
    ProbeParams,
    Reading,
    Reason,
    Result,
    Way,
)
from cemd.monitor.probes.engines.clock_state import clock_state
from cemd.monitor.probes.engines.sockets import SocketParams, connect, readable, talking_to
from cemd.monitor.probes.engines.stamps import ANCILLARY_BYTES, SO_TIMESTAMPNS, WallClock, kernel_stamp
from cemd.monitor.probes.tools import Tools
from cemd.monitor.protocols.stamp_packets import unix_ns_of

_PACKET = struct.Struct("!BBbbII4sQQQQ")
_CLIENT = 4 << 3 | 3
_SERVER_MODE = 4
_UNSYNCHRONISED = 3


class NtpParams(SocketParams):
    """One question to a time server, and how good its time must be."""

    host: Host
    """Name or address."""
    port: Port = 123
    """Where it listens."""
    resend_seconds: Annotated[float, Field(ge=1, le=60)] = 2.0
    """A question without an answer is asked again after this time; servers take offence at much less."""
    max_stratum: Annotated[int, Field(ge=1, le=15)] = 15
    """A server further than this from a reference clock is a failure; default: as far as the protocol goes."""
    max_root_distance_seconds: Annotated[float, Field(gt=0, le=16)] = 1.5
    """Half its root delay and its root dispersion together; beyond it no client would follow it (RFC 5905)."""
    max_offset_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None
    """A server that differs from this host by more is a failure; needs a clock here that follows another source."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        return ((("host",), self.host),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A server's packet. Instants are nanoseconds of the Unix clock."""

    leap: int
    stratum: int
    root_delay_seconds: float
    root_dispersion_seconds: float
    reference: bytes
    reference_ns: int
    received_ns: int
    sent_ns: int
    sent_stamp: int


def read_said(data: bytes, nonce: int) -> Said | None:
    """The server's packet, if it answers the question with this nonce; None for anything else."""
    if len(data) < _PACKET.size:
        return None
    head, stratum, _, _, *roots, reference, updated, origin, received, sent = _PACKET.unpack_from(data)
    if head & 7 != _SERVER_MODE or origin != nonce:
        return None
    return Said(
        leap=head >> 6,
        stratum=stratum,
        root_delay_seconds=roots[0] / 65_536,
        root_dispersion_seconds=roots[1] / 65_536,
        reference=reference,
        reference_ns=unix_ns_of(updated),
        received_ns=unix_ns_of(received),
        sent_ns=unix_ns_of(sent),
        sent_stamp=sent,
    )


class Ntp:
    """`offset_seconds` of the server's clock from ours (positive: it is ahead), `round_trip_seconds` without its own
    time, `stratum_code`, `leap_code` (0 none, 1 and 2 a leap second comes, 3 not synchronised), `root_delay_seconds`,
    `root_dispersion_seconds`, `root_distance_seconds`, `reference_age_seconds` since its clock was last set."""

    word: ClassVar[str] = "ntp"
    Params: ClassVar[type[ProbeParams]] = NtpParams
    metrics: ClassVar[frozenset[str] | None] = frozenset(
        {
            "offset_seconds",
            "round_trip_seconds",
            "stratum_code",
            "leap_code",
            "root_delay_seconds",
            "root_dispersion_seconds",
            "root_distance_seconds",
            "reference_age_seconds",
        }
    )

    def __init__(self, params: NtpParams, tools: Tools) -> None:
        self._params = params
        self._names = tools.names

    @property
    def target(self) -> str:
        return f"{self._params.host}:{self._params.port}"

    @property
    def group(self) -> str:
        return self.target

    async def run(self, attempt: Attempt) -> Result:
        params = self._params
        if params.max_offset_seconds is not None and not clock_state().synchronised:
            words = "this host's clock follows no source, so no offset can be judged; synchronise it."
            raise Blind(Reason.CLOCK_UNSYNCHRONISED, words)
        address = await self._names.address(params.host, attempt.remaining(), params.version())
        wall = WallClock()
        with await connect(params, address, params.port, socket.SOCK_DGRAM) as door:
            door.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            with talking_to(f"time server {self.target}"):
                said, asked_ns, came_ns = await self._ask(door)
        wall.check()
        return self._judged(said, asked_ns, came_ns)

    async def _ask(self, door: socket.socket) -> tuple[Said, int, int]:
        """(what the server said, when it was asked, when the answer came); each question has a nonce of its own."""
        while True:
            nonce = secrets.randbits(63) + 1
            asked_ns = time.time_ns()
            question = _PACKET.pack(_CLIENT, 0, 0, 0, 0, 0, b"", 0, 0, 0, nonce)
            await asyncio.get_running_loop().sock_sendall(door, question)
            try:
                async with asyncio.timeout(self._params.resend_seconds):
                    return await self._answer(door, nonce, asked_ns)
            except TimeoutError:
                continue  # asked again; the attempt's deadline ends this

    async def _answer(self, door: socket.socket, nonce: int, asked_ns: int) -> tuple[Said, int, int]:
        while True:
            try:
                data, ancillary, _, _ = door.recvmsg(2_048, ANCILLARY_BYTES)
            except BlockingIOError:
                await readable(door)
                continue
            if (said := read_said(data, nonce)) is not None:
                return said, asked_ns, kernel_stamp(ancillary) or time.time_ns()

    def _judged(self, said: Said, asked_ns: int, came_ns: int) -> Result:
        if said.stratum == 0 and said.leap == _UNSYNCHRONISED:
            code = said.reference.rstrip(b"\0").decode("ascii", errors="replace")
            raise Missed(Reason.STATUS_UNEXPECTED, f"the server says {code!r} instead of the time.")
        if not said.sent_stamp or said.sent_ns < said.received_ns:
            raise Missed(Reason.PROTOCOL_BROKEN, "the server's stamps are none, or in the wrong order.")
        offset = ((said.received_ns - asked_ns) + (said.sent_ns - came_ns)) / 2e9
        distance = said.root_delay_seconds / 2 + said.root_dispersion_seconds
        values = {
            "offset_seconds": offset,
            "round_trip_seconds": max(0.0, ((came_ns - asked_ns) - (said.sent_ns - said.received_ns)) / 1e9),
            "stratum_code": float(said.stratum),
            "leap_code": float(said.leap),
            "root_delay_seconds": said.root_delay_seconds,
            "root_dispersion_seconds": said.root_dispersion_seconds,
            "root_distance_seconds": distance,
            "reference_age_seconds": max(0.0, (said.sent_ns - said.reference_ns) / 1e9),
        }
        readings = tuple(Reading(metric=metric, value=value) for metric, value in values.items())
        if words := self._fault(said, distance, offset):
            reason = Reason.SERVER_UNSYNCHRONISED if said.leap == _UNSYNCHRONISED else Reason.ANSWER_UNEXPECTED
            raise Missed(reason, words, readings=readings)
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)

    def _fault(self, said: Said, distance: float, offset: float) -> str:
        params = self._params
        if said.leap == _UNSYNCHRONISED:
            return "the server says that its own clock is not synchronised."
        if not 0 < said.stratum <= params.max_stratum:
            return f"the server is of stratum {said.stratum}; at most {params.max_stratum} is wanted."
        if distance > params.max_root_distance_seconds:
            return f"root distance {distance:.3f} s; at most {params.max_root_distance_seconds:g} s is wanted."
        if params.max_offset_seconds is not None and abs(offset) > params.max_offset_seconds:
            return f"its clock is off by {offset:+.6f} s; at most {params.max_offset_seconds:g} s is wanted."
        return ""
