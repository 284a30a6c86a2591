"""When each probe runs: pure, driven by a monotonic time that is an argument.

A probe's phase within its interval is hashed from its uid, so it is the same after a restart or a reload, and fifty
thousand probes of one interval are spread over it. A probe is a *slot*, a small number that it keeps through reloads,
and what the schedule knows of it stands in columns (about 30 bytes). What is due is handed over at once, and where it
is much it passes the walls as a whole, by columns; what is light can be let in some moments before it is due, so that
one look at the schedule serves many runs. A run that comes too late (the host slept, a bulkhead was full) is
skipped and counted, never made up for. A failure is looked at again quickly, and `recheck` runs a probe at once;
neither moves its phase.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import compress
from math import inf

import numpy as np
from numpy.typing import NDArray

from cemd.model.identity import stable_hash
from cemd.monitor.agenda import Agenda
from cemd.monitor.bulkheads import GROUP_AT_ONCE, KIND_AT_ONCE, MOST_AT_ONCE, Bulkheads
from cemd.monitor.plans import Due, Plan, Skip, Turn
from cemd.monitor.slots import AGAIN_AND_AGAIN, HUNG, LANE, LOOKS, ONE_LOOK, STATE, Slots, State

LATE_SECONDS = 5.0
"""Never start a run later than this (or half an interval, if that is shorter)."""
QUICK_RECHECKS, QUICK_SECONDS = 2, 5.0
"""So many extra looks after a probe began to fail: enough to tell a hiccup from a fault, too few to add load."""
FEW = 24
"""So many runs due at once cost less one by one: the processor has forgotten numpy's ways since the last turn."""
FEW_FINISHED = 128
"""The same of runs that are over, as many as one look at a socket finds."""
FEW_AHEAD, MOST_AHEAD = 8, 256
"""So many runs, at least and at most, are let in together before they are due; not above 64 where few are light, nor a
sixteenth of a kind's places, for they hold one meanwhile."""
SWEEP_SECONDS = 0.5
"""Runs that wait behind a wall are looked at for being too late at least this often."""

_IDLE, _GONE, _WAITING, _RUNNING, _AGAIN, _LEAVING = (int(state) for state in State)
"""Plain numbers: they are compared for every run."""


