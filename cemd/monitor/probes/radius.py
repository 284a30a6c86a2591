"""radius: logs a test user in, or opens and closes an accounting session, as an access server would.

An answer that was not made with our shared secret is no answer: when only such came, the attempt says so instead of
waiting for its deadline. Most servers do not answer at all to another secret (RFC 2865, section 3; RFC 3579, section
3.2), so silence says that it may be that. An accounting session that was started is stopped, also when its start stays
unanswered: the books of the operator keep no session that nobody ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import secrets
import socket
import struct
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints, field_validator, model_validator

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import (
    Attempt,
    Blind,
    Missed,
    Port,
    ProbeParams,
    Reading,
    Reason,
    Result,
    Secrets,
    Text,
    library,
    read_secret,
)
from cemd.monitor.probes.engines.places import HostParams, OnePort
from cemd.monitor.probes.engines.sockets import connect, talking_to
from cemd.monitor.probes.tools import Tools

_LARGEST = 4096  # RFC 2865, section 3
_CODES = {2: "accept", 3: "reject", 5: "accounting response", 11: "challenge"}
_ACCOUNTING = 5
_REPLY_MESSAGE = 18
_MOST_CHARACTERS = 200
_DICTIONARY = """\
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 octets
ATTRIBUTE CHAP-Password 3 octets
ATTRIBUTE NAS-IP-Address 4 ipaddr
ATTRIBUTE NAS-Port 5 integer
ATTRIBUTE Service-Type 6 integer
ATTRIBUTE Framed-Protocol 7 integer
ATTRIBUTE Framed-IP-Address 8 ipaddr
ATTRIBUTE Framed-IP-Netmask 9 ipaddr
ATTRIBUTE Filter-Id 11 string
ATTRIBUTE Framed-MTU 12 integer
ATTRIBUTE Reply-Message 18 string
ATTRIBUTE State 24 octets
ATTRIBUTE Class 25 octets
ATTRIBUTE Session-Timeout 27 integer
ATTRIBUTE Idle-Timeout 28 integer
ATTRIBUTE Called-Station-Id 30 string
ATTRIBUTE Calling-Station-Id 31 string
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE Acct-Status-Type 40 integer
ATTRIBUTE Acct-Delay-Time 41 integer
ATTRIBUTE Acct-Session-Id 44 string
ATTRIBUTE Acct-Authentic 45 integer
ATTRIBUTE Acct-Session-Time 46 integer
ATTRIBUTE Acct-Terminate-Cause 49 integer
ATTRIBUTE Event-Timestamp 55 integer
ATTRIBUTE CHAP-Challenge 60 octets
ATTRIBUTE NAS-Port-Type 61 integer
ATTRIBUTE Connect-Info 77 string
ATTRIBUTE Message-Authenticator 80 octets
ATTRIBUTE NAS-Port-Id 87 string
ATTRIBUTE Framed-Pool 88 string
ATTRIBUTE NAS-IPv6-Address 95 ipv6addr
VALUE Acct-Status-Type Start 1
VALUE Acct-Status-Type Stop 2
"""
_TAKEN = frozenset({"User-Password", "CHAP-Password", "CHAP-Challenge", "Message-Authenticator", "Acct-Status-Type"})


class Mode(StrEnum):
    ACCESS = "access"
    ACCOUNTING = "accounting"


class Method(StrEnum):
    PAP = "pap"
    CHAP = "chap"


class Expected(StrEnum):
    ACCEPT = "accept"
    REJECT = "reject"
    CHALLENGE = "challenge"


class RadiusParams(HostParams):
    """A RADIUS server, and who logs in."""

    port: Port | None = None
    """Where it listens; default: 1812 for access, 1813 for accounting."""
    mode: Mode = Mode.ACCESS
    """`access` logs in; `accounting` starts a session and stops it."""
    secret_file: Text
    """File that holds the secret shared with the server."""
    user: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """Name of the test user."""
    password_file: Text | None = None
    """File that holds the test user's password; needed for access."""
    method: Method = Method.PAP
    """How the password is proven: `pap` or `chap`."""
    nas_identifier: Annotated[str, StringConstraints(min_length=1, max_length=253)] = "cemd"
    """Name of the access server that we are, so that the operator's books can leave us out."""
    attributes: dict[str, str | int] = Field(default_factory=dict)
    """More attributes of the request, such as `Called-Station-Id`."""
    expect: Expected = Expected.ACCEPT
    """The answer that is right; `reject` for a user who must not get in."""
    reply: dict[str, str | int] = Field(default_factory=dict)
    """Attributes that the answer must hold, with their values."""
    require_message_authenticator: bool = False
    """True: an answer without this attribute counts as not ours; default false, for many servers leave it out of
    answers. A server that is up to date sends it."""
    resend_seconds: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    """A request without answer is sent again after this time, within the timeout."""

    @field_validator("attributes", "reply")
    @classmethod
    def _known(cls, attributes: dict[str, str | int]) -> dict[str, str | int]:
        for name, value in attributes.items():
            kind = _types().get(name)
            if kind is None or name in _TAKEN:
                known = ", ".join(sorted(set(_types()) - _TAKEN))
                raise ValueError(f"{name!r} is no attribute that can be given; known are {known}")
            if (kind == "integer") != isinstance(value, int):
                raise ValueError(f"{name} takes {'a number' if kind == 'integer' else 'a text'}")
        return attributes

    @model_validator(mode="after")
    def _fits(self) -> RadiusParams:
        if self.mode is Mode.ACCESS and self.password_file is None:
            raise ValueError(
                "`password_file` is missing: who logs in needs a password; add it, or give `mode: accounting`"
            )
        if self.mode is Mode.ACCOUNTING and self.password_file is not None:
            raise ValueError("`password_file` belongs to mode access; leave it out")
        if self.mode is Mode.ACCOUNTING and self.expect is not Expected.ACCEPT:
            raise ValueError("expect belongs to mode access")
        return self


