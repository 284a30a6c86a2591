"""The runner: begins what the schedule says, hands results on, and keeps the schedule turning.

One timer of the loop serves all probes; it fires when the next one is due. A kind that can `launch` measures without a
task of its own, every other one in a task of the runner's group. A fault in the turning itself is a bug and ends the
prober, which is started anew; a fault of one kind stays with its probe.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import secrets
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, TypeAlias

from cemd.kit.clock import Clock
from cemd.model.quality import Outcome
from cemd.monitor.pressure import Pressure
from cemd.monitor.probes.base import Attempt, Cancel, Reason, Result, completed, measure, result_of
from cemd.monitor.probes.engines.errands import AnyErrand, Engine, Landed
from cemd.monitor.roster import Deliver, DeliverGood, Post, one_by_one, plan_of
from cemd.monitor.schedule import Schedule, Skip

NotRun: TypeAlias = Callable[[Post, float, Reason], None]
LONGEST_REST_SECONDS = 1.0
"""The schedule is looked at so often even where nothing is due: for waiting runs, the watchdog, and the pressure."""
ROUNDING_SECONDS = 0.0013
LAG_SECONDS = 0.0002
"""A run may begin so much before its time, or about as much after it: the loop, which rounds timers up to whole
milliseconds, wakes once for all that is due around a moment, and a third of the wakes are needed."""
AHEAD_SECONDS = 0.02
"""Where much is due within so long, the schedule is asked once for all of it: a turn finds the processor's caches cold,
and whatever it does to one run costs several times as much as what is done to many."""
STUCK_SECONDS = 0.05
"""A loop that is so late offers anew what was let in ahead: some of it may be too late by now."""
BEHIND_SECONDS = 1.0
"""A loop that is so late does not keep up, be it that others have the processor: it must give up some runs in order,
before they are too late without one."""
HUNG_SHARE = 0.5
"""A run that failed after this share of its timeout hung, and gets one of the few places for such next time."""
MOST_AT_ONCE = 20_000
_RESERVED_DESCRIPTORS = 96
_PER_RUN = 2


class Runner:
    """Made inside the running loop. `alive` is called at most once a second while the schedule turns; `busy_seconds` is
    the processor time that the loop's thread has had."""

    def __init__(
        self,
        deliver: Deliver,
        not_run: NotRun,
        clock: Clock,
        log: Any,
        *,
        alive: Callable[[], None],
        busy_seconds: Callable[[], float] = time.thread_time,
        deliver_good: DeliverGood | None = None,
        engines: Mapping[str, Engine] | None = None,
    ) -> None:
        self._deliver = deliver
        self._deliver_good = deliver_good or one_by_one(deliver)
        self._not_run = not_run
        self._engines = engines or {}
        """Where errands go, by name; a kind whose engine is not among them is launched or run."""
        for engine in self._engines.values():
            engine.landing = self
        self._busy_seconds = busy_seconds
        self.clock = clock
        self._log = log
        self._alive = alive
        self._loop = asyncio.get_running_loop()
        self._schedule = Schedule(wall_offset=clock.now() - clock.monotonic(), most_at_once=affordable_runs())
        self._posts: list[Post | None] = []
        self._errands: list[AnyErrand | None] = []
        """Those that may always be sent; beside the posts, which the quickest way need not touch."""
        self._live: dict[int, _Run] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        self._broken: asyncio.Future[Any] = self._loop.create_future()
        self._pressure = Pressure()
        self._shedding = False
        self._observed_at, self._observed_cpu = clock.monotonic(), self._busy_seconds()
        self._wall_offset = 0.0
        """Wall clock minus monotonic time, taken anew at each turn."""
        self._latest_start = 0.0
        self._ahead = _Ahead()
        self._due_at = -inf
        """When the schedule is next to be asked; `-inf`: at each turn."""
        self._armed_for, self._lag = inf, 0.0
        """When the next turn is wanted, and how late the latest since the last observation came."""
        self._not_active = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Keeps the schedule until `stopping`; then gives up what runs."""
        stop: asyncio.Future[Any] = asyncio.create_task(stopping.wait(), name="stop")
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._turn()
                await asyncio.wait({stop, self._broken}, return_when=asyncio.FIRST_COMPLETED)
                for run in list(self._live.values()):
                    run.cancel()
                self._give_up_errands()
                if self._broken.done():
                    self._broken.result()
        finally:
            stop.cancel()
            self._tasks = None
            for handle in (self._timer, self._soon):
                if handle is not None:
                    handle.cancel()

    def take(self, posts: Sequence[Post], *, kind_at_once: int) -> None:
        """Puts a whole set to work."""
        self._return_unbegun(self.clock.monotonic())
        slots = self._schedule.load(
            map(plan_of, posts), self.clock.monotonic(), kind_at_once=kind_at_once, expected=len(posts)
        )
        self._posts = [None] * (max(slots, default=-1) + 1)
        self._errands = [None] * len(self._posts)
        for slot, post in zip(slots, posts, strict=True):
            self._posts[slot] = post
            if post.always and post.errand is not None and post.errand.by in self._engines:
                self._errands[slot] = post.errand
        gc.unfreeze()  # what left the set may go
        gc.freeze()  # a look through fifty thousand posts would hold the loop for a tenth of a second, again and again
        self._observed_at, self._observed_cpu = self.clock.monotonic(), self._busy_seconds()
        self._poke()

    def recheck(self, uid: str) -> None:
        """Runs a probe at once, where there is such a one."""
        self._schedule.recheck(uid, self.clock.monotonic())
        self._poke()

    def counters(self) -> dict[str, float]:
        """Totals since the prober began, and how late the latest start since the last call was."""
        counters = {f"skipped_{why}": float(count) for why, count in self._schedule.skipped_total.items()}
        counters["latest_start_seconds"], self._latest_start = self._latest_start, 0.0
        counters["running"] = float(self._schedule.running())
        counters["shed_runs"] = float(self._pressure.shed_total)
        counters["shed_moments_of_truth"] = float(self._pressure.shed_important_total)
        counters["not_active_runs"] = float(self._not_active)
        if self._pressure.cap_per_second < inf:
            counters["cap_runs_per_second"] = self._pressure.cap_per_second
        return counters

    # Turning.

    def _poke(self) -> None:
        """Has the schedule looked at on the next turn of the loop."""
        if self._soon is None and self._tasks is not None:
            self._soon = self._loop.call_soon(self._turn)

    def _wake(self) -> None:
        self._timer = None
        self._turn()

    def _turn(self) -> None:
        """What was let in ahead begins when it is due; the schedule is asked when more is, or somebody wants so."""
        try:
            now = self.clock.monotonic()
            lag = now - self._armed_for
            if lag > self._lag:
                self._lag = lag
            if now - self._observed_at >= LONGEST_REST_SECONDS:
                self._observe(now)
            self._wall_offset = self.clock.now() - self.clock.monotonic()
            if lag > STUCK_SECONDS:
                self._return_unbegun(now)
            ahead_at = self._begin_ahead(now)
            if self._soon is not None or self._due_at <= now + ROUNDING_SECONDS:
                self._soon = None
                self._begin_due(now, until=now + AHEAD_SECONDS if ahead_at == inf else -inf)
                ahead_at = self._begin_ahead(now)
            self._arm(now, ahead_at)
        except BaseException as exc:
            if self._broken.done():
                raise
            self._broken.set_exception(exc)

    def _begin_ahead(self, now: float) -> float:
        """Begins what was let in ahead and is due; answers when the next of it is, `inf` where there is none."""
        ahead = self._ahead
        first, ahead.begun = ahead.begun, bisect_right(ahead.due, now + ROUNDING_SECONDS, ahead.begun)
        if ahead.begun > first:
            piece = slice(first, ahead.begun)
            if ahead.engine is None or self._shedding:
                self._begin_all(ahead.slots[piece], ahead.due[piece], now)
            else:
                self._latest_start = max(self._latest_start, now - ahead.due[first])
                ahead.engine.begin(ahead.errands[piece], ahead.slots[piece], now, now + self._wall_offset)
        return ahead.due[ahead.begun] if ahead.begun < len(ahead.due) else inf

    def _let_in_ahead(self, slots: list[int], due: list[float]) -> None:
        """Keeps what is to begin later; mostly all of it is of one engine, which needs no look at each then."""
        errands = [self._errands[slot] for slot in slots]
        engines = {None if errand is None else errand.by for errand in errands}
        one = engines.pop() if len(engines) == 1 else None
        self._ahead = _Ahead(slots, due, errands, None if one is None else self._engines[one])

    def _return_unbegun(self, now: float) -> None:
        """What was let in ahead and has not begun is offered anew."""
        self._schedule.return_unbegun(self._ahead.take_back(), now)
        self._due_at = -inf

    def _begin_due(self, now: float, *, until: float) -> None:
        """A whole turn of the schedule. `until`: light runs are let in ahead if they are due before."""
        crowded = self._schedule.crowded()
        for engine in self._engines.values():
            if crowded:
                engine.collect()
            else:
                engine.glance()
        turn = self._schedule.turn(now + ROUNDING_SECONDS, until=until)
        if turn.ahead:
            self._let_in_ahead(turn.ahead, turn.due)
        if not self._shedding:
            self._pressure.begun(len(turn.slots) + len(turn.ahead))
        if turn.slots:
            self._begin_all(turn.slots, turn.planned, now)
        for slot, why in turn.skipped:
            if why is not Skip.STILL_RUNNING and (post := self._posts[slot]) is not None:
                self._not_run(post, self.clock.now(), Reason.PROBER_BUSY)
        next_at = self._schedule.next_at()
        self._due_at = -inf if self._schedule.crowded() else inf if next_at is None else next_at

    def _arm(self, now: float, ahead_at: float) -> None:
        """One timer, for whatever is due first."""
        due_at = self._due_at
        if due_at == -inf:
            due_at = self._schedule.next_at() or inf
        self._armed_for = at = min(min(due_at, ahead_at) + LAG_SECONDS, now + LONGEST_REST_SECONDS)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(0.0, at - self.clock.monotonic()), self._wake)

    def _observe(self, now: float) -> None:
        cpu, wall = self._busy_seconds(), now - self._observed_at
        behind = self._lag > BEHIND_SECONDS
        shedding = self._pressure.observe(cpu - self._observed_cpu, wall, behind=behind)
        self._observed_at, self._observed_cpu, self._lag = now, cpu, 0.0
        if shedding is not self._shedding:
            self._shedding = shedding
            cap = self._pressure.cap_per_second
            known = {"cap_runs_per_second": round(cap)} if cap < inf else {}
            remedy = "find out who else has this host's processor" if behind else "fewer probes, or more agents"
            if shedding:
                self._log.warning("prober.sheds_runs", remedy=remedy, **known)
            else:
                self._log.info("prober.sheds_no_more", shed_runs=self._pressure.shed_total)
        self._alive()

    # Runs.

    def _begin_all(self, slots: Sequence[int], planned: Sequence[float], now: float) -> None:
        """Begins what is due; errands leave together, in their order."""
        wall = now + self._wall_offset
        at_once = self._errands
        batches: dict[str, tuple[list[AnyErrand], list[int]]] = {}
        for slot, due in zip(slots, planned, strict=True):
            errand = at_once[slot]
            if errand is None:
                self._begin(slot, due)
            elif not self._shedding or not self._leaves_out(slot, errand.owner, wall):
                batch = batches.get(errand.by)
                if batch is None:
                    batch = batches[errand.by] = ([], [])
                batch[0].append(errand)
                batch[1].append(slot)
        for by, (errands, together) in batches.items():
            self._latest_start = max(self._latest_start, now - planned[0], now - planned[-1])
            self._engines[by].begin(errands, together, now, wall)

    def _begin(self, slot: int, planned: float) -> None:
        post = self._posts[slot]
        if post is None:
            raise AssertionError(f"slot {slot} is due and has no probe.")
        now = self.clock.monotonic()
        wall = now + self._wall_offset
        if now - planned > self._latest_start:
            self._latest_start = now - planned
        if (self._shedding or not post.always) and self._leaves_out(slot, post, wall):
            return
        run = self._live[slot] = _Run(self, slot, post, wall, now)
        run.begin()

    def _leaves_out(self, slot: int, post: Post, wall: float) -> bool:
        """Whether a run that is due is not begun; then that is told."""
        why = self._not_now(post, wall)
        if why is not None:
            self._schedule.finished(slot, self.clock.monotonic(), failed=False)
            self._not_run(post, wall, why)
        return why is not None

    def _not_now(self, post: Post, wall: float) -> Reason | None:
        if post.probe.active is not None and not post.probe.active.holds(wall):
            self._not_active += 1
            return Reason.NOT_ACTIVE
        if self._shedding and self._pressure.sheds(important=post.probe.moment_of_truth):
            return Reason.SHED
        return None

    def task(self, run: _Run) -> asyncio.Task[None]:
        """A task for a run whose kind needs one."""
        assert self._tasks is not None  # noqa: S101 -- runs begin only while `run` is at work
        return self._tasks.create_task(run.measured(), name=f"probe:{run.post.probe.name}")

    def landed(self, landed: Landed) -> None:
        """Takes errands that ended well."""
        self._deliver_good(landed)
        if self._schedule.finished_well(landed.slots, self.clock.monotonic()):
            self._poke()

    def ended(self, slot: int, errand: AnyErrand, at: float, seconds: float, result: Result) -> None:
        """Takes the result of an errand that ended otherwise, or alone."""
        whole = completed(result, result.seconds or seconds)
        self._deliver(errand.owner, at, whole)
        self._free(slot, errand.timeout, whole)

    def over(self, run: _Run, result: Result) -> None:
        """Takes the complete result of a run."""
        slot = run.slot
        if self._live.pop(slot, None) is not run:
            return
        self._deliver(run.post, run.at, result)
        self._free(slot, run.post.timeout, result)

    def _free(self, slot: int, timeout: float, result: Result) -> None:
        """The place of a run that is over is free; one that did not end well is looked at again soon."""
        now = self.clock.monotonic()
        if result.outcome is Outcome.OK:
            if self._schedule.finished(slot, now, failed=False):
                self._poke()
            return
        failed = result.outcome is not Outcome.BLIND
        self._schedule.finished(slot, now, failed=failed, hung=result.seconds > HUNG_SHARE * timeout)
        self._poke()

    def given_up(self, run: _Run) -> None:
        """A run was cancelled: at the end of the prober only."""
        if self._live.pop(run.slot, None) is run:
            self._schedule.finished(run.slot, self.clock.monotonic(), failed=False)

    def _give_up_errands(self) -> None:
        for slot, _ in self._ahead.take_back():
            self._schedule.finished(slot, self.clock.monotonic(), failed=False)
        for engine in self._engines.values():
            for slot in engine.give_up():
                self._schedule.finished(slot, self.clock.monotonic(), failed=False)

    def attempt(self, run: _Run) -> Attempt:
        """What a kind is told that measures in a task."""
        deadline = run.began + run.post.timeout
        return Attempt(
            probe=run.post.probe.identity(), deadline=deadline, run=f"cemd-{secrets.token_hex(8)}", log=self._log
        )

    @property
    def log(self) -> Any:
        return self._log


@dataclass(slots=True)
class _Ahead:
    """Runs that were let in before they are due, earliest first."""

    slots: list[int] = field(default_factory=list)
    due: list[float] = field(default_factory=list)
    errands: list[AnyErrand | None] = field(default_factory=list)
    engine: Engine | None = None
    """That of all their errands, where it is one."""
    begun: int = 0
    """So many of them have begun, or are no longer to."""

    def take_back(self) -> list[tuple[int, float]]:
        """Those that have not begun, which are no longer to: (slot, due)."""
        first, self.begun = self.begun, len(self.slots)
        return list(zip(self.slots[first:], self.due[first:], strict=True))


class _Run:
    """One run of one probe, from its start to its result."""

    __slots__ = ("_cancel", "_runner", "at", "began", "post", "slot")

    def __init__(self, runner: Runner, slot: int, post: Post, at: float, began: float) -> None:
        self._runner, self.slot, self.post, self.at, self.began = runner, slot, post, at, began
        self._cancel: Cancel | None = None

    def begin(self) -> None:
        launch = self.post.launch
        if launch is not None:
            try:
                self._cancel = launch(self.began + self.post.timeout, self.done)
            except Exception as exc:  # noqa: BLE001 -- as in `measure`: a kind's fault must not read as the target's
                self.done(result_of(exc, self.post.kind, self.post.probe.identity(), self._runner.log))
                return
            if self._cancel is not None:
                return
        task = self._runner.task(self)
        self._cancel = partial(_cancel_task, task)

    def done(self, result: Result) -> None:
        self._runner.over(self, completed(result, result.seconds or self._runner.clock.monotonic() - self.began))

    async def measured(self) -> None:
        try:
            self._runner.over(self, await measure(self.post.kind, self._runner.attempt(self)))
        finally:
            self._runner.given_up(self)

    def cancel(self) -> None:
        if self._cancel is not None:
            self._cancel()
        self._runner.given_up(self)


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
