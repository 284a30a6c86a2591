"""When each probe runs: pure, driven by a monotonic time that is an argument.

A probe's phase within its interval is hashed from its uid, so it is the same after a restart or a reload, and ten
thousand probes of one interval are spread over it. What is due waits in one heap. A run that comes too late (the host
slept, a bulkhead was full) is skipped and counted, never made up for. A failure is looked at again quickly, and
`recheck` runs a probe at once; neither moves its phase. Bulkheads bound what runs at once per kind and per group of
targets, so that one hanging target delays nobody else.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from cemd.model.identity import stable_hash

LATE_SECONDS = 5.0
"""Never start a run later than this (or half an interval, if that is shorter)."""
QUICK_RECHECKS = 2
"""So many extra looks after a probe began to fail: enough to tell a hiccup from a fault, too few to add load."""
QUICK_SECONDS = 5.0
GROUP_AT_ONCE = 20
"""Runs at once against one group of targets (one host): more would measure our own pressure on it."""


class Skip(StrEnum):
    """Why a run did not happen."""

    LATE = "late"
    BULKHEAD = "bulkhead_full"
    STILL_RUNNING = "still_running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the schedule knows of a probe. `uid` decides the phase; `group` the bulkhead beside its kind's."""

    uid: str
    every_seconds: float
    kind: str
    group: str

    def phase(self) -> float:
        """Seconds into the interval at which it runs."""
        return stable_hash(self.uid) / 2.0**64 * self.every_seconds


@dataclass(frozen=True, slots=True)
class Due:
    """Run this probe now; `planned` is when it should have begun."""

    uid: str
    planned: float


@dataclass(slots=True)
class _Course:
    plan: Plan
    planned: float
    """Next regular run."""
    running: bool = False
    quick_left: int = QUICK_RECHECKS
    again: bool = False
    """Asked to run once more when the present run is over."""
    waiting: bool = False


@dataclass(slots=True, kw_only=True)
class Turn:
    """What one look at the schedule says."""

    start: list[Due] = field(default_factory=list)
    skipped: list[tuple[str, Skip]] = field(default_factory=list)


class Schedule:
    """Times are monotonic seconds. `wall_offset` (wall minus monotonic, taken once at the start) ties phases to the
    wall clock, so that they outlive the process; later steps of the wall clock change nothing."""

    def __init__(self, *, wall_offset: float, kind_at_once: int = 200, group_at_once: int = GROUP_AT_ONCE) -> None:
        self._offset = wall_offset
        self._kind_at_once = kind_at_once
        self._group_at_once = group_at_once
        self._courses: dict[str, _Course] = {}
        self._heap: list[tuple[float, str]] = []
        self._waiting: deque[Due] = deque()
        self._in_kind: Counter[str] = Counter()
        self._in_group: Counter[tuple[str, str]] = Counter()
        self._retired: dict[str, Plan] = {}
        self.skipped_total: Counter[Skip] = Counter()

    def load(self, plans: Iterable[Plan], now: float, *, kind_at_once: int | None = None) -> None:
        """Takes a whole new set. A probe whose interval stays keeps its next run, its streak and its running state."""
        self._kind_at_once = kind_at_once or self._kind_at_once
        before, self._courses = self._courses, {}
        for plan in plans:
            course = before.pop(plan.uid, None)
            if course is None:
                course = _Course(plan, self._next(plan, now), running=plan.uid in self._retired)
            elif course.running and (course.plan.kind, course.plan.group) != (plan.kind, plan.group):
                self._retired.setdefault(plan.uid, course.plan)
            if course.plan.every_seconds != plan.every_seconds:
                course.planned = self._next(plan, now)
            course.plan = plan
            self._courses[plan.uid] = course
        self._retired.update((uid, gone.plan) for uid, gone in before.items() if gone.running)
        self._heap = [(course.planned, uid) for uid, course in self._courses.items()]
        heapq.heapify(self._heap)
        self._waiting = deque(due for due in self._waiting if due.uid in self._courses)

    def turn(self, now: float) -> Turn:
        """Everything to start now, and what is given up."""
        turn = Turn()
        for _ in range(len(self._waiting)):
            self._offer(self._waiting.popleft(), now, turn)
        while self._heap and self._heap[0][0] <= now:
            planned, uid = heapq.heappop(self._heap)
            course = self._courses.get(uid)
            if course is None:
                continue
            if planned == course.planned:
                following = planned + course.plan.every_seconds
                course.planned = following if following > now else self._next(course.plan, now)
                heapq.heappush(self._heap, (course.planned, uid))
            self._offer(Due(uid, planned), now, turn)
        self.skipped_total.update(reason for _, reason in turn.skipped)
        return turn

    def next_at(self) -> float | None:
        """When `turn` is next worth calling; None where there is nothing to do."""
        return self._heap[0][0] if self._heap else None

    def finished(self, uid: str, now: float, *, failed: bool) -> None:
        """A run is over. The first failures after a success are looked at again quickly."""
        course = self._courses.get(uid)
        plan = self._retired.pop(uid, None) or (course.plan if course is not None and course.running else None)
        if plan is not None:
            self._in_kind[plan.kind] -= 1
            self._in_group[plan.kind, plan.group] -= 1
        if course is None:
            return
        course.running = False
        if not failed:
            course.quick_left = QUICK_RECHECKS
        quick = min(QUICK_SECONDS, course.plan.every_seconds / 4)
        if course.again:
            course.again = False
            heapq.heappush(self._heap, (now, uid))
        elif failed and course.quick_left and course.planned - now > 2 * quick:
            course.quick_left -= 1
            heapq.heappush(self._heap, (now + quick, uid))

    def recheck(self, uid: str, now: float) -> bool:
        """Runs a probe at once; one that runs already runs once more afterwards. False: there is no such probe."""
        course = self._courses.get(uid)
        if course is None:
            return False
        if course.running:
            course.again = True
        elif not course.waiting:
            heapq.heappush(self._heap, (now, uid))
        return True

    def running(self) -> int:
        """Runs that have begun and are not over."""
        return sum(self._in_kind.values())

    def _offer(self, due: Due, now: float, turn: Turn) -> None:
        course = self._courses[due.uid]
        waited, course.waiting = course.waiting, False
        if now - due.planned > min(LATE_SECONDS, course.plan.every_seconds / 2):
            turn.skipped.append((due.uid, Skip.BULKHEAD if waited else Skip.LATE))
        elif course.running:
            turn.skipped.append((due.uid, Skip.STILL_RUNNING))
        elif self._full(course.plan):
            course.waiting = True
            self._waiting.append(due)
        else:
            course.running = True
            self._in_kind[course.plan.kind] += 1
            self._in_group[course.plan.kind, course.plan.group] += 1
            turn.start.append(due)

    def _full(self, plan: Plan) -> bool:
        return (
            self._in_kind[plan.kind] >= self._kind_at_once
            or self._in_group[plan.kind, plan.group] >= self._group_at_once
        )

    def _next(self, plan: Plan, now: float) -> float:
        """First time after `now` at which the wall clock stood at the probe's phase."""
        into = (now + self._offset - plan.phase()) % plan.every_seconds
        return now + plan.every_seconds - into
