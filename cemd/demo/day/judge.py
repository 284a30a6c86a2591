"""Truth against answers: which incident found which fault, what was named, who was told in time, and what was false.

One incident finds one fault, by subject and time: it is about something that the fault touches, at a place that it
touches, and was opened (or reopened) while the fault lasted or shortly after. All other incidents are false ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cemd.demo.day.alarm import Alarm
from cemd.demo.day.witness import Life, Record, Sighting, Witness
from cemd.demo.world.events import Event
from cemd.demo.world.scenario import FaultEntry
from cemd.demo.world.world import World
from cemd.model.identity import Instant
from cemd.model.incident import Incident, IncidentState

LATE_SECONDS = 900.0
"""An incident opened so long after the end can still be about the fault: windows look back."""
Behind = Callable[[str, Instant], Iterable[str]]
"""Ids of the alarms that stood behind a first notice: by communication (or service), and when it was made."""
WEEK_SECONDS = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one fault."""

    event: Event
    first_hurt_at: Instant | None
    hurt: int
    alarm: Alarm | None
    told: int = 0
    told_before: int = 0
    told_wrongly: int = 0
    reachable: int = 0
    reachable_before: int = 0
    oracle_before: int = 0
    told_twice: int = 0
    leads: tuple[float, ...] = ()

    @property
    def delay(self) -> float | None:
        if self.alarm is None or self.first_hurt_at is None:
            return None
        return max(0.0, self.alarm.opened_at - self.first_hurt_at)

    @property
    def cause_right(self) -> bool | None:
        """None: none was named."""
        if self.alarm is None or not self.alarm.cause:
            return None
        entry = self.event.entry
        right = {self.event.service, *(entry.also_right if isinstance(entry, FaultEntry) else ())}
        return self.alarm.cause in right


def alarms_of(witness: Witness) -> list[Alarm]:
    """The core's incidents."""
    return [_alarm(one, witness) for one in witness.sightings.values()]


def _alarm(sighting: Sighting, witness: Witness) -> Alarm:
    over_at = sighting.over_at or witness.until
    first, *again = [_opening(life, sighting.first, over_at) for life in (*sighting.before, sighting.life)]
    return replace(first, again=tuple(again))


def _opening(life: Life, first: Incident, over_at: Instant) -> Alarm:
    latest = life.latest
    about = [latest.subject.name, latest.cause.service, first.cause.service]
    return Alarm(
        id=latest.id,
        opened_at=life.opened_at,
        over_at=over_at,
        services=tuple(dict.fromkeys(name for name in about if name)),
        sites=life.sites,
        cause=latest.cause.service,
        cause_site=latest.cause.site,
        cancelled=latest.state is IncidentState.CANCELLED,
        evidence=tuple(f"{one.what}" for one in latest.timeline[:4]) + latest.cause.reasons[:3],
    )


def matched(events: Sequence[Event], alarms: Sequence[Alarm], world: World) -> dict[int, Alarm]:
    """Fault number to its alarm; the earliest of those that fit, each alarm once, and once more each time that it was
    reopened."""
    found: dict[int, Alarm] = {}
    kept = [one for one in alarms if not one.cancelled]
    _match(events, kept, found, world, lasting=False)  # first those opened for it
    used = {one.id for one in found.values()}
    _match_reopened(events, [one for alarm in kept if alarm.id in used for one in alarm.again], found, world)
    _match(events, kept, found, world, lasting=True)  # then those that went on from before
    _match(events, [one for one in alarms if one.cancelled], found, world, lasting=False)
    return found


def _match(
    events: Sequence[Event], alarms: Sequence[Alarm], found: dict[int, Alarm], world: World, *, lasting: bool
) -> None:
    """Gives each event that nothing found yet the earliest that fits and found nothing yet."""
    used = {alarm.id for alarm in found.values()}
    for event in events:
        if event.number in found:
            continue
        fitting = [one for one in alarms if one.id not in used and _fits(one, event, world, lasting=lasting)]
        if fitting:
            best = min(fitting, key=lambda one: one.opened_at)
            found[event.number] = best
            used.add(best.id)


