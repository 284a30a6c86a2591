"""ssh: the greeting of a server, its offer of algorithms (RFC 4253), the proof of its host key, and a log-in.

Without a user nobody signs in: it tells a server that hangs behind an open port, one that speaks the broken first
version, and one that no longer offers what the operator's own clients need. With one, the way that engineers and
robots take is gone to its end: a password or a key must be taken, by a server whose host key is known.
"""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import model_validator

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import (
    Attempt,
    Blind,
    Missed,
    Port,
    ProbeParams,
    Reason,
    Result,
    Secrets,
    Text,
    read_secret,
)
from cemd.monitor.probes.engines.dialogue import Pattern
from cemd.monitor.probes.engines.places import OnePort
from cemd.monitor.probes.engines.ssh_session import IDENTITY, MOST_PACKET, Session
from cemd.monitor.probes.engines.talk import shown
from cemd.monitor.probes.engines.visit import SECURE_METRICS, VISIT_METRICS, TlsParams, Visit, visit
from cemd.monitor.probes.tools import Tools
from cemd.monitor.protocols.ssh import PrivateKey, read_host_keys, read_private
from cemd.monitor.protocols.ssh import shown as shown_names

_GREETING = re.compile(rb"^SSH-[^\n]{0,253}\n", re.MULTILINE)


class SshParams(TlsParams):
    """A server that people sign in to."""

    port: Port = 22
    """Where it listens."""
    software: Pattern | None = None
    """Regular expression that the server's greeting must contain, such as `OpenSSH_9`; default: any of version 2."""
    host_keys: tuple[Text, ...] = ()
    """Algorithms of host keys that must all be offered, such as `ssh-ed25519`."""
    host_key_file: Text | None = None
    """File with the server's public host keys, as `ssh-keyscan` prints them; the server must prove that it holds one.
    Needed for a log-in: a password is shown to nobody else. Default: no key is exchanged."""
    user: Text | None = None
    """Name to sign in with; default: nobody signs in."""
    password_file: Text | None = None
    """File that holds the user's password and nothing else."""
    key_file: Text | None = None
    """File with the user's private key (OpenSSH or PEM, no passphrase); instead of `password_file`."""

    @model_validator(mode="after")
    def _no_tls(self) -> SshParams:
        if self.tls_name or self.ca_file or self.certificate_days:
            raise ValueError("ssh knows no certificates of TLS; take tls_name, ca_file and certificate_days out")
        ways = (self.password_file is not None) + (self.key_file is not None)
        if ways != (self.user is not None):
            raise ValueError("user needs password_file or key_file, and each of them needs user; give one of the two")
        if self.user is not None and self.host_key_file is None:
            raise ValueError("user needs host_key_file: a password is shown to no server whose key nobody knows")
        return self


class Ssh(OnePort):
    """`connect_seconds`, `greeting_seconds` until the server named itself, `offer_seconds` until it offered its
    algorithms; `exchange_seconds` until it proved its host key, `login_seconds` until the user was in."""

    word: ClassVar[str] = "ssh"
    Params: ClassVar[type[ProbeParams]] = SshParams
    metrics: ClassVar[frozenset[str] | None] = (
        VISIT_METRICS | SECURE_METRICS | {"greeting_seconds", "offer_seconds", "exchange_seconds", "login_seconds"}
    )

    def __init__(self, params: SshParams, tools: Tools) -> None:
        super().__init__(params.host, params.port)
        self._params = params
        self._tools = tools
        self._software = re.compile(params.software.encode()) if params.software is not None else None

    async def run(self, attempt: Attempt) -> Result:
        params = self._params
        async with visit(params, params.port, self._tools, attempt, most_bytes=MOST_PACKET) as made:
            known = _host_keys(params.host_key_file) if params.host_key_file is not None else None
            password, key = self._credentials(made.secrets)
            session = await self._greeted(made)
            if known is not None:
                await session.exchange_keys(known)
                made.timed("exchange_seconds")
            if params.user is not None:
                await session.log_in(params.user, password, key)
                made.timed("login_seconds")
            await session.leave()
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=tuple(made.readings))

    async def _greeted(self, made: Visit) -> Session:
        params = self._params
        await made.talk.say(IDENTITY + b"\r\n")
        greeting = (await made.talk.until(_GREETING)).splitlines()[-1]
        made.timed("greeting_seconds")
        if not greeting.startswith((b"SSH-2.0-", b"SSH-1.99-")):
            raise Missed(Reason.PROTOCOL_BROKEN, f"the server speaks {shown(greeting)}, which is not version 2.")
        if self._software is not None and not self._software.search(greeting):
            raise Missed(Reason.ANSWER_UNEXPECTED, f"the server is {shown(greeting)}, not {params.software!r}.")
        session = Session(made.talk, greeting)
        await session.read_offer()
        made.timed("offer_seconds")
        if missing := [name for name in params.host_keys if name not in session.offer["host key"]]:
            words = f"host keys {shown_names(session.offer['host key'])} are offered, not {shown_names(missing)}."
            raise Missed(Reason.ANSWER_UNEXPECTED, words)
        return session

    def _credentials(self, secrets: Secrets) -> tuple[str | None, PrivateKey | None]:
        """The password, or the key.

        Raises:
            Blind: its file cannot be read, or holds none.
        """
        if self._params.password_file is not None:
            secrets.texts.append(read_secret(self._params.password_file))
            return secrets.texts[-1], None
        if self._params.key_file is None:
            return None, None
        try:
            return None, read_private(read_secret(self._params.key_file).encode() + b"\n")
        except ValueError as exc:
            words = f"the key in {self._params.key_file} cannot be used: it has a passphrase, or is of no known kind."
            raise Blind(Reason.FILE_UNREADABLE, words) from exc


def _host_keys(path: str) -> frozenset[bytes]:
    try:
        return read_host_keys(read_secret(path))
    except ValueError as exc:
        raise Blind(Reason.FILE_UNREADABLE, f"{path} holds no public host key; `ssh-keyscan` prints them.") from exc
