"""Synchronous stand-ins for what the world does to a daemon: time, chance, a disk, and death at any moment."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from cemd.errors import StoreError
from cemd.store.base import Moment, StateChange
from cemd.store.memory import MemoryState, MemoryStore


class Killed(BaseException):
    """The process died here, as by kill -9. No guard may catch it, hence no `Exception`."""


def entropy(seed: int, purpose: str) -> random.Random:
    """Chance of its own for each purpose, so that one more draw here moves nothing there."""
    digest = hashlib.blake2b(f"{seed}\x1f{purpose}".encode(), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "big"))


@dataclass(slots=True)
class FakeClock:
    """A wall clock that can be set, beside a monotonic one that cannot."""

    wall: float
    monotonic: float = 1000.0

    def advance(self, until: float) -> None:
        """Lets time pass up to a monotonic instant."""
        if until > self.monotonic:
            self.wall += until - self.monotonic
            self.monotonic = until

    def step(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.wall += seconds


@dataclass(slots=True)
class Trouble:
    """Strikes at the seams: called before, within and after every transaction, and around every send.

    `kill_in`: die at the so-many-th seam from now. `full`: the disk takes nothing, except from `spared` operations.
    """

    kept: Callable[[str], None]  # a transaction of this name is durable now
    kill_in: int | None = None
    full: bool = False
    refusals: int = 0
    struck: dict[str, int] = field(default_factory=dict)  # deaths by seam

    def __call__(self, operation: str, moment: Moment) -> None:
        if moment is Moment.AFTER:
            self.kept(operation)
        elif self.full:
            self.refusals += 1
            raise StoreError(f"{operation}: no space left on device; free some.")
        self.seam(f"{operation}.{moment}")

    def seam(self, name: str) -> None:
        """A moment at which the process may die."""
        if self.kill_in is None:
            return
        self.kill_in -= 1
        if self.kill_in < 0:
            self.kill_in = None
            self.struck[name] = self.struck.get(name, 0) + 1
            raise Killed(name)


class WatchedState(MemoryState):
    """Remembers the change under way, so that a watcher knows what was kept, and when."""

    def __init__(self, faults: Callable[[str, Moment], None]) -> None:
        super().__init__(faults)
        self.under_way: StateChange | None = None

    def commit(self, change: StateChange) -> None:
        self.under_way = change
        super().commit(change)


class WatchedStore(MemoryStore):
    """The store in memory, with a state that can be watched."""

    def __init__(self, faults: Callable[[str, Moment], None]) -> None:
        super().__init__(faults)
        self.state: WatchedState = WatchedState(faults)
