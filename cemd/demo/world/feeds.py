"""Telemetry that is pushed: figures by service and place, and what care and journeys report of themselves.

Two feeds have no row in the scenario: waiting times and answered calls come from the calls that customers really make
(where a row with the source's figures exists), and `http:journeys` counts what became of the steps that customers took.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cemd.demo.world.catalogue import places
from cemd.demo.world.chance import chance
from cemd.demo.world.events import Event
from cemd.demo.world.ground import Flags, Ground
from cemd.demo.world.measuring import Figures
from cemd.demo.world.scenario import FaultEntry, FeedRow, Figure, Scenario
from cemd.model.entry import Batch
from cemd.model.identity import Instant, stable_hash
from cemd.model.measurement import SeriesKey
from cemd.model.quality import Outcome

Floats = NDArray[np.float64]


class Feeds:
    """One series for each row, place and figure."""

    def __init__(self, scenario: Scenario, ground: Ground, seed: int) -> None:
        self.ground = ground
        self.tick = scenario.calendar.tick_seconds
        self._draw = chance(seed, "feeds")
        self._rows: list[tuple[FeedRow, str, str, Figure]] = [
            (row, site, name, figure)
            for row in scenario.feeds
            for site in places(row, scenario)
            for name, figure in row.figures.items()
        ]
        self._figures = Figures([figure for *_, figure in self._rows])
        every = [max(1, round(row.every_seconds / self.tick)) for row, *_ in self._rows]
        self._every = np.array(every, np.int64)
        self._slot = np.array(
            [stable_hash(row.source) % n for (row, *_), n in zip(self._rows, every, strict=True)], np.int64
        )
        self.sources = tuple(dict.fromkeys(row.source for row, *_ in self._rows))
        self._source = np.array([self.sources.index(row.source) for row, *_ in self._rows], np.int64)
        self._series = np.zeros(len(self._rows), np.int64)
        self._masks: dict[int, Flags] = {}

    def keys(self, source: str) -> list[SeriesKey]:
        return [self._key(*row[:3]) for row in self._rows if row[0].source == source]

    def take_ids(self, ids: Mapping[str, int]) -> None:
        self._series = np.array([ids[self._key(*row[:3]).identity()] for row in self._rows], np.int64)

    def _key(self, row: FeedRow, site: str, metric: str) -> SeriesKey:
        labels = {"service": row.service}
        if site:
            labels["site"] = site
        if row.touchpoint:
            labels["touchpoint"] = row.touchpoint
        return SeriesKey(probe=row.source, metric=metric, vantage=row.source, labels=tuple(sorted(labels.items())))

    def _seen(self, event: Event) -> Flags:
        if event.number not in self._masks:
            shown = event.entry.shown_by if isinstance(event.entry, FaultEntry) else []
            touched = self.ground.services_of(event)
            self._masks[event.number] = np.array(
                [
                    row.service in touched
                    and (not shown or row.source in shown)
                    and event.touchpoint in ("", row.touchpoint)
                    and self.ground.is_at(event, site)
                    for row, site, *_ in self._rows
                ],
                np.bool_,
            )
        return self._masks[event.number]

    def report(self, at: Instant, load: float, events: Sequence[Event], care: Mapping[str, float]) -> list[Batch]:
        """What is pushed at this tick. `care`: factor or value of care's own figures, by metric."""
        due = np.flatnonzero(int(at // self.tick) % self._every == self._slot) if len(self._rows) else self._series[:0]
        if not len(due):
            return []
        delay, loss, fails, busy = np.zeros(len(due)), np.zeros(len(due)), np.zeros(len(due)), np.full(len(due), load)
        for event in events:
            level, hit = event.level(at), self._seen(event)[due]
            if level and hit.any():
                delay += hit * event.hurts.delay_seconds * level
                loss += hit * event.hurts.loss * level
                fails = np.where(hit, 1.0 - (1.0 - fails) * (1.0 - event.hurts.fails * level), fails)
                busy = np.where(hit, busy * (1.0 + (event.entry.load - 1.0) * level), busy)
        value = self._figures.draw(due, busy, delay, loss, fails, self._draw)
        for place, number in enumerate(due.tolist()):
            value[place] *= care.get(self._rows[number][2], 1.0)
        batches = []
        for number, source in enumerate(self.sources):
            mine = self._source[due] == number
            if mine.any():
                count = int(mine.sum())
                batches.append(
                    Batch(
                        source=source,
                        number=0,
                        series=self._series[due[mine]],
                        at=np.full(count, at - 1.0),
                        value=value[mine],
                        outcome=np.full(count, Outcome.OK, np.uint8),
                    )
                )
        return batches
