"""When each probe runs: pure, driven by a monotonic time that is an argument.

A probe's phase within its interval is hashed from its uid, so it is the same after a restart or a reload, and fifty
thousand probes of one interval are spread over it. A probe is a *slot*, a small number that it keeps through reloads,
and what the schedule knows of it stands in columns (about 30 bytes): when it is due in `agenda`, what it is at in
`slots`, the places that runs find in `bulkheads`, and those who wait for one in `queues`.

What is due is handed over at once, and passes the walls together, one by one in a single call or, where it is much, by
columns; what is light can be let in some moments before it is due, so that one look at the schedule serves many runs. A
run that comes too late (the host slept, a bulkhead was full) is skipped and counted, never made up for. A failure is
looked at again quickly, and `recheck` runs a probe at once; neither moves its phase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import compress
from math import inf

import numpy as np
from numpy.typing import NDArray

from cemd.model.identity import stable_hash
from cemd.monitor.agenda import Agenda
from cemd.monitor.bulkheads import GROUP_AT_ONCE, KIND_AT_ONCE, MOST_AT_ONCE, Bulkheads
from cemd.monitor.plans import Due, Plan, Skip, Turn
from cemd.monitor.queues import Queues
from cemd.monitor.slots import AGAIN_AND_AGAIN, HUNG, LANE, LOOKS, ONE_LOOK, STATE, Slots, State

LATE_SECONDS = 5.0
"""Never start a run later than this (or half an interval, if that is shorter)."""
QUICK_RECHECKS, QUICK_SECONDS = 2, 5.0
"""So many extra looks after a probe began to fail: enough to tell a hiccup from a fault, too few to add load."""
FEW = 64
"""So many runs at once cost less one by one: the processor has forgotten numpy's ways since the last turn."""
FEW_FINISHED = 128
"""The same of runs that are over, as many as one look at a socket finds."""
FEW_AHEAD, MOST_AHEAD = 8, 256
"""So many runs, at least and at most, are let in together before they are due; not above 64 where few are light, nor a
sixteenth of a kind's places, for they hold one meanwhile."""

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
        self._queues = Queues()
        self._looked_until, self._many_ahead = -inf, True
        """Up to when little that is light is due; whether there was much at the last look."""
        self._returned: list[Due] = []
        self.skipped_total: Counter[Skip] = Counter()

    def make_room(self, expected: int, *, kind_at_once: int | None = None) -> None:
        """A new set comes, of about so many probes: columns get just the room that they take."""
        if kind_at_once is not None and kind_at_once != self._walls.kind_at_once:
            self._walls.kind_at_once = kind_at_once
            self._queues.opened_all()  # some of those who wait may find a place now
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
            self._queues.leave(slot)
        slots.release(slot)

    def turn(self, now: float, *, until: float = -inf) -> Turn:
        """Everything to start now, and what is given up. Where much that is light is due up to `until`, it is let in as
        well, to be started when it is due."""
        turn = Turn()
        for due in self._returned:
            self._offer_one(due, now, turn)
        self._returned.clear()
        if self._queues.waiting:
            self._offer_waiting(now, turn)
        times, slots = self._agenda.pop(now)
        if slots:
            self._offer_all(slots, times, now, turn)
            if missed := self._agenda.take_missed():
                self.skipped_total[Skip.MISSED] += missed
        if self._agenda.asked:
            for planned, slot in self._agenda.pop_asked(now):
                self._offer_one(Due(slot, planned), now, turn)
        if until > now >= self._looked_until and not self._queues.waiting:
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
        if flags == _RUNNING and not failed and not self._queues.waiting:
            self._walls.leave(slots.group[slot], hung=False)
            slots.flags[slot] = _IDLE
            return False
        state = flags & STATE
        if state < _RUNNING:
            return False
        self._leave(slot, lane=flags & LANE != 0)
        if state == _LEAVING:
            self._leaving = {uid: other for uid, other in self._leaving.items() if other != slot}
            slots.release(slot)
            return self._queues.may_go_on
        slots.flags[slot] = flags & LOOKS if failed else 0
        if hung:
            slots.flags[slot] |= HUNG | AGAIN_AND_AGAIN if flags & LANE else HUNG
        if state == _AGAIN:
            self._agenda.ask(slot, now)
            return True
        if failed and flags & LOOKS < QUICK_RECHECKS * ONE_LOOK:
            self._look_again(slot, now)
        return self._queues.may_go_on

    def _look_again(self, slot: int, now: float) -> None:
        """A quick look, unless the regular one is as near."""
        quick = min(QUICK_SECONDS, self._agenda.every(slot) / 4)
        if self._agenda.planned(slot) - now > 2 * quick:
            self._slots.flags[slot] += ONE_LOOK
            self._agenda.ask(slot, now + quick)

    def finished_well(self, slots: Sequence[int] | NDArray[np.intp], now: float) -> bool:
        """Many runs are over that did not fail, each slot at most once; answers as `finished` does."""
        own = self._slots
        if len(slots) <= FEW_FINISHED and not self._queues.waiting:
            flags, group = own.flags, own.group
            if all([flags[slot] & ~LOOKS == _RUNNING for slot in slots]):  # noqa: C419 -- a generator costs more
                self._walls.leave_few([group[slot] for slot in slots])
                for slot in slots:
                    flags[slot] = _IDLE
                return self._queues.may_go_on
        column = np.asarray(slots, dtype=np.intp)
        if (own.flags_column[column] & ~np.uint8(LOOKS) != _RUNNING).nonzero()[0].size:
            worth = [self.finished(slot, now, failed=False) for slot in slots]
            return any(worth) or self._queues.may_go_on
        groups = own.groups(column)
        self._walls.leave_all(groups)
        if self._queues.waiting:
            for group in np.unique(groups).tolist():
                self._queues.opened(self._walls.around(group, hung=False))
        own.flags_column[column] = _IDLE
        return self._queues.may_go_on

    def return_unbegun(self, runs: Iterable[tuple[int, float]], now: float) -> None:
        """Runs that were let in before they were due, (slot, due), and have not begun: they are offered anew at the
        next turn, which finds out whether it is too late."""
        for slot, due in runs:
            self.finished(slot, now, failed=False)
            self._returned.append(Due(slot, due))

    def recheck(self, uid: str, now: float) -> int | None:
        """Runs a probe at once; one that runs already runs once more afterwards. Answers its slot; None: there is no
        such probe."""
        try:
            slot = self._slots.uids.index(uid)
        except ValueError:
            return None
        state = self._slots.state(slot)
        if state >= _RUNNING:
            self._slots.turn_to(slot, _AGAIN)
        elif state == _IDLE:
            self._agenda.ask(slot, now)
        return slot

    def crowded(self) -> bool:
        """Whether anybody waits for a place."""
        return bool(self._queues.waiting)

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
        slots.group[slot] = self._walls.group(plan.kind, plan.group, light=plan.light)
        slots.flags[slot] = _IDLE
        slots.light[slot] = plan.light
        self._agenda.plan(slot, self._next(slot, plan.every_seconds, now), plan.every_seconds)
        return slot

    def _keep(self, slot: int, plan: Plan, now: float) -> int:
        slots = self._slots
        slots.light[slot] = plan.light
        group = self._walls.group(plan.kind, plan.group, light=plan.light)
        if group != slots.group[slot]:
            if slots.state(slot) >= _RUNNING:
                self._walls.move(slots.group[slot], group, hung=bool(slots.flags[slot] & LANE))
            slots.group[slot] = group
        if self._agenda.every(slot) != plan.every_seconds:
            self._agenda.plan(slot, self._next(slot, plan.every_seconds, now), plan.every_seconds)
        return slot

    def _return(self, slot: int, uid: str) -> None:
        """A probe comes back whose last run is still under way; it was forgotten, so its interval counts as changed."""
        self._slots.uids[slot] = uid
        self._slots.turn_to(slot, _RUNNING)

    # Starting.

    def _offer_all(self, slots: list[int], times: list[float], now: float, turn: Turn) -> None:
        """Starts what is due, together; singly who is late, runs already, failed at its last run or finds no place."""
        flags = self._slots.flags
        on_time = now - times[0] <= min(LATE_SECONDS, self._agenda.shortest / 2)
        together = [on_time and not flags[slot] for slot in slots]
        if all(together):
            began = self._enter(slots)
            if all(began):
                turn.slots += slots
                turn.planned += times
                return
        else:
            entered = iter(self._enter(list(compress(slots, together))))
            began = [joins and next(entered) for joins in together]
        turn.slots += compress(slots, began)
        turn.planned += compress(times, began)
        for slot, at, begins in zip(slots, times, began, strict=True):
            if not begins:
                self._offer_one(Due(slot, at), now, turn)

    def _enter(self, slots: list[int]) -> list[bool]:
        """Lets in those idle slots that find a place, in their order; answers which."""
        own = self._slots
        if len(slots) > FEW:
            column = np.array(slots, dtype=np.intp)
            if self._walls.enter_all(own.groups(column)):
                own.flags_column[column] = _RUNNING
                return [True] * len(slots)
        flags, group = own.flags, own.group
        entered = self._walls.enter_each([group[slot] for slot in slots])
        for slot in compress(slots, entered):
            flags[slot] = _RUNNING
        return entered

    def _offer_ahead(self, until: float, turn: Turn) -> None:
        """Lets in what is light and due soon, unless it is little. What finds no place is left for its time."""
        most = max(64, min(MOST_AHEAD, self._walls.kind_at_once // 16)) if self._many_ahead else 64
        times, slots = self._agenda.ahead(until, most)
        light, flags = self._slots.light, self._slots.flags
        fit = [light[slot] and not flags[slot] for slot in slots]
        chosen = list(compress(slots, fit))
        self._many_ahead = len(chosen) >= 32
        if len(chosen) < FEW_AHEAD:
            self._looked_until = until
            return
        entered = iter(self._enter(chosen))
        goes = [fits and next(entered) for fits in fit]
        stays = [not one for one in goes]
        turn.ahead, turn.due = list(compress(slots, goes)), list(compress(times, goes))
        self._agenda.take_ahead(len(slots), list(compress(times, stays)), list(compress(slots, stays)))

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
            first = self._walls.is_lane(wall, slots.group[slot]) and not slots.flags[slot] & AGAIN_AND_AGAIN
            self._queues.join(wall, due, first=first)
        return wall

    def _leave(self, slot: int, *, lane: bool) -> None:
        """The places that a run held are free."""
        group = self._slots.group[slot]
        self._walls.leave(group, hung=lane)
        if self._queues.waiting:
            self._queues.opened(self._walls.around(group, hung=lane))

    def _offer_waiting(self, now: float, turn: Turn) -> None:
        """Starts who waited for a place that is free now, in order, and gives up who waited too long."""

        def offer(due: Due) -> int | None:
            self._slots.turn_to(due.slot, _IDLE)
            return self._begin_or_wait(due, turn)

        for due in self._queues.serve(now, lambda due: self._too_late(due, now), offer):
            self._slots.turn_to(due.slot, _IDLE)
            turn.skipped.append((due.slot, Skip.BULKHEAD))

    def _too_late(self, due: Due, now: float) -> bool:
        return now - due.planned > min(LATE_SECONDS, self._agenda.every(due.slot) / 2)

    def _next(self, slot: int, every: float, now: float) -> float:
        """First time after `now` at which the wall clock stood at the probe's phase."""
        phase = stable_hash(self._slots.uids[slot]) / 2.0**64 * every
        return now + every - (now + self._offset - phase) % every
