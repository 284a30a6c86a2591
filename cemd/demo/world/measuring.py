"""What probes see: every tick the due runs of all probes as columns, from each vantage point.

One *look* is a probe at a place from a vantage. What is wrong reaches a look through its service, place, touchpoint and
the kinds that can see it; a blind vantage sees nothing and says so, a buggy probe fails for reasons of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemd.demo.world.catalogue import places, probe_name
from cemd.demo.world.chance import chance
from cemd.demo.world.events import Event
from cemd.demo.world.ground import Flags, Ground
from cemd.demo.world.scenario import FaultEntry, Figure, ProbeRow, Scenario, TrapKind
from cemd.model.entry import Batch
from cemd.model.identity import Instant, stable_hash
from cemd.model.measurement import SUCCESS, SeriesKey
from cemd.model.quality import Outcome

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
PARETO = 1.5
PACKETS = 10
QUICK_LOOKS = 2
"""Extra looks after a probe began to fail, as the daemon's own prober makes them, one a tick."""
_NONE = Figure(usual=0.0)


@dataclass(frozen=True, slots=True)
class Look:
    """A probe at a place, from a vantage."""

    row: ProbeRow
    name: str  # of the probe
    site: str
    vantage: str


class Figures:
    """Figures as columns: how each behaves, and what is added to it."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self.usual = np.array([one.usual for one in figures], np.float64)
        self.spread = np.array([one.spread for one in figures], np.float64)
        self.load = np.array([one.load for one in figures], np.float64)
        self.wild = np.array([one.wild_ratio for one in figures], np.float64)
        self.most = np.array([np.inf if one.most is None else one.most for one in figures], np.float64)
        words = [one.when_hurt for one in figures]
        self.delayed, self.lossy, self.failing = (
            np.array([one == word for one in words], np.bool_) for word in ("delay", "loss", "failures")
        )

    def draw(  # noqa: PLR0913, RUF100 -- everything that moves a figure
        self, which: Numbers, load: Floats, delay: Floats, loss: Floats, fails: Floats, draw: np.random.Generator
    ) -> Floats:
        """Values of these figures at this load (per figure), with what faults add."""
        count = len(which)
        value = self.usual[which] * np.exp(self.spread[which] * draw.standard_normal(count))
        value *= np.maximum(1.0 + self.load[which] * (load - 1.0), 0.05)
        wild = np.flatnonzero(draw.random(count) < self.wild[which])
        value[wild] *= 1.0 + draw.pareto(PARETO, len(wild))
        value += np.where(self.delayed[which], delay, 0.0)
        value += np.where(self.failing[which], fails, 0.0)
        lossy = np.flatnonzero(self.lossy[which])
        if len(lossy):
            share = np.clip(value[lossy] + loss[lossy], 0.0, 1.0)
            value[lossy] = draw.binomial(PACKETS, share) / PACKETS
        return np.minimum(value, self.most[which])


class Measuring:
    """All looks, and when each is due."""

    def __init__(self, scenario: Scenario, ground: Ground, seed: int) -> None:
        self.ground = ground
        self.tick = scenario.calendar.tick_seconds
        self.looks = [
            Look(row, probe_name(row, site), site, vantage)
            for row in scenario.probes
            for site in places(row, scenario)
            for vantage in row.vantages
        ]
        self._sites = {one.name: one.site or "" for one in scenario.vantages}
        self.vantages = tuple(one.name for one in scenario.vantages)
        self._sends = {one.name: max(1, round(one.sends_every_seconds / self.tick)) for one in scenario.vantages}
        self._draw = chance(seed, "measuring")
        looks = self.looks
        self._base = np.array([one.row.fails_ratio for one in looks], np.float64)
        self._timeout = np.array([one.row.timeout_seconds for one in looks], np.float64)
        self._vantage = np.array([self.vantages.index(one.vantage) for one in looks], np.int64)
        phases = [stable_hash(f"{one.name} {one.vantage}") for one in looks]
        self._every = np.array([round(one.row.every_seconds / self.tick) for one in looks], np.int64)
        self._slot = np.array(phases, np.uint64).astype(np.int64) % self._every
        self._jitter = (np.array(phases, np.uint64) >> np.uint64(20)).astype(np.float64) % 1000 / 1000.0 * self.tick
        self._cycle = int(np.lcm.reduce(self._every, initial=1))  # ticks after which the same looks are due
        self._due: dict[int, Numbers] = {}
        pairs = [(place, name, figure) for place, one in enumerate(looks) for name, figure in one.row.figures.items()]
        self.figures = Figures([figure for _, _, figure in pairs])
        self.owner = np.array([place for place, _, _ in pairs], np.int64)
        self._first = np.searchsorted(self.owner, np.arange(len(looks) + 1))
        self._names = [name for _, name, _ in pairs]
        self._counts_loss = np.array([self._has_loss(place) for place in range(len(looks))], np.bool_)
        self.success_ids = np.zeros(len(looks), np.int64)
        self.series_ids = np.zeros(len(pairs), np.int64)
        self._masks: dict[int, Flags] = {}
        self._waiting: dict[int, list[tuple[Numbers, Floats, Floats, NDArray[np.uint8]]]] = {}
        self._numbers = dict.fromkeys(range(len(self.vantages)), 0)
        self._quick_left = np.full(len(looks), QUICK_LOOKS, np.int64)
        self._quick = np.zeros(0, np.int64)

    @property
    def pair_count(self) -> int:
        """How many figures all looks have together."""
        return len(self.owner)

    def keys(self, vantage: str) -> list[SeriesKey]:
        """Every series that a vantage point measures, in words."""
        found = []
        for place, look in enumerate(self.looks):
            if look.vantage == vantage:
                names = [SUCCESS, *self._names[self._first[place] : self._first[place + 1]]]
                found += [self._key(look, name) for name in names]
        return found

    def take_ids(self, ids: Mapping[str, int]) -> None:
        """The durable numbers of the series, by their identity."""
        for place, look in enumerate(self.looks):
            self.success_ids[place] = ids[self._key(look, SUCCESS).identity()]
            for pair in range(int(self._first[place]), int(self._first[place + 1])):
                self.series_ids[pair] = ids[self._key(look, self._names[pair]).identity()]

    def _key(self, look: Look, metric: str) -> SeriesKey:
        return SeriesKey(probe=look.name, metric=metric, vantage=look.vantage, target=f"{look.name}.invalid")

    def _has_loss(self, place: int) -> bool:
        """Whether the look measures loss itself; to any other, a lost packet is a failed run."""
        return bool(self.figures.lossy[int(self._first[place]) : int(self._first[place + 1])].any())

    def seen(self, event: Event) -> Flags:
        """Which looks the event reaches."""
        if event.number not in self._masks:
            self._masks[event.number] = np.array([self._sees(look, event) for look in self.looks], np.bool_)
            if event.kind is TrapKind.PROBE_BUG:
                names = list(dict.fromkeys(one.name for one in self.looks if one.row.name == event.entry.probe))  # type: ignore[union-attr]
                buggy = names[event.chosen % len(names)]
                self._masks[event.number] = np.array([look.name == buggy for look in self.looks], np.bool_)
        return self._masks[event.number]

    def _sees(self, look: Look, event: Event) -> bool:
        if event.kind is TrapKind.BLIND_VANTAGE:
            return look.vantage == getattr(event.entry, "vantage", None)
        if look.row.service not in self.ground.services_of(event):
            return False
        if event.touchpoint and look.row.touchpoint != event.touchpoint:
            return False
        shown = event.entry.shown_by if isinstance(event.entry, FaultEntry) else []
        if shown and look.row.kind not in shown and look.row.name not in shown:
            return False
        return self.ground.is_at(event, look.site or self._sites[look.vantage])

    def measure(self, at: Instant, load: float, events: Sequence[Event]) -> list[Batch]:
        """The runs that ended within the tick before `at`, one batch a vantage point that sends now."""
        count = int(at // self.tick)
        due = self._due_at(count)
        if len(self._quick):
            due, self._quick = np.union1d(due, self._quick), self._quick[:0]
        if len(due):
            self._run(due, at, load, events)
        return [batch for number in range(len(self.vantages)) if (batch := self._sent(number, count)) is not None]

    def again(self, probe: str, at: Instant, load: float, events: Sequence[Event]) -> list[Batch]:
        """A probe runs at once, because the daemon asked."""
        which = np.array([place for place, look in enumerate(self.looks) if look.name == probe], np.int64)
        if not len(which):
            return []
        self._run(which, at, load, events)
        vantages = dict.fromkeys(self._vantage[which].tolist())
        return [batch for number in vantages if (batch := self._sent(number, 0)) is not None]

    def _due_at(self, count: int) -> Numbers:
        cycle = count % self._cycle
        if cycle not in self._due:
            self._due[cycle] = np.flatnonzero(cycle % self._every == self._slot)
        return self._due[cycle]

    def _run(self, due: Numbers, at: Instant, load: float, events: Sequence[Event]) -> None:
        draw = self._draw
        fails = self._base[due].copy()
        delay, loss, busy = np.zeros(len(due)), np.zeros(len(due)), np.full(len(due), load)
        blind = np.zeros(len(due), np.bool_)
        for event in events:
            level = event.level(at)
            hit = self.seen(event)[due]
            if not level or not hit.any():
                continue
            if event.kind is TrapKind.BLIND_VANTAGE:
                blind |= hit
                continue
            depth = 1.0 if event.kind is TrapKind.PROBE_BUG else event.hurts.fails
            fails = np.where(hit, 1.0 - (1.0 - fails) * (1.0 - depth * level), fails)
            delay += hit * event.hurts.delay_seconds * level
            loss = np.where(hit, 1.0 - (1.0 - loss) * (1.0 - event.hurts.loss * level), loss)
            busy = np.where(hit, busy * (1.0 + (event.entry.load - 1.0) * level), busy)
        failed = draw.random(len(due)) < 1.0 - (1.0 - fails) * (1.0 - np.where(self._counts_loss[due], 0.0, loss))
        late = delay >= self._timeout[due]
        outcome = np.select(
            [blind, late, failed],
            [np.uint8(Outcome.BLIND), np.uint8(Outcome.TIMED_OUT), np.uint8(Outcome.FAILED)],
            np.uint8(Outcome.OK),
        ).astype(np.uint8)
        pairs, of = self._pairs(due)
        values = self.figures.draw(pairs, busy[of], delay[of], loss[of], fails[of], draw)
        lost = self.figures.lossy[pairs] & (values >= 1.0) & (outcome[of] == Outcome.OK)
        outcome[of[lost]] = Outcome.FAILED  # not one packet came back
        values[(outcome[of] != Outcome.OK) & ~(self.figures.lossy[pairs] & (outcome[of] == Outcome.FAILED))] = np.nan
        values[self.figures.lossy[pairs] & (outcome[of] == Outcome.FAILED)] = 1.0
        self._look_again(due, outcome)
        success = np.where(outcome == Outcome.BLIND, np.nan, (outcome == Outcome.OK).astype(np.float64))
        when = at - self._jitter[due] * 0.999
        series = np.concatenate([self.success_ids[due], self.series_ids[pairs]])
        columns = (
            series,
            np.concatenate([when, when[of]]),
            np.concatenate([success, values]),
            np.concatenate([outcome, outcome[of]]),
        )
        vantage = np.concatenate([self._vantage[due], self._vantage[due][of]])
        for number in range(len(self.vantages)):
            mine = vantage == number
            if mine.any():
                series, times, value, out = (column[mine] for column in columns)
                self._waiting.setdefault(number, []).append((series, times, value, out))

    def _look_again(self, due: Numbers, outcome: NDArray[np.uint8]) -> None:
        """The first failures after a success are looked at again at the next tick."""
        failing = (outcome == Outcome.FAILED) | (outcome == Outcome.TIMED_OUT)
        self._quick_left[due[~failing]] = QUICK_LOOKS
        again = due[failing & (self._quick_left[due] > 0)]
        if len(again):
            self._quick_left[again] -= 1
            self._quick = np.union1d(self._quick, again)

    def _pairs(self, due: Numbers) -> tuple[Numbers, Numbers]:
        """Figures of the due looks, and which of the due each belongs to."""
        start, count = self._first[due], self._first[due + 1] - self._first[due]
        of = np.repeat(np.arange(len(due)), count)
        ends = np.cumsum(count)
        within = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - count, count)
        return start[of] + within, of

    def _sent(self, number: int, count: int) -> Batch | None:
        name = self.vantages[number]
        if number not in self._waiting or count % self._sends[name]:
            return None
        parts = self._waiting.pop(number)
        series, at, value, outcome = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.argsort(at, kind="stable")
        self._numbers[number] += 1
        return Batch(
            source=f"prober:{name}",
            number=self._numbers[number],
            series=series[order],
            at=at[order],
            value=value[order],
            outcome=outcome[order],
        )
