"""ldap: binds to a directory (as somebody or nobody) and may look for an entry, as log-ins of staff and systems do.

The few messages of LDAP version 3 (RFC 4511) that this needs are written and read here; a directory's answer is bounded
in bytes, and anything that is no such message is a failure of the peer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Attempt, Missed, ProbeParams, Reason, Result
from cemd.monitor.probes.engines.starttls import Security
from cemd.monitor.probes.engines.talk import Talk
from cemd.monitor.probes.engines.visit import (
    SECURE_METRICS,
    VISIT_METRICS,
    Encryption,
    LoginKind,
    LoginParams,
    Visit,
    visit,
)

_BIND, _BOUND = 0x60, 0x61
_SEARCH, _ENTRY, _DONE, _REFERENCE = 0x63, 0x64, 0x65, 0x73
_UNBIND = 0x42
_NO_CREDENTIALS = frozenset({7, 8, 48, 49, 50, 53})
"""Results that say no to a log-in, rather than that something is broken."""
_MOST_MESSAGES = 1_000
_FILTER = re.compile(r"^\(([A-Za-z][A-Za-z0-9;.-]*)=(\*|[^*()\\\x00]+)\)$")


class Scope(StrEnum):
    BASE = "base"
    ONE = "one"
    SUBTREE = "subtree"


class Search(ProbeParams):
    """What is looked for; only how many entries there are is asked for, nothing of what they hold."""

    base: Annotated[str, StringConstraints(max_length=1_024)]
    """Where to look, such as `ou=people,dc=example,dc=net`; an empty text is the directory's own root entry."""
    scope: Scope = Scope.BASE
    """The entry itself, those right below it, or all below it."""
    filter: Annotated[str, StringConstraints(pattern=_FILTER.pattern)] = "(objectClass=*)"
    """`(attribute=value)`, or `(attribute=*)` for all that have it."""
    min_entries: Annotated[int, Field(ge=0, le=500)] = 1
    """Fewer entries are a failure."""


class LdapParams(LoginParams):
    """A directory. The port is 389, or 636 with TLS from the first byte. `user` is a distinguished name."""

    search: Search | None = None
    """What must be found after the log-in; default: nothing is looked for."""


