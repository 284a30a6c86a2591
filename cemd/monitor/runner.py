"""The runner: keeps the schedule turning, and has `runs` begin what it says.

One timer of the loop serves all probes; it fires when the next one is due. What is outside its active windows, or is
given up because the prober is at its cap, is left out here and told. A fault in the turning itself is a bug and ends
the prober, which is started anew.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from math import inf
from typing import Any, TypeAlias

from cemd.kit.clock import Clock
from cemd.kit.heap import settle
from cemd.kit.tasks import Slices
from cemd.monitor.burden import Burden
from cemd.monitor.lineup import Lineup
from cemd.monitor.plans import Skip
from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.engines.errands import Engine
from cemd.monitor.roster import Deliver, DeliverGood, Post, one_by_one
from cemd.monitor.runs import Ahead, Runs, affordable_runs
from cemd.monitor.schedule import Schedule

NotRun: TypeAlias = Callable[[Post, float, Reason], None]
Some: TypeAlias = tuple[Sequence[int], Sequence[float]]
"""Slots, and when each should begin."""
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
        self._not_run = not_run
        self._engines = engines or {}
        """Where errands go, by name; a kind whose engine is not among them is launched or run."""
        self.clock = clock
        self.log = log
        self._alive = alive
        self._loop = asyncio.get_running_loop()
        self._schedule = Schedule(wall_offset=clock.now() - clock.monotonic(), most_at_once=affordable_runs())
        self._lineup = Lineup(self._schedule, clock, self._engines)
        self._runs = Runs(
            self._lineup,
            self._schedule,
            clock,
            log,
            deliver=deliver,
            deliver_good=deliver_good or one_by_one(deliver),
            engines=self._engines,
            poked=self,
        )
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        self._broken: asyncio.Future[Any] = self._loop.create_future()
        self.burden = Burden(log, clock.monotonic(), busy_seconds)
        self._wall_offset = 0.0
        """Wall clock minus monotonic time, taken anew at each turn."""
        self._ahead = Ahead()
        self._due_at = -inf
        """When the schedule is next to be asked; `-inf`: at each turn."""
        self._armed_for = inf
        """When the next turn is wanted."""
        self._taking = False
        """A new set is being put to work: nothing is let in ahead meanwhile."""
        self._not_active = 0
        self._wanted: set[int] = set()
        """Slots whose next run somebody asked for."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Keeps the schedule until `stopping`; then begins nothing more and gives up what runs."""
        stop: asyncio.Future[Any] = asyncio.create_task(stopping.wait(), name="stop")
        try:
            async with asyncio.TaskGroup() as self._runs.tasks:
                self._turn()
                await asyncio.wait({stop, self._broken}, return_when=asyncio.FIRST_COMPLETED)
                self._close()
                for slot, _ in self._ahead.take_back():
                    self._schedule.finished(slot, self.clock.monotonic(), failed=False)
                self._runs.give_up()
                if self._broken.done():
                    self._broken.result()
        finally:
            stop.cancel()
            self._close()

    def _close(self) -> None:
        """No turn comes any more: what is given up would make room for others, and these would be waited for again."""
        self._runs.tasks = None
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()

    async def take(self, posts: Mapping[str, Post], *, kind_at_once: int) -> None:
        """Puts a whole set to work, by uid. The loop has its turns in between, so runs of probes that stay go on as
        planned."""
        pause = Slices(self.burden.besides)

        async def rest() -> None:
            if pause.over():  # runs begin, those of new probes as well, where it is time to
                self._due_at = -inf
                self.poke()
                await pause.rest()

        self._taking = True
        try:
            self._return_unbegun(self.clock.monotonic())
            await self._lineup.take(posts, kind_at_once=kind_at_once, rest=rest)
        finally:
            self._taking = False
        settle()
        pause.end()
        self._due_at = -inf
        self.poke()

    def recheck(self, uid: str) -> None:
        """Runs a probe at once, where there is such a one; that run is not given up, be the prober at its cap."""
        if (slot := self._schedule.recheck(uid, self.clock.monotonic())) is not None:
            self._wanted.add(slot)
            self.poke()

    def counters(self) -> dict[str, float]:
        """Totals since the prober began, and how late the latest start since the last call was."""
        counters = {f"skipped_{why}": float(count) for why, count in self._schedule.skipped_total.items()}
        counters["latest_start_seconds"], self._runs.latest_start = self._runs.latest_start, 0.0
        counters |= {"running": float(self._schedule.running()), "not_active_runs": float(self._not_active)}
        return counters | self.burden.counters()

    # Turning.

    def poke(self) -> None:
        """Has the schedule looked at on the next turn of the loop."""
        if self._soon is None and self._runs.tasks is not None:
            self._soon = self._loop.call_soon(self._turn)

    def _wake(self) -> None:
        self._timer = None
        self._turn()

    def _turn(self) -> None:
        """What was let in ahead begins when it is due; the schedule is asked when more is, or somebody wants so."""
        try:
            now = self.clock.monotonic()
            self._wall_offset = self.clock.now() - now
            lag = now - self._armed_for
            if self.burden.observe(now, lag):
                self._alive()
            if lag > STUCK_SECONDS:
                self._return_unbegun(now)
            ahead_at = self._begin_ahead(now) if self._ahead.begun < len(self._ahead.due) else inf
            if self._soon is not None or self._due_at <= now + ROUNDING_SECONDS:
                self._soon = None
                self._begin_due(now, until=now + AHEAD_SECONDS if ahead_at == inf and not self._taking else -inf)
                if self._ahead.begun < len(self._ahead.due):
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
                self._begin(slots, ahead.due[first : ahead.begun], now)
            else:
                self._runs.begin_at(ahead.engine, slots, ahead.due[first], now, self._wall_offset)
        return ahead.due[ahead.begun] if ahead.begun < len(ahead.due) else inf

    def _let_in_ahead(self, slots: list[int], due: list[float]) -> None:
        """Keeps what is to begin later; mostly all of it is of one engine, which needs no look at each then."""
        self._ahead = Ahead(slots, due, self._lineup.engine_of(slots))

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
            self._begin(turn.slots, turn.planned, now)
        for slot, why in turn.skipped:
            if why is not Skip.STILL_RUNNING and (post := self._lineup.posts[slot]) is not None:
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

    # What is due and does not begin.

    def _begin(self, slots: Sequence[int], planned: Sequence[float], now: float) -> None:
        """Begins what is due, in its order, unless it is not to run now or is given up."""
        if self._lineup.active:
            slots, planned = self._active(slots, planned, now)
        if self.burden.shedding:
            slots, planned = self._kept(slots, planned, now)
        if self._wanted:
            self._wanted.difference_update(slots)
        self._runs.begin(slots, planned, now, self._wall_offset)

    def _active(self, slots: Sequence[int], planned: Sequence[float], now: float) -> Some:
        """Without those that are outside their active windows."""
        active, wall = self._lineup.active, now + self._wall_offset
        runs = [(windows := active.get(slot)) is None or windows.holds(wall) for slot in slots]
        self._not_active += runs.count(False)
        return self._without(slots, planned, runs, now, Reason.NOT_ACTIVE)

    def _kept(self, slots: Sequence[int], planned: Sequence[float], now: float) -> Some:
        """Without those that are given up, which must cost little: it is missing for those that are made."""
        sheds, moments, wanted = self.burden.pressure.sheds, self._lineup.moments, self._wanted
        kept = [slot in wanted or not sheds(slot, important=bool(moments[slot])) for slot in slots]
        return self._without(slots, planned, kept, now, Reason.SHED)

    def _without(
        self, slots: Sequence[int], planned: Sequence[float], stays: list[bool], now: float, why: Reason
    ) -> Some:
        """Those that stay; of the others it is told that they did not run."""
        if all(stays):
            return slots, planned
        left_out = [slot for slot, one in zip(slots, stays, strict=True) if not one]
        if self._schedule.finished_well(left_out, now):
            self.poke()
        for slot in left_out:
            if (post := self._lineup.posts[slot]) is not None:
                self._not_run(post, now + self._wall_offset, why)
        return list(compress(slots, stays)), list(compress(planned, stays))
