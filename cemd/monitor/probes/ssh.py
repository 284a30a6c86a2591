"""ssh: the greeting of a server and its offer of algorithms (RFC 4253), up to where a client would begin with keys.

Nobody signs in. It tells a server that hangs behind an open port, one that speaks the broken first version, and one
that no longer offers what the operator's own clients need.
"""

from __future__ import annotations

import os
import re
from typing import ClassVar

from pydantic import model_validator

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Attempt, Missed, Port, ProbeParams, Reason, Result, Text
from cemd.monitor.probes.engines.dialogue import Pattern
from cemd.monitor.probes.engines.places import OnePort
from cemd.monitor.probes.engines.talk import Talk, shown
from cemd.monitor.probes.engines.visit import SECURE_METRICS, VISIT_METRICS, TlsParams, visit
from cemd.monitor.probes.tools import Tools

_GREETING = re.compile(rb"^SSH-[^\n]{0,253}\n", re.MULTILINE)
_IDENTITY = b"SSH-2.0-cemd\r\n"
_KEXINIT = 20
_MOST_PACKET = 35_000
"""What every implementation must take (RFC 4253, section 6.1); more is no first packet of anybody."""
_LISTS = ("key exchange", "host key", "cipher", "cipher back", "mac", "mac back")


class SshParams(TlsParams):
    """A server that people sign in to."""

    port: Port = 22
    """Where it listens."""
    software: Pattern | None = None
    """Regular expression that the server's greeting must contain, such as `OpenSSH_9`; default: any of version 2."""
    host_keys: tuple[Text, ...] = ()
    """Algorithms of host keys that must all be offered, such as `ssh-ed25519`."""

    @model_validator(mode="after")
    def _no_tls(self) -> SshParams:
        if self.tls_name or self.ca_file or self.certificate_days:
            raise ValueError("ssh knows no certificates of TLS; take tls_name, ca_file and certificate_days out")
        return self


class Ssh(OnePort):
    """`connect_seconds`, `greeting_seconds` until the server named itself, `offer_seconds` until it offered its
    algorithms."""

    word: ClassVar[str] = "ssh"
    Params: ClassVar[type[ProbeParams]] = SshParams
    metrics: ClassVar[frozenset[str] | None] = VISIT_METRICS | SECURE_METRICS | {"greeting_seconds", "offer_seconds"}

    def __init__(self, params: SshParams, tools: Tools) -> None:
        super().__init__(params.host, params.port)
        self._params = params
        self._tools = tools
        self._software = re.compile(params.software.encode()) if params.software is not None else None

    async def run(self, attempt: Attempt) -> Result:
        params = self._params
        async with visit(params, params.port, self._tools, attempt, most_bytes=_MOST_PACKET) as made:
            await made.talk.say(_IDENTITY)
            greeting = (await made.talk.until(_GREETING)).splitlines()[-1]
            made.timed("greeting_seconds")
            if not greeting.startswith((b"SSH-2.0-", b"SSH-1.99-")):
                raise Missed(Reason.PROTOCOL_BROKEN, f"the server speaks {shown(greeting)}, which is not version 2.")
            if self._software is not None and not self._software.search(greeting):
                raise Missed(Reason.ANSWER_UNEXPECTED, f"the server is {shown(greeting)}, not {params.software!r}.")
            offer = await read_offer(made.talk)
            made.timed("offer_seconds")
            if missing := [name for name in params.host_keys if name not in offer["host key"]]:
                words = f"host keys {', '.join(offer['host key'])} are offered, not {', '.join(missing)}."
                raise Missed(Reason.ANSWER_UNEXPECTED, words)
            await made.talk.say(_goodbye())
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=tuple(made.readings))


async def read_offer(talk: Talk) -> dict[str, tuple[str, ...]]:
    """The server's first packet: names of algorithms by what they are for.

    Raises:
        Missed: it is no offer.
    """
    size = int.from_bytes(await talk.exactly(4), "big")
    if not 12 <= size <= _MOST_PACKET:
        raise Missed(Reason.PROTOCOL_BROKEN, f"the first packet announces {size} bytes.")
    packet = await talk.exactly(size)
    body = packet[1 : max(1, size - packet[0])]
    if not body or body[0] != _KEXINIT:
        raise Missed(Reason.PROTOCOL_BROKEN, "the first packet is no offer of algorithms.")
    offer: dict[str, tuple[str, ...]] = {}
    rest = body[17:]
    for word in _LISTS:
        length = int.from_bytes(rest[:4], "big")
        if len(rest) < 4 + length:
            raise Missed(Reason.PROTOCOL_BROKEN, f"the offer ends within its list of {word} algorithms.")
        offer[word] = tuple(rest[4 : 4 + length].decode("ascii", errors="replace").split(","))
        rest = rest[4 + length :]
    return offer


def _goodbye() -> bytes:
    """Disconnect, by application: so the server's log says that nobody tried to break in."""
    words = b"probe"
    body = bytes([1]) + (11).to_bytes(4, "big") + len(words).to_bytes(4, "big") + words + bytes(4)
    padding = 8 - (5 + len(body)) % 8 + 8
    return (1 + len(body) + padding).to_bytes(4, "big") + bytes([padding]) + body + os.urandom(padding)
