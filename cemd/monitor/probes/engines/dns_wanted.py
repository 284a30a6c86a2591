"""What an answer to a question must be: its code, its flags, and its records, by count, age, content and pattern.

What a plain probe wants is seen in the bytes of the answer (`Seen`); what needs names in records, or patterns, is seen
in the message that dnspython reads.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from enum import StrEnum
from typing import Protocol

import dns.message
import dns.rcode

from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.engines.dns_comparison import lines_of
from cemd.monitor.protocols import dns_answer

Fault = tuple[Reason, str]
"""Why an answer is wrong, and the sentence that says it."""
_Addresses = tuple[tuple[bytes, str], ...]
_MOST = 100_000
_HEADER_CODES = 16
"""Codes beyond need more bits than the header has, and so the whole message."""


class Flag(StrEnum):
    """Flags of an answer."""

    AUTHORITATIVE = "authoritative"
    AUTHENTICATED = "authenticated"
    RECURSION_AVAILABLE = "recursion_available"


_FLAGS = {
    Flag.AUTHORITATIVE: dns_answer.AUTHORITATIVE,
    Flag.AUTHENTICATED: dns_answer.AUTHENTICATED,
    Flag.RECURSION_AVAILABLE: dns_answer.RECURSION,
}


class Wanting(Protocol):
    """The parameters that say what is wanted."""

    @property
    def type(self) -> str: ...
    @property
    def rcode(self) -> str: ...
    @property
    def flags(self) -> tuple[Flag, ...]: ...
    @property
    def min_answers(self) -> int | None: ...
    @property
    def max_answers(self) -> int | None: ...
    @property
    def min_ttl_seconds(self) -> int: ...
    @property
    def answers(self) -> tuple[str, ...]: ...
    @property
    def answers_absent(self) -> tuple[str, ...]: ...
    @property
    def answers_match(self) -> tuple[str, ...]: ...
    @property
    def answers_match_not(self) -> tuple[str, ...]: ...


class Wanted:
    """Holds answers against what is wanted of them."""

    def __init__(self, params: Wanting) -> None:
        self._params = params
        self._rcode = int(dns.rcode.from_text(params.rcode))
        self._fewest = int(params.rcode == "NOERROR") if params.min_answers is None else params.min_answers
        self._most = _MOST if params.max_answers is None else params.max_answers
        self._flags = sum(_FLAGS[flag] for flag in params.flags)
        self._addresses = _addresses(params.type, params.answers), _addresses(params.type, params.answers_absent)
        self._in_bytes = None not in self._addresses
        self._matches = [re.compile(pattern) for pattern in params.answers_match]
        self._matches_not = [re.compile(pattern) for pattern in params.answers_match_not]

    @property
    def seen_in_bytes(self) -> bool:
        """Whether `fault` alone says all there is to say."""
        return self._in_bytes and not self._matches and not self._matches_not and self._rcode < _HEADER_CODES

    def fault(self, seen: dns_answer.Seen) -> Fault | None:
        """The first thing that is not as it must be; of records only their count and, of addresses, their bytes."""
        params = self._params
        if seen.rcode != self._rcode:
            said = dns.rcode.to_text(dns.rcode.Rcode(seen.rcode))
            return Reason.STATUS_UNEXPECTED, f"answered {said}, not {params.rcode}."
        if self._flags & ~seen.flags:
            missing = ", ".join(flag for flag in params.flags if not seen.flags & _FLAGS[flag])
            return Reason.ANSWER_UNEXPECTED, f"the answer lacks the flag {missing}."
        count = len(seen.records)
        if not self._fewest <= count <= self._most:
            wanted = f"at least {self._fewest}" if count < self._fewest else f"at most {self._most}"
            return Reason.ANSWER_UNEXPECTED, f"{count} {params.type} records; {wanted} expected."
        if count and seen.least_ttl < params.min_ttl_seconds:
            words = f"may be kept for {seen.least_ttl} s; at least {params.min_ttl_seconds} wanted."
            return Reason.ANSWER_UNEXPECTED, words
        wanted_ones, unwanted_ones = self._addresses
        if wanted_ones is None or unwanted_ones is None:
            return None
        for raw, text in wanted_ones:
            if raw not in seen.records:
                return Reason.ANSWER_UNEXPECTED, f"{count} {params.type} records; {text} expected and not among them."
        for raw, text in unwanted_ones:
            if raw in seen.records:
                return Reason.ANSWER_UNEXPECTED, f"{text} is among the {params.type} records and must not be."
        return None

    def fault_of(self, answer: dns.message.Message, records: Collection[str]) -> Fault | None:
        """The first thing that is not as it must be and shows in the whole message alone; `records` are those of the
        type asked for, as text."""
        params = self._params
        if not self._in_bytes:
            missing = [text for text in params.answers if text not in records]
            wrong = [text for text in params.answers_absent if text in records]
            if missing or wrong:
                words = f"{', '.join(missing)} expected" if missing else f"{', '.join(wrong)} must not be among them"
                shown = ", ".join(sorted(records)[:4])
                return Reason.ANSWER_UNEXPECTED, f"{len(records)} {params.type} records ({shown}); {words}."
        words = self._unmatched(answer)
        return (Reason.ANSWER_UNEXPECTED, words) if words else None

    def _unmatched(self, answer: dns.message.Message) -> str:
        """What of the regular expressions does not hold; "" where all does."""
        if not self._matches and not self._matches_not:
            return ""
        records = lines_of(answer)
        if self._matches and not records:
            return "the answer holds no record; one that matches is expected."
        for record in records:
            for pattern in self._matches:
                if not pattern.search(record):
                    return f"the record {_shown(record)} does not match {pattern.pattern!r}."
            for pattern in self._matches_not:
                if pattern.search(record):
                    return f"the record {_shown(record)} matches {pattern.pattern!r} and must not."
        return ""


def _addresses(kind: str, texts: tuple[str, ...]) -> _Addresses | None:
    """The bytes of addresses; None where the records must be compared as text."""
    if not texts:
        return ()
    if kind not in {"A", "AAAA"}:
        return None
    try:
        return tuple((ipaddress.ip_address(text).packed, text) for text in texts)
    except ValueError:
        return None


def _shown(record: str) -> str:
    return repr(record.replace("\t", " ")[:120])
