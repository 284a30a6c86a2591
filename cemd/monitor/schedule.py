"""When each probe runs: pure, driven by a monotonic time that is an argument.

A probe's phase within its interval is hashed from its uid, so it is the same after a restart or a reload, and fifty
thousand probes of one interval are spread over it. A probe is a *slot*, a small number that it keeps through reloads,
and what the schedule knows of it stands in columns (about 40 bytes). A run that comes too late (the host slept, a
bulkhead was full) is skipped and counted, never made up for. A failure is looked at again quickly, and `recheck` runs
a probe at once; neither moves its phase.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import NamedTuple

from cemd.model.identity import stable_hash
from cemd.monitor.agenda import Agenda
from cemd.monitor.bulkheads import GROUP_AT_ONCE, KIND_AT_ONCE, MOST_AT_ONCE, Bulkheads

LATE_SECONDS = 5.0
"""Never start a run later than this (or half an interval, if that is shorter)."""
QUICK_RECHECKS = 2
"""So many extra looks after a probe began to fail: enough to tell a hiccup from a fault, too few to add load."""
QUICK_SECONDS = 5.0
SWEEP_SECONDS = 0.5
"""Runs that wait behind a wall are looked at for being too late at least this often."""

_GONE, _IDLE, _WAITING, _RUNNING, _AGAIN = range(5)
"""States of a slot; `_AGAIN` runs and was asked to run once more."""


class Skip(StrEnum):
    """Why a run did not happen."""

    LATE = "late"
    BULKHEAD = "bulkhead_full"
    STILL_RUNNING = "still_running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the schedule is told of a probe. `uid` decides the phase; `group` the bulkhead beside its kind's."""

    uid: str
    every_seconds: float
    kind: str
    group: str

    def phase(self) -> float:
        """Seconds into the interval at which it runs."""
        return stable_hash(self.uid) / 2.0**64 * self.every_seconds


class Due(NamedTuple):
    """Run this slot now; `planned` is when it should have begun."""

    slot: int
    planned: float


