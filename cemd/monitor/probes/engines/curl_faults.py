"""What libcurl's errors mean: the target's failure with its reason, or our own trouble, which is blind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pycurl

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Blind, Missed, Reason
from cemd.monitor.probes.engines.names import trouble

_REASONS = {
    35: Reason.TLS_FAILED,
    1: Reason.PROTOCOL_BROKEN,  # the scheme was checked before: it is the answer that is of no known HTTP
    8: Reason.PROTOCOL_BROKEN,
    16: Reason.PROTOCOL_BROKEN,
    18: Reason.CLOSED_EARLY,
    52: Reason.CLOSED_EARLY,
    55: Reason.CLOSED_EARLY,
    56: Reason.CLOSED_EARLY,
    60: Reason.CERTIFICATE_INVALID,
    61: Reason.PROTOCOL_BROKEN,
    63: Reason.ANSWER_TOO_LARGE,
    92: Reason.PROTOCOL_BROKEN,
}
_OURS = {
    58: (Reason.FILE_UNREADABLE, "the client certificate cannot be used"),
    77: (Reason.NO_TRUST, "the trust anchors cannot be read"),
    **dict.fromkeys((2, 3, 4, 27, 43), (Reason.INTERNAL, "libcurl")),
}


def fault_of(number: int, words: str, curl: Any, wall: float) -> Missed | Blind:
    """What an error number of libcurl says, and about whom."""
    if number == 63:
        return Missed(Reason.ANSWER_TOO_LARGE, "the answer is larger than the probe takes.")
    if number == 28:
        return Missed(Reason.NO_ANSWER, f"{words}.", outcome=Outcome.TIMED_OUT)
    if number == 43 and "private key" in words:
        return Blind(Reason.FILE_UNREADABLE, f"the client's key cannot be used ({words}).")
    if number in _OURS:
        reason, what = _OURS[number]
        return Blind(reason, f"{what} ({words}).")
    if number == 7:
        return trouble(curl.getinfo(pycurl.OS_ERRNO), "connect")
    ends_at = expiry_at(curl) if number == 60 else None
    expiry = f" The certificate ends in {(ends_at - wall) / 86_400:.1f} days." if ends_at is not None else ""
    return Missed(_REASONS.get(number, Reason.PROTOCOL_BROKEN), f"{words}.{expiry}")


def expiry_at(curl: Any) -> float | None:
    """When the served certificate ends (seconds since 1970); known also when its verification failed."""
    for certificate in curl.getinfo(pycurl.INFO_CERTINFO)[:1]:
        for pair in certificate:
            if pair[0] == "Expire date":
                try:
                    return datetime.strptime(pair[1], "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC).timestamp()
                except ValueError:
                    return None
    return None
