"""Slots: what the schedule knows of each probe, as columns of small types.

Each column that is looked at both ways is held twice over the same memory: as an array, quick for one place, and as
numpy sees it, quick for many.
"""

from __future__ import annotations

from array import array
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

_LEAST_SLOTS: Final = 64


class State(IntEnum):
    """What a slot is at; `IDLE` is zero, so that a count of what is not zero tells whether all of many are."""

    IDLE = 0
    GONE = 1
    WAITING = 2
    RUNNING = 3
    AGAIN = 4
    """It runs, and was asked to run once more."""
    LEAVING = 5
    """It runs, and its probe has left the set."""


class Slots:
    """Columns by slot; `uids` is "" where a slot belongs to no probe of the set."""

    def __init__(self) -> None:
        self.uids: list[str] = []
        self.every, self.group = array("d"), array("i")
        self.state, self.hung, self.lane, self.quick = bytearray(), bytearray(), bytearray(), bytearray()
        """`hung`: at the last run; `lane`: let in as such; `quick`: extra looks that are left after a failure."""
        self._free: list[int] = []
        self.reserve(_LEAST_SLOTS)

    def reserve(self, slots: int) -> None:
        """Makes room for so many slots, neither more nor less than it takes."""
        held = len(self.every)
        if slots <= held:
            return
        for name in ("every", "group"):
            grown = array(getattr(self, name).typecode, [0]) * slots
            grown[:held] = getattr(self, name)
            setattr(self, name, grown)
        for name in ("state", "hung", "lane", "quick"):
            setattr(self, name, bytearray(getattr(self, name).ljust(slots, b"\0")))
        self.every_column: NDArray[np.float64] = np.frombuffer(self.every)
        self.group_column: NDArray[np.int32] = np.frombuffer(self.group, dtype=np.int32)
        self.state_column: NDArray[np.uint8] = np.frombuffer(self.state, dtype=np.uint8)
        self.hung_column: NDArray[np.uint8] = np.frombuffer(self.hung, dtype=np.uint8)
        self.lane_column: NDArray[np.uint8] = np.frombuffer(self.lane, dtype=np.uint8)
        self.quick_column: NDArray[np.uint8] = np.frombuffer(self.quick, dtype=np.uint8)

    def spare(self) -> int:
        """Slots that are free before a new one must be made."""
        return len(self._free)

    def take(self, uid: str) -> int:
        """A slot for a probe that has none."""
        if self._free:
            slot = self._free.pop()
            self.uids[slot] = uid
            return slot
        slot = len(self.uids)
        if slot == len(self.every):
            self.reserve(slot * 3 // 2)
        self.uids.append(uid)
        return slot

    def release(self, slot: int) -> None:
        """Gives a slot on."""
        self.state[slot] = State.GONE
        self._free.append(slot)
