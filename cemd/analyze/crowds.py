"""How many try, behind a pushed share of success: what share is usual, and how many attempts one sample is worth.

A share of n attempts of which f fail wanders with the variance f (1 - f) / n, so how it wanders says n. Samples are
taken in blocks: within each, the variance comes from the steps between neighbours, which a slow change does not touch;
over the last blocks (a day at one sample a minute) the median is taken, which outages in less than half of them do not
move.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array, Columns, Field
from cemd.analyze.detectors.deep import rounds

BLOCK = 30
"""Samples of a block."""
BLOCKS = 48
"""That many are remembered."""
FIELDS = {
    "samples": Field("<i8"),  # of the block under way
    "sum": Field("<f8"),
    "steps": Field("<f8"),  # squared, summed
    "last": Field("<f8"),
    "blocks": Field("<i8"),  # ever full
    "share": Field("<f8", np.nan, (BLOCKS,)),
    "worth": Field("<f8", np.nan, (BLOCKS,)),
}
NOT_SERVED = -1


class Crowds:
    """State of the shares that are served, by row of the table of series."""

    def __init__(self) -> None:
        self.columns = Columns(FIELDS)
        self._number: NDArray[np.int32] = np.zeros(0, np.int32)

    def serve(self, rows: Array, table_size: int) -> None:
        """From now on these rows, of a table of `table_size`, are learnt as well; what is served stays."""
        grown = np.full(table_size, NOT_SERVED, np.int32)
        grown[: len(self._number)] = self._number
        self._number = grown
        fresh = np.unique(rows)
        fresh = fresh[self._number[fresh] < 0]
        self._number[fresh] = len(self.columns) + np.arange(len(fresh), dtype=np.int32)
        self.columns.add(len(fresh))

    def observe(self, rows: Array, value: Array) -> None:
        """Takes samples in the order in which they came; values are finite."""
        number = self._number[rows].astype(np.intp)
        mine = number >= 0
        if mine.any():
            number, share = number[mine], np.clip(value[mine], 0.0, 1.0)
            for turn in rounds(number):
                self._take(number[turn], share[turn])

    def usual(self, row: int) -> tuple[float, float] | None:
        """(share that succeeds as a rule, attempts behind one sample, at least 1); None: not known long enough."""
        number = int(self._number[row]) if row < len(self._number) else NOT_SERVED
        if number < 0 or not self.columns["blocks"][number]:
            return None
        worth = self.columns["worth"][number]
        known = worth[~np.isnan(worth)]  # a block in which nothing failed says nothing
        attempts = float(np.median(known)) if len(known) else 1.0
        return float(np.nanmedian(self.columns["share"][number])), max(1.0, attempts)

    def _take(self, number: NDArray[np.intp], share: Array) -> None:
        """One sample of each."""
        c = self.columns
        step = np.where(c["samples"][number] > 0, share - c["last"][number], 0.0)
        c["samples"][number] += 1
        c["sum"][number] += share
        c["steps"][number] += np.square(step)
        c["last"][number] = share
        full = number[c["samples"][number] == BLOCK]
        if not len(full):
            return
        usual, variance = c["sum"][full] / BLOCK, c["steps"][full] / (2.0 * (BLOCK - 1))
        place = c["blocks"][full] % BLOCKS
        wanders = (variance > 0) & (usual < 1.0)
        c["share"][full, place] = usual
        c["worth"][full, place] = np.where(wanders, usual * (1.0 - usual) / np.where(wanders, variance, 1.0), np.nan)
        c["blocks"][full] += 1
        for name in ("samples", "sum", "steps"):
            c[name][full] = 0

    def dump(self) -> dict[str, bytes]:
        size = len(self.columns).to_bytes(8, "little")
        return {"number": self._number.tobytes(), "size": size, **self.columns.dump()}

    def load(self, dumped: Mapping[str, bytes]) -> None:
        self._number = np.frombuffer(dumped["number"], np.int32).copy()
        self.columns.load(int.from_bytes(dumped["size"], "little"), dumped)
