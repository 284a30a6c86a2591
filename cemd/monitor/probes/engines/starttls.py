"""STARTTLS: what each protocol says in clear before TLS begins. One function a protocol, one table.

Each reads the greeting, asks for what the server offers where the protocol has a way to, and returns when the peer has
agreed. A server that does not offer TLS is a failure with a reason of its own: mail that then goes on in clear is just
what such a probe is meant to find.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from types import MappingProxyType

from cemd.monitor.probes.base import Missed, Reason
from cemd.monitor.probes.engines.talk import Talk, shown


class Security(StrEnum):
    """How a connection is secured: not at all, from its first byte, or after a word of the protocol."""

    NONE = "none"
    DIRECT = "direct"
    FTP = "ftp"
    IMAP = "imap"
    LDAP = "ldap"
    MYSQL = "mysql"
    NNTP = "nntp"
    POP3 = "pop3"
    POSTGRES = "postgres"
    SIEVE = "sieve"
    SMTP = "smtp"
    XMPP = "xmpp"


_LDAP_START = bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"
_POSTGRES_START = bytes.fromhex("0000000804d2162f")
_MYSQL_SSL = 0x0800
_MYSQL_START = bytes.fromhex("20000001") + (0x0200 | _MYSQL_SSL | 0x8000).to_bytes(4, "little") + bytes(28)
_NUMBERED = re.compile(rb"^(\d{3}) [^\n]*\n", re.MULTILINE)
_DOT = re.compile(rb"^\.\r?\n", re.MULTILINE)


async def reply(talk: Talk, wanted: bytes, what: str) -> bytes:
    """A reply of SMTP's kind, of one or more lines, whose number must begin with `wanted`.

    Raises:
        Missed: another number came.
    """
    text = await talk.until(_NUMBERED)
    number = text.splitlines()[-1][:3]
    if not number.startswith(wanted):
        raise Missed(Reason.STATUS_UNEXPECTED, f"{what} was answered with {shown(text)}.")
    return text


def _not_offered(protocol: str) -> Missed:
    return Missed(Reason.TLS_NOT_OFFERED, f"the server offers no TLS after its {protocol} greeting.")


async def _smtp(talk: Talk, name: str) -> None:
    del name
    await reply(talk, b"220", "the connection")
    await talk.say(b"EHLO cemd\r\n")
    if b"STARTTLS" not in (await reply(talk, b"250", "EHLO")).upper():
        raise _not_offered("SMTP")
    await talk.say(b"STARTTLS\r\n")
    await reply(talk, b"220", "STARTTLS")


async def _ftp(talk: Talk, name: str) -> None:
    del name
    await reply(talk, b"220", "the connection")
    await _asked_outright(talk, "AUTH TLS", b"234", "FTP")


async def _nntp(talk: Talk, name: str) -> None:
    del name
    await reply(talk, b"20", "the connection")
    await _asked_outright(talk, "STARTTLS", b"382", "NNTP")


async def _asked_outright(talk: Talk, word: str, status: bytes, protocol: str) -> None:
    """Asks for TLS without having been told that it is offered: another status says that it is not."""
    await talk.say(f"{word}\r\n".encode())
    try:
        await reply(talk, status, word)
    except Missed as missed:
        if missed.reason is Reason.STATUS_UNEXPECTED:
            raise _not_offered(protocol) from missed
        raise


async def _imap(talk: Talk, name: str) -> None:
    del name
    await expect_line(talk, b"* OK", "the connection")
    await talk.say(b"a1 CAPABILITY\r\n")
    if b"STARTTLS" not in (await talk.until(re.compile(rb"^a1 [^\n]*\n", re.MULTILINE))).upper():
        raise _not_offered("IMAP")
    await talk.say(b"a2 STARTTLS\r\n")
    await expect_line(talk, b"a2 OK", "STARTTLS")


async def _pop3(talk: Talk, name: str) -> None:
    del name
    await expect_line(talk, b"+OK", "the connection")
    await talk.say(b"CAPA\r\n")
    await expect_line(talk, b"+OK", "CAPA")
    if b"STLS" not in (await talk.until(_DOT)).upper():
        raise _not_offered("POP3")
    await talk.say(b"STLS\r\n")
    await expect_line(talk, b"+OK", "STLS")


async def _sieve(talk: Talk, name: str) -> None:
    del name
    if b"STARTTLS" not in (await talk.until(re.compile(rb"^OK[^\n]*\n", re.MULTILINE))).upper():
        raise _not_offered("ManageSieve")
    await talk.say(b"STARTTLS\r\n")
    await expect_line(talk, b"OK", "STARTTLS")


async def _ldap(talk: Talk, name: str) -> None:
    del name
    await talk.say(_LDAP_START)
    head = await talk.exactly(2)
    if head[0] != 0x30 or head[1] > 0x7F:
        raise Missed(Reason.PROTOCOL_BROKEN, f"the answer to STARTTLS is no LDAP message ({head.hex()}).")
    body = await talk.exactly(head[1])
    if len(body) < 8 or body[3] != 0x78 or body[5:7] != b"\x0a\x01":
        raise Missed(Reason.PROTOCOL_BROKEN, "the answer to STARTTLS is no extended response of LDAP.")
    if body[7] != 0:
        raise Missed(Reason.TLS_NOT_OFFERED, f"the server refuses STARTTLS with result {body[7]}.")


async def _postgres(talk: Talk, name: str) -> None:
    del name
    await talk.say(_POSTGRES_START)
    answer = await talk.exactly(1)
    if answer == b"N":
        raise _not_offered("PostgreSQL")
    if answer != b"S":
        raise Missed(Reason.PROTOCOL_BROKEN, f"{answer!r} is no answer of PostgreSQL to a wish for TLS.")


async def _mysql(talk: Talk, name: str) -> None:
    del name
    head = await talk.exactly(4)
    greeting = await talk.exactly(int.from_bytes(head[:3], "little"))
    end = greeting.find(b"\0")
    flags = greeting[end + 14 : end + 16]  # after thread (4), salt (8), filler (1) and the version's own end
    if not greeting.startswith(b"\x0a") or end < 0 or len(flags) < 2:
        raise Missed(Reason.PROTOCOL_BROKEN, f"{shown(greeting)} is no greeting of MySQL.")
    if not int.from_bytes(flags, "little") & _MYSQL_SSL:
        raise _not_offered("MySQL")
    await talk.say(_MYSQL_START)


async def _xmpp(talk: Talk, name: str) -> None:
    start = (
        f"<?xml version='1.0'?><stream:stream to='{name}' xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
    )
    await talk.say(start.encode())
    features = await talk.until(re.compile(rb"</stream:features>"), re.compile(rb"<stream:error"))
    if b"urn:ietf:params:xml:ns:xmpp-tls" not in features:
        raise _not_offered("XMPP")
    await talk.say(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    await talk.until(re.compile(rb"<proceed[^>]*>"), re.compile(rb"<failure[^>]*>"))


async def expect_line(talk: Talk, wanted: bytes, what: str) -> bytes:
    """A line that must begin so.

    Raises:
        Missed: it begins otherwise.
    """
    text = await talk.line()
    if not text.upper().startswith(wanted.upper()):
        raise Missed(Reason.STATUS_UNEXPECTED, f"{what} was answered with {shown(text)}.")
    return text


PRELUDES: Mapping[Security, Callable[[Talk, str], Awaitable[None]]] = MappingProxyType(
    {
        Security.FTP: _ftp,
        Security.IMAP: _imap,
        Security.LDAP: _ldap,
        Security.MYSQL: _mysql,
        Security.NNTP: _nntp,
        Security.POP3: _pop3,
        Security.POSTGRES: _postgres,
        Security.SIEVE: _sieve,
        Security.SMTP: _smtp,
        Security.XMPP: _xmpp,
    }
)
"""What is said before TLS, given the name of the server."""