def _match_reopened(events: Sequence[Event], again: Sequence[Alarm], found: dict[int, Alarm], world: World) -> None:
    """What comes back within the relapse time at a place is the same incident to an operator, though another fault."""
    left = list(again)
    for event in events:
        fitting = [one for one in left if event.number not in found and _fits(one, event, world, lasting=False)]
        if fitting:
            found[event.number] = min(fitting, key=lambda one: one.opened_at)
            left.remove(found[event.number])


def _fits(alarm: Alarm, event: Event, world: World, *, lasting: bool) -> bool:
    touched = world.ground.services_of(event)
    if set(alarm.services).isdisjoint(touched):
        return False
    topology = world.topology
    if event.site and alarm.sites and not any(topology.overlap(event.site, site) for site in alarm.sites):
        return False
    if lasting:
        return alarm.opened_at < event.begin < alarm.over_at
    return event.begin <= alarm.opened_at <= event.end + LATE_SECONDS


def verdicts(
    witness: Witness, alarms: Sequence[Alarm], told: Mapping[int, Record], behind: Behind
) -> tuple[list[Verdict], list[Alarm]]:
    """(one verdict a fault, false alarms), by whoever raised the alarms and told the customers; `behind` says which
    alarms stood behind a first notice."""
    faults = [event for event in witness.world.events if event.is_fault]
    found = matched(faults, alarms, witness.world)
    finds: dict[str, set[int]] = {alarm.id: set() for alarm in alarms}
    for number, alarm in found.items():
        finds[alarm.id].add(number)

    def twice(event: Event, record: Record) -> int:
        return told_twice(event, record, lambda name, at: set().union(*map(finds.__getitem__, behind(name, at))))

    judged = [_judged(event, found.get(event.number), witness, told.get(event.number), twice) for event in faults]
    return judged, [alarm for alarm in alarms if not finds[alarm.id]]


def told_twice(event: Event, record: Record, found_by: Callable[[str, Instant], set[int]]) -> int:
    """Customers with two first notices of one fault. A notice is about the faults that the alarms behind it found; of
    alarms that found none, about every fault that it may be about."""
    times = np.zeros(len(record.touched), np.int64)
    for name, at, numbers in record.firsts:
        found = found_by(name, at)
        times[numbers] += not found or event.number in found
    return int((times > 1).sum())


def _judged(
    event: Event,
    alarm: Alarm | None,
    witness: Witness,
    record: Record | None,
    twice: Callable[[Event, Record], int],
) -> Verdict:
    truth = witness.world.care.truth.get(event.number)
    wrong = 0
    if alarm is not None:
        communications = [one.id for one in witness.book.communications.values() if alarm.id in one.incidents]
        wrong = sum(witness.wrong.get(name, 0) for name in communications)
    if truth is None:
        return Verdict(event, None, 0, alarm, told_wrongly=wrong)
    hurt = np.isfinite(truth.hurt_at)
    told_at = record.told_at if record is not None else np.full(len(hurt), np.inf)
    told = np.isfinite(told_at)
    before = hurt & told & (told_at < truth.contact_at)
    reachable = hurt & witness.oracle.reachable(event, truth.contact_at)
    oracle = witness.oracle.told.get(event.number)
    by_oracle = reachable & (oracle.at < truth.contact_at) if oracle is not None else reachable
    until = np.where(np.isfinite(truth.contact_at), truth.contact_at, event.end)
    return Verdict(
        event,
        truth.first_hurt_at,
        int(hurt.sum()),
        alarm,
        told=int((hurt & told).sum()),
        told_before=int(before.sum()),
        told_wrongly=wrong,
        reachable=int(reachable.sum()),
        reachable_before=int((reachable & before).sum()),
        oracle_before=int(by_oracle.sum()),
        told_twice=twice(event, record) if record is not None else 0,
        leads=tuple((until - told_at)[before].tolist()),
    )
