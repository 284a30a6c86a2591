"""SNMP messages: requests and answers of v2c, and the frame of v3 with its security parameters.

What a value is (counter, gauge, ticks) comes from its tag. Nothing here knows keys: `snmp_security` signs and seals.

Source: RFC 3416 (protocol operations), RFC 3412 (frame of v3), RFC 3414 (security parameters).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from cemd.monitor.protocols import Malformed
from cemd.monitor.protocols.ber import OCTETS, SEQUENCE, Oid, Reader, integer, object_id, oid, sequence, signed, tlv

V2C, V3 = 1, 3
USER_SECURITY = 3
MAX_BYTES = 65_507
"""The largest datagram: what we say that we can take."""
NULL_VALUE = b"\x05\x00"


class Pdu(IntEnum):
    """What a message asks or is."""

    GET = 0xA0
    GET_NEXT = 0xA1
    RESPONSE = 0xA2
    GET_BULK = 0xA5
    REPORT = 0xA8


class ValueType(IntEnum):
    """Tags of values; the last three stand where a value is missing."""

    INTEGER = 0x02
    OCTETS = 0x04
    NULL = 0x05
    OID = 0x06
    ADDRESS = 0x40
    COUNTER32 = 0x41
    GAUGE32 = 0x42
    TICKS = 0x43
    OPAQUE = 0x44
    COUNTER64 = 0x46
    NO_OBJECT = 0x80
    NO_INSTANCE = 0x81
    END_OF_VIEW = 0x82


MISSING = frozenset({ValueType.NO_OBJECT, ValueType.NO_INSTANCE, ValueType.END_OF_VIEW, ValueType.NULL})
NUMBERS = frozenset({ValueType.INTEGER, ValueType.COUNTER32, ValueType.GAUGE32, ValueType.TICKS, ValueType.COUNTER64})
ERRORS = {
    1: "tooBig",
    2: "noSuchName",
    3: "badValue",
    4: "readOnly",
    5: "genErr",
    6: "noAccess",
    13: "resourceUnavailable",
    16: "authorizationError",
}


@dataclass(frozen=True, slots=True)
class Bound:
    """A name with its value: int for numbers, a tuple for identifiers, bytes for the rest, None where it is missing."""

    oid: Oid
    type: ValueType
    value: int | bytes | Oid | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a response or report says. `error` is 0 when all is well, `index` counts from 1."""

    pdu: Pdu
    request: int
    error: int
    index: int
    bindings: tuple[Bound, ...]


def request_pdu(pdu: Pdu, request: int, oids: Sequence[Oid], *, repetitions: int = 0) -> bytes:
    """A request for these names; `repetitions` rows each where it is a bulk request."""
    names = sequence(sequence((oid(name), NULL_VALUE)) for name in oids)
    return tlv(pdu, integer(request), integer(0), integer(repetitions), names)


def community_message(community: bytes, pdu: bytes) -> bytes:
    """A whole message of v2c."""
    return sequence((integer(V2C), tlv(OCTETS, community), pdu))


def read_community_message(data: bytes) -> Answer:
    """The answer in a message of v2c.

    Raises:
        Malformed: it is none.
    """
    outer = Reader(data).inside(SEQUENCE)
    if outer.number() != V2C:
        raise Malformed("the version is not 2c")
    outer.content(OCTETS)
    return read_pdu(outer)


def read_pdu(reader: Reader) -> Answer:
    """The response or report that comes next.

    Raises:
        Malformed: it is none.
    """
    tag, inner = reader.any()
    if tag not in (Pdu.RESPONSE, Pdu.REPORT):
        raise Malformed("the message is no response")
    request, error, index = inner.number(), inner.number(), inner.number()
    rows = inner.inside(SEQUENCE)
    bindings = []
    while rows.more():
        pair = rows.inside(SEQUENCE)
        bindings.append(_bound(pair.object_id(), *pair.value()))
    return Answer(Pdu(tag), request, error, index, tuple(bindings))


def _bound(name: Oid, tag: int, content: bytes) -> Bound:
    try:
        kind = ValueType(tag)
    except ValueError as exc:
        raise Malformed(f"a value has the unknown type {tag:#04x}") from exc
    if kind in NUMBERS:
        return Bound(name, kind, signed(content))
    if kind in MISSING:
        return Bound(name, kind, None)
    return Bound(name, kind, object_id(content) if kind is ValueType.OID else content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Security parameters of a message of v3 (`msgSecurityParameters` of the user-based model)."""

    engine: bytes = b""
    boots: int = 0
    time: int = 0
    user: bytes = b""
    signature: bytes = b""
    salt: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A message of v3. `payload` is an encoded scoped PDU: plain, or sealed where `sealed`."""

    message: int
    signed: bool
    sealed: bool
    reportable: bool = True
    security: Security
    payload: bytes


def write_frame(frame: Frame) -> bytes:
    """The whole message, with the signature that it holds."""
    flags = bytes((frame.signed | frame.sealed << 1 | frame.reportable << 2,))
    s = frame.security
    header = sequence((integer(frame.message), integer(MAX_BYTES), tlv(OCTETS, flags), integer(USER_SECURITY)))
    security = sequence(
        (
            tlv(OCTETS, s.engine),
            integer(s.boots),
            integer(s.time),
            tlv(OCTETS, s.user),
            tlv(OCTETS, s.signature),
            tlv(OCTETS, s.salt),
        )
    )
    payload = tlv(OCTETS, frame.payload) if frame.sealed else frame.payload
    return sequence((integer(V3), header, tlv(OCTETS, security), payload))


def read_frame(data: bytes) -> tuple[Frame, bytes]:
    """The message, and its bytes with the signature blanked, as they were signed.

    Raises:
        Malformed: it is no message of v3 under the user-based model.
    """
    outer = Reader(data).inside(SEQUENCE)
    if outer.number() != V3:
        raise Malformed("the version is not 3")
    header = outer.inside(SEQUENCE)
    message, _size, flags, model = header.number(), header.number(), header.content(OCTETS), header.number()
    if len(flags) != 1 or model != USER_SECURITY:
        raise Malformed("flags or security model are not ours")
    parameters = outer.inside(OCTETS).inside(SEQUENCE)
    engine, boots, time, user = (
        parameters.content(OCTETS),
        parameters.number(),
        parameters.number(),
        parameters.content(OCTETS),
    )
    _tag, start, end = parameters.header()
    signature, salt = data[start:end], parameters.content(OCTETS)
    sealed = bool(flags[0] & 2)
    frame = Frame(
        message=message,
        signed=bool(flags[0] & 1),
        sealed=sealed,
        reportable=bool(flags[0] & 4),
        security=Security(engine=engine, boots=boots, time=time, user=user, signature=signature, salt=salt),
        payload=outer.content(OCTETS) if sealed else outer.whole(),
    )
    return frame, data[:start] + bytes(end - start) + data[end:]


def scoped(engine: bytes, pdu: bytes, context: bytes = b"") -> bytes:
    """A PDU in a context of an engine; the default one has no name."""
    return sequence((tlv(OCTETS, engine), tlv(OCTETS, context), pdu))


def read_scoped(data: bytes) -> Answer:
    """The answer in a scoped PDU that was plain or has been opened.

    Raises:
        Malformed: it is none, as bytes that were opened with a wrong key are.
    """
    inner = Reader(data).inside(SEQUENCE)
    inner.content(OCTETS)
    inner.content(OCTETS)
    return read_pdu(inner)


def unsigned(frame: Frame, length: int) -> Frame:
    """The frame with a blank signature of this length, as it is signed."""
    return replace(frame, security=replace(frame.security, signature=bytes(length)))
