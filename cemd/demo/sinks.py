"""Where DemoTelco's mail and staff alerts end: a folder on this machine, and nowhere else.

Each mail becomes one `.eml` file to read; `mails.jsonl` has one line a recipient (address, subject, file), written
before the mail is accepted, so that what was accepted is there after any crash. `staff.jsonl` has one line an alert.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import itertools
import json
import logging
import time
import weakref
from pathlib import Path
from typing import Any, cast

import msgspec
from aiohttp import web

from cemd.demo.conditions import Conditions
from cemd.demo.network import ANYBODY

MOST_MAIL_BYTES = 1_000_000
MAIL = "mail"
"""Name under which the mail server can be broken."""


class MailSink:
    """A handler for aiosmtpd: stores what it accepts."""

    def __init__(self, folder: Path, conditions: Conditions) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._conditions = conditions
        self._numbers = itertools.count(1 + sum(1 for _ in folder.glob("*.eml")))
        self._sessions: weakref.WeakSet[Any] = weakref.WeakSet()
        self._index = (folder / "mails.jsonl").open("a", encoding="utf-8")

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 -- aiosmtpd's name
        if self._conditions.is_failing(MAIL, ANYBODY):
            return "451 try again later"
        content: bytes = envelope.content
        name = f"{next(self._numbers):06d}.eml"
        (self._folder / name).write_bytes(content)
        subject = email.message_from_bytes(content, policy=email.policy.default)["subject"] or ""
        for recipient in envelope.rcpt_tos:
            line = {"to": recipient, "subject": str(subject), "file": name, "at": round(time.time(), 3)}
            self._index.write(json.dumps(line) + "\n")
        self._index.flush()
        return "250 stored"

    def protocol(self) -> asyncio.BaseProtocol:
        """The SMTP server's side of one connection."""
        from aiosmtpd.smtp import SMTP  # only the demo has it

        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        session = SMTP(self, data_size_limit=MOST_MAIL_BYTES, enable_SMTPUTF8=True, hostname="mail.demotelco.invalid")
        self._sessions.add(session)
        return cast(asyncio.BaseProtocol, session)

    def hang_up(self) -> None:
        """Drops every connection, as the end of a process does."""
        for session in self._sessions:
            if session.transport is not None:
                session.transport.abort()

    def close(self) -> None:
        self._index.close()


class Mail(msgspec.Struct, frozen=True):
    """One accepted mail to one recipient."""

    to: str
    subject: str
    file: str
    at: float


def text_of(path: Path) -> list[str]:
    """The lines of a stored mail as its reader sees them; empty ones are left out."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    return [line for line in message.get_content().splitlines() if line.strip()]


def read_mails(folder: Path) -> list[Mail]:
    """Every mail that the sink accepted, oldest first; a line cut short by a crash is left out."""
    index = folder / "mails.jsonl"
    lines = index.read_bytes().splitlines(keepends=True) if index.exists() else []
    return [_line.decode(line) for line in lines if line.endswith(b"\n")]


def read_alerts(folder: Path) -> list[str]:
    """Status of every staff alert, oldest first: `firing` or `resolved`."""
    taken = folder / "staff.jsonl"
    lines = taken.read_text(encoding="utf-8").splitlines(keepends=True) if taken.exists() else []
    return [str(json.loads(json.loads(line)["body"])["status"]) for line in lines if line.endswith("\n")]


_line = msgspec.json.Decoder(Mail)


def staff_application(folder: Path) -> web.Application:
    """Takes staff alerts as JSON and writes them down."""
    folder.mkdir(parents=True, exist_ok=True)

    async def alert(request: web.Request) -> web.Response:
        body = await request.text()
        with (folder / "staff.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"path": request.path, "body": body}) + "\n")
        return web.json_response({"status": "taken"})

    app = web.Application()
    app.router.add_post("/{tail:.*}", alert)
    return app