@dataclass(slots=True, kw_only=True)
class Turn:
    """What one look at the schedule says."""

    start: list[Due] = field(default_factory=list)
    skipped: list[tuple[int, Skip]] = field(default_factory=list)


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
        self._uids: list[str] = []
        self._every, self._kind, self._group = array("d"), array("i"), array("i")
        self._state, self._quick = bytearray(), bytearray()
        self._hung, self._lane = bytearray(), bytearray()
        self._free: list[int] = []
        self._leaving: dict[str, int] = {}
        """Slots of probes that left while they ran, by uid: one that comes back gets its slot again."""
        self._waiting: dict[int, deque[Due]] = {}
        self._swept_at = -inf
        self._open: set[int] = set()
        self.skipped_total: Counter[Skip] = Counter()

    def load(self, plans: Iterable[Plan], now: float, *, kind_at_once: int | None = None) -> Sequence[int]:
        """Takes a whole new set; answers the slot of each plan. A probe whose interval stays keeps its next run, its
        streak and its running state; a slot of one that left is given on when its last run is over."""
        self._walls.kind_at_once = kind_at_once or self._walls.kind_at_once
        before = {uid: slot for slot, uid in enumerate(self._uids) if uid}
        slots = array("i")
        for plan in plans:
            slot = before.pop(plan.uid, None)
            if slot is None and (slot := self._leaving.pop(plan.uid, None)) is not None:
                self._uids[slot], self._every[slot] = plan.uid, 0.0
            slots.append(self._add(plan, now) if slot is None else self._keep(slot, plan, now))
        for slot in before.values():
            self._retire(slot)
        self._open.update(self._waiting)
        return slots

    def turn(self, now: float) -> Turn:
        """Everything to start now, and what is given up."""
        turn = Turn()
        if self._waiting:
            self._offer_waiting(now, turn)
        for planned, slot, regular in self._agenda.pop(now):
            every = self._every[slot]
            if regular:
                following = planned + every
                self._agenda.plan(slot, following if following > now else self._next(slot, now))
            state = self._state[slot]
            if now - planned > LATE_SECONDS or now - planned > every / 2:
                turn.skipped.append((slot, Skip.LATE))
            elif state == _IDLE:
                self._begin_or_wait(Due(slot, planned), turn)
            elif state >= _RUNNING:
                turn.skipped.append((slot, Skip.STILL_RUNNING))
        if turn.skipped:
            self.skipped_total.update(reason for _, reason in turn.skipped)
        return turn

    def next_at(self) -> float | None:
        """When `turn` is next worth calling; None where there is nothing to do."""
        return self._agenda.next_at()

    def finished(self, slot: int, now: float, *, failed: bool, hung: bool = False) -> None:
        """A run is over; `hung` when it failed by taking its time. The first failures are looked at again quickly."""
        state = self._state[slot]
        if state < _RUNNING:
            return
        kind, group, lane = self._kind[slot], self._group[slot], bool(self._lane[slot])
        self._walls.leave(kind, group, hung=lane)
        if self._waiting:
            self._open.update(self._walls.around(kind, group, hung=lane))
        if not self._uids[slot]:
            self._leaving = {uid: other for uid, other in self._leaving.items() if other != slot}
            self._release(slot)
            return
        self._state[slot] = _IDLE
        self._hung[slot] = hung
        if not failed:
            self._quick[slot] = QUICK_RECHECKS
        if state == _AGAIN:
            self._agenda.ask(slot, now)
        elif failed and self._quick[slot]:
            quick = min(QUICK_SECONDS, self._every[slot] / 4)
            if self._agenda.planned(slot) - now > 2 * quick:
                self._quick[slot] -= 1
                self._agenda.ask(slot, now + quick)

    def recheck(self, uid: str, now: float) -> bool:
        """Runs a probe at once; one that runs already runs once more afterwards. False: there is no such probe."""
        try:
            slot = self._uids.index(uid)
        except ValueError:
            return False
        if self._state[slot] >= _RUNNING:
            self._state[slot] = _AGAIN
        elif self._state[slot] == _IDLE:
            self._agenda.ask(slot, now)
        return True

    def waits(self) -> bool:
        """Whether a run waits for a place that a finished one has left."""
        return bool(self._open)

    def running(self) -> int:
        """Runs that have begun and are not over."""
        return self._walls.running()

    # Slots.

    def _add(self, plan: Plan, now: float) -> int:
        if self._free:
            slot = self._free.pop()
        else:
            slot = len(self._uids)
            self._uids.append("")
            for column in (self._every, self._kind, self._group, self._state, self._quick, self._hung, self._lane):
                column.append(0)
        self._uids[slot] = plan.uid
        self._every[slot] = plan.every_seconds
        self._kind[slot], self._group[slot] = self._walls.walls(plan.kind, plan.group)
        self._state[slot], self._quick[slot], self._hung[slot] = _IDLE, QUICK_RECHECKS, 0
        self._agenda.plan(slot, self._next(slot, now))
        return slot

    def _keep(self, slot: int, plan: Plan, now: float) -> int:
        walls = self._walls.walls(plan.kind, plan.group)
        if walls != (self._kind[slot], self._group[slot]):
            if self._state[slot] >= _RUNNING:
                before = self._kind[slot], self._group[slot]
                self._walls.move(before, walls, hung=bool(self._lane[slot]))
            self._kind[slot], self._group[slot] = walls
        if self._every[slot] != plan.every_seconds:
            self._every[slot] = plan.every_seconds
            self._agenda.plan(slot, self._next(slot, now))
        return slot

    def _retire(self, slot: int) -> None:
        if self._state[slot] >= _RUNNING:
            self._leaving[self._uids[slot]] = slot
        self._uids[slot] = ""
        self._agenda.forget(slot)
        if self._state[slot] == _WAITING:
            for queue in self._waiting.values():
                for due in [due for due in queue if due.slot == slot]:
                    queue.remove(due)
        if self._state[slot] < _RUNNING:
            self._release(slot)

    def _release(self, slot: int) -> None:
        self._state[slot] = _GONE
        self._free.append(slot)

    # Starting.

    def _begin_or_wait(self, due: Due, turn: Turn) -> int | None:
        """Starts the run, or answers the wall that it now waits behind."""
        slot = due.slot
        hung = self._hung[slot]
        wall = self._walls.enter(self._kind[slot], self._group[slot], hung=bool(hung))
        if wall is None:
            self._state[slot], self._lane[slot] = _RUNNING, hung
            turn.start.append(due)
        else:
            self._state[slot] = _WAITING
            self._waiting.setdefault(wall, deque()).append(due)
        return wall

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
                self._state[due.slot] = _IDLE
                if self._too_late(due, now):
                    self._give_up(due, turn)
                elif self._begin_or_wait(due, turn) == wall:
                    queue.rotate(1)  # it waits on, first in the row again
                    break
        for wall in [wall for wall, queue in self._waiting.items() if not queue]:
            del self._waiting[wall]

    def _too_late(self, due: Due, now: float) -> bool:
        return now - due.planned > min(LATE_SECONDS, self._every[due.slot] / 2)

    def _give_up(self, due: Due, turn: Turn) -> None:
        self._state[due.slot] = _IDLE
        turn.skipped.append((due.slot, Skip.BULKHEAD))

    def _next(self, slot: int, now: float) -> float:
        """First time after `now` at which the wall clock stood at the probe's phase."""
        every = self._every[slot]
        phase = stable_hash(self._uids[slot]) / 2.0**64 * every
        return now + every - (now + self._offset - phase) % every
