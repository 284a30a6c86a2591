"""Asks an SNMP agent over one socket: v2c with its community, v3 with discovery, signatures, sealing and time windows.

Answers are matched by message, request and, in v3, by a signature that only the agent can make; whatever else comes is
dropped and waited past. A question that stays without answer is sent again, with a new id, until the attempt ends.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cemd.monitor.probes.base import Missed, Reason
from cemd.monitor.protocols import Malformed
from cemd.monitor.protocols.ber import Oid
from cemd.monitor.protocols.snmp import (
    Answer,
    Frame,
    Pdu,
    Security,
    community_message,
    read_community_message,
    read_frame,
    read_scoped,
    request_pdu,
    scoped,
    write_frame,
)
from cemd.monitor.protocols.snmp_security import (
    Authentication,
    Privacy,
    is_signed,
    local_key,
    seal,
    sealing_key,
    sign,
    unseal,
)

_STATISTICS: Oid = (1, 3, 6, 1, 6, 3, 15, 1, 1)
_UNKNOWN_CONTEXTS: Oid = (1, 3, 6, 1, 6, 3, 12, 1, 5)
_NOT_IN_TIME, _UNKNOWN_ENGINE = 2, 4
_COMPLAINTS = {
    1: "the agent does not offer this level of security",
    3: "the agent does not know the user",
    5: "the agent finds the signature wrong: the password or its hash differ",
    6: "the agent cannot open what was sealed: the privacy password or its cipher differ",
}
_LARGEST_DATAGRAM = 65_535
_ROUNDS = 4
"""Of v3: discovery, a time window that moved, and one of each again."""


class Session(Protocol):
    """How questions to one agent are dressed. Kept from run to run: an engine is discovered once."""

    async def ask(self, line: Line, pdu: Pdu, oids: Sequence[Oid], *, repetitions: int = 0) -> Answer:
        """The answer to one question.

        Raises:
            Missed: the agent refused.
        """


@dataclass(slots=True)
class Line:
    """One connected socket of one attempt."""

    door: socket.socket
    resend_seconds: float

    async def exchange(self, write: Callable[[], bytes], read: Callable[[bytes], Answer | None]) -> Answer:
        """Sends what `write` makes, again after `resend_seconds`, until `read` finds an answer in what comes."""
        loop = asyncio.get_running_loop()
        while True:
            await loop.sock_sendall(self.door, write())
            try:
                async with asyncio.timeout(self.resend_seconds):
                    while True:
                        data = await loop.sock_recv(self.door, _LARGEST_DATAGRAM)
                        try:
                            answer = read(data)
                        except (Malformed, RecursionError):
                            continue
                        if answer is not None:
                            return answer
            except TimeoutError:
                continue


def _number() -> int:
    return 1 + secrets.randbelow(0x7FFF_FFFE)


@dataclass(slots=True)
class Community:
    """v2c: a shared word in clear."""

    word: bytes

    async def ask(self, line: Line, pdu: Pdu, oids: Sequence[Oid], *, repetitions: int = 0) -> Answer:
        request = _number()
        message = community_message(self.word, request_pdu(pdu, request, oids, repetitions=repetitions))

        def read(data: bytes) -> Answer | None:
            answer = read_community_message(data)
            return answer if answer.request == request and answer.pdu is Pdu.RESPONSE else None

        return await line.exchange(lambda: message, read)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who asks, in v3."""

    name: bytes
    authentication: Authentication | None = None
    password: bytes = field(default=b"", repr=False)
    privacy: Privacy | None = None
    privacy_password: bytes = field(default=b"", repr=False)
    context: bytes = b""


@dataclass(slots=True)
class Engine:
    """The agent's engine: its name, how often it began, and how long it has run at a time of ours."""

    id: bytes
    boots: int
    time: int
    learnt_at: float
    key: bytes = field(default=b"", repr=False)
    sealing: bytes = field(default=b"", repr=False)

    def now(self) -> int:
        return self.time + int(asyncio.get_running_loop().time() - self.learnt_at)


