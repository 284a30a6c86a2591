"""The time line: every fault and every trap with its place and time, drawn from scenario and seed. The labels.

An `Event` says how deep it is at an instant; who is touched is worked out by those who are (people, probes, feeds). A
fault of planned work has an announced window before it: what the work does within the window hurts nobody unannounced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cemd.demo.world.chance import chance
from cemd.demo.world.reading import site_names
from cemd.demo.world.scenario import (
    EventKind,
    FaultEntry,
    Hurt,
    Onset,
    Scenario,
    TrapEntry,
    TrapKind,
    When,
)
from cemd.demo.world.traffic import Almanac
from cemd.model.identity import Instant

TRIES = 200
WEEK_DAYS = 7.0
IN_TIME_SECONDS = 300.0
"""Work that is done in time begins and ends so long within its window."""
RARELY_MEETS = (TrapKind.HOLIDAY, TrapKind.DAYLIGHT_SAVING, TrapKind.ODD_CUSTOMER)
"""Traps that keep no distance: they last long, and touch nothing that a fault touches."""


@dataclass(slots=True, eq=False)
class Event:
    """One occurrence. Instants are seconds since 1970; `end` is that of the last episode."""

    number: int
    name: str  # unique: of the entry, and a number where it occurs again
    kind: EventKind | TrapKind
    entry: FaultEntry | TrapEntry
    service: str
    site: str  # "" everywhere
    touchpoint: str
    begin: Instant
    end: Instant
    episodes: tuple[tuple[Instant, Instant], ...]
    window: tuple[Instant, Instant] | None = None  # announced
    hurts: Hurt = field(default_factory=Hurt)
    chosen: int = 0  # a draw, for those who choose a probe or a customer

    @property
    def is_fault(self) -> bool:
        return isinstance(self.entry, FaultEntry)

    @property
    def effect_begin(self) -> Instant:
        """When something begins to show: with the work itself, where it was announced."""
        return min(self.begin, self.window[0]) if self.window and self.is_fault else self.begin

    def level(self, at: Instant) -> float:
        """Depth at an instant, 0..1."""
        if self.is_fault and self.window and self.window[0] <= at < self.begin:
            return 1.0
        entry = self.entry
        for begin, end in self.episodes:
            if begin <= at < end:
                if not isinstance(entry, FaultEntry):
                    return 1.0
                period = entry.onset_minutes * 60.0
                match entry.onset:
                    case Onset.RAMP:
                        return min(1.0, (at - begin) / period)
                    case Onset.FLAP:
                        return 1.0 if (at - begin) % period < period / 2 else 0.0
                    case Onset.SUDDEN:
                        return 1.0
        return 0.0

    def is_hurting(self, at: Instant) -> bool:
        """True while it is a fault that is there; between two episodes and within the announced window it is not."""
        return self.is_fault and any(begin <= at < end for begin, end in self.episodes)


def time_line(scenario: Scenario, almanac: Almanac, seed: int, days: float) -> list[Event]:
    """All occurrences within the days, in order of their beginning, numbered from 0."""
    made: list[Event] = []
    last = almanac.start + days * 86_400.0
    entries: Sequence[FaultEntry | TrapEntry] = (*scenario.faults, *scenario.traps)
    independent = [entry for entry in entries if entry.when.with_event is None]
    for entry in sorted(independent, key=lambda one: one.when.at_hour is None):  # what is fixed comes first
        made.extend(_occurrences(entry, scenario, almanac, seed, days, last, made))
    for entry in entries:
        if entry.when.with_event is not None:
            leaders = [one for one in made if one.entry.name == entry.when.with_event]
            draw = chance(seed, f"event {entry.name}")
            for place, leader in enumerate(leaders):
                begin = leader.begin + entry.when.after_minutes * 60.0
                made.append(_event(entry, begin, scenario, draw.random(4).tolist(), place))
    made.sort(key=lambda one: (one.begin, one.name))
    for number, event in enumerate(made):
        event.number = number
    return made


def _occurrences(  # noqa: PLR0913, RUF100 -- an entry, and the time that it falls into
    entry: FaultEntry | TrapEntry,
    scenario: Scenario,
    almanac: Almanac,
    seed: int,
    days: float,
    last: Instant,
    made: Sequence[Event],
) -> list[Event]:
    draw = chance(seed, f"event {entry.name}")
    if entry.when.at_hour is not None:
        event = _event(entry, almanac.start + entry.when.at_hour * 3600.0, scenario, draw.random(4).tolist(), 0)
        return [event] if event.begin < last else []
    found: list[Event] = []
    for place in range(int(draw.poisson((entry.when.per_week or 0.0) * days / WEEK_DAYS))):
        for _ in range(TRIES):
            event = _event(entry, _somewhen(entry.when, almanac, days, draw.random(2).tolist()), scenario,
                           draw.random(4).tolist(), place)  # fmt: skip
            if event.end <= last and _is_apart(event, [*made, *found], scenario):
                found.append(event)
                break
    return found


def _somewhen(when: When, almanac: Almanac, days: float, luck: Sequence[float]) -> Instant:
    whole = max(1, int(days))
    midnight = almanac.midnight(int(luck[0] * whole))
    low, high = when.between_hours
    return midnight + (low + luck[1] * (high - low)) * 3600.0


def _is_apart(event: Event, others: Sequence[Event], scenario: Scenario) -> bool:
    if event.kind in RARELY_MEETS:
        return True
    distance = scenario.apart_minutes * 60.0
    return all(
        one.kind in RARELY_MEETS or event.effect_begin >= one.end + distance or event.end + distance <= one.effect_begin
        for one in others
    )


def _event(
    entry: FaultEntry | TrapEntry, begin: Instant, scenario: Scenario, luck: Sequence[float], place: int
) -> Event:
    tick = scenario.calendar.tick_seconds
    begin = begin - begin % tick
    shortest, longest = entry.lasts_minutes
    seconds = (shortest + luck[0] * (longest - shortest)) * 60.0
    seconds -= seconds % tick
    episodes = [(begin, begin + seconds)]
    window = None
    if isinstance(entry, FaultEntry):
        if entry.returns_after_minutes is not None:
            again = begin + seconds + entry.returns_after_minutes * 60.0
            episodes.append((again, again + seconds))
        if entry.announced_minutes is not None:
            window = (begin - entry.announced_minutes * 60.0, begin)
    elif entry.kind is TrapKind.MAINTENANCE:
        window = (begin, begin + seconds)
        episodes = [(begin + IN_TIME_SECONDS, max(begin + seconds - IN_TIME_SECONDS, begin + IN_TIME_SECONDS))]
    sites = [name for name, (kind, _) in site_names(scenario).items() if kind == entry.site_kind]
    return Event(
        number=0,
        name=entry.name if place == 0 else f"{entry.name}-{place + 1}",
        kind=entry.kind,
        entry=entry,
        service=entry.service or "",
        site=sites[int(luck[1] * len(sites))] if sites else entry.site or "",
        touchpoint=entry.touchpoint or "",
        begin=begin,
        end=max(episodes[-1][1], window[1] if window else 0.0),
        episodes=tuple(episodes),
        window=window,
        hurts=entry.hurts,
        chosen=int(luck[2] * 2**31),
    )
