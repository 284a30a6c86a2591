"""What several servers say to one question: whether they agree, and how far one is behind by its zone's serial."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Missed, Reading, Reason, Result

_SERIAL_HALF = 1 << 31


class Comparing(Protocol):
    """The parameters that comparing needs."""

    @property
    def type(self) -> str: ...
    @property
    def max_serials_behind(self) -> int: ...


def compared(
    result: Result,
    answer: dns.message.Message,
    others: Iterable[tuple[str, dns.message.Message | Missed]],
    params: Comparing,
) -> Result:
    """The result with `disagreeing_count` of the other servers and, of an SOA, `serial_behind_count`.

    `others`: each server with what it said.

    Raises:
        Missed: they differ.
    """
    words = []
    behind = 0
    kind = dns.rdatatype.from_text(params.type)
    mine, serial = (answer.rcode(), texts_of(answer, kind)), _serial(answer)
    for host, other in others:
        if isinstance(other, Missed):
            words.append(f"{host}: {other.detail.rstrip('.')}")
        elif params.type == "SOA" and serial is not None and (its := _serial(other)) is not None:
            behind = max(behind, serials_behind(serial, its))
        elif (other.rcode(), texts_of(other, kind)) != mine:
            said = ", ".join(sorted(texts_of(other, kind))[:4]) or dns.rcode.to_text(other.rcode())
            words.append(f"{host} says {said}")
    readings = [*result.readings, Reading(metric="disagreeing_count", value=float(len(words)))]
    if params.type == "SOA":
        readings.append(Reading(metric="serial_behind_count", value=float(behind)))
    if behind > params.max_serials_behind:
        words.append(f"the serial {serial} is {behind} behind")
    if words:
        raise Missed(Reason.ANSWERS_DIFFER, f"{'; '.join(words)}.", readings=readings)
    return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)


def texts_of(answer: dns.message.Message, kind: int) -> frozenset[str]:
    """The records of a type, as text."""
    return frozenset(record.to_text() for rrset in answer.answer if rrset.rdtype == kind for record in rrset)


def lines_of(answer: dns.message.Message) -> list[str]:
    """Every record of the answer section as a zone file has it: name, seconds, class, type and content, with tabs."""
    return [
        "\t".join((rrset.name.to_text(), str(rrset.ttl), *_words(rrset), record.to_text()))
        for rrset in answer.answer
        for record in rrset
    ]


def _words(rrset: dns.rrset.RRset) -> tuple[str, str]:
    return dns.rdataclass.to_text(rrset.rdclass), dns.rdatatype.to_text(rrset.rdtype)


def _serial(answer: dns.message.Message) -> int | None:
    for rrset in answer.answer:
        if rrset.rdtype == dns.rdatatype.SOA:
            serial: int = rrset[0].serial
            return serial
    return None


def serials_behind(mine: int, other: int) -> int:
    """How far a serial is behind another, 0 where it is not.

    Source: RFC 1982, serial number arithmetic over 32 bits.
    """
    ahead = (other - mine) % (2 * _SERIAL_HALF)
    return ahead if ahead < _SERIAL_HALF else 0
