"""The witness: what the core said and sent, written down with its time beside what was true just then.

Promises are watched by the simulation's own book and checkers. Where people are changes, so whether a notice was
right, and whom an oracle would have told, is decided at the instant itself and kept as columns by fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cemd.demo.day.baseline import Baseline, Seen
from cemd.demo.day.oracle import Oracle
from cemd.demo.world.events import Event
from cemd.demo.world.people import MOVE_SECONDS
from cemd.demo.world.world import World
from cemd.improve.lifecycle import ENDED, OVER
from cemd.loop.core import Core
from cemd.model.effect import Effects
from cemd.model.entry import Batch, Entry, Tick
from cemd.model.identity import Instant
from cemd.model.incident import Incident
from cemd.model.notice import TOLD_STATES, Alert, CommunicationState, NoticeRows, Phase
from cemd.simulation import promises
from cemd.simulation.book import Book
from cemd.simulation.promises.ends import reasons_for_no_end
from cemd.simulation.promises.moments import Finished, Promise, Sent, Stepped, Written
from cemd.store.base import StateChange

Flags = NDArray[np.bool_]
LATE_SECONDS = 1800.0
"""A notice so long after a fault's end can still be right: its end had to be measured first."""
MOST_SENTENCES = 50
QUIET = (CommunicationState.ENDED, CommunicationState.DECLINED)


@dataclass(frozen=True, slots=True)
class Life:
    """An incident from its opening, or reopening, until it was over."""

    opened_at: Instant
    latest: Incident
    sites: tuple[str, ...]  # wherever it was meanwhile; empty: everywhere


@dataclass(slots=True)
class Sighting:
    """One incident as the witness saw it."""

    first: Incident
    latest: Incident
    named_at: Instant | None = None  # when a cause was named first
    over_at: Instant | None = None
    before: list[Life] = field(default_factory=list)  # those that are over
    opened_at: Instant = 0.0  # or reopened
    sites: dict[str, None] = field(default_factory=dict)  # wherever it was since then; "": everywhere

    @property
    def life(self) -> Life:
        """What it is or was since it was opened, or reopened."""
        return Life(self.opened_at, self.latest, () if "" in self.sites else tuple(self.sites))


@dataclass(slots=True)
class Record:
    """What became of one fault's customers."""

    touched: Flags
    told_at: NDArray[np.float64]
    firsts: list[tuple[str, Instant, NDArray[np.int64]]] = field(default_factory=list)
    """First notices that may be about it: by which communication (the baseline: about which service), when, to whom."""


