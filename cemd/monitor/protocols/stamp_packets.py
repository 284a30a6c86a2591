"""Test packets of STAMP (RFC 8762) and TWAMP-Light (RFC 5357): bytes in, frozen objects out, and back.

Both ends use it: the `stamp` and `voice` kinds send, `cemd reflect` answers. Instants are nanoseconds of the Unix clock
here and 32.32 NTP stamps on the wire (PTP stamps are read where a reflector says that it sends them). Anybody can send
anything to an open port: what is no test packet is None, never an exception.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass

PLAIN_BYTES = 44
"""Both ways without authentication."""
AUTHENTICATED_BYTES = 112
LEAST_SENT_BYTES = 14
"""A TWAMP-Light sender may send no more than sequence, stamp and error estimate."""
LEAST_ANSWER_BYTES = 41
"""A TWAMP-Light reflector's answer ends with the sender's TTL."""
_COVERED = 96
_NTP_EPOCH = 2_208_988_800
_PLAIN_SENT = struct.Struct("!IQHH")
_PLAIN_ANSWER = struct.Struct("!IQHHQIQHHB")
_AUTH_SENT = struct.Struct("!I12xQHH68x")
_AUTH_ANSWER = struct.Struct("!I12xQHH4xQ8xI12xQH6xB15x")


@dataclass(frozen=True, slots=True)
class ErrorEstimate:
    """How good the clock of a stamp is. `synchronised`: to an outside source, so that one-way figures mean something.

    `ptp`: stamps are seconds and nanoseconds of PTP's scale, not NTP's.
    """

    synchronised: bool
    seconds: float
    ptp: bool = False

    def packed(self) -> int:
        """S, Z, scale and multiplier; the multiplier is never 0."""
        scale, multiplier = 0, max(1, int(self.seconds * 2.0**32))
        while multiplier > 255 and scale < 63:
            multiplier, scale = -(-multiplier // 2), scale + 1
        return self.synchronised << 15 | self.ptp << 14 | scale << 8 | min(multiplier, 255)

    @classmethod
    def read(cls, packed: int) -> ErrorEstimate:
        """From its two octets."""
        seconds = (packed & 0xFF) * 2.0 ** ((packed >> 8 & 0x3F) - 32)
        return cls(bool(packed & 0x8000), seconds, bool(packed & 0x4000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A sender's packet as a reflector reads it."""

    sequence: int
    stamp: int
    """As it stands on the wire, to be handed back untouched."""
    error: int
    session: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reflector's packet as a sender reads it. Instants are nanoseconds of the Unix clock."""

    sequence: int
    sent_ns: int
    received_ns: int
    error: ErrorEstimate
    session: int
    sender_sequence: int
    sender_stamp: int
    ttl: int


def ntp_of(unix_ns: int) -> int:
    """The 32.32 stamp of an instant.

    >>> hex(ntp_of(1_767_225_600_500_000_000))
    '0xed00378080000000'
    """
    seconds, nanoseconds = divmod(unix_ns, 1_000_000_000)
    fraction = -(-(nanoseconds << 32) // 1_000_000_000)  # up, so that the way back gives the same nanosecond
    return (seconds + _NTP_EPOCH & 0xFFFFFFFF) << 32 | fraction


def unix_ns_of(stamp: int, *, ptp: bool = False) -> int:
    """The instant of a 32.32 NTP stamp, or of a truncated PTP stamp (seconds and nanoseconds).

    Of the era that holds 2026 to 2104: the wire has no other digits.
    """
    seconds, fraction = stamp >> 32, stamp & 0xFFFFFFFF
    if ptp:
        return seconds * 1_000_000_000 + fraction
    era = 0 if seconds >= 0x80000000 else 1 << 32
    return (seconds + era - _NTP_EPOCH) * 1_000_000_000 + (fraction * 1_000_000_000 >> 32)


def sender_packet(
    sequence: int, stamp: int, error: int, session: int, *, size: int = PLAIN_BYTES, key: bytes | None = None
) -> bytes:
    """A test packet of `size` octets at least; authenticated where there is a key."""
    if key is None:
        return _PLAIN_SENT.pack(sequence, stamp, error, session).ljust(max(size, PLAIN_BYTES), b"\0")
    return _signed(_AUTH_SENT.pack(sequence, stamp, error, session), key).ljust(max(size, AUTHENTICATED_BYTES), b"\0")


def read_sent(data: bytes, key: bytes | None) -> Sent | None:
    """A sender's packet; None for what is none, or is not signed with the key."""
    if key is None:
        if len(data) < LEAST_SENT_BYTES:
            return None
        sequence, stamp, error, session = _PLAIN_SENT.unpack(data[: _PLAIN_SENT.size].ljust(_PLAIN_SENT.size, b"\0"))
    elif not _is_signed(data, key):
        return None
    else:
        sequence, stamp, error, session = _AUTH_SENT.unpack_from(data)
    return Sent(sequence=sequence, stamp=stamp, error=error, session=session)


def answer_packet(
    sent: Sent, *, sequence: int, received_ns: int, now_ns: int, error: int, ttl: int, rest: bytes, key: bytes | None
) -> bytes:
    """A reflector's answer. `rest` are the octets behind the sender's own, which go back as they came."""
    received, now = ntp_of(received_ns), ntp_of(now_ns)
    came = (sent.sequence, sent.stamp, sent.error)
    if key is None:
        body = _PLAIN_ANSWER.pack(sequence, now, error, sent.session, received, *came, 0, ttl)
        return body.ljust(PLAIN_BYTES, b"\0") + rest
    return _signed(_AUTH_ANSWER.pack(sequence, now, error, sent.session, received, *came, ttl), key) + rest


def read_answer(data: bytes, key: bytes | None) -> Answer | None:
    """A reflector's packet; None for what is none, or is not signed with the key."""
    if key is None:
        if len(data) < LEAST_ANSWER_BYTES:
            return None
        sequence, sent, error, session, received, own, stamp, _, _, ttl = _PLAIN_ANSWER.unpack_from(data)
    elif not _is_signed(data, key):
        return None
    else:
        sequence, sent, error, session, received, own, stamp, _, ttl = _AUTH_ANSWER.unpack_from(data)
    estimate = ErrorEstimate.read(error)
    return Answer(
        sequence=sequence,
        sent_ns=unix_ns_of(sent, ptp=estimate.ptp),
        received_ns=unix_ns_of(received, ptp=estimate.ptp),
        error=estimate,
        session=session,
        sender_sequence=own,
        sender_stamp=stamp,
        ttl=ttl,
    )


def _signed(body: bytes, key: bytes) -> bytes:
    """The 96 octets with their HMAC-SHA-256, cut to 128 bits (RFC 8762, section 4.4)."""
    return body + hmac.digest(key, body, hashlib.sha256)[:16]


def _is_signed(data: bytes, key: bytes) -> bool:
    if len(data) < AUTHENTICATED_BYTES:
        return False
    right = hmac.digest(key, data[:_COVERED], hashlib.sha256)[:16]
    return hmac.compare_digest(right, data[_COVERED:AUTHENTICATED_BYTES])
