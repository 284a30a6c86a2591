"""Mail over SMTP, with a small pool of connections.

Only a failure after DATA began leaves it open whether the mail was taken; everything before is known not to have left.
Encryption is explicit: `required` (STARTTLS or nothing), `tls` (from the first byte) or `none`; never opportunistic.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import Annotated, ClassVar, Literal, Self

import aiosmtplib
from pydantic import Field, model_validator

from cemd.config.base import FileModel
from cemd.errors import ChannelError
from cemd.model.notice import Alert
from cemd.report.channels.attempt import Attempt
from cemd.report.channels.base import CUSTOMERS, STAFF, Message, alert_text, secret_in


class EmailParams(FileModel):
    host: str
    """The mail server."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 25
    """25 is between servers; a submission server listens on 587, or on 465 with `encryption: tls`."""
    encryption: Literal["required", "none", "tls"] = "required"
    """`required`: STARTTLS or nothing is sent; `tls`: encrypted from the start; `none`: in clear."""
    ca_file: str | None = None
    """Verify the server against this file; default: the system's authorities."""
    user: str | None = None
    """Name to sign in with, only over an encrypted connection."""
    password_file: str | None = None
    """File that holds the password and nothing else."""
    sender: Annotated[str, Field(pattern=r"^[^\r\n]+@[^\r\n]+$")]
    """`From`, with or without a name."""
    reply_to: Annotated[str, Field(pattern=r"^[^\r\n]+@[^\r\n]+$")] | None = None
    """Where answers go; left out: to `sender`."""
    list_unsubscribe: Annotated[str, Field(pattern=r"^(mailto:|https://)[^\s<>]+$")] | None = None
    """Address or page at which a customer ends these mails (RFC 2369)."""
    recipients: list[Annotated[str, Field(pattern=r"^[^\s]+@[^\s]+$")]] = Field(default=[])
    """Staff who get the alerts; customers' addresses are never in a file."""
    connections: Annotated[int, Field(ge=1, le=64)] = 4
    """Most connections at once; four carry some hundred mails a second to a server nearby."""

    @model_validator(mode="after")
    def _keeps_passwords_safe(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file belong together; give both or none")
        if self.user is not None and self.encryption == "none" and not is_loopback(self.host):
            raise ValueError("a password would travel in clear; set encryption to required or tls")
        return self


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


_NO_STARTTLS = "answers but offers no STARTTLS, and nothing is sent in clear unless `encryption: none` says so"


class Email:
    """Sends mail to a customer or to staff."""

    Params: ClassVar[type[FileModel]] = EmailParams
    serves: ClassVar[tuple[str, ...]] = (CUSTOMERS, STAFF)

    def __init__(self, params: EmailParams, *, name: str, timeout_seconds: float) -> None:
        self._params = params
        self._name = name
        self._timeout = timeout_seconds
        self._idle: list[aiosmtplib.SMTP] = []
        self.connections = params.connections

    async def send(self, message: Message, attempt: Attempt) -> None:
        mail = self._mail(message.id, message.subject, message.body, [message.to])
        await self._deliver(mail, [message.to], attempt)

    async def alert(self, alert: Alert, attempt: Attempt) -> None:
        subject, body = alert_text(alert)
        to = self._params.recipients
        if not to:
            words = f"channel {self._name!r}: nobody is named; add `recipients` to its params."
            raise ChannelError(words, permanent=True)
        await self._deliver(self._mail(f"{alert.id}.{alert.revision}", subject, body, to), to, attempt)

    async def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _mail(self, name: str, subject: str, body: str, to: list[str]) -> EmailMessage:
        mail = EmailMessage()
        try:
            mail["From"] = self._params.sender
            mail["To"] = ", ".join(to)
            mail["Subject"] = " ".join(subject.split())
            mail["Date"] = formatdate()
            domain = parseaddr(self._params.sender)[1].rpartition("@")[2]
            mail["Message-ID"] = f"<{name.replace('/', '.')}@{domain}>"
            mail["Auto-Submitted"] = "auto-generated"
            if self._params.reply_to:
                mail["Reply-To"] = self._params.reply_to
            if self._params.list_unsubscribe:
                mail["List-Unsubscribe"] = f"<{self._params.list_unsubscribe}>"
            mail.set_content(body, cte="quoted-printable")
        except (ValueError, IndexError) as exc:  # a line break in an address: somebody tries to add headers
            raise ChannelError(f"channel {self._name!r}: the address cannot stand in a mail.", permanent=True) from exc
        return mail

    async def _deliver(self, mail: EmailMessage, to: list[str], attempt: Attempt) -> None:
        server = self._idle.pop() if self._idle else None
        if server is not None and not await self._greeted(server, to):
            server = None  # an idle connection that the server had given up: begin again on a new one
        if server is None:
            server = await self._connected()
            await self._enveloped(server, to)
        attempt.begins()
        await self._submitted(server, mail)
        self._idle.append(server)

    async def _connected(self) -> aiosmtplib.SMTP:
        params = self._params
        server = aiosmtplib.SMTP(
            hostname=params.host,
            port=params.port,
            timeout=self._timeout,
            use_tls=params.encryption == "tls",
            start_tls=params.encryption == "required",
            tls_context=None if params.encryption == "none" else ssl.create_default_context(cafile=params.ca_file),
            username=params.user,
            password=secret_in(params.password_file, name=self._name),
        )
        try:
            async with asyncio.timeout(self._timeout):
                await server.connect()
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as exc:
            server.close()
            fact = _NO_STARTTLS if "STARTTLS extension not supported" in str(exc) else "cannot be reached"
            raise self._error(fact, exc, permanent=False) from exc
        except asyncio.CancelledError:
            server.close()
            raise
        return server

    async def _greeted(self, server: aiosmtplib.SMTP, to: list[str]) -> bool:
        try:
            await self._enveloped(server, to)
        except ChannelError as exc:
            if exc.permanent:
                raise
            return False
        return True

    async def _enveloped(self, server: aiosmtplib.SMTP, to: list[str]) -> None:
        """MAIL and RCPT: nothing has left yet. Some refused recipients of several do not stop the others."""
        refused: list[aiosmtplib.SMTPRecipientRefused] = []
        try:
            async with asyncio.timeout(self._timeout):
                await server.mail(parseaddr(self._params.sender)[1])
                for address in to:
                    try:
                        await server.rcpt(address)
                    except aiosmtplib.SMTPRecipientRefused as exc:
                        refused.append(exc)
                if len(refused) == len(to):
                    await server.rset()
        except aiosmtplib.SMTPResponseException as exc:
            server.close()
            raise self._error("refused the sender", exc, permanent=exc.code >= 500) from exc
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as exc:
            server.close()
            raise self._error("broke off", exc, permanent=False) from exc
        except UnicodeEncodeError as exc:
            server.close()
            raise self._error("cannot carry this address", exc, permanent=True) from exc
        except asyncio.CancelledError:
            server.close()
            raise
        if len(refused) == len(to):
            self._idle.append(server)
            permanent = all(each.code >= 500 for each in refused)
            words = f"channel {self._name!r}: the server refused the recipient ({refused[0].code})."
            raise ChannelError(words, permanent=permanent)

    async def _submitted(self, server: aiosmtplib.SMTP, mail: EmailMessage) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await server.data(mail.as_bytes(policy=mail.policy.clone(linesep="\r\n", max_line_length=78)))
        except aiosmtplib.SMTPResponseException as exc:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                server.close()
            if not _is_refusal(exc.code):  # it answered something, and may have taken the mail
                raise self._error("answered the mail with nonsense", exc, permanent=False, unknown=True) from exc
            raise self._error("refused the mail", exc, permanent=exc.code >= 500) from exc
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as exc:
            server.close()
            raise self._error("did not say whether it took the mail", exc, permanent=False, unknown=True) from exc
        except asyncio.CancelledError:
            server.close()
            raise

    def _error(self, fact: str, exc: BaseException, *, permanent: bool, unknown: bool = False) -> ChannelError:
        code = f" {exc.code}" if isinstance(exc, aiosmtplib.SMTPResponseException) else ""
        words = f"channel {self._name!r}: {self._params.host}:{self._params.port} {fact} ({type(exc).__name__}{code})."
        return ChannelError(words, permanent=permanent, unknown=unknown)


def _is_refusal(code: int) -> bool:
    """True for what RFC 5321 lets a server say when it does not take a mail; a code of another form says nothing."""
    return 400 <= code <= 599
