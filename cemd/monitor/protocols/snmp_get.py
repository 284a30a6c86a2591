"""A GET of SNMP v2c that is asked again and again: of its bytes only the request's number changes.

Its answer is read in one walk where it has the shape that agents give: the same names in the same order, each with a
number. How such an answer is laid out is kept: the next one that differs in nothing but its number and the octets of
its values is not walked again. Whatever else comes is `None` here and read by `snmp`, which takes all that the protocol
allows.

Source: RFC 3416 (protocol operations), RFC 3417, section 8 (encoding).
"""

from __future__ import annotations

from cemd.monitor.protocols.ber import INTEGER, SEQUENCE, Oid, oid
from cemd.monitor.protocols.snmp import NUMBERS, Pdu, community_message, request_pdu
from cemd.monitor.protocols.snmp_layout import Layout, Numbers, Value

_NUMBER_BYTES = 4
"""Numbers of requests are of this size: from 2^24 to 2^31 - 1 as signed integers."""
_FOUR = bytes((_NUMBER_BYTES,))
_MOST_NUMBER = (1 << 31) - 1
_NO_ERROR = b"\x02\x01\x00\x02\x01\x00\x30"
_VERSION = b"\x02\x01\x01\x04"
"""Version 2c, and the tag of the community."""
_MOST_LAYOUTS = 8
"""Kept of answers of one length: agents that count differently far take turns."""
_MOST_LENGTHS = 64
"""Lengths of which layouts are kept: no agent fills memory by writing lengths in ever more octets."""
_MOST_HEADS = 1_024
_NUMERIC = frozenset(int(kind) for kind in NUMBERS)


class Get:
    """Asks an agent for values by their names; agents that are asked the same share one."""

    __slots__ = ("_layouts", "_names", "message")

    def __init__(self, community: bytes, names: tuple[Oid, ...]) -> None:
        whole = community_message(community, request_pdu(Pdu.GET, _MOST_NUMBER, names))
        _, place = _places(whole)
        self.message = whole[:place], whole[place + _NUMBER_BYTES :]
        """What stands before and after the number."""
        self._names = [(encoded, len(encoded)) for encoded in map(oid, names)]
        self._layouts: dict[int, list[Layout]] = {}
        """Of good answers, by their length, the latest first."""

    def numbers(self, data: bytes) -> Numbers | None:
        """Types and values in an answer of which `key_of` knows the number; None where it has another shape."""
        known = self._layouts.get(len(data))
        if known is not None:
            whole = int.from_bytes(data, "big")
            for layout in known:
                if whole & layout.mask == layout.fixed:
                    return layout.types, layout.values(data)
        return self._walked(data)

    def kept(self) -> int:
        """How many layouts are kept."""
        return sum(map(len, self._layouts.values()))

    def _walked(self, data: bytes) -> Numbers | None:
        """The same octet by octet; keeps the layout."""
        tag, number = _places(data)
        place = number + _NUMBER_BYTES
        if data[tag] != Pdu.RESPONSE or data[place : place + 7] != _NO_ERROR or len(data) < place + 10:
            return None
        if not _end(data, 1) == _end(data, tag + 1) == _end(data, place + 7) == len(data):
            return None
        size = data[place + 7]
        place += 8 if size < 0x80 else 8 + (size & 0x7F)
        values: list[Value] = []
        for name, length in self._names:
            value = place + 2 + length
            if value + 2 >= len(data):
                return None
            kind, width = data[value], data[value + 1]
            end = value + 2 + width
            if (
                end != place + 2 + data[place + 1]
                or data[place] != SEQUENCE
                or data[place + 2 : value] != name
                or kind not in _NUMERIC
                or not 1 <= width <= 9
                or end > len(data)
            ):
                return None
            values.append(Value(kind, value + 2, end))
            place = end
        return self._learnt(data, number, values) if place == len(data) else None

    def _learnt(self, data: bytes, number: int, values: list[Value]) -> Numbers:
        layout = Layout(data, (number, number + _NUMBER_BYTES), values)
        if len(self._layouts) >= _MOST_LENGTHS and len(data) not in self._layouts:
            self._layouts.clear()
        known = self._layouts.setdefault(len(data), [])
        known.insert(0, layout)
        del known[_MOST_LAYOUTS:]
        return layout.types, layout.values(data)


class Heads:
    """Reads numbers as `key_of` does, quicker: what stands before a number is the same in many messages."""

    __slots__ = ("_known", "_places")

    def __init__(self) -> None:
        self._known: set[bytes] = set()
        """Beginnings of messages that were read through, up to where the number begins."""
        self._places: list[int] = []
        """How long they are."""

    def key_of(self, data: bytes) -> bytes:
        """The number of a request or answer of v2c, as it stands there; empty where there is none of four bytes."""
        for place in self._places:
            if data[:place] in self._known:
                return data[place : place + _NUMBER_BYTES]
        key = key_of(data)
        if key:
            self._learn(data)
        return key

    def _learn(self, data: bytes) -> None:
        if len(self._known) >= _MOST_HEADS:
            self._known.clear()
            self._places.clear()
        _, place = _places(data)
        self._known.add(data[:place])
        if place not in self._places:
            self._places.append(place)


def key_of(data: bytes) -> bytes:
    """The number of a request or answer of v2c, as it stands there; empty where there is none of four bytes."""
    try:
        _, place = _places(data)
    except IndexError:
        return b""
    return data[place : place + _NUMBER_BYTES] if data[place - 1 : place] == _FOUR else b""


def _end(data: bytes, place: int) -> int:
    """Where the content ends whose length stands at a place."""
    size = data[place]
    if size < 0x80:
        return place + 1 + size
    after = place + 1 + (size & 0x7F)
    return after + int.from_bytes(data[place + 1 : after], "big")


def _places(data: bytes) -> tuple[int, int]:
    """Where the PDU's tag is, and where the content of its number begins."""
    size = data[1]
    place = 2 if size < 0x80 else 2 + (size & 0x7F)
    if data[place : place + 4] != _VERSION or data[0] != SEQUENCE:
        raise IndexError("no message of v2c")
    tag = place + 5 + data[place + 4]
    size = data[tag + 1]
    place = tag + (4 if size < 0x80 else 4 + (size & 0x7F))
    if data[place - 2] != INTEGER:
        raise IndexError("no integer stands where the number is due")
    return tag, place
