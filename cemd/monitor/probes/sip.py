"""sip: asks a SIP server for its options, for a user's registration, or places a call and times each step of it.

A registration is only read, not made, unless `bind_seconds` says so; then it is taken back at the end. A call is
taken back once it rings, or hung up once it is answered.

Source: RFC 3261; RFC 6076 for what the delays are.
"""

from __future__ import annotations

import asyncio
import socket
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints, model_validator

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import (
    Attempt,
    Host,
    Missed,
    Port,
    ProbeParams,
    Reading,
    Reason,
    Result,
    Text,
    read_secret,
)
from cemd.monitor.probes.engines.places import HostParams, OnePort
from cemd.monitor.probes.engines.sip_agent import Agent, Door, Identity, Wire
from cemd.monitor.probes.engines.sockets import connect, talking_to
from cemd.monitor.probes.tools import Tools

UserPart = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.+*#_!~-]{1,80}$")]


class Method(StrEnum):
    OPTIONS = "options"
    REGISTER = "register"
    INVITE = "invite"


class Transport(StrEnum):
    UDP = "udp"
    TCP = "tcp"


class Until(StrEnum):
    RINGING = "ringing"
    ANSWERED = "answered"


class SipParams(HostParams):
    """A SIP server, and what is asked of it."""

    port: Port = 5060
    """Where it listens."""
    transport: Transport = Transport.UDP
    """`udp` or `tcp`."""
    method: Method = Method.OPTIONS
    """`options`, `register` or `invite`."""
    domain: Host | None = None
    """Domain of the users; default: the host."""
    user: UserPart = "cemd"
    """Who asks: the test user."""
    authentication_user: Text | None = None
    """Name in the credentials, where it differs from `user`."""
    password_file: Text | None = None
    """File that holds the test user's password, for servers that ask for it."""
    call: UserPart | None = None
    """Who is called: a test number that may ring. Needed for `invite`."""
    until: Until = Until.RINGING
    """`ringing`: the call is taken back once it rings. `answered`: it is hung up once it is answered."""
    bind_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    """Registers our address for this long, and takes it back at the end; default 0: registrations are only read."""
    status: tuple[Annotated[int, Field(ge=200, le=699)], ...] = ()
    """Final answers that are right; default: 200. A call that is taken back while it rings has none."""

    @model_validator(mode="after")
    def _fits(self) -> SipParams:
        if (self.method is Method.INVITE) != (self.call is not None):
            raise ValueError("call belongs to method invite, which needs it")
        if self.bind_seconds and self.method is not Method.REGISTER:
            raise ValueError("bind_seconds belongs to method register")
        return self


