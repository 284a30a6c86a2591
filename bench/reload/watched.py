"""Runs a command of cemd in this process and writes down what held it: turns of its event loop, and of the core.

Run: python -m bench.reload.watched FILE run|agent ARGUMENTS; FILE gets the columns (.npz) when the command ends.

A timer of the loop fires every few milliseconds and notes how late it is, once as it is and once without the time for
which the kernel let the loop's thread wait for a processor. What one turn of the loop takes of processor time is noted
beside it: that is the loop's own doing, while lateness holds what other threads did with the interpreter as well.
"""

from __future__ import annotations

import asyncio
import gc
import os
import selectors
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from cemd.cli import main as cemd
from cemd.loop.sequencer import Sequencer

BEAT_SECONDS = 0.004
WORTH_SECONDS = 0.001
"""Shorter holds are not written down."""


class Book:
    """Rows of (wall clock, seconds, seconds of another kind) by what they are of."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[float, float, float]]] = {"late": [], "turn": [], "core": [], "gc": []}

    def note(self, what: str, seconds: float, other: float) -> None:
        if seconds > WORTH_SECONDS:
            self.rows[what].append((time.time(), seconds, other))

    def write(self, file: str) -> None:
        columns = {what: np.array(rows, dtype=np.float64).reshape(-1, 3) for what, rows in self.rows.items()}
        np.savez(file, **columns)  # type: ignore[arg-type]  # the stubs take the names for options


class WatchedLoop(asyncio.SelectorEventLoop):
    """A loop that notes how late its own timer is."""

    def __init__(self, book: Book) -> None:
        super().__init__(_Selector(book))
        self._book = book
        self._waited = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
        self._planned, self._queued = 0.0, 0.0
        self._beat_again()

    def _beat_again(self) -> None:
        self._planned, self._queued = self.time() + BEAT_SECONDS, self._queued_seconds()
        self.call_at(self._planned, self._beat)

    def _beat(self) -> None:
        late = self.time() - self._planned
        self._book.note("late", late, max(0.0, late - (self._queued_seconds() - self._queued)))
        self._beat_again()

    def _queued_seconds(self) -> float:
        return int(os.pread(self._waited, 100, 0).split()[1]) / 1e9


class _Selector(selectors.DefaultSelector):
    """Notes what lies between two looks at the sockets: a turn, in wall-clock and processor time."""

    def __init__(self, book: Book) -> None:
        super().__init__()
        self._book = book
        self._began, self._cpu = time.perf_counter(), time.thread_time()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._book.note("turn", time.perf_counter() - self._began, time.thread_time() - self._cpu)
        found = super().select(timeout)
        self._began, self._cpu = time.perf_counter(), time.thread_time()
        return found


class _Policy(asyncio.DefaultEventLoopPolicy):
    def __init__(self, book: Book) -> None:
        super().__init__()
        self._book = book

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return WatchedLoop(self._book)


def watch_collector(book: Book) -> None:
    """Notes how long each look of the collector of circles takes: nobody else has the interpreter meanwhile."""
    began = 0.0

    def noted(phase: str, told: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter()
        else:
            book.note("gc", time.perf_counter() - began, told["generation"])

    gc.callbacks.append(noted)


def watch_core(book: Book) -> None:
    """Notes what each group of entries takes of the core's thread."""
    process = Sequencer._process  # noqa: SLF001 -- the one place where all turns of the core pass

    def noted(self: Sequencer, group: list[Any]) -> bool:
        began, cpu = time.perf_counter(), time.thread_time()
        good = process(self, group)
        book.note("core", time.perf_counter() - began, time.thread_time() - cpu)
        return good

    Sequencer._process = noted  # type: ignore[method-assign]  # noqa: SLF001


def main(arguments: Sequence[str]) -> None:
    """Runs the command; the book is written however it ends."""
    file, *command = arguments
    book = Book()
    watch_core(book)
    watch_collector(book)
    asyncio.set_event_loop_policy(_Policy(book))
    sys.argv = ["cemd", *command]
    try:
        cemd()
    finally:
        book.write(file)


if __name__ == "__main__":
    main(sys.argv[1:])
