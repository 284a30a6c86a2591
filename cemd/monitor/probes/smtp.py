"""smtp: greets a mail server, secures the talk, signs in, and asks whether it takes mail for somebody. Sends none.

The question goes as far as RCPT TO and is taken back; so it leaves nothing behind but a line in the server's log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import StringConstraints, model_validator

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Attempt, Missed, ProbeParams, Reason, Result
from cemd.monitor.probes.engines.starttls import Security, reply
from cemd.monitor.probes.engines.visit import (
    SECURE_METRICS,
    VISIT_METRICS,
    Encryption,
    LoginKind,
    LoginParams,
    Visit,
    visit,
)

Mailbox = Annotated[str, StringConstraints(pattern=r"^[^\s<>@]{1,64}@[^\s<>@]{1,253}$")]


class SmtpParams(LoginParams):
    """A mail server. The port is 25 in clear, 587 with STARTTLS, 465 with TLS from the first byte."""

    sender: Mailbox | None = None
    """Whom the mail would be from; default: nobody, as bounces are."""
    recipient: Mailbox | None = None
    """Whom the server must take mail for; default: it is not asked."""

    @model_validator(mode="after")
    def _asks_something(self) -> SmtpParams:
        if self.sender is not None and self.recipient is None:
            raise ValueError("sender needs recipient, for whom the server is asked")
        return self


class Smtp(LoginKind[SmtpParams]):
    """`connect_seconds`, `greeting_seconds` until it said that it is ready, with TLS `starttls_seconds`, `tls_seconds`
    and `certificate_expiry_days`, `hello_seconds`, `login_seconds`, `recipient_seconds`."""

    word: ClassVar[str] = "smtp"
    Params: ClassVar[type[ProbeParams]] = SmtpParams
    ports: ClassVar[Mapping[Encryption, int]] = {Encryption.NONE: 25, Encryption.STARTTLS: 587, Encryption.DIRECT: 465}
    metrics: ClassVar[frozenset[str] | None] = (
        VISIT_METRICS | SECURE_METRICS | {"greeting_seconds", "hello_seconds", "login_seconds", "recipient_seconds"}
    )

    async def run(self, attempt: Attempt) -> Result:
        params = self._params
        async with visit(params, self._port, self._tools, attempt, most_bytes=params.max_answer_bytes) as made:
            how = {Encryption.DIRECT: Security.DIRECT, Encryption.STARTTLS: Security.SMTP}
            await made.secure(params, how.get(params.tls, Security.NONE), self._tools)
            if params.tls is not Encryption.STARTTLS:  # there the greeting came before
                await reply(made.talk, b"220", "the connection")
                made.timed("greeting_seconds")
            await made.talk.say(b"EHLO cemd\r\n")
            await reply(made.talk, b"250", "EHLO")
            made.timed("hello_seconds")
            if params.user is not None:
                await self._sign_in(made)
            if params.recipient is not None:
                await self._ask(made, params.recipient)
            await made.talk.say(b"QUIT\r\n")
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=tuple(made.readings))

    async def _sign_in(self, made: Visit) -> None:
        token = self._params.plain_token(made.secrets)
        await made.talk.say(f"AUTH PLAIN {token}\r\n".encode())
        try:
            await reply(made.talk, b"235", "the log-in")
        except Missed as missed:
            if missed.reason is Reason.STATUS_UNEXPECTED:
                missed.reason = Reason.LOGIN_REFUSED
            raise
        made.timed("login_seconds")

    async def _ask(self, made: Visit, recipient: str) -> None:
        await made.talk.say(f"MAIL FROM:<{self._params.sender or ''}>\r\n".encode())
        await reply(made.talk, b"250", "MAIL FROM")
        await made.talk.say(f"RCPT TO:<{recipient}>\r\n".encode())
        await reply(made.talk, b"25", "RCPT TO")
        made.timed("recipient_seconds")
        await made.talk.say(b"RSET\r\n")
        await reply(made.talk, b"250", "RSET")
