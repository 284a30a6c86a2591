"""Reads a scenario file and refuses impossible worlds: every fault with `file:line:column: fact; remedy`.

What one key cannot say is checked here: names that nobody defines, customers without a site, a fault on nothing, a
journey that nobody can take.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from pydantic import TypeAdapter, ValidationError

from cemd.config.source import Source, did_you_mean
from cemd.config.words import faults_of
from cemd.config.yaml import Path as Way
from cemd.config.yaml import Tree, parse
from cemd.demo.world.scenario import FaultEntry, FeedRow, Onset, ProbeRow, Scenario, TrapEntry, TrapKind, When
from cemd.errors import ConfigError, Fault

SCENARIOS = Path(__file__).parents[1] / "scenarios"
"""The shipped files."""
NAMED = ("services", "sites", "touchpoints", "journeys", "processes", "channels", "vantages", "probes")
MOST_SITES = 60_000
MOST_SOLD = 64
"""What a customer has is a bit each of one number."""
_ADAPTER: TypeAdapter[Scenario] = TypeAdapter(Scenario)


def read_scenario(path: Path, probe_kinds: Collection[str] = ()) -> Scenario:
    """The scenario of a file.

    Args:
        path: The file.
        probe_kinds: Kinds of probe that there are; none: whoever makes a configuration of it asks.

    Raises:
        ConfigError: with everything that is wrong with it.
    """
    source = _source(path)
    tree = _merged(path, source, ())
    try:
        scenario = _ADAPTER.validate_json(msgspec.json.encode(tree), strict=True)
    except ValidationError as exc:
        raise ConfigError(list(faults_of(exc, source, (), Scenario))) from exc
    if faults := list(_Check(scenario, source, sorted(probe_kinds)).faults()):
        raise ConfigError(faults)
    return scenario


def _merged(path: Path, source: Source, below: tuple[Path, ...]) -> Tree:
    """The tree with the sections of the file that it extends. That file is checked first, so that what is wrong
    afterwards is said of this one.

    Raises:
        ConfigError: the files extend each other in a circle.
    """
    tree = source.document.tree
    if not isinstance(tree, dict) or not isinstance(name := tree.get("extends"), str):
        return tree
    base = path.parent / name
    if base in (path, *below):
        raise ConfigError([source.at_value(("extends",), f'"{name}" extends this file', "extend another file")])
    under = _merged(base, _source(base), (path, *below))
    read_scenario(base)
    return {**(under if isinstance(under, dict) else {}), **tree}


def _source(path: Path) -> Source:
    try:
        return Source(path.name, parse(path.read_bytes(), path.name))
    except OSError as exc:
        fact = f"cannot be read: {(exc.strerror or 'unknown reason').lower()}"
        raise ConfigError([Fault(str(path), 0, 0, fact, "name a scenario file that exists")]) from exc


def site_names(scenario: Scenario) -> dict[str, tuple[str, str | None]]:
    """Every site, those of the rows included, with its kind and parent; parents before what lies in them."""
    found = {site.name: (site.kind, site.parent) for site in scenario.sites}
    for row in scenario.site_rows:
        parents = [name for name, (kind, _) in found.items() if kind == row.in_each]
        for parent in parents:
            for number in range(1, row.count + 1):
                found[f"{parent}-{row.name}-{number}"] = (row.kind, parent)
    return found


class _Check:
    """All that two places of the file, or one key and the world, must agree about."""

    def __init__(self, scenario: Scenario, source: Source, probe_kinds: list[str]) -> None:
        self.world = scenario
        self.probe_kinds = probe_kinds
        self.source = source
        self.sites = site_names(scenario)
        self.kinds = dict.fromkeys(kind for kind, _ in self.sites.values())
        self.known: dict[str, dict[str, Any]] = {
            section: {one.name: one for one in getattr(scenario, section)} for section in NAMED
        }
        self.known["sites"] = dict(self.sites)
        events: list[FaultEntry | TrapEntry] = [*scenario.faults, *scenario.traps]
        self.events = {one.name: one for one in events}

    def faults(self) -> Iterator[Fault]:
        yield from self._duplicates()
        yield from self._places()
        yield from self._catalogue()
        yield from self._watching()
        yield from self._people()
        for place, fault in enumerate(self.world.faults):
            yield from self._event(("faults", place), fault)
        for place, trap in enumerate(self.world.traps):
            yield from self._event(("traps", place), trap)

    def _say(self, way: Way, fact: str, remedy: str) -> Fault:
        named = getattr(getattr(self.world, str(way[0]), None), "__getitem__", None)
        label = str(way[0])
        if named is not None and len(way) > 1 and isinstance(way[1], int):
            entry = named(way[1])
            label = f'{label}[{way[1]}] "{getattr(entry, "name", getattr(entry, "journey", ""))}"'
        return self.source.at_value(way, f"{label}: {fact}", remedy)

    def _must_know(self, way: Way, section: str, name: str | None) -> Iterator[Fault]:
        if name is not None and name not in self.known[section]:
            fact = f'there is no {section.rstrip("s")} "{name}"{did_you_mean(name, list(self.known[section]))}'
            yield self._say(way, fact, f"define it under `{section}:` or correct the name")

    def _must_know_all(self, way: Way, section: str, names: Sequence[str]) -> Iterator[Fault]:
        for place, name in enumerate(names):
            yield from self._must_know((*way, place), section, name)

    def _must_have_kind(self, way: Way, kind: str | None) -> Iterator[Fault]:
        if kind is not None and kind not in self.kinds:
            fact = f'there is no site of the kind "{kind}"{did_you_mean(kind, list(self.kinds))}'
            yield self._say(way, fact, "give some site this kind, or correct it")

    def _duplicates(self) -> Iterator[Fault]:
        for section in (*NAMED, "site_rows", "faults", "traps"):
            seen: dict[str, int] = {}
            for place, one in enumerate(getattr(self.world, section)):
                if seen.setdefault(one.name, place) != place:
                    yield self._say((section, place, "name"), "the name is used twice", "rename or remove one of them")
        for place, trap in enumerate(self.world.traps):
            if any(fault.name == trap.name for fault in self.world.faults):
                yield self._say(("traps", place, "name"), "a fault has this name too", "rename one of them")

    def _places(self) -> Iterator[Fault]:
        for place, site in enumerate(self.world.sites):
            yield from self._must_know(("sites", place, "parent"), "sites", site.parent)
            around, name = {site.name}, site.parent
            while name is not None and name in self.sites:
                if name in around:
                    fact = "the site lies in itself"
                    yield self._say(("sites", place, "parent"), fact, "let one of these parents lie elsewhere")
                    break
                around.add(name)
                name = self.sites[name][1]
            if site.zone is not None and not _is_zone(site.zone):
                yield self._say(("sites", place, "zone"), "unknown time zone", "use a name such as Europe/Berlin")
        for place, row in enumerate(self.world.site_rows):
            yield from self._must_have_kind(("site_rows", place, "in_each"), row.in_each)
        if len(self.sites) > MOST_SITES:
            fact = f"the rows make {len(self.sites)} sites"
            yield self._say(("site_rows",), fact, f"make at most {MOST_SITES}")

    def _catalogue(self) -> Iterator[Fault]:
        if not _is_zone(self.world.operator.zone):
            yield self._say(("operator", "zone"), "unknown time zone", "use a name such as Europe/Berlin")
        for place, service in enumerate(self.world.services):
            yield from self._must_know_all(("services", place, "depends_on"), "services", service.depends_on)
        for place, point in enumerate(self.world.touchpoints):
            way: Way = ("touchpoints", place)
            yield from self._must_know((*way, "site"), "sites", point.site)
            yield from self._must_know_all((*way, "offers"), "services", point.offers)
            yield from self._must_know_all((*way, "depends_on"), "services", point.depends_on)
        for place, journey in enumerate(self.world.journeys):
            for at, step in enumerate(journey.steps):
                way = ("journeys", place, "steps", at)
                yield from self._must_know((*way, "touchpoint"), "touchpoints", step.touchpoint)
                yield from self._must_know_all((*way, "needs"), "services", step.needs)
            for usual, others in journey.alternatives.items():
                for name in (usual, *others):
                    yield from self._must_know(("journeys", place, "alternatives", usual), "touchpoints", name)
        for place, channel in enumerate(self.world.channels):
            yield from self._must_know_all(("channels", place, "depends_on"), "services", channel.depends_on)

    def _watching(self) -> Iterator[Fault]:
        if not self.world.probes and not self.world.feeds:
            yield Fault(self.source.name, 0, 0, "nothing is watched", "give `probes`, `feeds`, or both")
        for place, vantage in enumerate(self.world.vantages):
            yield from self._must_know(("vantages", place, "site"), "sites", vantage.site)
        for place, probe in enumerate(self.world.probes):
            yield from self._row(("probes", place), probe)
        for place, feed in enumerate(self.world.feeds):
            yield from self._row(("feeds", place), feed)
        for place, probe in enumerate(self.world.probes):
            yield from self._must_know_all(("probes", place, "vantages"), "vantages", probe.vantages)
            if self.probe_kinds and probe.kind not in self.probe_kinds:
                fact = f'unknown kind of probe "{probe.kind}"{did_you_mean(probe.kind, self.probe_kinds)}'
                yield self._say(("probes", place, "kind"), fact, f"use one of {', '.join(self.probe_kinds)}")
            if probe.timeout_seconds >= probe.every_seconds:
                fact = f"timeout_seconds ({probe.timeout_seconds:g}) is not below every_seconds"
                yield self._say(("probes", place, "timeout_seconds"), fact, "shorten the timeout")
            if probe.every_seconds % self.world.calendar.tick_seconds:
                fact = f"every_seconds is no multiple of the tick ({self.world.calendar.tick_seconds:g} s)"
                yield self._say(("probes", place, "every_seconds"), fact, "make it one: the world moves in ticks")

    def _row(self, way: Way, row: ProbeRow | FeedRow) -> Iterator[Fault]:
        yield from self._must_know((*way, "service"), "services", row.service)
        yield from self._must_know((*way, "site"), "sites", row.site)
        yield from self._must_have_kind((*way, "site_kind"), row.site_kind)
        yield from self._must_know((*way, "touchpoint"), "touchpoints", row.touchpoint)
        yield from self._one_place(way, row.site, row.site_kind)

    def _one_place(self, way: Way, site: str | None, kind: str | None) -> Iterator[Fault]:
        if site is not None and kind is not None:
            yield self._say((*way, "site_kind"), "site and site_kind are both given", "keep one of them")

    def _people(self) -> Iterator[Fault]:
        people = self.world.people
        homes = [name for name, (kind, _) in self.sites.items() if kind == people.lives_in]
        if not homes:
            fact = f'{people.count} customers have no site to live in: there is none of the kind "{people.lives_in}"'
            yield self._say(("people", "lives_in"), fact, "give some site this kind, or correct it")
        for place, bundle in enumerate(people.bundles):
            for at, held in enumerate(bundle.services):
                way: Way = ("people", "bundles", place, "services", at)
                yield from self._must_know((*way, "service"), "services", held.service)
                yield from self._must_know((*way, "site"), "sites", held.site)
                found = self.known["services"].get(held.service)
                if found is not None and not found.sold:
                    fact = f'service "{held.service}" is not sold, so nobody has it by contract'
                    yield self._say((*way, "service"), fact, "set `sold: true` on it, or name one that is sold")
        sold = [one.name for one in self.world.services if one.sold]
        if len(sold) > MOST_SOLD:
            yield self._say(("services",), f"{len(sold)} services are sold", f"sell at most {MOST_SOLD}")
        for section in ("bundles", "segments"):
            if not sum(one.share for one in getattr(people, section)):
                yield self._say(("people", section), f"all shares of {section} are 0", "give one a share above 0")
        for zone in people.zones:
            if zone and not _is_zone(zone):
                yield self._say(("people", "zones"), f'unknown time zone "{zone}"', "use a name such as Europe/Berlin")
        for place, habit in enumerate(self.world.habits):
            yield from self._must_know(("habits", place, "journey"), "journeys", habit.journey)
            yield from self._must_know(("habits", place, "service"), "services", habit.service)
        yield from self._must_know(("care", "touchpoint"), "touchpoints", self.world.care.touchpoint)
        if len(self.world.traffic.hours) not in (24, 168):
            fact = f"{len(self.world.traffic.hours)} hours are given"
            yield self._say(("traffic", "hours"), fact, "give 24 of a day or 168 of a week")
        dates = [(("calendar", "begins"), self.world.calendar.begins)]
        dates += [(("traffic", "holidays", at), day) for at, day in enumerate(self.world.traffic.holidays)]  # type: ignore[misc]
        for way, day in dates:
            if not _is_date(day):
                yield self._say(way, "there is no such day", "write a day of the calendar, as 2026-03-02")

    def _event(self, way: Way, entry: FaultEntry | TrapEntry) -> Iterator[Fault]:
        yield from self._must_know((*way, "service"), "services", entry.service)
        yield from self._must_know((*way, "site"), "sites", entry.site)
        yield from self._must_have_kind((*way, "site_kind"), entry.site_kind)
        yield from self._must_know((*way, "touchpoint"), "touchpoints", entry.touchpoint)
        yield from self._one_place(way, entry.site, entry.site_kind)
        yield from self._when((*way, "when"), entry.when, entry.name)
        shortest, longest = entry.lasts_minutes
        if shortest > longest:
            yield self._say((*way, "lasts_minutes"), "the shortest is above the longest", "give [shortest, longest]")
        if isinstance(entry, FaultEntry):
            yield from self._fault(way, entry)
        else:
            yield from self._trap(way, entry)

    def _fault(self, way: Way, entry: FaultEntry) -> Iterator[Fault]:
        hurts = entry.hurts
        if not (hurts.fails or hurts.delay_seconds or hurts.loss):
            fact = "the fault hurts nothing: fails, delay_seconds and loss are all 0"
            yield self._say((*way, "hurts"), fact, "give one of them, or make it a trap")
        yield from self._must_know_all((*way, "also_right"), "services", entry.also_right)
        seen = {one for row in self.world.probes for one in (row.name, row.kind)}
        seen |= {feed.source for feed in self.world.feeds}
        for place, name in enumerate(entry.shown_by):
            if name not in seen:
                fact = f'nothing looks with "{name}"{did_you_mean(name, sorted(seen))}'
                yield self._say((*way, "shown_by", place), fact, "name a kind or row of probes, or a source of feeds")
        if entry.onset is Onset.RAMP and entry.onset_minutes > entry.lasts_minutes[0]:
            fact = "the ramp is longer than the fault, which never reaches its depth"
            yield self._say((*way, "onset_minutes"), fact, "shorten the ramp or lengthen the fault")

    def _trap(self, way: Way, entry: TrapEntry) -> Iterator[Fault]:
        yield from self._must_know((*way, "probe"), "probes", entry.probe)
        yield from self._must_know((*way, "vantage"), "vantages", entry.vantage)
        needs = {
            TrapKind.LEVEL_SHIFT: "service",
            TrapKind.MAINTENANCE: "service",
            TrapKind.PROBE_BUG: "probe",
            TrapKind.BLIND_VANTAGE: "vantage",
        }.get(entry.kind)
        if needs is not None and getattr(entry, needs) is None:
            yield self._say(way, f"a {entry.kind} needs `{needs}`", f"add `{needs}: …`")

    def _when(self, way: Way, when: When, name: str) -> Iterator[Fault]:
        given = [key for key in ("at_hour", "per_week", "with_event") if getattr(when, key) is not None]
        if len(given) != 1:
            fact = f"{' and '.join(given) or 'none of at_hour, per_week, with_event'} is given"
            yield self._say(way, fact, "give exactly one of at_hour, per_week and with_event")
        if when.with_event is not None:
            other = self.events.get(when.with_event)
            if other is None or other.name == name or other.when.with_event is not None:
                fact = f'"{when.with_event}" is no entry with a time of its own'
                yield self._say((*way, "with_event"), fact, "name another fault or trap that has at_hour or per_week")
        if when.between_hours[0] >= when.between_hours[1]:
            yield self._say((*way, "between_hours"), "it ends before it begins", "give [earlier, later]")


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
