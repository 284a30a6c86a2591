"""When packets came, as the kernel says, and whether the wall clock that it says it by stood still meanwhile."""

from __future__ import annotations

import socket
import struct
import time

from cemd.monitor.probes.base import Blind, Reason

SO_TIMESTAMPNS = 35
"""Linux, everywhere but on sparc and parisc; `socket` has no name for it before Python 3.13."""
ANCILLARY_BYTES = 128
STEP_SECONDS = 0.001
"""A wall clock that moved this far against the monotonic one during an attempt was set, not steered."""
TIMESPEC = struct.Struct("@qq")
_TRIES = 10


def kernel_stamp(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """When the kernel received it, in nanoseconds of the wall clock; None where it does not say."""
    for level, kind, value in ancillary:
        if kind == SO_TIMESTAMPNS and level == socket.SOL_SOCKET and len(value) >= TIMESPEC.size:
            seconds, nanoseconds = TIMESPEC.unpack_from(value)
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return None


def _wall_offset() -> int:
    """Wall clock less monotonic one, nanoseconds. Read again where this process had to wait between the two: that would
    look like a clock that was set."""
    for _ in range(_TRIES):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if after - before < STEP_SECONDS * 1e9 / 4:
            break
    return wall - (before + after) // 2


class WallClock:
    """Watches the wall clock through one attempt whose times are read from it."""

    def __init__(self) -> None:
        self._offset = _wall_offset()

    def check(self) -> None:
        """Says that the attempt's times can be believed.

        Raises:
            Blind: the clock was set meanwhile.
        """
        moved = (_wall_offset() - self._offset) / 1e9
        if abs(moved) > STEP_SECONDS:
            raise Blind(Reason.CLOCK_STEPPED, f"the clock of this host was set by {moved:+.3f} s meanwhile.")