@dataclass(slots=True)
class Witness:
    """One day's notes."""

    world: World
    book: Book = field(default_factory=Book)
    sightings: dict[str, Sighting] = field(default_factory=dict)
    records: dict[int, Record] = field(default_factory=dict)
    wrong: dict[str, int] = field(default_factory=dict)  # by communication: customers told wrongly
    knowing: dict[str, Flags] = field(default_factory=dict)  # by communication: customers told, and of no end yet
    notices: int = 0
    broken: list[str] = field(default_factory=list)
    broken_count: int = 0
    never_ended: int = 0
    until: Instant = 0.0
    oracle: Oracle = field(init=False)
    baseline: Baseline = field(init=False)
    by_baseline: dict[int, Record] = field(default_factory=dict)
    baseline_wrong: int = 0
    baseline_notices: int = 0

    def __post_init__(self) -> None:
        self.oracle = Oracle(self.world)

    def logged(self, entries: Sequence[Entry]) -> None:
        self.book.heard(entries)
        self.book.acknowledged_seq = max(self.book.acknowledged_seq, entries[-1].seq)

    def committed(self, core: Core, change: StateChange) -> None:
        self.book.commit(change)
        for rows in change.notices:
            self._hold(promises.AT_WRITE, Written(rows=rows, core=core))

    def stepped(self, core: Core, entry: Entry, effects: Effects) -> None:
        self.book.read_to(entry.seq)
        now = Stepped(entry=entry, effects=effects, core=core)
        self._hold(promises.AT_STEP, now)
        if isinstance(entry.payload, Tick):
            self._hold(promises.AT_TICK, now)
        self.book.stepped_seq = entry.seq
        for row in effects.rows:
            if row.table == "incident" and row.body is not None:
                self._saw(self.book.incidents[row.key], entry.at)
        for rows in effects.notices:
            self._noticed(rows, entry.at)

    def sent(self, rows: NoticeRows, index: int) -> None:
        key = (int(rows.customer[index]), rows.phase, rows.revision)
        self.book.submitted[rows.communication, key] += 1
        self.book.submitted_to[rows.communication, rows.phase, rows.revision, int(rows.digest[index])] += 1
        self._hold(promises.AT_SEND, Sent(rows=rows, index=index))

    def alerted(self, alert: Alert) -> None:
        self.book.alerted.setdefault(alert.id, []).append((alert, self.book.last_at))

    def begin(self) -> None:
        """The series have their numbers."""
        self.baseline = Baseline(self.world, Seen(self.world))

    def look(self, core: Core, at: Instant, batches: Sequence[Batch]) -> None:
        """After each tick: who was touched, what the oracle would do, what static thresholds say."""
        active = [event for event in self.world.happening(at) if event.is_hurting(at)]
        for event in active:
            if event.number not in self.records or at % MOVE_SECONDS < self.world.tick:
                record = self.record(event)
                record.touched |= self.world.lives.concerned(event)
                self._know_already(event, record, at)
        self.oracle.look(core, at, active)
        self.baseline.seen.take(batches)
        self.baseline.look(at)
        for service, sites in self.baseline.due:
            self._told_by_baseline(core, service, sites, at)

    def _told_by_baseline(self, core: Core, service: str, sites: Sequence[str], at: Instant) -> None:
        numbers = self.oracle.permitted(core, service, sites, at, self.baseline.capped)
        self.baseline_notices += 2 * len(numbers)  # and the end
        self.baseline.tell(service, numbers)
        heard = self.world.people.hearing(numbers, self.world.people.addresses(numbers))
        right = np.zeros(len(numbers), np.bool_)
        for event in self.world.events:
            if event.is_fault and event.begin <= at <= event.end + LATE_SECONDS:
                if service not in self.world.ground.services_of(event):
                    continue
                touched = self.record(event).touched
                record = self.by_baseline.setdefault(event.number, _record(self.world.people.count))
                mine = touched[numbers]
                right |= mine
                _hear(record, heard[touched[heard]], at)
                record.firsts.append((service, at, numbers[mine]))
        self.baseline_wrong += int((~right).sum())

    def _know_already(self, event: Event, record: Record, at: Instant) -> None:
        """Whoever was told before that a service does not work, and heard no end, knows it of this fault too."""
        touched = self.world.ground.services_of(event)
        for name, flags in self.knowing.items():
            if not set(touched).isdisjoint(self.book.communications[name].services):
                _knew(record, flags & record.touched, at)
        for service, flags in self.baseline.knowing.items():
            if service in touched:
                _knew(
                    self.by_baseline.setdefault(event.number, _record(self.world.people.count)),
                    flags & record.touched,
                    at,
                )

    def incidents_behind(self, communication: str, at: Instant) -> list[str]:
        """Those that the communication speaks of, as far as they are known."""
        del at
        return [one for one in self.book.communications[communication].incidents if one in self.sightings]

    def record(self, event: Event) -> Record:
        if event.number not in self.records:
            self.records[event.number] = _record(self.world.people.count)
        return self.records[event.number]

    def is_quiet(self, core: Core) -> bool:
        """True when nothing that began is still going on."""
        del core
        return all(one.state in QUIET for one in self.book.communications.values()) and all(
            one.state in OVER or one.state in ENDED for one in self.book.incidents.values()
        )

    def finish(self, core: Core, at: Instant) -> None:
        self.until = at
        self.baseline.finish()
        self.never_ended = sum(map(self._without_end, self.book.communications))
        self._hold(promises.AT_END, Finished(core=core, lived={}, replayed=None))

    def _without_end(self, name: str) -> int:
        """Customers who were told and have no end, sent or with a reason."""
        told = self.book.told(name, Phase.FIRST, Phase.CORRECTION)
        if not told:
            return 0
        box = self.book.outbox[name]
        ended = {key[0] for key, row in box.items() if key[1] is Phase.OVER and row.state in TOLD_STATES}
        reasons = reasons_for_no_end(self.book, name)
        return sum(customer not in ended and customer not in reasons for customer in told)

    def _saw(self, incident: Incident, at: Instant) -> None:
        sighting = self.sightings.setdefault(incident.id, Sighting(incident, incident, opened_at=incident.opened_at))
        before, sighting.latest = sighting.life, incident
        if incident.cause.service and sighting.named_at is None:
            sighting.named_at = at
        over = incident.state in OVER or incident.state in ENDED
        if not over:
            if sighting.over_at is not None:
                sighting.before.append(before)
                sighting.opened_at = at
                sighting.sites = {}
            sighting.over_at = None
            sighting.sites |= dict.fromkeys(incident.impact.sites or (incident.subject.site,))
        elif sighting.over_at is None:
            sighting.over_at = at

    def _noticed(self, rows: NoticeRows, at: Instant) -> None:
        self.notices += len(rows.customer)
        knowing = self.knowing.setdefault(rows.communication, np.zeros(self.world.people.count, np.bool_))
        knowing[rows.customer] = rows.phase is not Phase.OVER
        if rows.phase not in (Phase.FIRST, Phase.CORRECTION):
            return
        numbers = rows.customer.astype(np.int64)
        heard = self.world.people.hearing(numbers, rows.digest)
        spoken = self.book.communications[rows.communication].services
        right = np.zeros(len(numbers), np.bool_)
        for event in self.world.events:
            if not event.is_fault or not event.begin <= at <= event.end + LATE_SECONDS:
                continue
            if set(spoken).isdisjoint(self.world.ground.services_of(event)):
                continue
            record = self.record(event)
            if event.is_hurting(at):
                record.touched |= self.world.lives.concerned(event)
            mine = record.touched[numbers]
            right |= mine
            _hear(record, heard[record.touched[heard]], at)
            if rows.phase is Phase.FIRST:
                record.firsts.append((rows.communication, at, numbers[mine]))
        if wrong := int((~right).sum()):
            self.wrong[rows.communication] = self.wrong.get(rows.communication, 0) + wrong

    def _hold(self, kept: Iterable[Promise], now: object) -> None:
        for promise in kept:
            for sentence in promise(self.book, now):
                self.broken_count += 1
                if len(self.broken) < MOST_SENTENCES:
                    self.broken.append(f"{promise.__name__}: {sentence}")


def _hear(record: Record, customers: NDArray[np.int64], at: Instant) -> None:
    record.told_at[customers] = np.minimum(record.told_at[customers], at)


def _knew(record: Record, flags: Flags, at: Instant) -> None:
    mine = flags & np.isinf(record.told_at)
    record.told_at[mine] = at


def _record(count: int) -> Record:
    return Record(np.zeros(count, np.bool_), np.full(count, np.inf))
