"""The runner: begins what the schedule says, hands results on, and keeps the schedule turning.

One timer of the loop serves all probes; it fires when the next one is due. A kind that can `launch` measures without a
task of its own, every other one in a task of the runner's group. A fault in the turning itself is a bug and ends the
prober, which is started anew; a fault of one kind stays with its probe.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from math import inf
from typing import Any, TypeAlias

from cemd.kit.clock import Clock
from cemd.kit.heap import settle
from cemd.kit.tasks import Slices
from cemd.model.quality import Outcome
from cemd.monitor.burden import Burden
from cemd.monitor.plans import Skip
from cemd.monitor.probes.base import Attempt, Reason, Result, completed
from cemd.monitor.probes.engines.errands import AnyErrand, Engine, Landed
from cemd.monitor.roster import Deliver, DeliverGood, InOrder, Post, one_by_one, plan_of
from cemd.monitor.runs import Ahead, Run, affordable_runs
from cemd.monitor.schedule import Schedule

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
HUNG_SHARE = 0.5
"""A run that failed after this share of its timeout hung, and gets one of the few places for such next time."""


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
        self.clock = clock
        self.log = log
        self._alive = alive
        self._loop = asyncio.get_running_loop()
        self._schedule = Schedule(wall_offset=clock.now() - clock.monotonic(), most_at_once=affordable_runs())
        self._posts: list[Post | None] = []
        self._errands: list[AnyErrand | None] = []
        """Those that may always be sent; beside the posts, which the quickest way need not touch."""
        self._by, self._moments = bytearray(), bytearray()
        """By slot: which engine has that errand, counted from 1; 1 for a moment of truth."""
        self._numbers = {word: number for number, word in enumerate(self._engines, start=1)}
        self._live: dict[int, Run] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        self._broken: asyncio.Future[Any] = self._loop.create_future()
        self.burden = Burden(log, clock.monotonic(), busy_seconds)
        self._wall_offset = 0.0
        """Wall clock minus monotonic time, taken anew at each turn."""
        self._latest_start = 0.0
        self._ahead = Ahead()
        self._due_at = -inf
        """When the schedule is next to be asked; `-inf`: at each turn."""
        self._armed_for = inf
        """When the next turn is wanted."""
        self._taking = False
        """A new set is being put to work: nothing is let in ahead meanwhile."""
        self._not_active = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Keeps the schedule until `stopping`; then begins nothing more and gives up what runs."""
        stop: asyncio.Future[Any] = asyncio.create_task(stopping.wait(), name="stop")
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._turn()
                await asyncio.wait({stop, self._broken}, return_when=asyncio.FIRST_COMPLETED)
                self._close()
                for run in list(self._live.values()):
                    run.cancel()
                self._give_up_errands()
                if self._broken.done():
                    self._broken.result()
        finally:
            stop.cancel()
            self._close()

    def _close(self) -> None:
        """No turn comes any more: what is given up would make room for others, and these would be waited for again."""
        self._tasks = None
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()

    async def take(self, posts: Mapping[str, Post], *, kind_at_once: int) -> None:
        """Puts a whole set to work, by uid. The loop has its turns in between, so runs of probes that stay go on as
        planned; what did not change, which is the same post, is not touched."""
        pause = Slices(self.burden.besides)
        self._taking = True
        try:
            self._return_unbegun(self.clock.monotonic())
            self._schedule.make_room(len(posts), kind_at_once=kind_at_once)
            here: set[str] = set()
            for slot, uid in enumerate(self._schedule.uids()):
                if (post := posts.get(uid)) is None:
                    self._retire(slot, uid)
                else:
                    here.add(uid)
                    if post is not self._posts[slot]:
                        self._put(post, slot)
                await self._rest(pause)
            new = InOrder()
            for uid, post in posts.items():
                if uid in here:
                    here.remove(uid)  # bit by bit: all at once would take its time
                else:
                    new.add(uid, post)
                await self._rest(pause)
            for post in new:
                self._put(post, None)
                await self._rest(pause)
        finally:
            self._taking = False
        settle()
        pause.end()
        self._poke()

    async def _rest(self, pause: Slices) -> None:
        """Lets runs begin, those of new probes as well, where it is time to."""
        if pause.over():
            self._poke()
            await pause.rest()

    def _put(self, post: Post, slot: int | None) -> None:
        """A probe that is new (no slot), or that changed."""
        if slot is not None:
            self._let_go(slot)
        post.take_up()
        slot = self._schedule.put(plan_of(post), slot, self.clock.monotonic())
        if slot >= len(self._posts):
            more = slot + 1 - len(self._posts)
            self._posts += [None] * more
            self._errands += [None] * more
            self._by += bytes(more)
            self._moments += bytes(more)
        errand = post.errand if post.always and post.errand is not None and post.errand.by in self._engines else None
        self._posts[slot], self._errands[slot] = post, errand
        self._by[slot] = 0 if errand is None else self._numbers[errand.by]
        self._moments[slot] = post.probe.moment_of_truth
        self._due_at = -inf

    def _retire(self, slot: int, uid: str) -> None:
        if uid:
            self._let_go(slot)
            self._schedule.retire(slot)
            self._posts[slot], self._errands[slot], self._by[slot] = None, None, 0

    def _let_go(self, slot: int) -> None:
        """The post of a slot is replaced or gone; one that runs is still needed at its end."""
        if (post := self._posts[slot]) is not None and not self._schedule.is_running(slot):
            post.let_go()

    def recheck(self, uid: str) -> None:
        """Runs a probe at once, where there is such a one."""
        self._schedule.recheck(uid, self.clock.monotonic())
        self._poke()

    def counters(self) -> dict[str, float]:
        """Totals since the prober began, and how late the latest start since the last call was."""
        counters = {f"skipped_{why}": float(count) for why, count in self._schedule.skipped_total.items()}
        counters["latest_start_seconds"], self._latest_start = self._latest_start, 0.0
        counters |= {"running": float(self._schedule.running()), "not_active_runs": float(self._not_active)}
        return counters | self.burden.counters()

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
            self.burden.late(lag)
            if self.burden.observe(now):
                self._alive()
            self._wall_offset = self.clock.now() - self.clock.monotonic()
            if lag > STUCK_SECONDS:
                self._return_unbegun(now)
            ahead_at = self._begin_ahead(now)
            if self._soon is not None or self._due_at <= now + ROUNDING_SECONDS:
                self._soon = None
                self._begin_due(now, until=now + AHEAD_SECONDS if ahead_at == inf and not self._taking else -inf)
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
            slots = ahead.slots[first : ahead.begun]
            if ahead.engine is None or self.burden.shedding:
                self._begin_all(slots, ahead.due[first : ahead.begun], now)
            else:
                self._latest_start = max(self._latest_start, now - ahead.due[first])
                errands = list(map(self._errands.__getitem__, slots))
                ahead.engine.begin(errands, slots, now, now + self._wall_offset)
        return ahead.due[ahead.begun] if ahead.begun < len(ahead.due) else inf

    def _let_in_ahead(self, slots: list[int], due: list[float]) -> None:
        """Keeps what is to begin later; mostly all of it is of one engine, which needs no look at each then."""
        numbers = set(map(self._by.__getitem__, slots))
        one = numbers.pop() if len(numbers) == 1 else 0
        self._ahead = Ahead(slots, due, tuple(self._engines.values())[one - 1] if one else None)

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
        if not self.burden.shedding:
            self.burden.pressure.begun(len(turn.slots) + len(turn.ahead))
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

    # Runs.

    def _begin_all(self, slots: Sequence[int], planned: Sequence[float], now: float) -> None:
        """Begins what is due; errands leave together, in their order."""
        if self.burden.shedding:
            slots, planned = self._kept(slots, planned, now)
        at_once = self._errands
        batches: dict[str, tuple[list[AnyErrand], list[int]]] = {}
        for slot, due in zip(slots, planned, strict=True):
            errand = at_once[slot]
            if errand is None:
                self._begin(slot, due)
            else:
                batch = batches.get(errand.by)
                if batch is None:
                    batch = batches[errand.by] = ([], [])
                batch[0].append(errand)
                batch[1].append(slot)
        for by, (errands, together) in batches.items():
            self._latest_start = max(self._latest_start, now - planned[0], now - planned[-1])
            self._engines[by].begin(errands, together, now, now + self._wall_offset)

    def _kept(self, slots: Sequence[int], planned: Sequence[float], now: float) -> tuple[list[int], list[float]]:
        """Without those errands that are given up, which must cost little: it is missing for those that are made."""
        sheds, by, moments = self.burden.pressure.sheds, self._by, self._moments
        kept = [not by[slot] or not sheds(slot, important=bool(moments[slot])) for slot in slots]
        given_up = [slot for slot, keeps in zip(slots, kept, strict=True) if not keeps]
        if given_up:
            self._schedule.finished_well(given_up, now)
            for slot in given_up:
                if (post := self._posts[slot]) is not None:
                    self._not_run(post, now + self._wall_offset, Reason.SHED)
        return list(compress(slots, kept)), list(compress(planned, kept))

    def _begin(self, slot: int, planned: float) -> None:
        post = self._posts[slot]
        if post is None:
            raise AssertionError(f"slot {slot} is due and has no probe.")
        now = self.clock.monotonic()
        wall = now + self._wall_offset
        if now - planned > self._latest_start:
            self._latest_start = now - planned
        if (self.burden.shedding or not post.always) and self._leaves_out(slot, post, wall):
            return
        run = self._live[slot] = Run(self, slot, post, wall, now)
        run.begin()

    def _leaves_out(self, slot: int, post: Post, wall: float) -> bool:
        """Whether a run that is due is not begun; then that is told."""
        if post.probe.active is not None and not post.probe.active.holds(wall):
            self._not_active += 1
            why = Reason.NOT_ACTIVE
        elif self.burden.shedding and self.burden.pressure.sheds(slot, important=post.probe.moment_of_truth):
            why = Reason.SHED
        else:
            return False
        self._schedule.finished(slot, self.clock.monotonic(), failed=False)
        self._not_run(post, wall, why)
        return True

    def task(self, run: Run) -> asyncio.Task[None]:
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

    def over(self, run: Run, result: Result) -> None:
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

    def given_up(self, run: Run) -> None:
        """A run was cancelled: at the end of the prober only."""
        if self._live.pop(run.slot, None) is run:
            self._schedule.finished(run.slot, self.clock.monotonic(), failed=False)

    def _give_up_errands(self) -> None:
        for slot, _ in self._ahead.take_back():
            self._schedule.finished(slot, self.clock.monotonic(), failed=False)
        for engine in self._engines.values():
            for slot in engine.give_up():
                self._schedule.finished(slot, self.clock.monotonic(), failed=False)

    def attempt(self, run: Run) -> Attempt:
        """What a kind is told that measures in a task."""
        probe, deadline = run.post.probe.identity(), run.began + run.post.timeout
        return Attempt(probe=probe, deadline=deadline, run=f"cemd-{secrets.token_hex(8)}", log=self.log)