class Sip(OnePort):
    """`response_seconds` until the first final answer; of a call `post_dial_seconds` until it rings (or is answered),
    `answer_seconds`, and `disconnect_seconds` until the far end confirmed the end."""

    word: ClassVar[str] = "sip"
    Params: ClassVar[type[ProbeParams]] = SipParams
    libraries: ClassVar[tuple[str, ...]] = ("sipmessage",)
    metrics: ClassVar[frozenset[str] | None] = frozenset(
        {"response_seconds", "response_code", "post_dial_seconds", "answer_seconds", "disconnect_seconds"}
    )

    def __init__(self, params: SipParams, tools: Tools) -> None:
        super().__init__(params.host, params.port)
        self._params = params
        self._names = tools.names
        domain = params.domain or params.host
        self._domain = f"[{domain}]" if ":" in domain else domain

    async def run(self, attempt: Attempt) -> Result:
        params = self._params
        password = read_secret(params.password_file) if params.password_file else ""
        identity = Identity(
            uri=f"sip:{params.user}@{self._domain}",
            user=params.authentication_user or params.user,
            password=password,
        )
        address = await self._names.address(params.host, attempt.remaining(), params.version())
        stream = params.transport is Transport.TCP
        sort = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
        with talking_to(self.target), await connect(params, address, params.port, sort) as door:
            local = door.getsockname()
            agent = Agent(Wire(Door(door), stream=stream), identity, (local[0], local[1]), self._uri())
            try:
                match params.method:
                    case Method.OPTIONS:
                        return await self._options(agent)
                    case Method.REGISTER:
                        return await self._register(agent, identity.uri, (local[0], local[1]))
                    case Method.INVITE:
                        return await self._call(agent, (local[0], local[1]))
            finally:
                agent.leave()

    def _uri(self) -> str:
        """What the requests are about: the domain, our own address of record is in `To`, or who is called."""
        who = {Method.INVITE: self._params.call, Method.OPTIONS: None, Method.REGISTER: None}[self._params.method]
        return f"sip:{who}@{self._domain}" if who else f"sip:{self._domain}"

    async def _options(self, agent: Agent) -> Result:
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await agent.request("OPTIONS", headers={"Accept": "application/sdp"})
        return self._judge(answer, (Reading(metric="response_seconds", value=loop.time() - began),))

    async def _register(self, agent: Agent, uri: str, local: tuple[str, int]) -> Result:
        loop = asyncio.get_running_loop()
        began = loop.time()
        headers = {"To": f"<{uri}>"}
        if self._params.bind_seconds:
            headers |= {"Contact": self._contact(local), "Expires": str(self._params.bind_seconds)}
        answer = await agent.request("REGISTER", headers=headers)
        readings = (Reading(metric="response_seconds", value=loop.time() - began),)
        if self._params.bind_seconds and answer.code == 200:
            await agent.request("REGISTER", headers={**headers, "Expires": "0"})
        return self._judge(answer, readings)

    def _contact(self, local: tuple[str, int]) -> str:
        """Where requests of the far end reach us: what it sends elsewhere never arrives."""
        host = f"[{local[0]}]" if ":" in local[0] else local[0]
        way = ";transport=tcp" if self._params.transport is Transport.TCP else ""
        return f"<sip:{self._params.user}@{host}:{local[1]}{way}>"

    async def _call(self, agent: Agent, local: tuple[str, int]) -> Result:
        loop = asyncio.get_running_loop()
        began = loop.time()
        rang: list[float] = []
        ringing = asyncio.Event()

        def heard(code: int) -> None:
            if 180 <= code < 300:
                rang.append(loop.time() - began)
                ringing.set()

        headers = {"Contact": self._contact(local), "Content-Type": "application/sdp"}
        invite = asyncio.ensure_future(agent.request("INVITE", headers=headers, body=_offer(local[0]), heard=heard))
        try:
            if self._params.until is Until.RINGING:
                await _first(invite, ringing)
            else:
                await invite
        except BaseException:
            invite.cancel()
            await asyncio.gather(invite, return_exceptions=True)
            raise
        delays = [Reading(metric="post_dial_seconds", value=rang[0])] if rang else []
        if not invite.done():
            invite.cancel()
            await asyncio.gather(invite, return_exceptions=True)
            await agent.take_back()
            return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=tuple(delays))
        answer = invite.result()
        delays.append(Reading(metric="answer_seconds", value=loop.time() - began))
        if answer.code < 300:
            delays.append(Reading(metric="disconnect_seconds", value=await agent.hang_up(answer)))
        return self._judge(answer, tuple(delays))

    def _judge(self, answer: Any, readings: tuple[Reading, ...]) -> Result:
        wanted = self._params.status or (200,)
        readings = (*readings, Reading(metric="response_code", value=float(answer.code)))
        if answer.code not in wanted:
            words = f"answered {answer.code} {answer.phrase[:80]!r}, not {' or '.join(map(str, wanted))}."
            raise Missed(Reason.STATUS_UNEXPECTED, words, readings=readings)
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)


async def _first(invite: asyncio.Future[Any], ringing: asyncio.Event) -> None:
    """Waits until the call rings or is decided."""
    waiting = asyncio.ensure_future(ringing.wait())
    try:
        await asyncio.wait((invite, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


def _offer(local: str) -> bytes:
    """An offer of ordinary voice that asks for no media to flow."""
    family = "IP6" if ":" in local else "IP4"
    lines = (
        "v=0",
        f"o=cemd 1 1 IN {family} {local}",
        "s=cemd",
        f"c=IN {family} {local}",
        "t=0 0",
        "m=audio 9 RTP/AVP 8 0",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=inactive",
    )
    return "".join(f"{line}\r\n" for line in lines).encode()
