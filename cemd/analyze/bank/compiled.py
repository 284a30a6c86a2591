"""The kernel with `loops` as machine code, where numba is installed (`cemd[compiled]`): the same bits in less time.

Many series that follow each other numpy does faster, in `passes`; few, and those that lie apart, which is what comes of
a real prober, the loops do. Either may take over from the other at any sample, and reads what the other saved.

Compiling takes seconds, so a daemon never waits for it: a child (`python -m cemd.analyze.bank.compiled FOLDER`) does it
once, and from the next start on what it made is loaded, which takes some tenths of a second. The folder's name says
what it was made of. Where machine code is not allowed (`MemoryDenyWriteExecute` of systemd) numba refuses to be
imported, and numpy does everything.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cemd.analyze.bank import loops
from cemd.analyze.bank.bank import Bank
from cemd.analyze.bank.kernel import BLOCK, Beyond, Looked, Lot, Rows, Zeros, span_of
from cemd.analyze.bank.loops import Held, Room, Waiting
from cemd.analyze.bank.passes import Passes
from cemd.analyze.columns import Array
from cemd.config.rules import Detector

NEIGHBOURS = 2048
"""So many series that follow each other are done by numpy: from there on its rows are quicker than a loop."""
MADE = "made"
"""File in the folder of what was compiled: it is complete."""


class Code(NamedTuple):
    """`loops.look` and `loops.learn`, compiled or as they are."""

    look: Callable[..., Any]
    learn: Callable[..., Any]


PLAIN = Code(loops.look, loops.learn)


class _Apart(Lot):
    """Samples of series that lie apart, as `loops.look` left them."""

    __slots__ = ("learn_samples", "of")

    def __init__(self, of: Compiled, rows: Rows, learn_samples: float) -> None:
        size = len(rows)
        super().__init__(of.columns, rows, span_of(rows), of.room.gap[:size], of.room.x[:size])
        self.at = of.room.at[:size]
        self.of, self.learn_samples = of, np.float32(learn_samples)

    def learn(self, beyond: Beyond) -> None:
        waiting = Waiting(*(getattr(beyond, name) for name in Waiting._fields))
        size, youngest = self.of.code.learn(
            self.of.held, self.of.room, len(self.rows), waiting, beyond.size, self.learn_samples
        )
        beyond.size, beyond.youngest = size, min(beyond.youngest, youngest)


class Compiled(Passes):
    """`Passes`, but for series that lie apart, and for few of them."""

    def __init__(self, code: Code, *, neighbours: int = NEIGHBOURS) -> None:
        super().__init__()
        self.code, self._neighbours = code, neighbours
        whole, single = np.zeros((3, BLOCK), np.intp), np.zeros((3, BLOCK), np.float32)
        self.room = Room(
            rows=whole[0],
            at=np.zeros(BLOCK),
            gap=single[0],
            x=single[1],
            binary=whole[1],
            zeros=whole[2],
            before=single[2],
        )

    def fix(self, columns: Mapping[str, Array]) -> None:
        super().fix(columns)
        self.columns = columns
        self.held = Held(*(columns[name] for name in Held._fields))

    def look(self, rows: Rows, at: Array, value: Array, outcome: Array, learn_samples: float) -> Looked:
        if len(rows) >= self._neighbours and isinstance(span_of(rows), slice) and not self._any_binary(rows):
            return super().look(rows, at, value, outcome, learn_samples)
        numbers, binary, zeros, ends, due = self.code.look(
            self.held,
            _plain(rows, np.intp),
            _plain(at, np.float64),
            _plain(value, np.float64),
            _plain(outcome, np.uint8),
            self.room,
        )
        self.altered()  # intervals may be others now
        lot = None
        if numbers:
            # a copy: they wait to be judged while other blocks come
            lot = _Apart(self, rows if numbers == len(rows) else self.room.rows[:numbers].copy(), learn_samples)
            lot.hour_ends, lot.season_due = ends, due
        found = Zeros(self.room.zeros[:zeros], self.room.before[:zeros], 0.0) if zeros else None
        return Looked(lot, self.room.binary[:binary], found)


def _plain(array: Array, dtype: Any) -> Array:
    """Of the one kind that was compiled for."""
    return np.require(array, dtype, ("C", "A", "W"))


def machine_code(folder: Path | None) -> Code:
    """Compiles, or loads what was compiled; after it nothing else is ever compiled.

    Args:
        folder: Where machine code is kept; None: it is not.

    Raises:
        ImportError: numba is not installed, or does not go with this numpy.
        OSError: no machine code may be made here, or nothing written there.
    """
    import numba

    if folder is not None:
        numba.config.CACHE_DIR = str(folder)
    code = Code(*(numba.njit(cache=folder is not None)(one) for one in PLAIN))
    bank, rows = Bank(), np.arange(64)
    bank.use(Compiled(code))
    bank.add(rows % 2 == 0)
    for _ in range(2):
        bank.observe(rows, np.zeros(64), np.ones(64), np.zeros(64, np.uint8), Detector())
    for one in (code.look, code.learn):
        one.disable_compile()  # type: ignore[attr-defined]  # numba's
    return code


def made_of() -> str:
    """Name for machine code of these sources; numba itself looks at one of them alone, and constants come from all."""
    said = hashlib.sha256(f"{sys.version} {np.__version__} {version('numba')}".encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        said.update(file.read_bytes())
    return said.hexdigest()[:16]


def wanted() -> bool:
    """Whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


def is_made(folder: Path) -> bool:
    """Whether machine code of these sources lies there; numba must be installed."""
    return (folder / made_of() / MADE).exists()


def find(folder: Path) -> Compiled | None:
    """The kernel with machine code; None where numba is not installed or has not yet made any.

    Raises:
        ImportError, OSError: as `machine_code`.
    """
    return Compiled(machine_code(folder / made_of())) if wanted() and is_made(folder) else None


def make(folder: Path) -> None:
    """Leaves machine code for `find`, and nothing older."""
    if is_made(folder):
        return
    mine = folder / made_of()
    shutil.rmtree(folder, ignore_errors=True)
    mine.mkdir(parents=True, mode=0o700)
    machine_code(mine)
    (mine / MADE).touch()


if __name__ == "__main__":
    from cemd.kit.parent import end_with_parent

    os.nice(10)
    end_with_parent()
    make(Path(sys.argv[1]))
