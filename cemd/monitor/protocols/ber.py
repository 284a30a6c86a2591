"""BER, as SNMP uses it: definite lengths, integers, octet strings, object identifiers and their sequences.

Source: ITU-T X.690; RFC 3417, section 8, for what SNMP allows of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from cemd.monitor.protocols import Malformed

INTEGER, OCTETS, NULL, OID, SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30

Oid = tuple[int, ...]


def tlv(tag: int, *content: bytes) -> bytes:
    """Tag, length and content."""
    body = b"".join(content)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def integer(value: int) -> bytes:
    """A signed integer in the fewest bytes."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


@lru_cache(maxsize=4096)
def oid(parts: Oid) -> bytes:
    """An object identifier of at least two parts."""
    if len(parts) < 2 or parts[0] > 2 or (parts[0] < 2 and parts[1] > 39) or min(parts) < 0:
        raise ValueError(f"{'.'.join(map(str, parts))} is no object identifier")
    content = bytearray()
    for part in (parts[0] * 40 + parts[1], *parts[2:]):
        septets = [part & 0x7F]
        while part := part >> 7:
            septets.append(0x80 | (part & 0x7F))
        content += bytes(reversed(septets))
    return tlv(OID, bytes(content))


class Reader:
    """Walks over encoded values. `Malformed` where the bytes end early or lie about their length."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._at = start
        self._end = len(data) if end is None else end

    def more(self) -> bool:
        """True while something is left."""
        return self._at < self._end

    def header(self) -> tuple[int, int, int]:
        """(tag, where its content begins, where it ends); the content is passed over."""
        data, at = self._data, self._at
        if at + 2 > self._end:
            raise Malformed("a value is cut short")
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            if not 1 <= count <= 4 or at + count > self._end:
                raise Malformed("a length is not definite or too long")
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > self._end:
            raise Malformed("a value reaches beyond its frame")
        self._at = at + size
        return tag, at, at + size

    def inside(self, wanted: int) -> Reader:
        """A reader of the content of the next value, which must have this tag."""
        tag, start, end = self.header()
        if tag != wanted:
            raise Malformed(f"tag {tag:#04x} stands where {wanted:#04x} is due")
        return Reader(self._data, start, end)

    def content(self, wanted: int) -> bytes:
        """The bytes of the next value, which must have this tag."""
        tag, start, end = self.header()
        if tag != wanted:
            raise Malformed(f"tag {tag:#04x} stands where {wanted:#04x} is due")
        return self._data[start:end]

    def any(self) -> tuple[int, Reader]:
        """Tag of the next value and a reader of its content."""
        tag, start, end = self.header()
        return tag, Reader(self._data, start, end)

    def value(self) -> tuple[int, bytes]:
        """Tag and bytes of the next value."""
        tag, start, end = self.header()
        return tag, self._data[start:end]

    def whole(self) -> bytes:
        """The next value with its tag and length."""
        start = self._at
        self.header()
        return self._data[start : self._at]

    def number(self) -> int:
        """A signed integer of at most nine bytes (a counter of 64 bits with its sign)."""
        return signed(self.content(INTEGER))

    def object_id(self) -> Oid:
        """An object identifier."""
        return object_id(self.content(OID))


def signed(content: bytes) -> int:
    """The value of an integer's content; SNMP's unsigned ones carry a leading zero and read right as well."""
    if not 1 <= len(content) <= 9:
        raise Malformed("an integer has no or too many bytes")
    return int.from_bytes(content, "big", signed=True)


def object_id(content: bytes) -> Oid:
    """The parts of an identifier's content; at most 128, of 32 bits each, as SMIv2 bounds them."""
    parts: list[int] = []
    part = 0
    for byte in content:
        part = part << 7 | byte & 0x7F
        if part > 0xFFFFFFFF + 80:
            raise Malformed("a part of an object identifier is too large")
        if not byte & 0x80:
            parts.append(part)
            part = 0
    if not parts or content[-1] & 0x80 or len(parts) > 127:
        raise Malformed("an object identifier is empty, cut short or too long")
    first = min(parts[0] // 40, 2)
    return (first, parts[0] - 40 * first, *parts[1:])


def sequence(parts: Iterable[bytes]) -> bytes:
    """A sequence of encoded values."""
    return tlv(SEQUENCE, *parts)
