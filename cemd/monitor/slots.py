"""Slots: what the schedule knows of each probe, as columns of small types.

Each column that is looked at both ways is held twice over the same memory: as an array, quick for one place, and as
numpy sees it, quick for many. All small things share one byte, so that one look tells that nothing is special.
"""

from __future__ import annotations

from array import array
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

_LEAST_SLOTS: Final = 64
STATE: Final = 0b111
"""Bits of `flags` that are the state."""
HUNG: Final = 0b1000
"""It hung at its last run."""
LANE: Final = 0b1_0000
"""It was let in as one that hung."""
LOOKS: Final = 0b110_0000
ONE_LOOK: Final = 0b10_0000
"""Extra looks that a failure has had since the last success, counted in these bits."""
AGAIN_AND_AGAIN: Final = 0b1000_0000
"""It hung at its last two runs at least."""


class State(IntEnum):
    """What a slot is at. An idle slot that did well last has no bit set at all."""

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
        self.group = array("i")
        self.flags, self.light = bytearray(), bytearray()
        """`light`: 1 where a run holds nothing here."""
        self._free: list[int] = []
        self.reserve(_LEAST_SLOTS)

    def reserve(self, slots: int) -> None:
        """Makes room for so many slots, neither more nor less than it takes."""
        held = len(self.group)
        if slots <= held:
            return
        group = array("i", [0]) * slots
        group[:held] = self.group
        self.group, self.flags = group, bytearray(self.flags.ljust(slots, b"\0"))
        self.light = bytearray(self.light.ljust(slots, b"\0"))
        self._group_column: NDArray[np.int32] = np.frombuffer(self.group, dtype=np.int32)
        self.flags_column: NDArray[np.uint8] = np.frombuffer(self.flags, dtype=np.uint8)

    def state(self, slot: int) -> int:
        """What it is at, a `State`."""
        return self.flags[slot] & STATE

    def turn_to(self, slot: int, state: int) -> None:
        """Changes its state and nothing else."""
        self.flags[slot] = self.flags[slot] & ~STATE | state

    def groups(self, slots: NDArray[np.intp]) -> NDArray[np.intp]:
        """The groups of many slots."""
        return self._group_column[slots].astype(np.intp)

    def take(self, uid: str) -> int:
        """A slot for a probe that has none."""
        if self._free:
            slot = self._free.pop()
            self.uids[slot] = uid
            return slot
        slot = len(self.uids)
        if slot == len(self.group):
            self.reserve(slot * 3 // 2)
        self.uids.append(uid)
        return slot

    def release(self, slot: int) -> None:
        """Gives a slot on."""
        self.flags[slot] = State.GONE
        self._free.append(slot)
