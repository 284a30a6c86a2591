"""tls: one handshake and all that it shows: the chain with the end of each member, names, OCSP, protocol, cipher.

What is wrong is told by the member of the chain that it concerns, also where the chain is not believed. STARTTLS, where
a protocol speaks first, belongs to `tcp`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from time import monotonic
from typing import Annotated, ClassVar, NamedTuple, TypeAlias

from cryptography import x509
from OpenSSL import SSL
from pydantic import Field, model_validator

from cemd.kit.tasks import settle
from cemd.kit.words import counted
from cemd.model.quality import Outcome
from cemd.monitor.probes.attempts import result_of
from cemd.monitor.probes.base import Attempt, Cancel, Done, Host, Missed, Port, ProbeParams, Reading, Reason, Result
from cemd.monitor.probes.engines.handshake import Handshake, LastChain, server_name
from cemd.monitor.probes.engines.names import is_address
from cemd.monitor.probes.engines.places import OnePort
from cemd.monitor.probes.engines.streams import Stream, Target
from cemd.monitor.probes.engines.visit import TlsParams
from cemd.monitor.probes.engines.waits import Waits
from cemd.monitor.probes.tools import Tools
from cemd.monitor.protocols.certificates import (
    BadStaple,
    bears,
    days_left,
    issuer_of,
    names_of,
    staple_ends_at,
    subject,
)

_NAMES_TOLD = 5
"""Most names of a certificate that a fault lists: the evidence is read by people, and details are cut."""


class Protocol(StrEnum):
    V1_0 = "TLSv1"
    V1_1 = "TLSv1.1"
    V1_2 = "TLSv1.2"
    V1_3 = "TLSv1.3"


class TlsProbeParams(TlsParams):
    """A TLS service, and what its handshake must show."""

    port: Port = 443
    """Where it listens."""
    names: tuple[Host, ...] = ()
    """Further names that the certificate must bear, beside `tls_name`."""
    chain_days: Annotated[float, Field(ge=0, le=3650)] = 0.0
    """Any member of the chain that ends sooner than this is a failure; default 0: only one that has ended."""
    protocols: tuple[Protocol, ...] = (Protocol.V1_2, Protocol.V1_3)
    """Versions that are right; TLSv1 and TLSv1.1 are spoken only where they stand here, for peers that have nothing
    newer."""
    ciphers: tuple[Annotated[str, Field(pattern=r"^[A-Z0-9_-]{3,64}$")], ...] = ()
    """Suites that are right, in OpenSSL's words, such as TLS_AES_256_GCM_SHA384; default: any that was agreed to."""
    stapled_ocsp: bool = False
    """True: the server must staple an OCSP answer that vouches for its certificate. One that does not is always a
    failure; one that is missing only then."""

    @model_validator(mode="after")
    def _some_protocol(self) -> TlsProbeParams:
        if not self.protocols:
            raise ValueError("`protocols` must name at least one version")
        return self


class _Seen(NamedTuple):
    """What a handshake showed. `chain` as served, leaf first."""

    connect_seconds: float
    tls_seconds: float
    protocol: str
    cipher: str
    chain: list[x509.Certificate]
    faults: list[tuple[int, str]]
    stapled: bytes
    believed: list[x509.Certificate]
    """The chain up to the anchor that it is believed by, where an answer was stapled: servers need not show the issuer
    that everybody knows."""


_Told: TypeAlias = Callable[[_Seen | Exception], None]


