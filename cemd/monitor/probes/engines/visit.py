"""A visit: one connection to a service from its opening to its end, each phase timed, secrets kept out of every word.

`tcp` and the kinds of services that greet and log in (smtp, imap, ldap, ssh, mqtt) share it: looking the name up,
connecting, TLS with a verified certificate, and a failure that still tells how far it came.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Generic, TypeVar

from pydantic import Field, model_validator

from cemd.monitor.probes.attempts import SoFar
from cemd.monitor.probes.base import Attempt, Host, Missed, Port, Reading, Reason, Secrets, Text, read_secret
from cemd.monitor.probes.engines.names import is_address
from cemd.monitor.probes.engines.places import HostParams, OnePort
from cemd.monitor.probes.engines.sockets import connect
from cemd.monitor.probes.engines.starttls import PRELUDES, Security
from cemd.monitor.probes.engines.streams import handshake_seconds
from cemd.monitor.probes.engines.talk import Talk
from cemd.monitor.probes.engines.trust import expiry_days
from cemd.monitor.probes.tools import Tools


class TlsParams(HostParams):
    """Whom TLS believes."""

    tls_name: Host | None = None
    """Name that the certificate must be valid for; default: `host`."""
    ca_file: Text | None = None
    """Certificate authorities that are trusted; default: those of the system."""
    certificate_days: Annotated[float, Field(ge=0, le=3650)] = 0.0
    """A certificate that ends sooner than this is a failure; default 0: only one that has ended."""


class Encryption(StrEnum):
    """In clear, secured from the first byte, or secured after a word of the protocol."""

    NONE = "none"
    DIRECT = "direct"
    STARTTLS = "starttls"


class LoginParams(TlsParams):
    """A service that may be secured and signed in to."""

    port: Port | None = None
    """Where it listens; default: the port of the protocol."""
    tls: Encryption = Encryption.NONE
    """`none`, `direct` or `starttls`; default: none."""
    user: Text | None = None
    """Name to sign in with; default: nobody signs in."""
    password_file: Text | None = None
    """File that holds the password and nothing else."""
    max_answer_bytes: Annotated[int, Field(ge=1_024, le=1_048_576)] = 65_536
    """A longer answer is a failure: a peer that never stops must not fill memory."""

    @model_validator(mode="after")
    def _login_is_whole(self) -> LoginParams:
        if (self.user is None) is not (self.password_file is None):
            raise ValueError("user and password_file belong together; give both or none")
        own = self.host == "localhost" or self.host.startswith("127.") or self.host == "::1"
        if self.user is not None and self.tls is Encryption.NONE and not own:
            raise ValueError("the password would go in clear; set `tls` to direct or starttls")
        return self

    def password(self, secrets: Secrets) -> str:
        """The password, remembered as a secret.

        Raises:
            Blind: its file cannot be read.
        """
        if self.password_file is None:
            return ""
        secrets.texts.append(read_secret(self.password_file))
        return secrets.texts[-1]

    def plain_token(self, secrets: Secrets) -> str:
        """User and password as SASL's PLAIN wants them (RFC 4616), a secret like the password itself.

        Raises:
            Blind: the password's file cannot be read.
        """
        words = f"\0{self.user or ''}\0{self.password(secrets)}"
        secrets.texts.append(base64.b64encode(words.encode()).decode())
        return secrets.texts[-1]


VISIT_METRICS = frozenset({"name_seconds", "connect_seconds", "handshake_round_trip_seconds"})
SECURE_METRICS = frozenset({"starttls_seconds", "tls_seconds", "certificate_expiry_days"})


_Params = TypeVar("_Params", bound=LoginParams)


class LoginKind(OnePort, Generic[_Params]):
    """Base of kinds that visit a service which may be signed in to."""

    ports: ClassVar[Mapping[Encryption, int]]
    """Where the protocol is at home, by how it is secured."""

    def __init__(self, params: _Params, tools: Tools) -> None:
        super().__init__(params.host, params.port or self.ports[params.tls])
        self._params = params
        self._tools = tools


class Visit:
    """What is known of a visit so far. `began` is when the present phase did."""

    def __init__(self, talk: Talk, secrets: Secrets, began: float) -> None:
        self.talk = talk
        self.secrets = secrets
        self.readings: list[Reading] = []
        self.phases: list[str] = []
        self.began = began

    def timed(self, metric: str, *, labels: tuple[tuple[str, str], ...] = ()) -> None:
        """Ends a phase: its seconds are noted, and the next begins."""
        now = asyncio.get_running_loop().time()
        self.readings.append(Reading(metric=metric, value=now - self.began, labels=labels))
        self.phases.append(" ".join([metric.removesuffix("_seconds"), *(value for _, value in labels)]))
        self.began = now

    def note(self, metric: str, value: float) -> None:
        """A figure that is no phase."""
        self.readings.append(Reading(metric=metric, value=value))

    async def secure(self, params: TlsParams, how: Security, tools: Tools) -> None:
        """Makes the handshake, after the protocol's own words for it, and holds the certificate against its last day.

        Raises:
            Missed: the server offers no TLS, or its certificate is not right.
            Blind: nothing is here to verify it with.
        """
        if how is Security.NONE:
            return
        context = tools.trust.context(params.ca_file)
        name = params.tls_name or params.host
        if how is not Security.DIRECT:
            await PRELUDES[how](self.talk, name)
            self.timed("starttls_seconds")
        await self.talk.start_tls(context, name)
        self.timed("tls_seconds")
        certificate = self.talk.tls.getpeercert() if self.talk.tls is not None else None
        days = expiry_days(certificate, tools.clock.now())
        if days is not None:
            self.note("certificate_expiry_days", days)
            if days < params.certificate_days:
                words = f"the certificate ends in {days:.1f} days; at least {params.certificate_days:g} are wanted."
                raise Missed(Reason.CERTIFICATE_INVALID, words)


@contextlib.asynccontextmanager
async def visit(
    params: TlsParams, port: int, tools: Tools, attempt: Attempt, *, most_bytes: int
) -> AsyncIterator[Visit]:
    """Opens a connection for the length of the block. What fails within it, or is not done in time, tells the phases
    that were.

    Raises:
        Missed, Blind: the connection cannot be made; and whatever the block raises.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    address = await tools.names.address(params.host, attempt.remaining(), params.version())
    named = loop.time()
    door = await connect(params, address, port)
    with Talk(door, f"{params.host}:{port}", most_bytes=most_bytes) as talk:
        made = Visit(talk, Secrets(), named)
        if not is_address(params.host):
            made.note("name_seconds", named - began)
        made.timed("connect_seconds")
        made.note("handshake_round_trip_seconds", handshake_seconds(door, 0.0)[1])
        try:
            yield made
        except Missed as missed:
            missed.detail = made.secrets.hide(missed.detail)
            missed.readings = (*made.readings, *missed.readings)
            raise
        except asyncio.CancelledError as ended:
            ended.args = ended.args or (SoFar(tuple(made.readings), tuple(made.phases)),)
            raise