@lru_cache(maxsize=1)
def _types() -> dict[str, str]:
    """Name of each known attribute to its type."""
    rows = (line.split() for line in _DICTIONARY.splitlines() if line.startswith("ATTRIBUTE"))
    return {name: kind for _, name, _, kind in rows}


class Radius(OnePort):
    """`response_seconds` until the server answered; in accounting `stop_seconds` as well, for the stop."""

    word: ClassVar[str] = "radius"
    Params: ClassVar[type[ProbeParams]] = RadiusParams
    libraries: ClassVar[tuple[str, ...]] = ("pyrad.packet", "pyrad.dictionary")
    metrics: ClassVar[frozenset[str] | None] = frozenset({"response_seconds", "stop_seconds"})
    silence: ClassVar[str] = (
        "no answer before the deadline; a server is silent as well where its shared secret is not that of secret_file, "
        "or where it does not know this host as a client."
    )

    def __init__(self, params: RadiusParams, tools: Tools) -> None:
        super().__init__(params.host, params.port or (1812 if params.mode is Mode.ACCESS else 1813))
        self._params = params
        self._names = tools.names

    async def run(self, attempt: Attempt) -> Result:
        params = self._params
        secret = read_secret(params.secret_file).encode()
        address = await self._names.address(params.host, attempt.remaining(), params.version())
        with talking_to(self.target), await connect(params, address, self._port, socket.SOCK_DGRAM) as door:
            line = _Line(door, secret, params, attempt)
            if params.mode is Mode.ACCESS:
                return await self._log_in(line)
            return await self._account(line, attempt.run)

    async def _log_in(self, line: _Line) -> Result:
        password = read_secret(self._params.password_file or "")
        request = library("pyrad.packet", "radius").AuthPacket(
            secret=line.secret, dict=_dictionary(), message_authenticator=True
        )
        request.authenticator = secrets.token_bytes(16)
        self._describe(request)
        try:
            _prove(request, password, self._params.method)
        except ValueError as exc:
            raise Blind(Reason.FILE_UNREADABLE, "the password is longer than the protocol can carry.") from exc
        answer, seconds = await line.ask(request)
        readings = (Reading(metric="response_seconds", value=seconds),)
        code = _CODES.get(answer.code, f"code {answer.code}")
        if code != self._params.expect.value:
            words = f"the server answered {code}, not {self._params.expect.value}"
            raise Missed(Reason.STATUS_UNEXPECTED, f"{words}{_message(answer, password)}.", readings=readings)
        return self._judge(answer, readings)

    async def _account(self, line: _Line, run: str) -> Result:
        stop = self._accounting(line, "Stop", run)
        answered = False
        try:
            answer, seconds = await line.ask(self._accounting(line, "Start", run))
            readings = (Reading(metric="response_seconds", value=seconds),)
            answered = True
            _, more = await line.ask(stop)
        finally:
            if not answered:  # the start may have arrived: one word without waiting, so that it does not stay open
                line.say(stop)
        return self._judge(answer, (*readings, Reading(metric="stop_seconds", value=more)))

    def _accounting(self, line: _Line, status: str, run: str) -> Any:
        request = library("pyrad.packet", "radius").AcctPacket(secret=line.secret, dict=_dictionary())
        self._describe(request)
        request["Acct-Status-Type"] = status
        request["Acct-Session-Id"] = run
        if status == "Stop":
            request["Acct-Session-Time"] = 0
            request["Acct-Terminate-Cause"] = 1  # the user's own wish
        return request

    def _describe(self, request: Any) -> None:
        request.id = secrets.randbelow(256)
        request["User-Name"] = self._params.user
        request["NAS-Identifier"] = self._params.nas_identifier
        for name, value in self._params.attributes.items():
            request[name] = value

    def _judge(self, answer: Any, readings: tuple[Reading, ...]) -> Result:
        for name, value in self._params.reply.items():
            try:
                held = answer.get(name, [])
            except (ValueError, struct.error) as exc:  # signed, and yet of no such type
                raise Missed(Reason.PROTOCOL_BROKEN, f"the answer's {name} cannot be read.", readings=readings) from exc
            if value not in held:
                shown = ", ".join(repr(one)[:60] for one in held[:4])
                words = f"the answer's {name} is {shown}, not {value!r}" if held else f"the answer holds no {name}"
                raise Missed(Reason.ANSWER_UNEXPECTED, f"{words}.", readings=readings)
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)


