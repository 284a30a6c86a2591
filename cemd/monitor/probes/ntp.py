"""ntp: asks a time server as a client would (RFC 5905, mode 3) and judges what it says of itself.

Our packet says nothing of this host: its transmit stamp is a random number, which must come back, so that nobody who
did not see the question can answer it. Questions go through the engine of datagrams; times of our own are the kernel's.
An offset is between two clocks: it counts against the server only where ours follows a source of its own.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

from pydantic import Field

from cemd.kit.tasks import settle
from cemd.monitor.probes.base import (
    Attempt,
    Blind,
    Cancel,
    Done,
    Host,
    Missed,
    Port,
    ProbeParams,
    Reason,
    Result,
    Values,
    Way,
)
from cemd.monitor.probes.engines.clock_state import clock_state
from cemd.monitor.probes.engines.datagram_errand import Aim, Errand, Found
from cemd.monitor.probes.engines.datagrams import Datagrams
from cemd.monitor.probes.engines.lines import Destination, Shared, place_as_heard
from cemd.monitor.probes.engines.sockets import SocketParams, family_of
from cemd.monitor.probes.tools import Tools
from cemd.monitor.protocols.stamp_packets import unix_ns_of

_PACKET = struct.Struct("!BBbbII4sQQQQ")
_CLIENT = 4 << 3 | 3
_SERVER_MODE = 4
_UNSYNCHRONISED = 3
_BEFORE_NONCE = _PACKET.pack(_CLIENT, 0, 0, 0, 0, 0, b"", 0, 0, 0, 0)[:-8]
_ORIGIN, _TRANSMIT = slice(24, 32), slice(40, 48)


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


def key_of(data: bytes) -> bytes:
    """The nonce of a server's packet, where it comes back, or of a question of ours; empty where there is none."""
    if len(data) < _PACKET.size:
        return b""
    return data[_ORIGIN] if data[0] & 7 == _SERVER_MODE else data[_TRANSMIT]


def aim_at(datagrams: Datagrams, way: SocketParams, port: int) -> Aim:
    """What leads to time servers: those with addresses of one version of IP share a line."""

    def aim(address: str) -> Destination:
        family = family_of(address)
        key = ("ntp", family, way.source_address, way.vrf, way.dscp)
        line = datagrams.line(key, lambda: Shared(way, family, datagrams.nonces, key_of))
        return line.to(place_as_heard(address, port))

    return aim


class Question(Errand):
    """Asked again it is another question: an offset is worked out from the one that was answered."""

    __slots__ = ()

    metrics = (
        "response_seconds",
        "offset_seconds",
        "round_trip_seconds",
        "stratum_code",
        "leap_code",
        "root_delay_seconds",
        "root_dispersion_seconds",
        "root_distance_seconds",
        "reference_age_seconds",
    )
    afresh = True

    def __init__(self, kind: Ntp, params: NtpParams, host: str, aim: Aim) -> None:
        super().__init__(kind, host, params.version(), aim, params.resend_seconds, (_BEFORE_NONCE, b""))

    def take(self, data: bytes, seconds: float, began: float, sent_ns: int) -> Found:
        del began
        if (said := read_said(data, int.from_bytes(data[_ORIGIN], "big"))) is None:
            return None
        if not sent_ns:
            raise Blind(Reason.CLOCK_STEPPED, "the clock of this host was set meanwhile.")
        judged: tuple[float, ...] = self.kind.judged(said, seconds, sent_ns)
        return judged


class Ntp:
    """`response_seconds` until its answer came; `offset_seconds` of the server's clock from ours (positive: it is
    ahead), `round_trip_seconds` without its own time, `stratum_code`, `leap_code` (0 none, 1 and 2 a leap second comes,
    3 not synchronised), `root_delay_seconds`, `root_dispersion_seconds`, `root_distance_seconds`,
    `reference_age_seconds` since its clock was last set."""

    word: ClassVar[str] = "ntp"
    Params: ClassVar[type[ProbeParams]] = NtpParams
    metrics: ClassVar[frozenset[str] | None] = frozenset(Question.metrics)

    def __init__(self, params: NtpParams, tools: Tools) -> None:
        self._params = params
        self._names, self._datagrams = tools.names, tools.datagrams
        self._aim = aim_at(tools.datagrams, params, params.port)

    @property
    def target(self) -> str:
        return f"{self._params.host}:{self._params.port}"

    @property
    def group(self) -> str:
        return self.target

    # The quick way.

    def errand(self) -> Question | None:
        """Any question, but where this host's own clock must be looked at first."""
        if self._params.max_offset_seconds is not None or "%" in self._params.host:
            return None  # the system writes zones in words of its own
        return Question(self, self._params, self._params.host, self._aim)

    def launch(self, deadline: float, done: Done) -> Cancel | None:
        question = self.errand()
        if question is None or question.named is not None:
            return None
        return self._datagrams.single(question, deadline, done)

    def judged(self, said: Said, seconds: float, asked_ns: int) -> tuple[float, ...]:
        """The values of a good answer that came so long after the question.

        Raises:
            Missed: it is none.
        """
        if said.stratum == 0 and said.leap == _UNSYNCHRONISED:
            code = said.reference.rstrip(b"\0").decode("ascii", errors="replace")
            raise Missed(Reason.STATUS_UNEXPECTED, f"the server says {code!r} instead of the time.")
        if not said.sent_stamp or said.sent_ns < said.received_ns:
            raise Missed(Reason.PROTOCOL_BROKEN, "the server's stamps are none, or in the wrong order.")
        waited_ns = round(seconds * 1e9)
        offset = ((said.received_ns - asked_ns) + (said.sent_ns - asked_ns - waited_ns)) / 2e9
        distance = said.root_delay_seconds / 2 + said.root_dispersion_seconds
        values = (
            offset,
            max(0.0, (waited_ns - (said.sent_ns - said.received_ns)) / 1e9),
            float(said.stratum),
            float(said.leap),
            said.root_delay_seconds,
            said.root_dispersion_seconds,
            distance,
            max(0.0, (said.sent_ns - said.reference_ns) / 1e9),
        )
        if words := self._fault(said, distance, offset):
            reason = Reason.SERVER_UNSYNCHRONISED if said.leap == _UNSYNCHRONISED else Reason.ANSWER_UNEXPECTED
            raise Missed(reason, words, readings=Values(Question.metrics, (seconds, *values)))
        return values

    # The thorough way.

    async def run(self, attempt: Attempt) -> Result:
        params = self._params
        if params.max_offset_seconds is not None and not clock_state().synchronised:
            words = "this host's clock follows no source, so no offset can be judged; synchronise it."
            raise Blind(Reason.CLOCK_UNSYNCHRONISED, words)
        address = await self._names.address(params.host, attempt.remaining(), params.version())
        told: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        question = Question(self, params, address, self._aim)
        forget = self._datagrams.single(question, attempt.deadline, partial(settle, told))
        try:
            return await told
        finally:
            forget()

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
