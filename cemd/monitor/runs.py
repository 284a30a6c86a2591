"""Runs under way: begun as their kinds allow, and what becomes of each: delivered, and its place in the schedule freed.

There are three ways to run. An *errand* is begun together with others by an engine, which hands good answers on as
columns; a kind that can `launch` measures without a task; every other one has a task of its own. A fault of one kind
stays with its probe.
"""

from __future__ import annotations

import asyncio
import resource
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from cemd.kit.clock import Clock
from cemd.model.quality import Outcome
from cemd.monitor.lineup import Lineup
from cemd.monitor.probes.attempts import completed, measure, result_of
from cemd.monitor.probes.base import Attempt, Cancel, Result
from cemd.monitor.probes.engines.errands import AnyErrand, Engine, Landed
from cemd.monitor.roster import Deliver, DeliverGood, Post
from cemd.monitor.schedule import Schedule

HUNG_SHARE = 0.5
"""A run that failed after this share of its timeout hung, and gets one of the few places for such next time."""
MOST_AT_ONCE = 20_000
_RESERVED_DESCRIPTORS = 96
_OK = Outcome.OK
"""Looked up once: to find a member of an enumeration costs as much as a call."""
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


class Run:
    """One run of one probe that is no errand, from its start to its result."""

    __slots__ = ("at", "began", "cancel", "measured", "post", "slot")

    def __init__(self, slot: int, post: Post, at: float, began: float) -> None:
        self.slot, self.post, self.at, self.began = slot, post, at, began
        self.cancel: Cancel | None = None
        self.measured = False
        """Whether its result is complete when it comes."""


class Poked(Protocol):
    """Whoever asks the schedule."""

    def poke(self) -> None:
        """A place is free that somebody waits for: the schedule is worth a look."""


