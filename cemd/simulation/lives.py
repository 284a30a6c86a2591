"""A whole scenario as surroundings: customers live, call care and answer, things break and only seem to.

The world passes in true time, whatever the machine's clock says: what a prober measured carries the time of that clock,
as a prober beside the daemon would write it. What a plan leaves out of the time line is simply not there.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from cemd.config.channels import Route
from cemd.config.configuration import Configuration
from cemd.config.params import Kinds
from cemd.config.rules import Cap, Indicator, Policy, QuietHours
from cemd.demo.world.events import Event
from cemd.demo.world.scenario import Scenario
from cemd.demo.world.world import World
from cemd.model.entry import Batch, CustomersLoaded, Payload
from cemd.model.identity import Instant
from cemd.model.notice import Mode, Phase
from cemd.simulation.fakes import entropy
from cemd.simulation.plan import Plan
from cemd.simulation.surroundings import FaultBegin, Surroundings
from cemd.store.base import SeriesCatalogue

LATELY_SECONDS = 1800.0
"""A notice so long after a fault's end can still be right: its end had to be measured first."""
TICKS_A_ROUND = 3
"""Of the world: what arrives within them arrives together, which is most of what a day costs."""


class Lives:
    """One scenario under one plan."""

    ticks = (180.0, 60.0, 30.0)

    def __init__(self, scenario: Scenario, rules: Path, kinds: Kinds, plan: Plan, start: float) -> None:
        self.plan, self.start = plan, start
        self._tick_seconds = scenario.calendar.tick_seconds
        self.round_seconds = TICKS_A_ROUND * self._tick_seconds
        self._begins: list[FaultBegin] = []
        self.world = World(_sized(scenario, plan), rules, kinds, seed=plan.seed, happens=self._happens)
        self.begins_at = self.world.start
        self.customer_count = self.world.people.count
        self.calls_about = ("", *self.world.people.services)
        self.configuration = _as_the_seed_has_it(
            self.world.configuration, max(one.every_seconds for one in scenario.probes), entropy(plan.seed, "house")
        )

    def _happens(self, event: Event, after_seconds: float) -> bool:
        self._begins.append((f"event.{event.number}", after_seconds))
        return self.plan.has(f"event.{event.number}") and after_seconds <= self.plan.length_seconds

    def faults(self) -> Sequence[FaultBegin]:
        return self._begins

    def begin(self, catalogue: SeriesCatalogue, chance: random.Random) -> list[Payload]:
        del chance
        return self.world.begin(catalogue)

    def pass_round(self, chance: random.Random, monotonic: float, wall: Instant) -> list[Payload]:
        del chance
        at = self._true(monotonic)
        behind = (self._tick_seconds * ago for ago in reversed(range(TICKS_A_ROUND)))
        came = [payload for seconds in behind for payload in self.world.pass_tick(at - seconds)]
        return [_by_clock(payload, wall - at) for payload in came]

    def recheck(self, chance: random.Random, probe: str, monotonic: float, wall: Instant) -> list[Payload]:
        del chance
        at = self._true(monotonic)
        return [_by_clock(batch, wall - at) for batch in self.world.recheck(probe, at)]

    def customer_file(self, chance: random.Random) -> CustomersLoaded:
        """As it is today; some have left, until the next one."""
        file = self.world.people.load()
        here = np.array([chance.random() > 0.05 for _ in range(self.customer_count)], np.bool_)
        if chance.random() < 0.5:
            return file
        return msgspec.structs.replace(file, columns={name: column[here] for name, column in file.columns.items()})

    def series_numbers(self) -> tuple[int, ...]:
        return tuple(self.world.measuring.success_ids.tolist())

    def edited(self, chance: random.Random) -> Configuration:
        return _edited(self.configuration, chance)

    def told(self, customer: int, phase: Phase, monotonic: float) -> None:
        self.world.told(np.array([customer], np.uint32), phase, self._true(monotonic))

    def was_hurt(self, customer: int, services: Sequence[str], site: str, monotonic: float) -> bool:
        del site  # people move: what counts is where they are in truth
        at = self._true(monotonic)
        for event in self.world.events:
            touches = event.is_fault and event.begin <= at <= event.end + LATELY_SECONDS
            if touches and not set(services).isdisjoint(self.world.ground.services_of(event)):
                truth = self.world.care.truth.get(event.number)
                if self.world.lives.concerned(event)[customer] or (truth and truth.hurt_at[customer] <= at):
                    return True
        return False

    def _true(self, monotonic: float) -> Instant:
        return self.begins_at + monotonic - self.start