@dataclass(slots=True)
class _Line:
    """One socket of one attempt."""

    door: socket.socket
    secret: bytes
    params: RadiusParams
    attempt: Attempt

    async def ask(self, request: Any) -> tuple[Any, float]:
        """The proven answer and how long it took, from the first sending."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        wire = request.RequestPacket()
        while True:
            await loop.sock_sendall(self.door, wire)
            foreign = False
            try:
                async with asyncio.timeout(self.params.resend_seconds) as patience:
                    while True:
                        data = await loop.sock_recv(self.door, _LARGEST)
                        answer = _read(request, data, enforce=self.params.require_message_authenticator)
                        if answer is not None:
                            return answer, loop.time() - began
                        if not foreign and data[1:2] == wire[1:2]:  # what is right may still come behind it
                            foreign, half = True, loop.time() + self.attempt.remaining() / 2
                            patience.reschedule(min(patience.when() or half, half))
            except TimeoutError:
                if foreign:
                    words = "answers came that were not made with our shared secret; it differs, or somebody forges."
                    raise Missed(Reason.NOT_AUTHENTICATED, words) from None

    def say(self, request: Any) -> None:
        """Sends once, and waits for nothing."""
        try:
            self.door.send(request.RequestPacket())
        except OSError:
            return


def _read(request: Any, data: bytes, *, enforce: bool) -> Any:
    """The answer if it belongs to the request and was made with its secret; None for everything else."""
    try:
        answer = request.CreateReply(packet=data)
        enforced = enforce and answer.code != _ACCOUNTING
        return answer if request.VerifyReply(answer, data, enforce_ma=enforced) else None
    except Exception:  # noqa: BLE001 -- hostile bytes find ways that the codec does not name
        return None


def _prove(request: Any, password: str, method: Method) -> None:
    if method is Method.PAP:
        request["User-Password"] = request.PwCrypt(password)
        return
    number, challenge = secrets.token_bytes(1), secrets.token_bytes(16)
    request["CHAP-Challenge"] = challenge
    proof = hashlib.md5(number + password.encode() + challenge).digest()  # noqa: S324 -- RFC 1994 knows no other
    request["CHAP-Password"] = number + proof


def _message(answer: Any, password: str) -> str:
    """What the server says to the user about it, if anything; the password is hidden, should it stand there."""
    raw: list[bytes] = answer.get(_REPLY_MESSAGE, [])
    said = " ".join(part.decode(errors="replace") for part in raw)
    return f" ({Secrets([password]).hide(said)[:_MOST_CHARACTERS]!r})" if said else ""


@lru_cache(maxsize=1)
def _dictionary() -> Any:
    return library("pyrad.dictionary", "radius").Dictionary(io.StringIO(_DICTIONARY))
