"""A question of DNS as bytes; dnspython, which would take ten times as long for the same, is what its test asks.

Source: RFC 1035, section 4; RFC 6891 (EDNS); RFC 4035, section 3.2 (what asks for signatures).
"""

from __future__ import annotations

import struct

import dns.name

PAYLOAD_BYTES = 1232
"""Largest datagram that is wanted: what passes everywhere without being cut in pieces (DNS flag day 2020)."""
_RECURSION, _CHECKING_DISABLED = 0x0100, 0x0010
_OPT, _IN, _SIGNATURES = 41, 1, 0x8000


def message(name: str, kind: int, *, recursion: bool, signatures: bool) -> bytes:
    """Asks for records of a type; the id is zero. `signatures` asks for them, and for answers that a validating server
    would hold back: we want to see what is wrong, not its verdict."""
    flags = (_RECURSION if recursion else 0) | (_CHECKING_DISABLED if signatures else 0)
    extension = struct.pack("!BHHBBHH", 0, _OPT, PAYLOAD_BYTES, 0, 0, _SIGNATURES if signatures else 0, 0)
    question = _wire(name) + struct.pack("!HH", kind, _IN)
    return struct.pack("!HHHHHH", 0, flags, 1, 0, 0, 1) + question + extension


def _wire(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in dns.name.from_text(name).labels)