class Scene:
    """Makes `Lives`: may be sent to another process, and is what the simulation is handed."""

    def __init__(self, scenario: Scenario, rules: Path, kinds: Kinds) -> None:
        self.scenario, self.rules, self.kinds = scenario, rules, kinds

    def __call__(self, plan: Plan, start: float) -> Surroundings:
        return Lives(self.scenario, self.rules, self.kinds, plan, start)


def _sized(scenario: Scenario, plan: Plan) -> Scenario:
    calendar = scenario.calendar.model_copy(update={"days": plan.days})
    people = scenario.people
    if plan.customers is not None:
        people = people.model_copy(update={"count": plan.customers})
    return scenario.model_copy(update={"calendar": calendar, "people": people})


def _by_clock(payload: Payload, ahead_seconds: float) -> Payload:
    """What the prober wrote by its own clock."""
    if isinstance(payload, Batch) and ahead_seconds:
        return msgspec.structs.replace(payload, at=payload.at + ahead_seconds)
    return payload


def _as_the_seed_has_it(configuration: Configuration, probe_seconds: float, chance: random.Random) -> Configuration:
    """Rules of a house, within what the files permit: quiet hours, caps and a ceiling that differ by seed."""
    quiet = QuietHours(start="22:00", end="07:00") if chance.random() < 0.6 else None
    caps = [Cap(most=chance.choice((2, 4, 6)), window_seconds=86_400.0)]
    ceiling = chance.choice((30, 5000, 5000))
    hold = chance.choice((60.0, 300.0))
    changed = {"quiet_hours": quiet, "caps": caps, "ceiling": ceiling, "hold_seconds": hold}
    staff = [Route(name="noc", channel=one.name) for one in configuration.channels if one.to == "staff"]
    return configuration.model_copy(
        update={
            "indicators": [_in_time_with(probe_seconds, one) for one in configuration.indicators],
            "policies": [_with(one, changed) for one in configuration.policies],
            "routes": [*configuration.routes, *staff],
        }
    )


def _in_time_with(probe_seconds: float, indicator: Indicator) -> Indicator:
    """Runs come seldom here, and late: a window is as long as it takes to hold two of them."""
    window = max(indicator.window_seconds, 2.5 * probe_seconds)
    return indicator.model_copy(update={"window_seconds": window, "min_samples": min(indicator.min_samples, 2)})


def _with(policy: Policy, changed: Mapping[str, object]) -> Policy:
    return policy.model_copy(update=dict(changed))


def _edited(configuration: Configuration, chance: random.Random) -> Configuration:
    """The same operator after somebody edited the files, validly."""
    match chance.randrange(4):
        case 0:  # policies go to shadow
            changed: dict[str, object] = {"mode": Mode.SHADOW}
        case 1:
            changed = {"ceiling": chance.choice((5, 60, 5000))}
        case 2:
            changed = {"caps": [Cap(most=chance.choice((2, 8)), window_seconds=43_200.0)], "quiet_hours": None}
        case _:  # one probe of several of a service is retired
            services = [one.service for one in configuration.probes]
            spare = [one for one in configuration.probes if services.count(one.service) > 1]
            gone = chance.choice(spare or configuration.probes)
            return configuration.model_copy(update={"probes": [one for one in configuration.probes if one is not gone]})
    policies = [_with(one, changed) for one in configuration.policies]
    return configuration.model_copy(update={"policies": policies})
