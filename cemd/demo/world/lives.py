"""Customers live: they start journeys, take steps, wait, try again, give up or get done. All alive at once, as columns.

What a fault does to them is the truth that everything is judged by: who failed, when first, because of which fault. A
step fails by chance, by a fault that reaches what it needs at the customer's place, or because it took too long. What
planned work does within its announced window is suffered too, but no fault is blamed for it. Who gives up at one
touchpoint may go on at another where the same can be done: each way through a journey is a chain of steps of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cemd.config.catalogue import Journey, TouchpointChannel
from cemd.demo.world.chance import chance
from cemd.demo.world.events import Event
from cemd.demo.world.ground import Flags, Ground
from cemd.demo.world.people import People
from cemd.demo.world.scenario import Habit, Scenario, TrapKind
from cemd.model.identity import Instant

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
DAY_SECONDS = 86_400.0
FAILS_ANYWAY = 0.002
"""Share of attempts that fail for reasons of nobody's: a tunnel, a typing error."""
ODD_TRIES = 25
"""Attempts that the odd customer makes in a tick; all fail, for a reason at his end."""
FREE = -1

Hurt = Callable[[Event, Numbers, Instant], None]
"""Told whom an event hurt: customers (each once), at an instant."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of a journey that customers take."""

    journey: str
    name: str
    services: tuple[str, ...]
    touchpoint: str
    in_shop: bool
    patience: float
    tries: int
    retry: float
    think: float
    last: bool
    switches: float  # share of those who give up here who go on elsewhere
    elsewhere: tuple[int, ...] = ()  # the same step at the other touchpoints

    @property
    def shown_as(self) -> tuple[str, str, str]:
        """Under which journey, step and touchpoint it is reported."""
        return self.journey, self.name, self.touchpoint


