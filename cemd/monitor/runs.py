"""Runs: one that is under way, those that were let in before they are due, and how many the process can bear."""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from cemd.kit.clock import Clock
from cemd.monitor.probes.base import Attempt, Cancel, Result, completed, measure, result_of
from cemd.monitor.probes.engines.errands import Engine
from cemd.monitor.roster import Post

MOST_AT_ONCE = 20_000
_RESERVED_DESCRIPTORS = 96
_PER_RUN = 2


@dataclass(slots=True)
class Ahead:
    """Runs that were let in before they are due, earliest first."""

    slots: list[int] = field(default_factory=list)
    due: list[float] = field(default_factory=list)
    engine: Engine | None = None
    """That of all their errands, where it is one."""
    begun: int = 0
    """So many of them have begun, or are no longer to."""

    def take_back(self) -> list[tuple[int, float]]:
        """Those that have not begun, which are no longer to: (slot, due)."""
        first, self.begun = self.begun, len(self.slots)
        return list(zip(self.slots[first:], self.due[first:], strict=True))


class Keeper(Protocol):
    """Who begins runs and takes what becomes of them."""

    clock: Clock

    @property
    def log(self) -> Any: ...

    def task(self, run: Run) -> asyncio.Task[None]: ...

    def attempt(self, run: Run) -> Attempt: ...

    def over(self, run: Run, result: Result) -> None: ...

    def given_up(self, run: Run) -> None: ...


class Run:
    """One run of one probe, from its start to its result."""

    __slots__ = ("_cancel", "_keeper", "at", "began", "post", "slot")

    def __init__(self, keeper: Keeper, slot: int, post: Post, at: float, began: float) -> None:
        self._keeper, self.slot, self.post, self.at, self.began = keeper, slot, post, at, began
        self._cancel: Cancel | None = None

    def begin(self) -> None:
        launch = self.post.launch
        if launch is not None:
            try:
                self._cancel = launch(self.began + self.post.timeout, self.done)
            except Exception as exc:  # noqa: BLE001 -- as in `measure`: a kind's fault must not read as the target's
                self.done(result_of(exc, self.post.kind, self.post.probe.identity(), self._keeper.log))
                return
            if self._cancel is not None:
                return
        task = self._keeper.task(self)
        self._cancel = partial(_cancel_task, task)

    def done(self, result: Result) -> None:
        self._keeper.over(self, completed(result, result.seconds or self._keeper.clock.monotonic() - self.began))

    async def measured(self) -> None:
        try:
            self._keeper.over(self, await measure(self.post.kind, self._keeper.attempt(self)))
        finally:
            self._keeper.given_up(self)

    def cancel(self) -> None:
        if self._cancel is not None:
            self._cancel()
        self._keeper.given_up(self)


def _cancel_task(task: asyncio.Task[None]) -> None:
    task.cancel()


def affordable_runs() -> int:
    """Runs at once that the process has descriptors for; takes as many descriptors as the system lets it have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass  # a container may refuse; then what there is must do
    return max(4, min(MOST_AT_ONCE, (soft - _RESERVED_DESCRIPTORS) // _PER_RUN))
