"""Whether this host's clock follows an outside source, and how far it may be off. Nothing here changes the clock.

The kernel knows (`adjtimex` of Linux, called without a change). Where a hardened unit forbids the question, the file is
looked for by which systemd-timesyncd tells; a host that neither says is taken for not synchronised.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TIMESYNCD_SAYS = Path("/run/systemd/timesync/synchronized")
_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
_UNKNOWN_SECONDS = 1.0
_TIMESYNCD_SECONDS = 0.1
"""It gives no estimate; it steps the clock beyond 0.4 s and is usually much nearer."""


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
    """`error_seconds` is the kernel's own estimate; one second where nobody has one."""

    synchronised: bool
    error_seconds: float


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def clock_state() -> ClockState:
    """As the kernel says now; a host that cannot say is not synchronised."""
    timex = _Timex()
    try:
        state = _libc().adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        state = -1
    if state < 0:  # not to be asked here
        known = TIMESYNCD_SAYS.exists()
        return ClockState(known, _TIMESYNCD_SECONDS if known else _UNKNOWN_SECONDS)
    if state == _TIME_ERROR or timex.status & _STA_UNSYNC:
        return ClockState(False, _UNKNOWN_SECONDS)
    return ClockState(True, max(timex.esterror, 1) / 1e6)
