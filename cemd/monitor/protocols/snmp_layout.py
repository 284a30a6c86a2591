"""How an answer of SNMP is laid out: which octets are its values, and that all others are as they were.

Octets that must not differ are compared as one large number under a mask. Values are read by one call that knows the
sizes 1, 2, 4 and 8: a value of 3 octets is read with the octet before it, which is known, and that one is taken off.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from operator import sub
from typing import NamedTuple, TypeAlias

Numbers: TypeAlias = tuple[bytes, list[int]]
"""Types (`ValueType`) and values."""
_SIGNED = {1: "b", 2: "h", 4: "i", 8: "q"}
_UNSIGNED = {4: "I", 8: "Q"}


class Value(NamedTuple):
    """One value of an answer: its type, where its octets (1 to 9) begin, and where they end."""

    type: int
    begin: int
    end: int


class Layout:
    """Made of an answer that was read through. Between two of its values, and before the first, are at least seven
    octets that are part of no value."""

    __slots__ = ("_numbers", "_taken_off", "fixed", "mask", "types")

    def __init__(self, data: bytes, number: tuple[int, int], values: Iterable[Value]) -> None:
        """`number`: from where to where any octets will do, beside the values."""
        self.types = bytes(value.type for value in values)
        mask = bytearray(b"\xff") * len(data)
        mask[slice(*number)] = bytes(number[1] - number[0])
        words, taken_off, place = [">"], [], 0
        for value in values:
            begin, word, off = _read(data, value, mask)
            words += f"{begin - place}x", word
            taken_off.append(off)
            place = value.end
        self._numbers = struct.Struct("".join(words)).unpack_from
        self._taken_off = tuple(taken_off)
        self.mask = int.from_bytes(mask, "big")
        self.fixed = int.from_bytes(data, "big") & self.mask

    def values(self, data: bytes) -> list[int]:
        """The values of an answer that is laid out like this: signed integers, as they stand there."""
        return list(map(sub, self._numbers(data), self._taken_off))


def _read(data: bytes, value: Value, mask: bytearray) -> tuple[int, str, int]:
    """From where a value is read, as what, and what is taken off then; gives its octets free in the mask."""
    width = value.end - value.begin
    mask[value.begin : value.end] = bytes(width)
    if width in _SIGNED:
        return value.begin, _SIGNED[width], 0
    if width == 9:  # an unsigned one of eight octets with its highest bit set: the ninth is zero
        mask[value.begin] = 0xFF
        return value.begin + 1, "Q", -(int.from_bytes(data[value.begin : value.begin + 1], "big", signed=True) << 64)
    mask[value.begin] = 0x80  # the sign
    size = 4 if width == 3 else 8
    begin = value.end - size
    off = int.from_bytes(data[begin : value.begin], "big") << 8 * width
    negative = data[value.begin] & 0x80
    return begin, _UNSIGNED[size], off + (1 << 8 * width if negative else 0)
