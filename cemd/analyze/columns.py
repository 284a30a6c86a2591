"""Struct of arrays that grows by doubling: the ground that bank, windows and indicators stand on.

Room beyond `size` is allocated but untouched, so that the operating system does not hand out memory for it. Dumped as
plain little-endian bytes: what is restored has the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cemd.model.quality import Outcome

Array: TypeAlias = NDArray[Any]
BLIND = int(Outcome.BLIND)
"""As a number: against a member of an enumeration numpy compares ten times as long, at each call."""


def number(value: float) -> Array:
    """A constant as an array without dimensions: numpy takes it quicker than a number."""
    return np.array(value, np.float32)


PAGE = 4096
COPIED = 1 << 19
"""Bytes that are copied at once."""
APART = 192
"""Bytes by which each column begins further into its page than the one before. What goes through the columns sample by
sample would else need more lines of one set of the processor's cache than it has: three times as slow."""
STEP = 1024  # rows; a column's room is a multiple of it, so that rows of a matrix of columns begin at pages too


def aligned_zeros(shape: tuple[int, ...], dtype: str) -> Array:
    """Zeros that begin at a page: vector loads cross no cache line, and a column's stores never look like another one's
    loads to the processor (equal low address bits stall it), which together is worth a factor of two."""
    size = int(np.dtype(dtype).itemsize * np.prod(shape, dtype=np.int64))
    raw = np.zeros(size + PAGE, np.uint8)  # pages come when they are written
    start = -raw.ctypes.data % PAGE
    return raw[start : start + size].view(dtype).reshape(shape)


class Field(NamedTuple):
    """One column: dtype, value of new rows, and the shape of one row's value."""

    dtype: str
    fill: float = 0
    shape: tuple[int, ...] = ()


def _together(fields: Mapping[str, Field], room: int) -> dict[str, Array]:
    """Columns side by side in one piece of memory: that is large enough for large pages, of which few are walked
    through instead of many small ones."""
    sizes = [int(np.dtype(one.dtype).itemsize * np.prod(one.shape, dtype=np.int64)) * room for one in fields.values()]
    pages = np.cumsum([0, *(-(-size // PAGE) * PAGE + PAGE for size in sizes)])
    starts = (pages + APART * np.arange(len(pages)) % PAGE).tolist()
    whole = aligned_zeros((starts[-1],), "|u1")
    return {
        name: whole[start : start + size].view(one.dtype).reshape((room, *one.shape))
        for (name, one), size, start in zip(fields.items(), sizes, starts, strict=False)
    }


class Columns:
    """Named arrays of one length. `columns[name]` is a view of the rows in use; it is stale after `add`."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self.fields = dict(fields)
        self.size = 0
        self.arrays: dict[str, Array] = {
            name: np.zeros((0, *field.shape), field.dtype) for name, field in fields.items()
        }
        self._views = dict(self.arrays)  # of the rows in use: asked for hundreds of times a tick, made anew by `add`

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __len__(self) -> int:
        return self.size

    def add(self, rows: int) -> None:
        """Appends rows that hold the fields' fill values."""
        old, new = self.size, self.size + rows
        room = len(next(iter(self.arrays.values())))
        if new > room:
            room = -(-max(2 * room, new) // STEP) * STEP
            for name, grown in _together(self.fields, room).items():
                grown[:old] = self.arrays[name][:old]
                self.arrays[name] = grown
        for name, field in self.fields.items():
            if field.fill:  # the rest is zero already: rows are never taken away
                self.arrays[name][old:new] = field.fill
        self.size = new
        self._views = {name: array[:new] for name, array in self.arrays.items()}

    def copy_rows(self, name: str, here: Array, other: Columns, there: Array) -> None:
        """Takes one column's values of rows of `other`; large columns piece by piece, for numpy lets nobody else have
        the interpreter while it copies."""
        piece = max(1, COPIED // max(1, self.arrays[name].strides[0]))
        mine, theirs = self[name], other[name]
        for first in range(0, len(here), piece):
            mine[here[first : first + piece]] = theirs[there[first : first + piece]]

    def bytes_per_row(self) -> int:
        """Memory of one row over all columns."""
        return sum(int(np.dtype(f.dtype).itemsize * np.prod(f.shape, dtype=np.int64)) for f in self.fields.values())

    def dump(self) -> dict[str, bytes]:
        return {name: self[name].tobytes() for name in self.fields}

    def load(self, size: int, dumped: Mapping[str, bytes]) -> None:
        """Replaces all rows. Columns that `dumped` lacks (an older version) hold their fill values."""
        self.size = 0
        self.arrays = {name: np.zeros((0, *field.shape), field.dtype) for name, field in self.fields.items()}
        self.add(size)
        for name, field in self.fields.items():
            if name in dumped:
                self.arrays[name][:size] = np.frombuffer(dumped[name], field.dtype).reshape((size, *field.shape))
