"""Answers to questions, read without building a message: code, flags, and the records of one type.

Names are walked, never decompressed, and nothing is followed: a message that lies about its lengths is `None`, not a
loop. What needs names in records, or signatures, is read by dnspython instead.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_FIXED = struct.Struct("!HHIH").unpack_from
TRUNCATED, AUTHORITATIVE, AUTHENTICATED, RECURSION = 0x0200, 0x0400, 0x0020, 0x0080


class Seen(NamedTuple):
    """What an answer holds. `records` are the data of the records of the wanted type, as bytes."""

    flags: int
    rcode: int
    records: tuple[bytes, ...]
    least_ttl: int
    """Of those records, seconds; -1 where there are none."""


def read(data: bytes, place: int, wanted: int) -> Seen | None:
    """Reads an answer of at least 12 bytes whose question ends at `place`; None where it is malformed."""
    flags = data[2] << 8 | data[3]
    records = []
    least = -1
    try:
        for _ in range(data[6] << 8 | data[7]):
            if data[place] >= 0xC0:
                place += 2
            else:
                place = _after_name(data, place)
            kind, _, ttl, size = _FIXED(data, place)
            place += 10 + size
            if place > len(data):
                return None
            if kind == wanted:
                records.append(data[place - size : place])
                least = ttl if least < 0 or ttl < least else least
    except (IndexError, ValueError, struct.error):
        return None
    return Seen(flags, flags & 15, tuple(records), least)


def _after_name(data: bytes, place: int) -> int:
    while size := data[place]:
        if size >= 0xC0:
            return place + 2
        if size >= 0x40:
            raise ValueError("a label of an unknown kind")
        place += size + 1
    return place + 1