class UserSession:
    """v3 under the user-based security model."""

    def __init__(self, user: User) -> None:
        self._user = user
        self._engine: Engine | None = None
        self.left_alone = False
        """Whether the agent was found by the attempt that ended last, and then was silent."""

    async def ask(self, line: Line, pdu: Pdu, oids: Sequence[Oid], *, repetitions: int = 0) -> Answer:
        for _ in range(_ROUNDS):
            engine = self._engine or await self._discover(line)
            dress = _Dress(self._user, engine, lambda n: request_pdu(pdu, n, oids, repetitions=repetitions))
            try:
                answer = await line.exchange(dress.write, dress.read)
            except asyncio.CancelledError:
                self._engine = None  # the next attempt finds out whether the agent is there at all
                raise
            if answer.pdu is Pdu.RESPONSE:
                self.left_alone = False
                return answer
            self._heed(answer, dress)
        raise Missed(Reason.PROTOCOL_BROKEN, "the agent keeps changing its engine or its time.")

    def _heed(self, report: Answer, dress: _Dress) -> None:
        """What a report changes; what cannot be mended ends the attempt."""
        complaint = _complaint(report)
        if complaint == _UNKNOWN_ENGINE:
            self._engine = None
        elif complaint == _NOT_IN_TIME and dress.told is not None:
            engine = dress.engine
            engine.boots, engine.time = dress.told.boots, dress.told.time
            engine.learnt_at = asyncio.get_running_loop().time()
        else:
            self._engine = None
            if any(bound.oid[: len(_UNKNOWN_CONTEXTS)] == _UNKNOWN_CONTEXTS for bound in report.bindings):
                raise Missed(Reason.ANSWER_UNEXPECTED, "the agent does not know the context.")
            words = _COMPLAINTS.get(complaint, "the agent reports a fault of security that is not known")
            raise Missed(Reason.NOT_AUTHENTICATED, f"{words}.")

    async def _discover(self, line: Line) -> Engine:
        heard: list[Security] = []
        self.left_alone = False
        number = _number()
        asked = Frame(
            message=number,
            signed=False,
            sealed=False,
            security=Security(),
            payload=scoped(b"", request_pdu(Pdu.GET, number, ())),
        )

        def read(data: bytes) -> Answer | None:
            frame, _ = read_frame(data)
            if frame.message != number or not 5 <= len(frame.security.engine) <= 32:
                return None
            heard.append(frame.security)
            return read_scoped(frame.payload)

        await line.exchange(lambda: write_frame(asked), read)
        told, user = heard[-1], self._user
        engine = Engine(told.engine, told.boots, told.time, asyncio.get_running_loop().time())
        if user.authentication is not None:
            engine.key = local_key(user.authentication, user.password, engine.id)
            if user.privacy is not None:
                engine.sealing = sealing_key(user.authentication, user.privacy, user.privacy_password, engine.id)
        self._engine, self.left_alone = engine, True
        return engine


def _complaint(report: Answer) -> int:
    """Which counter of the user-based model a report shows; 0 for another."""
    for bound in report.bindings:
        if bound.oid[: len(_STATISTICS)] == _STATISTICS and len(bound.oid) > len(_STATISTICS):
            return bound.oid[len(_STATISTICS)]
    return 0


class _Dress:
    """One question to one engine: writes its message, reads what answers it."""

    def __init__(self, user: User, engine: Engine, pdu: Callable[[int], bytes]) -> None:
        self._user = user
        self._pdu = pdu
        self._number = 0
        self.engine = engine
        self.told: Security | None = None
        """Boots and time of a signed report: only such may move our clock of the engine."""

    def write(self) -> bytes:
        self._number = _number()
        user, engine = self._user, self.engine
        security = Security(engine=engine.id, boots=engine.boots, time=engine.now(), user=user.name)
        payload = scoped(engine.id, self._pdu(self._number), user.context)
        if user.privacy is not None:
            security = Security(
                engine=engine.id, boots=engine.boots, time=engine.now(), user=user.name, salt=secrets.token_bytes(8)
            )
            payload = seal(engine.sealing, security, payload)
        frame = Frame(
            message=self._number,
            signed=user.authentication is not None,
            sealed=user.privacy is not None,
            security=security,
            payload=payload,
        )
        return write_frame(frame) if user.authentication is None else sign(frame, user.authentication, engine.key)

    def read(self, data: bytes) -> Answer | None:
        frame, blanked = read_frame(data)
        user = self._user
        if frame.message != self._number:
            return None
        proven = user.authentication is None or (
            frame.signed and is_signed(frame, blanked, user.authentication, self.engine.key)
        )
        if frame.sealed:
            answer = unseal(self.engine.sealing, frame.security, frame.payload)
        else:
            answer = read_scoped(frame.payload)
        if answer.pdu is Pdu.RESPONSE:
            kept = frame.sealed or user.privacy is None
            return answer if proven and kept and answer.request == self._number else None
        if proven and frame.signed:
            self.told = frame.security
        return answer
