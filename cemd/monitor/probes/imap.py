"""imap: greets a mailbox server, secures the talk, signs in, and looks into a mailbox without touching it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from pydantic import model_validator

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Attempt, Missed, ProbeParams, Reason, Result, Text
from cemd.monitor.probes.engines.starttls import Security, expect_line
from cemd.monitor.probes.engines.talk import shown
from cemd.monitor.probes.engines.visit import (
    SECURE_METRICS,
    VISIT_METRICS,
    Encryption,
    LoginKind,
    LoginParams,
    Visit,
    visit,
)

_EXISTS = re.compile(rb"^\* (\d{1,10}) EXISTS", re.MULTILINE | re.IGNORECASE)


class ImapParams(LoginParams):
    """A mailbox server. The port is 143, or 993 with TLS from the first byte."""

    mailbox: Text | None = None
    """Mailbox that must be there, opened for reading only; default: none. `INBOX` is everybody's."""

    @model_validator(mode="after")
    def _signed_in(self) -> ImapParams:
        if self.mailbox is not None and self.user is None:
            raise ValueError("mailbox needs user and password_file: nobody looks into one without signing in")
        if self.mailbox is not None and not self.mailbox.isprintable():
            raise ValueError("mailbox holds characters that no name of a mailbox has")
        return self


class Imap(LoginKind[ImapParams]):
    """`connect_seconds`, `greeting_seconds`, with TLS `starttls_seconds`, `tls_seconds` and `certificate_expiry_days`,
    `login_seconds`, `mailbox_seconds`, and `message_count` of the mailbox."""

    word: ClassVar[str] = "imap"
    Params: ClassVar[type[ProbeParams]] = ImapParams
    ports: ClassVar[Mapping[Encryption, int]] = {Encryption.NONE: 143, Encryption.STARTTLS: 143, Encryption.DIRECT: 993}
    metrics: ClassVar[frozenset[str] | None] = (
        VISIT_METRICS | SECURE_METRICS | {"greeting_seconds", "login_seconds", "mailbox_seconds", "message_count"}
    )

    async def run(self, attempt: Attempt) -> Result:
        params = self._params
        async with visit(params, self._port, self._tools, attempt, most_bytes=params.max_answer_bytes) as made:
            how = {Encryption.DIRECT: Security.DIRECT, Encryption.STARTTLS: Security.IMAP}
            await made.secure(params, how.get(params.tls, Security.NONE), self._tools)
            if params.tls is not Encryption.STARTTLS:  # there the greeting came before
                await expect_line(made.talk, b"* OK", "the connection")
                made.timed("greeting_seconds")
            if params.user is not None:
                await self._sign_in(made)
            if params.mailbox is not None:
                await self._look_into(made, params.mailbox)
            await made.talk.say(b"z LOGOUT\r\n")
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=tuple(made.readings))

    async def _sign_in(self, made: Visit) -> None:
        token = self._params.plain_token(made.secrets)
        await made.talk.say(b"b1 AUTHENTICATE PLAIN\r\n")
        answer = await made.talk.line()
        if not answer.startswith(b"+"):
            raise Missed(Reason.LOGIN_REFUSED, f"the server takes no PLAIN log-in: {shown(answer)}.")
        await made.talk.say(token.encode() + b"\r\n")
        await _tagged(made, b"b1", Reason.LOGIN_REFUSED, "the log-in")
        made.timed("login_seconds")

    async def _look_into(self, made: Visit, mailbox: str) -> None:
        quoted = mailbox.replace("\\", "\\\\").replace('"', '\\"')
        await made.talk.say(f'b2 EXAMINE "{quoted}"\r\n'.encode())
        text = await _tagged(made, b"b2", Reason.ANSWER_UNEXPECTED, "EXAMINE")
        made.timed("mailbox_seconds")
        if (found := _EXISTS.search(text)) is not None:
            made.note("message_count", float(found[1]))


async def _tagged(made: Visit, tag: bytes, reason: Reason, what: str) -> bytes:
    """All up to the answer of a command, which must be OK."""
    text = await made.talk.until(re.compile(rb"^" + tag + rb" [^\n]*\n", re.MULTILINE))
    last = text.splitlines()[-1]
    if not last.upper().startswith(tag.upper() + b" OK"):
        raise Missed(reason, f"{what} was answered with {shown(last)}.")
    return text
