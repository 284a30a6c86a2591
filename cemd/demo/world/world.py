"""The world as a whole: one tick after the other, out come the payloads that a daemon would be given, in their order.

Whoever drives it asks `begin` once and `pass_tick` for every tick, hands back which customers were told, and may ask
for a recheck. Truth is in `events` and `care.truth`; nothing that is handed out holds any of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cemd.config.configuration import Configuration
from cemd.config.load import Kinds
from cemd.config.maintenance import Maintenance
from cemd.config.topology import Topology
from cemd.demo.world.care import Care
from cemd.demo.world.catalogue import configuration_of
from cemd.demo.world.events import Event, time_line
from cemd.demo.world.feeds import Feeds
from cemd.demo.world.ground import Ground
from cemd.demo.world.lives import Lives
from cemd.demo.world.measuring import Measuring
from cemd.demo.world.people import MOVE_SECONDS, People
from cemd.demo.world.scenario import Scenario, TrapKind
from cemd.demo.world.traffic import Almanac
from cemd.model.entry import Batch, Payload, SeriesAdded
from cemd.model.identity import Instant
from cemd.model.measurement import SeriesKey
from cemd.model.notice import Phase
from cemd.model.quality import Outcome
from cemd.store.base import SeriesCatalogue

JOURNEYS = "http:journeys"
MOST_SERIES = 1_000_000
Happens = Callable[[Event, float], bool]
"""Whether an event of the time line happens in this life; asked with the seconds from the start to its beginning."""


class World:
    """One life of a scenario under one seed."""

    def __init__(
        self, scenario: Scenario, rules: Path, kinds: Kinds, *, seed: int, happens: Happens = lambda *_: True
    ) -> None:
        self.scenario, self.seed = scenario, seed
        self.days = scenario.calendar.days
        self.tick = scenario.calendar.tick_seconds
        self.almanac = Almanac(scenario, seed)
        self.start = self.almanac.start - scenario.calendar.warm_up_hours * 3600.0
        self.first_midnight = self.almanac.start
        self.end = self.almanac.start + self.days * 86_400.0
        line = time_line(scenario, self.almanac, seed, self.days)
        self.events: Sequence[Event] = [one for one in line if happens(one, one.effect_begin - self.start)]
        for event in self.events:
            if event.kind is TrapKind.HOLIDAY:
                self.almanac.extra_holidays.add(self.almanac.local(event.begin).date())
        configuration, self.left_out = configuration_of(scenario, rules, kinds)
        self.configuration = self._announced(configuration)
        self.topology = Topology(self.configuration)
        self.ground = Ground(self.topology)
        self.people = People(scenario, self.topology, seed)
        self.lives = Lives(scenario, self.ground, self.people, seed)
        self.care = Care(scenario, self.ground, self.people, self.lives, seed)
        self.measuring = Measuring(scenario, self.ground, seed)
        self.feeds = Feeds(scenario, self.ground, seed)
        self._journeys = np.zeros(len(self.lives.shown), np.int64)
        self._effects = [(event.effect_begin, event.end, event) for event in self.events]

    def _announced(self, configuration: Configuration) -> Configuration:
        """The configuration with the planned work in it, as the operator would have written it down."""
        windows = [
            Maintenance(
                name=event.name,
                services=[event.service],
                sites=[event.site] if event.site else [],
                begins_at=_iso(event.window[0]),
                ends_at=_iso(event.window[1]),
            )
            for event in self.events
            if event.window is not None
        ]
        return configuration.model_copy(update={"maintenance": windows})

    def begin(self, catalogue: SeriesCatalogue) -> list[Payload]:
        """Series with their durable numbers, then all customers."""
        ids: dict[str, int] = {}
        for source, keys in self._sources().items():
            catalogue.resolve(source, keys, MOST_SERIES)
        every = catalogue.all()
        ids.update((one.key.identity(), int(one.id)) for one in every)
        self.measuring.take_ids(ids)
        self.feeds.take_ids(ids)
        self._journeys = np.array([ids[key.identity()] for key in self._journey_keys()], np.int64)
        return [SeriesAdded(series=tuple(every)), self.people.load()]

    def _sources(self) -> Mapping[str, list[SeriesKey]]:
        sources = {f"prober:{name}": self.measuring.keys(name) for name in self.measuring.vantages}
        sources |= {source: self.feeds.keys(source) for source in self.feeds.sources}
        sources[JOURNEYS] = [*sources.get(JOURNEYS, []), *self._journey_keys()]
        return sources

    def _journey_keys(self) -> list[SeriesKey]:
        keys = []
        every = {step.shown_as: step for step in self.lives.steps}
        for step in (every[shown] for shown in self.lives.shown):
            labels = {"journey": step.journey, "step": step.name, "touchpoint": step.touchpoint}
            if step.services:
                labels["service"] = step.services[0]
            keys.append(
                SeriesKey(
                    probe=JOURNEYS, metric="step_success_ratio", vantage=JOURNEYS, labels=tuple(sorted(labels.items()))
                )
            )
        return keys

    def happening(self, at: Instant) -> list[Event]:
        """Events that show, or are announced, at this instant."""
        return [event for begin, end, event in self._effects if begin <= at < end]

    def pass_tick(self, at: Instant) -> list[Payload]:
        """Everything that reaches the daemon within the tick that ends at `at`."""
        events = self.happening(at)
        load = self.almanac.load(at)
        came: list[Payload] = []
        if at % MOVE_SECONDS < self.tick and len(moved := self.people.move(at, self.almanac)):
            came.append(self.people.load(moved))
        self.lives.live(at, load, events, self.care.hurt)
        came.extend(self.care.contacts(at, load, events))
        came.extend(self.measuring.measure(at, load, events))
        came.extend(self.feeds.report(at, load, events, self.care.figures()))
        if at % self.scenario.calendar.journeys_every_seconds < self.tick:
            came.extend(self._journey_report(at))
        return came

    def recheck(self, probe: str, at: Instant) -> list[Batch]:
        return self.measuring.again(probe, at, self.almanac.load(at), self.happening(at))

    def told(self, customers: NDArray[np.uint32], phase: Phase, at: Instant) -> None:
        """These customers read a message now."""
        numbers = customers.astype(np.int64)
        if phase is Phase.OVER:
            self.care.told_over(numbers, at, self.happening(at))
        else:
            self.care.told(numbers, at)

    def _journey_report(self, at: Instant) -> list[Batch]:
        steps, ratio, _ = self.lives.reported()
        if not len(steps):
            return []
        return [
            Batch(
                source=JOURNEYS,
                number=0,
                series=self._journeys[steps],
                at=np.full(len(steps), at - 1.0),
                value=ratio,
                outcome=np.full(len(steps), Outcome.OK, np.uint8),
            )
        ]


def _iso(at: Instant) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