class Ldap(LoginKind[LdapParams]):
    """`connect_seconds`, with TLS `starttls_seconds`, `tls_seconds` and `certificate_expiry_days`, `login_seconds` of
    the bind, `search_seconds` and `entry_count` of the search."""

    word: ClassVar[str] = "ldap"
    Params: ClassVar[type[ProbeParams]] = LdapParams
    ports: ClassVar[Mapping[Encryption, int]] = {Encryption.NONE: 389, Encryption.STARTTLS: 389, Encryption.DIRECT: 636}
    metrics: ClassVar[frozenset[str] | None] = (
        VISIT_METRICS | SECURE_METRICS | {"login_seconds", "search_seconds", "entry_count"}
    )

    async def run(self, attempt: Attempt) -> Result:
        params = self._params
        async with visit(params, self._port, self._tools, attempt, most_bytes=params.max_answer_bytes) as made:
            how = {Encryption.DIRECT: Security.DIRECT, Encryption.STARTTLS: Security.LDAP}
            await made.secure(params, how.get(params.tls, Security.NONE), self._tools)
            await self._bind(made)
            if params.search is not None:
                await self._look(made, params.search)
            await made.talk.say(_message(4, _tlv(_UNBIND, b"")))
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=tuple(made.readings))

    async def _bind(self, made: Visit) -> None:
        password = self._params.password(made.secrets)
        name = _tlv(0x04, (self._params.user or "").encode())
        await made.talk.say(_message(2, _tlv(_BIND, _tlv(0x02, b"\x03") + name + _tlv(0x80, password.encode()))))
        answer = await read_message(made.talk, 2)
        if answer.operation != _BOUND:
            raise Missed(Reason.PROTOCOL_BROKEN, f"operation {answer.operation:#x} is no answer to a bind.")
        if answer.code:
            refused = Reason.LOGIN_REFUSED if answer.code in _NO_CREDENTIALS else Reason.STATUS_UNEXPECTED
            raise Missed(refused, f"the bind was answered with result {answer.code}{answer.words()}.")
        made.timed("login_seconds")

    async def _look(self, made: Visit, search: Search) -> None:
        await made.talk.say(_message(3, _tlv(_SEARCH, _search_body(search))))
        entries = 0
        for _ in range(_MOST_MESSAGES):
            answer = await read_message(made.talk, 3)
            entries += answer.operation == _ENTRY
            if answer.operation == _DONE:
                break
            if answer.operation not in {_ENTRY, _REFERENCE}:
                raise Missed(Reason.PROTOCOL_BROKEN, f"operation {answer.operation:#x} is no answer to a search.")
        else:
            raise Missed(Reason.ANSWER_TOO_LARGE, f"{_MOST_MESSAGES} messages came without an end of the search.")
        made.timed("search_seconds")
        made.note("entry_count", float(entries))
        if answer.code not in {0, 4}:  # 4: there are more than was asked for
            raise Missed(Reason.STATUS_UNEXPECTED, f"the search ended with result {answer.code}{answer.words()}.")
        if entries < search.min_entries:
            raise Missed(Reason.ANSWER_UNEXPECTED, f"{entries} entries; at least {search.min_entries} are expected.")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a directory: its operation, and the result where it carries one."""

    operation: int
    code: int
    text: bytes

    def words(self) -> str:
        """What the directory says besides, fit for a sentence."""
        shown = self.text[:80].decode(errors="replace").strip()
        return f" ({shown})" if shown.isprintable() and shown else ""


async def read_message(talk: Talk, number: int) -> Message:
    """The next message, which must answer this number.

    Raises:
        Missed: it is none, or answers another.
    """
    tag, size = await _head(talk)
    if tag != 0x30:
        raise Missed(Reason.PROTOCOL_BROKEN, f"{tag:#x} begins no message of LDAP.")
    try:
        found, operation, body = _parts(await talk.exactly(size))
        if found != number and operation == 0x78:
            raise Missed(Reason.CLOSED_EARLY, "the directory says that it ends the connection.")
        if found != number:
            raise Missed(Reason.PROTOCOL_BROKEN, f"message {found} answers none of ours.")
        if operation not in {_BOUND, _DONE}:
            return Message(operation, 0, b"")
        _, code, rest = _take(body)
        _, _, rest = _take(rest)
        return Message(operation, int.from_bytes(code, "big"), _take(rest)[1])
    except IndexError as exc:
        raise Missed(Reason.PROTOCOL_BROKEN, "a message of the directory is cut short.") from exc


async def _head(talk: Talk) -> tuple[int, int]:
    tag, first = await talk.exactly(2)
    if first < 0x80:
        return tag, first
    return tag, int.from_bytes(await talk.exactly(first & 0x7F), "big")


def _parts(body: bytes) -> tuple[int, int, bytes]:
    """(number, operation, its content)."""
    _, number, rest = _take(body)
    operation, content, _ = _take(rest)
    return int.from_bytes(number, "big"), operation, content


def _take(data: bytes) -> tuple[int, bytes, bytes]:
    """(tag, content, rest) of the first element.

    Raises:
        IndexError: the data ends within it.
    """
    tag, size, start = data[0], data[1], 2
    if size >= 0x80:
        start = 2 + (size & 0x7F)
        size = int.from_bytes(data[2:start], "big")
    if len(data) < start + size:
        raise IndexError
    return tag, data[start : start + size], data[start + size :]


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _message(number: int, operation: bytes) -> bytes:
    return _tlv(0x30, _tlv(0x02, bytes([number])) + operation)


def _search_body(search: Search) -> bytes:
    found = _FILTER.match(search.filter)
    assert found is not None  # noqa: S101 -- the model made sure
    attribute, value = found[1].encode(), found[2].encode()
    wanted = _tlv(0x87, attribute) if value == b"*" else _tlv(0xA3, _tlv(0x04, attribute) + _tlv(0x04, value))
    most = max(1, search.min_entries)
    return b"".join(
        (
            _tlv(0x04, search.base.encode()),
            _tlv(0x0A, bytes([list(Scope).index(search.scope)])),
            _tlv(0x0A, b"\0"),
            _tlv(0x02, most.to_bytes(2, "big")),
            _tlv(0x02, b"\0"),
            _tlv(0x01, b"\0"),
            wanted,
            _tlv(0x30, _tlv(0x04, b"1.1")),  # no attribute at all
        )
    )
