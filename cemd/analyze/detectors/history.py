"""Thirty days of every series at five minutes: a ring of slots, and what stood in it at this time on earlier days.

The length of a slot follows the series' own interval, from five minutes to one hour, so that 8,640 slots are 30 days of
five minutes or 360 days of hours. What comes more often than every five minutes leaves its last sample in the slot (a
sample, not a mean: it must be as noisy as what it is compared with). A slot that got no sample is NaN. Time that goes
back writes to its own slot, as long as the ring reaches that far.
"""

from __future__ import annotations

import numpy as np

from cemd.analyze.columns import Array, Columns, Field

SLOTS = 8640
DAY_SECONDS = 86_400
LENGTHS = np.array([300, 600, 900, 1800, 3600], np.int64)
DAYS = 21
"""Earlier days that are looked at: three of each weekday."""
REACH = 2
"""Slots before and after: what comes a little earlier or later than yesterday is not new."""
SETTLE = 6
"""Gaps whose median fixes the length of a slot."""
FIELDS = {
    "ring": Field("<f4", np.nan, (SLOTS + 2 * REACH,)),  # the last ones repeat the first: windows never wrap
    "slot": Field("<i8", -1),  # number of the newest slot since 1970
    "slot_seconds": Field("<i4"),
    "gaps": Field("<f4", 0, (SETTLE,)),
}
WINDOW = 2 * REACH + 1


class History:
    """The rings of all series, in the columns handed in."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._days = np.arange(1, DAYS + 1, dtype=np.int64)[None, :]

    def settle(self, rows: Array, gap: Array, count: Array) -> None:
        """Notes the first gaps, and fixes the length of slots after SETTLE of them."""
        young = np.flatnonzero((count >= 1) & (count <= SETTLE))
        if not len(young):
            return
        c = self._columns
        mine, number = rows[young], count[young].astype(np.intp) - 1
        c["gaps"][mine, number] = gap[young]
        ready = mine[number == SETTLE - 1]
        if len(ready):
            usual = np.median(c["gaps"][ready], axis=1)
            c["slot_seconds"][ready] = LENGTHS[np.minimum(np.searchsorted(LENGTHS, usual * 0.75), len(LENGTHS) - 1)]

    def enter(self, rows: Array, at: Array) -> Array:
        """Slot of each sample, int64[R]; slots that were passed over since the newest become empty."""
        c = self._columns
        seconds = c["slot_seconds"][rows]
        slot: Array = (at // np.where(seconds > 0, seconds, LENGTHS[-1])).astype(np.int64)
        newest = c["slot"][rows]
        ahead = (slot > newest) & (seconds > 0)
        for place in np.flatnonzero(ahead & (newest >= 0) & (slot - newest > 1)).tolist():
            self._clear(int(rows[place]), int(newest[place]), int(slot[place]))
        self._put(rows[ahead], slot[ahead], np.nan)
        c["slot"][rows[ahead]] = slot[ahead]
        return slot

    def around(self, rows: Array, slot: Array) -> Array:
        """float32[R, DAYS, WINDOW]: what was around this slot one, two, ... days ago."""
        c = self._columns
        seconds = c["slot_seconds"][rows]
        per_day = np.where(seconds > 0, DAY_SECONDS // np.maximum(seconds, 1), 24)[:, None]
        start = (slot[:, None] - per_day * self._days - REACH) % SLOTS
        ring = c.arrays["ring"]
        windows = np.lib.stride_tricks.as_strided(
            ring, (len(ring), SLOTS, WINDOW), (*ring.strides, ring.strides[-1]), writeable=False
        )
        near: Array = windows[rows[:, None], start]
        gone = (seconds == 0) | (c["slot"][rows] - slot > SLOTS - (DAYS + 1) * per_day[:, 0])
        if gone.any():
            near[gone] = np.nan
        return near

    def write(self, rows: Array, slot: Array, value: Array) -> None:
        """Puts samples into their slots, unless the ring does not reach that far back."""
        c = self._columns
        keeps = (c["slot_seconds"][rows] > 0) & (c["slot"][rows] - slot < SLOTS)
        if keeps.all():
            self._put(rows, slot, value)
        else:
            self._put(rows[keeps], slot[keeps], value[keeps])

    def _put(self, rows: Array, slot: Array, value: Array | float) -> None:
        ring, place = self._columns.arrays["ring"], slot % SLOTS
        ring[rows, place] = value
        again = np.flatnonzero(place < 2 * REACH)
        if len(again):
            mine = value[again] if isinstance(value, np.ndarray) else value
            ring[rows[again], place[again] + SLOTS] = mine

    def _clear(self, row: int, newest: int, slot: int) -> None:
        ring = self._columns.arrays["ring"][row]
        passed = np.arange(newest + 1, min(slot, newest + SLOTS + 1)) % SLOTS
        ring[passed] = np.nan
        ring[SLOTS:] = ring[: 2 * REACH]