class Schedule:
    """Times are monotonic seconds. `wall_offset` (wall minus monotonic, taken once at the start) ties phases to the
    wall clock, so that they outlive the process; later steps of the wall clock change nothing."""

    def __init__(
        self,
        *,
        wall_offset: float,
        kind_at_once: int = KIND_AT_ONCE,
        group_at_once: int = GROUP_AT_ONCE,
        most_at_once: int = MOST_AT_ONCE,
    ) -> None:
        self._offset = wall_offset
        self._walls = Bulkheads(kind_at_once=kind_at_once, group_at_once=group_at_once, most_at_once=most_at_once)
        self._agenda = Agenda()
        self._slots = Slots()
        self._leaving: dict[str, int] = {}
        """Slots of probes that left while they ran, by uid: one that comes back gets its slot again."""
        self._shortest = inf
        """The shortest interval ever loaded."""
        self._waiting: dict[int, deque[Due]] = {}
        self._swept_at, self._many_ahead = -inf, True
        self._open: set[int] = set()
        self._returned: list[Due] = []
        self.skipped_total: Counter[Skip] = Counter()

    def make_room(self, expected: int, *, kind_at_once: int | None = None) -> None:
        """A new set comes, of about so many probes: columns get just the room that they take."""
        if kind_at_once is not None and kind_at_once != self._walls.kind_at_once:
            self._walls.kind_at_once = kind_at_once
            self._open.update(self._waiting)  # some of those who wait may find a place now
        for column in (self._slots, self._agenda):
            column.reserve(expected)

    def uids(self) -> Sequence[str]:
        """The probes by slot; "" where a slot belongs to none."""
        return self._slots.uids

    def put(self, plan: Plan, slot: int | None, now: float) -> int:
        """Takes the plan of a probe that is at work in a slot, or of a new one (None); answers its slot. A probe whose
        interval stays keeps its next run, its streak and its running state."""
        if slot is None and (slot := self._leaving.pop(plan.uid, None)) is not None:
            self._return(slot, plan.uid)
        return self._add(plan, now) if slot is None else self._keep(slot, plan, now)

    def retire(self, slot: int) -> None:
        """A probe leaves the set; its slot is given on when its last run is over."""
        slots = self._slots
        for due in [due for due in self._returned if due.slot == slot]:
            self._returned.remove(due)
            self.skipped_total[Skip.LEFT] += 1
        uid, slots.uids[slot] = slots.uids[slot], ""
        self._agenda.forget(slot)
        if slots.state(slot) >= _RUNNING:
            self._leaving[uid] = slot
            slots.turn_to(slot, _LEAVING)
            return
        if slots.state(slot) == _WAITING:
            self.skipped_total[Skip.LEFT] += 1
            for queue in self._waiting.values():
                for due in [due for due in queue if due.slot == slot]:
                    queue.remove(due)
        slots.release(slot)

    def turn(self, now: float, *, until: float = -inf) -> Turn:
        """Everything to start now, and what is given up. Where much that is light is due up to `until`, it is let in as
        well, to be started when it is due."""
        turn = Turn()
        for due in self._returned:
            self._offer_one(due, now, turn)
        self._returned.clear()
        if self._waiting:
            self._offer_waiting(now, turn)
        times, slots = self._agenda.pop(now)
        if len(slots) > FEW:
            self._offer_many(np.array(slots, dtype=np.intp), np.array(times), now, turn)
        elif slots:
            self._offer_few(slots, times, now, turn)
        for planned, slot in self._agenda.pop_asked(now):
            self._offer_one(Due(slot, planned), now, turn)
        if until > now and not self._waiting:
            self._offer_ahead(until, turn)
        if turn.skipped:
            self.skipped_total.update(reason for _, reason in turn.skipped)
        return turn

    def next_at(self) -> float | None:
        """When `turn` is next worth calling; None where there is nothing to do."""
        return self._agenda.next_at()

    def finished(self, slot: int, now: float, *, failed: bool, hung: bool = False) -> bool:
        """A run is over; `hung` when it failed by taking its time. The first failures are looked at again quickly.
        True: somebody waits for the place that it left, or it is to run once more, so a turn is worth its while."""
        slots = self._slots
        flags = slots.flags[slot]
        if flags == _RUNNING and not failed and not self._waiting:
            self._walls.leave(slots.group[slot], hung=False)
            slots.flags[slot] = _IDLE
            return bool(self._open)
        state = flags & STATE
        if state < _RUNNING:
            return False
        self._leave(slot, lane=flags & LANE != 0)
        if state == _LEAVING:
            self._leaving = {uid: other for uid, other in self._leaving.items() if other != slot}
            slots.release(slot)
            return bool(self._open)
        slots.flags[slot] = flags & LOOKS if failed else 0
        if hung:
            slots.flags[slot] |= HUNG | AGAIN_AND_AGAIN if flags & LANE else HUNG
        if state == _AGAIN:
            self._agenda.ask(slot, now)
            return True
        if failed and flags & LOOKS < QUICK_RECHECKS * ONE_LOOK:
            self._look_again(slot, now)
        return bool(self._open)

    def _look_again(self, slot: int, now: float) -> None:
        """A quick look, unless the regular one is as near."""
        quick = min(QUICK_SECONDS, self._slots.every[slot] / 4)
        if self._agenda.planned(slot) - now > 2 * quick:
            self._slots.flags[slot] += ONE_LOOK
            self._agenda.ask(slot, now + quick)

    def finished_well(self, slots: Sequence[int] | NDArray[np.intp], now: float) -> bool:
        """Many runs are over that did not fail, each slot at most once; answers as `finished` does."""
        own = self._slots
        if len(slots) <= FEW_FINISHED and not self._waiting:
            flags, group = own.flags, own.group
            if all([flags[slot] & ~LOOKS == _RUNNING for slot in slots]):  # noqa: C419 -- a generator costs more
                self._walls.leave_few([group[slot] for slot in slots])
                for slot in slots:
                    flags[slot] = _IDLE
                return bool(self._open)
        column = np.asarray(slots, dtype=np.intp)
        if (own.flags_column[column] & ~np.uint8(LOOKS) != _RUNNING).nonzero()[0].size:
            worth = [self.finished(slot, now, failed=False) for slot in slots]
            return any(worth) or bool(self._open)
        groups = own.groups(column)
        self._walls.leave_all(groups)
        if self._waiting:
            for group in np.unique(groups).tolist():
                self._open.update(self._walls.around(group, hung=False))
        own.flags_column[column] = _IDLE
        return bool(self._open)

    def return_unbegun(self, runs: Iterable[tuple[int, float]], now: float) -> None:
        """Runs that were let in before they were due, (slot, due), and have not begun: they are offered anew at the
        next turn, which finds out whether it is too late."""
        for slot, due in runs:
            self.finished(slot, now, failed=False)
            self._returned.append(Due(slot, due))

    def recheck(self, uid: str, now: float) -> bool:
        """Runs a probe at once; one that runs already runs once more afterwards. False: there is no such probe."""
        try:
            slot = self._slots.uids.index(uid)
        except ValueError:
            return False
        state = self._slots.state(slot)
        if state >= _RUNNING:
            self._slots.turn_to(slot, _AGAIN)
        elif state == _IDLE:
            self._agenda.ask(slot, now)
        return True

    def crowded(self) -> bool:
        """Whether anybody waits for a place."""
        return bool(self._waiting)

    def is_running(self, slot: int) -> bool:
        """Whether a run of this slot has begun, or was let in, and is not over."""
        return self._slots.state(slot) >= _RUNNING

    def running(self) -> int:
        """Runs that have begun and are not over."""
        return self._walls.running()

    # A new set.

    def _add(self, plan: Plan, now: float) -> int:
        slots = self._slots
        slot = slots.take(plan.uid)
        slots.every[slot] = plan.every_seconds
        slots.group[slot] = self._walls.group(plan.kind, plan.group, light=plan.light)
        slots.flags[slot] = _IDLE
        slots.light[slot] = plan.light
        self._shortest = min(self._shortest, plan.every_seconds)
        self._agenda.plan(slot, self._next(slot, now))
        return slot

    def _keep(self, slot: int, plan: Plan, now: float) -> int:
        slots = self._slots
        slots.light[slot] = plan.light
        group = self._walls.group(plan.kind, plan.group, light=plan.light)
        if group != slots.group[slot]:
            if slots.state(slot) >= _RUNNING:
                self._walls.move(slots.group[slot], group, hung=bool(slots.flags[slot] & LANE))
            slots.group[slot] = group
        if slots.every[slot] != plan.every_seconds:
            slots.every[slot] = plan.every_seconds
            self._shortest = min(self._shortest, plan.every_seconds)
            self._agenda.plan(slot, self._next(slot, now))
        return slot

    def _return(self, slot: int, uid: str) -> None:
        """A probe comes back whose last run is still under way; its interval counts as changed."""
        slots = self._slots
        slots.uids[slot], slots.every[slot] = uid, 0.0
        slots.turn_to(slot, _RUNNING)

    # Starting.

    def _offer_few(self, slots: list[int], times: list[float], now: float, turn: Turn) -> None:
        """Plans the next times of those that are due, and starts them, one after the other."""
        own, plan, enter = self._slots, self._agenda.plan, self._walls.enter
        flags, every, groups = own.flags, own.every, own.group
        on_time = now - min(LATE_SECONDS, self._shortest / 2)
        for slot, at in zip(slots, times, strict=True):
            following = at + every[slot]
            plan(slot, following if following > now else self._next_in_time(slot, at, now))
            if not flags[slot] and at >= on_time and enter(groups[slot]) is None:
                flags[slot] = _RUNNING
                turn.slots.append(slot)
                turn.planned.append(at)
            else:
                self._offer_one(Due(slot, at), now, turn)

    def _offer_many(self, slots: NDArray[np.intp], times: NDArray[np.float64], now: float, turn: Turn) -> None:
        """The same by columns; all together, or, where one is late, runs already, failed, or finds no place, singly."""
        following = times + self._slots.every_column[slots]
        soonest = times.item(0) + self._shortest
        if soonest <= now:  # somebody may have missed a whole interval
            for place in np.flatnonzero(following <= now).tolist():
                following[place] = self._next_in_time(int(slots[place]), times.item(place), now)
        self._agenda.plan_many(slots, following, soonest=soonest)
        own = self._slots
        if (
            now - times.item(0) <= min(LATE_SECONDS, self._shortest / 2)
            and not own.flags_column[slots].nonzero()[0].size
            and self._walls.enter_all(own.groups(slots))
        ):
            own.flags_column[slots] = _RUNNING
            turn.slots += slots.tolist()
            turn.planned += times.tolist()
            return
        for slot, planned in zip(slots.tolist(), times.tolist(), strict=True):
            self._offer_one(Due(slot, planned), now, turn)

    def _offer_ahead(self, until: float, turn: Turn) -> None:
        """Lets in what is light and due soon, unless it is little. What finds no place is left for its time."""
        most = max(64, min(MOST_AHEAD, self._walls.kind_at_once // 16)) if self._many_ahead else 64
        times, slots = self._agenda.near(until, most, self._slots.light)
        self._many_ahead = len(slots) >= 32
        if len(slots) < FEW_AHEAD:
            return
        idle = [not self._slots.flags[slot] for slot in slots]
        times, slots = list(compress(times, idle)), list(compress(slots, idle))
        if len(slots) <= FEW_FINISHED or not self._all_enter(slots, times):
            times, slots = self._enter_each(slots, times)
        turn.ahead, turn.due = slots, times

    def _all_enter(self, slots: list[int], times: list[float]) -> bool:
        """Lets in all of them, by columns, where they all find a place; plans their next times."""
        own, column = self._slots, np.array(slots, dtype=np.intp)
        fits = self._walls.enter_all(own.groups(column))
        if fits:
            following = np.array(times) + own.every_column[column]
            self._agenda.plan_many(column, following, soonest=times[0] + self._shortest)
            own.flags_column[column] = _RUNNING
        return fits

    def _enter_each(self, slots: list[int], times: list[float]) -> tuple[list[float], list[int]]:
        """The same for those that find a place; answers which: times and slots."""
        flags, every, groups = self._slots.flags, self._slots.every, self._slots.group
        entered = self._walls.enter_each([groups[slot] for slot in slots])
        times, slots = list(compress(times, entered)), list(compress(slots, entered))
        self._agenda.plan_each(slots, [at + every[slot] for at, slot in zip(times, slots, strict=True)])
        for slot in slots:
            flags[slot] = _RUNNING
        return times, slots

    def _offer_one(self, due: Due, now: float, turn: Turn) -> None:
        state = self._slots.state(due.slot)
        if self._too_late(due, now):
            turn.skipped.append((due.slot, Skip.LATE))
        elif state == _IDLE:
            self._begin_or_wait(due, turn)
        elif state >= _RUNNING:
            turn.skipped.append((due.slot, Skip.STILL_RUNNING))

    def _begin_or_wait(self, due: Due, turn: Turn) -> int | None:
        """Starts the run, or answers the wall that it now waits behind."""
        slots, slot = self._slots, due.slot
        hung = slots.flags[slot] & HUNG
        wall = self._walls.enter(slots.group[slot], hung=bool(hung))
        if wall is None:
            slots.flags[slot] = slots.flags[slot] & LOOKS | (LANE if hung else 0) | _RUNNING
            turn.slots.append(slot)
            turn.planned.append(due.planned)
        else:
            slots.turn_to(slot, _WAITING)
            queue = self._waiting.setdefault(wall, deque())
            if self._walls.is_lane(wall, slots.group[slot]) and not slots.flags[slot] & AGAIN_AND_AGAIN:
                queue.appendleft(due)
            else:
                queue.append(due)
        return wall

    def _leave(self, slot: int, *, lane: bool) -> None:
        """The places that a run held are free."""
        group = self._slots.group[slot]
        self._walls.leave(group, hung=lane)
        if self._waiting:
            self._open.update(self._walls.around(group, hung=lane))

    def _offer_waiting(self, now: float, turn: Turn) -> None:
        """Starts who waited for a place that is free now, in order, and gives up who waited too long."""
        if now - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = now
            self._open.update(self._waiting)
            for queue in self._waiting.values():
                late = {due.slot for due in queue if self._too_late(due, now)}
                for _ in range(len(queue) if late else 0):
                    due = queue.popleft()
                    if due.slot in late:
                        self._give_up(due, turn)
                    else:
                        queue.append(due)
        opened, self._open = self._open, set()
        for wall in sorted(opened & self._waiting.keys()):
            queue = self._waiting[wall]
            while queue:
                due = queue.popleft()
                self._slots.turn_to(due.slot, _IDLE)
                if self._too_late(due, now):
                    self._give_up(due, turn)
                elif self._begin_or_wait(due, turn) == wall:
                    if queue[-1] is due:
                        queue.rotate(1)  # it waits on, first in the row again
                    break
        for wall in [wall for wall, queue in self._waiting.items() if not queue]:
            del self._waiting[wall]

    def _too_late(self, due: Due, now: float) -> bool:
        return now - due.planned > min(LATE_SECONDS, self._slots.every[due.slot] / 2)

    def _give_up(self, due: Due, turn: Turn) -> None:
        self._slots.turn_to(due.slot, _IDLE)
        turn.skipped.append((due.slot, Skip.BULKHEAD))

    def _next_in_time(self, slot: int, at: float, now: float) -> float:
        """The next time of a probe whose times went by since `at`, which is offered; those in between are counted."""
        following = self._next(slot, now)
        self.skipped_total[Skip.MISSED] += max(0, round((following - at) / self._slots.every[slot]) - 1)
        return following

    def _next(self, slot: int, now: float) -> float:
        """First time after `now` at which the wall clock stood at the probe's phase."""
        every = self._slots.every[slot]
        phase = stable_hash(self._slots.uids[slot]) / 2.0**64 * every
        return now + every - (now + self._offset - phase) % every