class Tls(OnePort):
    """`name_seconds`, `connect_seconds`, `tls_seconds`; `certificate_expiry_days` of the server's own certificate,
    `chain_expiry_days` of the member that ends first, `member_expiry_days` of each (label `member`, 0 is the server's
    own), `chain_count`; `ocsp_expiry_days` of a stapled answer."""

    word: ClassVar[str] = "tls"
    Params: ClassVar[type[ProbeParams]] = TlsProbeParams
    metrics: ClassVar[frozenset[str] | None] = frozenset(
        {
            "name_seconds",
            "connect_seconds",
            "tls_seconds",
            "certificate_expiry_days",
            "chain_expiry_days",
            "chain_count",
            "member_expiry_days",
            "ocsp_expiry_days",
        }
    )

    def __init__(self, params: TlsProbeParams, tools: Tools) -> None:
        super().__init__(params.host, params.port)
        self._params = params
        self._tools = tools
        self._name = params.tls_name or params.host
        self._server_name = server_name(self._name)
        self._last = LastChain()
        self._named: tuple[list[x509.Certificate], list[str]] = ([], [])
        """A chain, and which of the names its certificate does not bear."""
        self._old = bool({Protocol.V1_0, Protocol.V1_1} & set(params.protocols))

    def launch(self, deadline: float, done: Done) -> Cancel | None:
        """Only to an address that needs no look-up."""
        if not is_address(self._params.host):
            return None
        self._tools.names.check(self._params.host, self._params.host)
        return self._begin(self._params.host, deadline, partial(self._told, done, None))

    async def run(self, attempt: Attempt) -> Result:
        loop = asyncio.get_running_loop()
        began = loop.time()
        address = await self._tools.names.address(self._params.host, attempt.remaining(), self._params.version())
        named = loop.time() - began
        answered: asyncio.Future[Result] = loop.create_future()
        cancel = self._begin(address, attempt.deadline, partial(self._told, partial(settle, answered), named))
        try:
            return await answered
        finally:
            if not answered.done() or answered.cancelled():
                cancel()

    def _begin(self, address: str, deadline: float, told: _Told) -> Cancel:
        context = self._tools.handshakes.context(self._params.ca_file, old_protocols=self._old)
        target = Target(self._params, address, self._params.port)
        names = (self._server_name, self.target)
        return _Look(target, self._tools.waits, context, names, self._last, told).begin(deadline)

    def _told(self, done: Done, named: float | None, seen: _Seen | Exception) -> None:
        if isinstance(seen, Exception):
            done(result_of(seen, self, self.target, self._tools.log))
            return
        readings = [Reading(metric="name_seconds", value=named)] if named is not None else []
        readings.append(Reading(metric="connect_seconds", value=seen.connect_seconds))
        readings.append(Reading(metric="tls_seconds", value=seen.tls_seconds))
        try:
            self._judge(seen, readings)
        except Missed as missed:
            done(result_of(missed, self, self.target, self._tools.log))
            return
        words = f"{seen.protocol}, {seen.cipher}, {counted(len(seen.chain), 'certificate')}."
        done(Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=tuple(readings), detail=words))

    def _judge(self, seen: _Seen, readings: list[Reading]) -> None:
        """Notes the figures of the handshake, then raises the first thing that is not right."""
        params, wall = self._params, self._tools.clock.now()
        if not seen.chain:
            raise Missed(Reason.TLS_FAILED, f"{self.target} showed no certificate.", readings=tuple(readings))
        left = [days_left(one, wall) for one in seen.chain]
        readings.append(Reading(metric="certificate_expiry_days", value=left[0]))
        readings.append(Reading(metric="chain_expiry_days", value=min(left)))
        readings.append(Reading(metric="chain_count", value=float(len(left))))
        for place, days in enumerate(left[:16]):
            readings.append(Reading(metric="member_expiry_days", value=days, labels=(("member", str(place)),)))
        fault = self._chain_fault(seen, left) or self._ocsp_fault(seen, readings, wall)
        if fault is not None:
            raise Missed(Reason.CERTIFICATE_INVALID, fault, readings=tuple(readings))
        if seen.protocol not in params.protocols:
            words = f"speaks {seen.protocol}; {', '.join(params.protocols)} expected."
            raise Missed(Reason.ANSWER_UNEXPECTED, words, readings=tuple(readings))
        if params.ciphers and seen.cipher not in params.ciphers:
            words = f"agreed to {seen.cipher}, which is none of those that are right."
            raise Missed(Reason.ANSWER_UNEXPECTED, words, readings=tuple(readings))

    def _chain_fault(self, seen: _Seen, left: list[float]) -> str | None:
        params = self._params
        for depth, words in seen.faults:
            who = subject(seen.chain[depth]) if depth < len(seen.chain) else f"member {depth}"
            return f"certificate {depth} of the chain ({who}): {words}."
        if self._named[0] is not seen.chain:
            missing = [name for name in (self._name, *params.names) if not bears(seen.chain[0], name)]
            self._named = (seen.chain, missing)
        if missing := self._named[1]:
            names = names_of(seen.chain[0])
            more = f" and {len(names) - _NAMES_TOLD} more" if len(names) > _NAMES_TOLD else ""
            bearing = f"it bears {', '.join(names[:_NAMES_TOLD])}{more}" if names else "it bears no name of a host"
            return f"the certificate is not for {', '.join(missing)}; {bearing}."
        for place, days in enumerate(left):
            wanted = max(params.certificate_days, params.chain_days) if place == 0 else params.chain_days
            if days < wanted:
                who = subject(seen.chain[place])
                return f"certificate {place} of the chain ({who}) ends in {days:.1f} days; {wanted:g} are wanted."
        return None

    def _ocsp_fault(self, seen: _Seen, readings: list[Reading], wall: float) -> str | None:
        if not seen.stapled:
            words = "the server staples no OCSP answer to its certificate."
            return words if self._params.stapled_ocsp else None
        issuer = issuer_of(seen.chain[0], [*seen.chain[1:], *seen.believed])
        try:
            ends_at = staple_ends_at(seen.stapled, seen.chain[0], issuer, wall)
        except BadStaple as bad:
            return f"{bad} (certificate {subject(seen.chain[0])})."
        readings.append(Reading(metric="ocsp_expiry_days", value=(ends_at - wall) / 86_400))
        return None


class _Look(Stream):
    """One handshake, from the first packet until all that it shows was told."""

    __slots__ = ("_connected_at", "_context", "_handshake", "_last", "_peer", "_server_name", "_told")

    def __init__(
        self,
        target: Target,
        waits: Waits,
        context: SSL.Context,
        names: tuple[bytes | None, str],
        last: LastChain,
        told: _Told,
    ) -> None:
        super().__init__(target, waits)
        self._context, self._last, self._told = context, last, told
        self._server_name, self._peer = names
        self._handshake: Handshake | None = None
        self._connected_at = 0.0

    def connected(self, door: socket.SocketType, events: int) -> None:
        self._connected_at = monotonic()
        self._handshake = Handshake(door, self._context, self._server_name, self._peer)
        self._handshake.wants_staple()
        self.go_on(door, events)

    def go_on(self, door: socket.SocketType, events: int) -> None:
        del door, events
        handshake = self._handshake
        if handshake is None or not handshake.advance():
            return
        connection, noted = handshake.connection, handshake.seen
        seconds = (self._connected_at - self.began, monotonic() - self._connected_at)
        version, cipher = connection.get_protocol_version_name(), connection.get_cipher_name() or ""
        believed = handshake.believed() if noted.stapled else []
        seen = _Seen(*seconds, version, cipher, self._last.read(handshake), noted.faults, noted.stapled, believed)
        self.give_up()
        self._handshake = None
        self._told(seen)

    def failed(self, fault: Exception) -> None:
        self._handshake = None
        self._told(fault)

    def awaited(self) -> str:
        return f"TLS with {self._peer} was not finished in time." if self._connected_at else super().awaited()
