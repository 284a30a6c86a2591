"""Care: who calls, when, who opens a ticket, and what being told changes. Nothing here can be tuned by the rules.

Whoever is hurt for the first time by a fault decides at once whether and when he would call; being told, or the end of
the fault, can change his mind. Calls wait for an agent, take a while, and may end in a ticket. Who is told that it is
over while it is not for him may answer "still down", which is a ticket.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cemd.demo.world.chance import chance
from cemd.demo.world.events import Event
from cemd.demo.world.ground import Ground
from cemd.demo.world.lives import Lives
from cemd.demo.world.people import People
from cemd.demo.world.scenario import Scenario, TrapKind
from cemd.model.entry import Contact, ContactKind
from cemd.model.identity import Instant

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
DAY_SECONDS = 86_400.0
TICKET_SECONDS = 4 * 3600.0
"""A ticket is closed so long after it was opened, when nothing is wrong any more."""
ODD_CALL_SECONDS = 120.0
NO_FAULT = -1


class Truth:
    """What one fault did to whom: the columns that everything is judged by."""

    def __init__(self, count: int) -> None:
        self.first_hurt_at: Instant | None = None
        self.hurt_at: Floats = np.full(count, np.inf)
        self.contact_at: Floats = np.full(count, np.inf)


class Care:
    """Calls and tickets, as columns by customer."""

    def __init__(self, scenario: Scenario, ground: Ground, people: People, lives: Lives, seed: int) -> None:
        self.plan, self.ground, self.people, self.lives = scenario.care, ground, people, lives
        self.tick = scenario.calendar.tick_seconds
        self._draw = chance(seed, "care")
        self.truth: dict[int, Truth] = {}
        self._call_at: Floats = np.full(people.count, np.inf)
        self._because = np.full(people.count, NO_FAULT, np.int64)
        self._calmed_at: Floats = np.full(people.count, np.inf)  # told of what is wrong
        self._later: list[tuple[Instant, int, Contact]] = []
        self._events: dict[int, Event] = {}
        self.calls = self.tickets = self.still_down = 0
        self._recent: list[tuple[Instant, int]] = []

    def hurt(self, event: Event, customers: Numbers, at: Instant) -> None:
        """These failed because of the event; who is new to it may decide to call."""
        truth = self.truth.setdefault(event.number, Truth(self.people.count))
        self._events[event.number] = event
        fresh = customers[np.isinf(truth.hurt_at[customers])]
        if not len(fresh):
            return
        truth.hurt_at[fresh] = at
        if truth.first_hurt_at is None:
            truth.first_hurt_at = at
        ready = np.minimum(self.plan.calls * self.people.readiness_to_call[fresh], 1.0)
        callers = fresh[self._draw.random(len(fresh)) < ready]
        delay = (
            self.plan.delay_minutes * 60.0 * np.exp(self.plan.delay_spread * self._draw.standard_normal(len(callers)))
        )
        earlier = at + delay < self._call_at[callers]
        self._call_at[callers[earlier]] = (at + delay)[earlier]
        self._because[callers[earlier]] = event.number

    def told(self, customers: Numbers, at: Instant) -> None:
        """They heard that something is wrong, and that it is known."""
        self._calmed_at[customers] = np.minimum(self._calmed_at[customers], at)

    def told_over(self, customers: Numbers, at: Instant, events: Sequence[Event]) -> None:
        """They heard that it is over; for some of them it is not."""
        self._calmed_at[customers] = np.inf
        suffering = np.zeros(len(customers), np.bool_)
        for event in events:
            if event.is_hurting(at) and event.level(at):
                suffering |= self.lives.concerned(event)[customers]
        answering = customers[suffering & (self._draw.random(len(customers)) < self.plan.still_down)]
        self.still_down += len(answering)
        for customer in answering.tolist():
            self._ticket(customer, at + 120.0, "")

    def contacts(self, at: Instant, load: float, events: Sequence[Event]) -> list[Contact]:
        """What happens at the call centre within this tick, in order."""
        self._odd(at, events)
        self._background(at, load)
        due = np.flatnonzero(self._call_at <= at)
        if len(due):
            self._call(due, at)
        ready = [one for one in self._later if one[0] <= at]
        if ready:
            self._later = [one for one in self._later if one[0] > at]
            ready.sort(key=lambda one: one[:2])
        self._recent = [one for one in self._recent if one[0] > at - 600.0]
        return [contact for *_, contact in ready]

    def pressure(self) -> float:
        """Calls of the last ten minutes against what the agents can take."""
        capacity = self.plan.agents * 600.0 / (self.plan.talk_minutes * 60.0)
        return sum(count for _, count in self._recent) / capacity

    def figures(self) -> dict[str, float]:
        """Factors for care's own telemetry: waits grow and answers fall once the agents are overrun."""
        over = max(0.0, self.pressure() - 0.8)
        return {"wait_seconds": 1.0 + 10.0 * over, "answered_ratio": 1.0 / (1.0 + over)}

    def _call(self, due: Numbers, at: Instant) -> None:
        because = self._because[due]
        self._call_at[due] = np.inf
        self._because[due] = NO_FAULT
        calmed = (self._calmed_at[due] < at) & (self._draw.random(len(due)) < self.plan.calmed_by_notice)
        over = np.array([number in self._events and at >= self._events[number].end for number in because.tolist()])
        drops = calmed | (over & (self._draw.random(len(due)) >= self.plan.calls_after))
        drops &= because != NO_FAULT
        callers = due[~drops]
        self._recent.append((at, len(callers)))
        talk = self.plan.talk_minutes * 60.0 * (0.3 + self._draw.exponential(1.0, len(callers)))
        tickets = self._draw.random(len(callers)) < self.plan.opens_ticket
        for place, customer in enumerate(callers.tolist()):
            number = int(because[~drops][place])
            service = self._service(customer, number)
            self._contacted(customer, at)
            self.calls += 1
            self._say(at, ContactKind.CALL_QUEUED, customer, service)
            end = at + float(talk[place])
            self._say(end, ContactKind.CALL_ENDED, customer, service)
            if tickets[place] and number != NO_FAULT:
                self._ticket(customer, end, service)

    def _contacted(self, customer: int, at: Instant) -> None:
        for truth in self.truth.values():
            if truth.hurt_at[customer] <= at:
                truth.contact_at[customer] = min(truth.contact_at[customer], at)

    def _ticket(self, customer: int, at: Instant, service: str) -> None:
        self.tickets += 1
        self._say(at, ContactKind.TICKET_OPENED, customer, service)
        self._say(at + TICKET_SECONDS, ContactKind.TICKET_CLOSED, customer, service)

    def _service(self, customer: int, number: int) -> str:
        """What he says does not work: the first of his services that the fault touches; "" for other reasons."""
        if number == NO_FAULT:
            return ""
        touched = set(self.ground.services_of(self._events[number]))
        mine = (name for place, name in enumerate(self.people.services) if self.people.has[place, customer])
        return next((name for name in mine if name in touched), "")

    def _say(self, at: Instant, kind: ContactKind, customer: int, service: str) -> None:
        contact = Contact(kind=kind, customer=customer, service=service)
        self._later.append((at, len(self._later), contact))

    def _background(self, at: Instant, load: float) -> None:
        rate = self.plan.calls_per_thousand_day * self.people.count / 1000.0 / DAY_SECONDS
        count = int(self._draw.poisson(rate * load * self.tick))
        if count:
            callers = np.unique(self._draw.integers(0, self.people.count, count))
            idle = callers[np.isinf(self._call_at[callers])]
            self._call_at[idle] = at

    def _odd(self, at: Instant, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind is TrapKind.ODD_CUSTOMER and event.level(at) and at % ODD_CALL_SECONDS < self.tick:
                self._call_at[event.chosen % self.people.count] = at
