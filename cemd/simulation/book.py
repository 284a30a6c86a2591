"""The book: what really happened, written down by a witness outside the process, from commits, sends and entries.

It takes nothing from the core's own memory. It applies every logged entry to its own small idea of the world (kill
switch, contacts), mirrors the outbox from committed changes, and counts what left. The promises read it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from cemd.config.rules import Policy
from cemd.model.entry import (
    Batch,
    ClockStepped,
    Command,
    CommandKind,
    ConfigEpoch,
    Contact,
    ContactKind,
    Entry,
    NoticeOutcomes,
    SeriesAdded,
    Started,
    decode_group,
)
from cemd.model.identity import Instant
from cemd.model.incident import Incident
from cemd.model.notice import (
    MOVED_FROM,
    SETTLES,
    TOLD_STATES,
    Alert,
    Communication,
    Decision,
    NoticeRows,
    NoticeState,
    Phase,
)
from cemd.model.quality import Outcome
from cemd.store.base import LogGroup, StateChange

Key = tuple[int, Phase, int]
"""(customer, phase, revision)."""
UNWATCHED_SECONDS = 120.0
"""Entries further apart than this: nobody watched in between."""
MOST_UNSEEN = 500
"""Batches that wait to be looked into."""


@dataclass(slots=True)
class Row:
    """One outbox row, as commits left it."""

    state: NoticeState
    at: Instant
    digest: int
    informational: bool
    seq: int  # of the entry that wrote it


@dataclass(slots=True)
class Book:
    """Everything that a promise may ask for."""

    groups: list[LogGroup] = field(default_factory=list)
    logged_seq: int = 0
    acknowledged_seq: int = 0
    applied_seq: int = 0
    last_at: Instant = 0.0
    watched_since: Instant = 0.0  # end of the last pause between two entries in which nobody watched
    stepped_seq: int = 0  # its effects left last
    stepped_at: Instant = 0.0  # of the entry that was committed last
    skipped: frozenset[int] = frozenset()

    killed: bool = False
    held: bool = False
    released: set[str] = field(default_factory=set)
    calls: set[tuple[int, str]] = field(default_factory=set)
    tickets: set[tuple[int, str]] = field(default_factory=set)
    by_agent: set[tuple[int, str]] = field(default_factory=set)
    unsubscribed: set[int] = field(default_factory=set)
    erased: set[int] = field(default_factory=set)

    newest: dict[int, tuple[Instant, bool]] = field(default_factory=dict)
    """By series: time of the newest sample, and whether that was blind."""
    last: dict[int, bool] = field(default_factory=dict)
    """By series: whether the sample that came last was blind."""
    arrived: dict[int, Instant] = field(default_factory=dict)
    """By series: when something of it came last."""
    source_of: dict[int, str] = field(default_factory=dict)
    spoke_at: dict[str, Instant] = field(default_factory=dict)
    """By source: when something of it came last."""
    begun_at: Instant = 0.0  # when the daemon last started, took other files, or saw its clock set

    outbox: dict[str, dict[Key, Row]] = field(default_factory=dict)
    communications: dict[str, Communication] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    decisions: dict[str, list[Decision]] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    moved: list[tuple[Incident, Incident]] = field(default_factory=list)  # in the last commit: before, after

    runs: list[tuple[Instant, str]] = field(default_factory=list)  # made for people who asked, within the last minute

    submitted: Counter[tuple[str, Key]] = field(default_factory=Counter)
    submitted_to: Counter[tuple[str, Phase, int, int]] = field(default_factory=Counter)
    alerted: dict[str, list[tuple[Alert, Instant]]] = field(default_factory=dict)
    born_at_seq: int = 0  # what was applied when the present process began
    flying: int = 0  # in flight or unknown, before the last change that orphaned any
    told_at: Instant = 0.0  # of the last change of a communication or a notice
    told_wrongly: int = 0
    trace: deque[str] = field(default_factory=lambda: deque(maxlen=60))
    _unread: deque[Entry] = field(default_factory=deque)
    _unseen: list[tuple[Instant, Batch]] = field(default_factory=list)
    """What `newest`, `last` and `arrived` do not know yet: few ask, and seldom."""

    def note(self, what: str) -> None:
        self.trace.append(what)

    def log(self, group: LogGroup) -> None:
        """A group is in the log."""
        self.groups.append(group)
        self.heard(decode_group(group.blob))

    def heard(self, entries: Sequence[Entry]) -> None:
        """These entries are in the log."""
        self.logged_seq = entries[-1].seq if entries else self.logged_seq
        self._unread.extend(entries)
        for entry in entries:
            if entry.at - self.last_at > UNWATCHED_SECONDS:
                self.watched_since = entry.at
            self.last_at = entry.at

    def commit(self, change: StateChange) -> None:
        """A change is durable."""
        self.read_to(change.applied_seq)
        self.applied_seq = change.applied_seq
        self.stepped_at = change.at
        self.moved = []
        if (
            change.notices
            or change.again
            or change.outcomes
            or any(one.table == "communication" for one in change.rows)
        ):
            self.told_at = change.at
        if change.orphaned:
            self.flying = self.in_state(NoticeState.IN_FLIGHT, NoticeState.UNKNOWN)
        for communication in change.orphaned:
            for row in self.outbox.get(communication, {}).values():
                if row.state is NoticeState.IN_FLIGHT:
                    row.state = NoticeState.UNKNOWN
        for rows in change.notices:
            self._insert(rows)
        for rows in change.again:
            self._again(rows)
        for outcomes in change.outcomes:
            self._settle(outcomes)
        for changed in change.rows:
            self._keep(changed.table, changed.key, changed.body)

    def read_to(self, seq: int) -> None:
        """Applies the entries up to this one to switches and contacts."""
        while self._unread and self._unread[0].seq <= seq:
            entry = self._unread.popleft()
            if entry.seq in self.skipped:
                continue
            match entry.payload:
                case Batch() as batch:
                    self.spoke_at[batch.source] = entry.at
                    self._unseen.append((entry.at, batch))
                    if len(self._unseen) > MOST_UNSEEN:
                        self._see()
                case SeriesAdded(series=series):
                    self.source_of.update((int(one.id), one.source) for one in series)
                case Started() | ConfigEpoch() | ClockStepped():
                    self.begun_at = entry.at
                case Command() as command:
                    self._obey(command)
                case Contact() as contact:
                    self._contact(contact)
                case _:
                    pass

    def is_blind(self, series: int) -> bool:
        """True when nobody could look at it lately, whichever way "lately" is meant: by time, and by arrival."""
        self._see()
        return self.newest.get(series, (0.0, False))[1] and self.last[series]

    def arrived_at(self, series: int) -> Instant:
        """When something of it came last; 0: never."""
        self._see()
        return self.arrived.get(series, 0.0)

    def row(self, communication: str, key: Key) -> Row | None:
        return self.outbox.get(communication, {}).get(key)

    def in_state(self, *states: NoticeState) -> int:
        return sum(row.state in states for rows in self.outbox.values() for row in rows.values())

    def told(self, communication: str, *phases: Phase) -> dict[int, int]:
        """Customers told in these phases, with the latest revision."""
        told: dict[int, int] = {}
        for (customer, phase, revision), row in self.outbox.get(communication, {}).items():
            if phase in phases and row.state in TOLD_STATES:
                told[customer] = max(revision, told.get(customer, -1))
        return told

    def _see(self) -> None:
        """Looks into the batches that nobody has looked into yet: of repeats, the last of a dictionary stands."""
        if not self._unseen:
            return
        series, at, outcome = (
            np.concatenate([getattr(one, name) for _, one in self._unseen]) for name in ("series", "at", "outcome")
        )
        came_at = np.repeat([at for at, _ in self._unseen], [len(one.series) for _, one in self._unseen])
        self._unseen.clear()
        self.arrived.update(zip(series.tolist(), came_at.tolist(), strict=True))
        blind = outcome == Outcome.BLIND
        self.last.update(zip(series.tolist(), blind.tolist(), strict=True))
        order = np.argsort(at, kind="stable")
        order = order[~np.isnan(at[order])]
        times = zip(at[order].tolist(), blind[order].tolist(), strict=True)
        for one, seen in dict(zip(series[order].tolist(), times, strict=True)).items():
            if seen[0] >= self.newest.get(one, (0.0, False))[0]:
                self.newest[one] = seen

    def _insert(self, rows: NoticeRows) -> None:
        box = self.outbox.setdefault(rows.communication, {})
        for customer, digest in zip(rows.customer.tolist(), rows.digest.tolist(), strict=True):
            box[customer, rows.phase, rows.revision] = Row(
                state=rows.state, at=rows.at, digest=digest, informational=rows.message_class == "service", seq=rows.seq
            )

    def _again(self, rows: NoticeRows) -> None:
        """The rows are in flight once more, by another entry."""
        box = self.outbox[rows.communication]
        for customer in rows.customer.tolist():
            row = box[customer, rows.phase, rows.revision]
            row.state, row.seq = rows.state, rows.seq

    def _settle(self, outcomes: NoticeOutcomes) -> None:
        box = self.outbox.get(outcomes.communication, {})
        for customer, state in zip(outcomes.customer.tolist(), outcomes.state.tolist(), strict=True):
            row = box.get((customer, Phase(outcomes.phase), outcomes.revision))
            if row is not None and row.state in MOVED_FROM.get(NoticeState(state), SETTLES):
                row.state = NoticeState(state)

    def _keep(self, table: str, key: str, body: bytes | None) -> None:
        if body is None:
            return
        match table:
            case "communication":
                self.communications[key] = msgspec.json.decode(body, type=Communication)
            case "kept_policy":
                self.policies[key] = Policy.model_validate_json(msgspec.json.decode(body)["document"])
            case "decision":
                decision = msgspec.json.decode(body, type=Decision)
                self.decisions.setdefault(decision.communication, []).append(decision)
            case "incident":
                incident = msgspec.json.decode(body, type=Incident)
                if (before := self.incidents.get(key)) is not None:
                    self.moved.append((before, incident))
                self.incidents[key] = incident
            case _:
                pass

    def _obey(self, command: Command) -> None:
        match command.kind:
            case CommandKind.KILL:
                self.killed = True
            case CommandKind.UNKILL:
                self.killed = False
            case CommandKind.HOLD_SENDING:
                self.held = True
                self.released.clear()
            case CommandKind.RELEASE if command.subject:
                self.released.add(command.subject)
            case CommandKind.RELEASE:
                self.held = False
            case _:
                pass

    def _contact(self, contact: Contact) -> None:
        about = (contact.customer, contact.service)
        match contact.kind:
            case ContactKind.CALL_QUEUED:
                self.calls.add(about)
            case ContactKind.CALL_ENDED:
                self.calls.discard(about)
            case ContactKind.TICKET_OPENED:
                self.tickets.add(about)
            case ContactKind.TICKET_CLOSED:
                self.tickets.discard(about)
            case ContactKind.TOLD_BY_AGENT if contact.communication:
                self.by_agent.add((contact.customer, contact.communication))
            case ContactKind.UNSUBSCRIBED:
                self.unsubscribed.add(contact.customer)
            case ContactKind.ERASED:
                self.erased.add(contact.customer)
            case _:
                pass
