"""Whether the kernel's clock follows an outside source, and how far it may be off: `adjtimex` of Linux, read only."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
_UNKNOWN_SECONDS = 1.0


class _Timex(ctypes.Structure):
    """The head of the kernel's structure; the rest is only room that it writes to."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


@dataclass(frozen=True, slots=True)
class ClockState:
    """`error_seconds` is the kernel's own estimate; one second where it has none."""

    synchronised: bool
    error_seconds: float


def clock_state() -> ClockState:
    """As the kernel says now; a host that cannot say is not synchronised."""
    try:
        timex = _Timex()
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return ClockState(False, _UNKNOWN_SECONDS)
    if state < 0 or state == _TIME_ERROR or timex.status & _STA_UNSYNC:
        return ClockState(False, _UNKNOWN_SECONDS)
    return ClockState(True, max(timex.esterror, 1) / 1e6)