class Runs:
    """`engines` run errands, by name; each tells here what became of them."""

    def __init__(
        self,
        lineup: Lineup,
        schedule: Schedule,
        clock: Clock,
        log: Any,
        *,
        deliver: Deliver,
        deliver_good: DeliverGood,
        engines: Mapping[str, Engine],
        poked: Poked,
    ) -> None:
        self._lineup, self._schedule, self._clock, self._log = lineup, schedule, clock, log
        self._deliver, self._deliver_good = deliver, deliver_good
        self._engines = engines
        self._poked = poked
        self._live: dict[int, Run] = {}
        self.tasks: asyncio.TaskGroup | None = None
        """Where kinds run that need a task."""
        self.latest_start = 0.0
        """How late the latest start since somebody set this to 0 was."""
        for engine in engines.values():
            engine.landing = self

    def begin(self, slots: Sequence[int], planned: Sequence[float], now: float, wall_offset: float) -> None:
        """Begins runs, in their order; errands leave together, after the others. `planned` is when each should begin,
        earliest first as a rule, `now` when that was decided, `wall_offset` the wall clock minus it."""
        at_once = self._lineup.errands
        batches: dict[str, tuple[list[AnyErrand], list[int]]] = {}
        others: list[tuple[int, float]] = []
        for entry in zip(slots, planned, strict=True):
            errand = at_once[entry[0]]
            if errand is None:
                others.append(entry)
            else:
                batch = batches.get(errand.by)
                if batch is None:
                    batch = batches[errand.by] = ([], [])
                batch[0].append(errand)
                batch[1].append(entry[0])
        if others:
            self._begin_each(others, wall_offset)
        if batches:
            self.latest_start = max(self.latest_start, now - planned[0], now - planned[-1])
        for by, (errands, together) in batches.items():
            self._engines[by].begin(errands, together, now, now + wall_offset)

    def begin_at(self, engine: Engine, slots: Sequence[int], due: float, now: float, wall_offset: float) -> None:
        """The same for errands of one engine, of which the first is due at `due`."""
        self.latest_start = max(self.latest_start, now - due)
        engine.begin(list(map(self._lineup.errands.__getitem__, slots)), slots, now, now + wall_offset)

    def _begin_each(self, due: Sequence[tuple[int, float]], wall_offset: float) -> None:
        """Begins what is no errand; each has its own beginning, for those before it took their time."""
        live, posts, monotonic = self._live, self._lineup.posts, self._clock.monotonic
        for slot, planned in due:
            post = posts[slot]
            if post is None:
                raise AssertionError(f"slot {slot} is due and has no probe.")
            began = monotonic()
            if began - planned > self.latest_start:
                self.latest_start = began - planned
            run = live[slot] = Run(slot, post, began + wall_offset, began)
            launch = post.launch
            if launch is not None:
                try:
                    run.cancel = launch(began + post.timeout, partial(self._done, run))
                except Exception as exc:  # noqa: BLE001 -- as in `measure`: a kind's fault must not read as the target's
                    self._done(run, result_of(exc, post.kind, post.probe.identity(), self._log))
                    continue
                if run.cancel is not None:
                    continue
            self._run_in_a_task(run)

    def _run_in_a_task(self, run: Run) -> None:
        assert self.tasks is not None  # noqa: S101 -- runs begin only while the runner is at work
        task = self.tasks.create_task(self._measured(run), name=f"probe:{run.post.probe.name}")
        run.cancel = partial(_cancel_task, task)

    async def _measured(self, run: Run) -> None:
        probe, deadline = run.post.probe.identity(), run.began + run.post.timeout
        attempt = Attempt(probe=probe, deadline=deadline, run=f"cemd-{secrets.token_hex(8)}", log=self._log)
        try:
            result = await measure(run.post.kind, attempt)
            run.measured = True
            self._done(run, result)
        finally:
            self._given_up(run)

    # What becomes of them.

    def landed(self, landed: Landed) -> None:
        """Takes errands that ended well."""
        self._deliver_good(landed)
        if self._schedule.finished_well(landed.slots, self._clock.monotonic()):
            self._poked.poke()

    def ended(self, slot: int, errand: AnyErrand, at: float, seconds: float, result: Result) -> None:
        """Takes the result of an errand that ended otherwise, or alone."""
        whole = completed(result, result.seconds or seconds)
        self._deliver(errand.owner, at, whole)
        if whole.outcome is not _OK:
            self._failed(slot, errand.timeout, whole)
        elif self._schedule.finished(slot, self._clock.monotonic(), failed=False):
            self._poked.poke()

    def _done(self, run: Run, result: Result) -> None:
        """Takes the result of a run that is no errand; one whose kind was measured by `measure` is complete already."""
        slot = run.slot
        if self._live.pop(slot, None) is not run:
            return
        if not run.measured:
            result = completed(result, result.seconds or self._clock.monotonic() - run.began)
        self._deliver(run.post, run.at, result)
        if result.outcome is not _OK:
            self._failed(slot, run.post.timeout, result)
        elif self._schedule.finished(slot, self._clock.monotonic(), failed=False):
            self._poked.poke()

    def _failed(self, slot: int, timeout: float, result: Result) -> None:
        """The place of a run that did not end well is free; it is looked at again soon."""
        failed = result.outcome is not Outcome.BLIND
        hung = result.seconds > HUNG_SHARE * timeout
        self._schedule.finished(slot, self._clock.monotonic(), failed=failed, hung=hung)
        self._poked.poke()

    # The end.

    def give_up(self) -> None:
        """Gives up all that runs; nobody is told."""
        for run in list(self._live.values()):
            if run.cancel is not None:
                run.cancel()
            self._given_up(run)
        for engine in self._engines.values():
            for slot in engine.give_up():
                self._schedule.finished(slot, self._clock.monotonic(), failed=False)

    def _given_up(self, run: Run) -> None:
        if self._live.pop(run.slot, None) is run:
            self._schedule.finished(run.slot, self._clock.monotonic(), failed=False)


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