class Lives:
    """Journey instances: customer, step, attempts so far, when it goes on."""

    def __init__(self, scenario: Scenario, ground: Ground, people: People, seed: int) -> None:
        self.ground, self.people = ground, people
        self.tick = scenario.calendar.tick_seconds
        self._draw = chance(seed, "lives")
        self.steps: list[_Step] = []
        self._rates: list[tuple[float, Numbers, int, str]] = []  # a second, who, first step, touchpoint
        for habit in scenario.habits:
            first = len(self.steps)
            self._add_steps(habit)
            who = np.arange(people.count)
            if habit.service is not None and habit.service in people.services:
                who = np.flatnonzero(people.has[people.services.index(habit.service)])
            who = who[~people.is_machine[who]]
            rate = habit.starts_per_day * len(who) / DAY_SECONDS
            self._rates.append((rate, who, first, self.steps[first].touchpoint))
        of = self.steps
        self._in_shop = np.array([one.in_shop for one in of], np.bool_)
        self._patience = np.array([one.patience for one in of])
        self._tries = np.array([one.tries for one in of])
        self._retry = np.array([one.retry for one in of])
        self._think = np.array([one.think for one in of])
        self._last = np.array([one.last for one in of])
        self._switches = np.array([one.switches if one.elsewhere else 0.0 for one in of])
        self.shown = list(dict.fromkeys(one.shown_as for one in of))
        """Journey, step and touchpoint of what is reported together."""
        self._shown = np.array([self.shown.index(one.shown_as) for one in of], np.int64)
        self._shop = self._nearest_shops(scenario)
        self._customer = np.zeros(0, np.int64)
        self._step = np.zeros(0, np.int64)
        self._tried = np.zeros(0, np.int64)
        self._next = np.zeros(0)
        self._reach: dict[int, Flags] = {}
        self.attempts = np.zeros(len(self.shown), np.int64)  # since they were last reported
        self.failures = np.zeros(len(self.shown), np.int64)
        self.started = self.completed = self.abandoned = self.switched = 0

    def _add_steps(self, habit: Habit) -> None:
        """The journey as it is usually taken, then once for each touchpoint that may stand in for one of its own."""
        journey = self.ground.topology.journeys[habit.journey]
        first, length = len(self.steps), len(journey.steps)
        self._add_chain(habit, journey, {})
        if not habit.switches:
            return
        for point, others in journey.alternatives.items():
            for other in others:
                chain = len(self.steps)
                self._add_chain(habit, journey, {point: other})
                for place in range(length):
                    if self.steps[first + place].touchpoint == point:
                        usual = self.steps[first + place]
                        self.steps[first + place] = replace(usual, elsewhere=(*usual.elsewhere, chain + place))

    def _add_chain(self, habit: Habit, journey: Journey, instead: Mapping[str, str]) -> None:
        for place, step in enumerate(journey.steps):
            step = step.model_copy(update={"touchpoint": instead.get(step.touchpoint, step.touchpoint)})
            point = self.ground.topology.touchpoints[step.touchpoint]
            self.steps.append(
                _Step(
                    journey=journey.name,
                    name=step.name,
                    services=self.ground.topology.step_needs(step),
                    touchpoint=step.touchpoint,
                    in_shop=point.channel is TouchpointChannel.SHOP,
                    patience=habit.patience_seconds,
                    tries=habit.tries,
                    retry=habit.retry_seconds,
                    think=habit.think_seconds,
                    last=place == len(journey.steps) - 1,
                    switches=habit.switches,
                )
            )

    def _nearest_shops(self, scenario: Scenario) -> Numbers:
        """By site: the shop in the smallest place around it that has one, else the site itself."""
        topology, number = self.ground.topology, self.ground.site_number
        shops = [name for name in self.ground.sites if topology.sites[name].kind == "shop"]
        nearest = []
        for site in self.ground.sites:
            found = next(
                (shop for around in topology.around(site) for shop in shops if around in topology.around(shop)), site
            )
            nearest.append(number[found])
        del scenario
        return np.array(nearest, np.int64)

    def live(self, at: Instant, load: float, events: Sequence[Event], hurt: Hurt) -> None:
        """One tick: new journeys begin, due steps are taken."""
        self._begin(at, load, events)
        due = np.flatnonzero(self._next <= at)
        if len(due):
            self._take(due, at, events, hurt)

    def _begin(self, at: Instant, load: float, events: Sequence[Event]) -> None:
        who, steps = [], []
        for rate, eligible, first, touchpoint in self._rates:
            crowd = 1.0
            for event in events:
                if event.entry.load != 1.0 and (not event.touchpoint or event.touchpoint == touchpoint):
                    crowd *= 1.0 + (event.entry.load - 1.0) * event.level(at)
            count = int(self._draw.poisson(rate * load * self.tick * crowd)) if len(eligible) else 0
            if count:
                who.append(eligible[self._draw.integers(0, len(eligible), count)])
                steps.append(np.full(count, first))
        if who:
            customers = np.concatenate(who)
            self.started += len(customers)
            self._append(customers, np.concatenate(steps), at - self._draw.random(len(customers)) * self.tick)

    def _append(self, customers: Numbers, steps: Numbers, when: Floats) -> None:
        alive = self._step != FREE
        self._customer = np.concatenate([self._customer[alive], customers])
        self._step = np.concatenate([self._step[alive], steps])
        self._tried = np.concatenate([self._tried[alive], np.zeros(len(customers), np.int64)])
        self._next = np.concatenate([self._next[alive], when])

    def _take(self, due: Numbers, at: Instant, events: Sequence[Event], hurt: Hurt) -> None:
        customer, step = self._customer[due], self._step[due]
        site = self.people.site[customer]
        site = np.where(self._in_shop[step], self._shop[site], site)
        failed = self._draw.random(len(due)) < FAILS_ANYWAY
        for event in events:
            level = event.level(at)
            if not level or not (event.hurts.fails or event.hurts.delay_seconds or event.hurts.loss):
                continue
            mine = self._reached(event)[step, site] & ~failed
            if not mine.any():
                continue
            share = 1.0 - (1.0 - event.hurts.fails * level) * (1.0 - event.hurts.loss * level)
            broken = mine & (self._draw.random(len(due)) < share)
            broken |= mine & (event.hurts.delay_seconds * level > self._patience[step])
            failed |= broken
            if event.is_hurting(at) and broken.any():
                hurt(event, np.unique(customer[broken]), at)
        self._count(step, failed)
        self._go_on(due, step, failed, at)
        self._odd(at, events)

    def _count(self, step: Numbers, failed: Flags) -> None:
        self.attempts += np.bincount(self._shown[step], minlength=len(self.shown))
        self.failures += np.bincount(self._shown[step[failed]], minlength=len(self.shown))

    def _go_on(self, due: Numbers, step: Numbers, failed: Flags, at: Instant) -> None:
        wait = self._draw.exponential(1.0, len(due))
        tried = np.where(failed, self._tried[due] + 1, 0)
        gives_up = failed & (tried >= self._tries[step])
        changes = np.flatnonzero(gives_up & (self._switches[step] > 0))
        changes = changes[self._draw.random(len(changes)) < self._switches[step[changes]]]
        gives_up[changes] = False
        done = ~failed & self._last[step]
        self.completed += int(done.sum())
        self.abandoned += int(gives_up.sum())
        ends = gives_up | done
        self._tried[due] = tried
        self._next[due] = np.where(ends, np.inf, at + np.where(failed, self._retry[step], self._think[step]) * wait)
        self._step[due] = np.where(ends, FREE, np.where(failed, step, step + 1))
        self._change(due[changes], step[changes])

    def _change(self, due: Numbers, step: Numbers) -> None:
        """They go on at another touchpoint, where they are new."""
        self.switched += len(due)
        self._tried[due] = 0
        luck = self._draw.random(len(due))
        for place, (one, usual) in enumerate(zip(due.tolist(), step.tolist(), strict=True)):
            elsewhere = self.steps[usual].elsewhere
            self._step[one] = elsewhere[int(luck[place] * len(elsewhere))]

    def _odd(self, at: Instant, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind is TrapKind.ODD_CUSTOMER and event.level(at):
                step = event.chosen % len(self.shown)
                self.attempts[step] += ODD_TRIES
                self.failures[step] += ODD_TRIES

    def _reached(self, event: Event) -> Flags:
        """bool[steps, sites]: which steps the event reaches, where the customer takes them."""
        if event.number not in self._reach:
            touched = set(self.ground.services_of(event))
            steps = np.array(
                [
                    not touched.isdisjoint(one.services) and event.touchpoint in ("", one.touchpoint)
                    for one in self.steps
                ],
                np.bool_,
            )
            self._reach[event.number] = steps[:, None] & self.ground.site_flags(event)[None, :]
        return self._reach[event.number]

    def concerned(self, event: Event) -> Flags:
        """Customers whom the event can hurt by contract: they have a sold service that it touches, at its place."""
        touched = set(self.ground.services_of(event))
        has = np.zeros(self.people.count, np.bool_)
        for place, name in enumerate(self.people.services):
            if name in touched:
                has |= self.people.has[place]
        concerned: Flags = has & self.ground.site_flags(event)[self.people.site]
        return concerned

    def reported(self) -> tuple[Numbers, Floats, Numbers]:
        """(places in `shown` with attempts, their success ratio, attempts) since the last call."""
        some = np.flatnonzero(self.attempts)
        ratio = 1.0 - self.failures[some] / self.attempts[some]
        counts = self.attempts[some].copy()
        self.attempts[:] = 0
        self.failures[:] = 0
        return some, ratio, counts
