"""What report remembers: rows, and what is worked out from rows and the outbox. Nothing else survives or exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from cemd.config.rules import Policy
from cemd.config.topology import Topology
from cemd.model.customers import Customers
from cemd.model.effect import Effects
from cemd.model.finding import Finding
from cemd.model.identity import Instant
from cemd.model.incident import Incident, IncidentState
from cemd.model.notice import Alert, Communication, Decision, MessageClass, NoticeState, Phase
from cemd.model.rows import Rows
from cemd.report.caps import Ledger
from cemd.report.contacts import ContactBook, ContactRow
from cemd.report.told import Told
from cemd.store.base import OutboxColumns, StateStore

SENDING = "sending"


class Switches(msgspec.Struct, frozen=True, kw_only=True):
    """The kill switch, and the hold after a restore with the communications that a person released from it."""

    killed: bool = False
    killed_by: str = ""
    killed_at: Instant | None = None
    held: bool = False
    released: tuple[str, ...] = ()


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Customers of one communication who wait for one channel: those of the audience above the cursor."""

    communication: str
    channel: str
    cursor: int = -1
    left: int


class Audience(msgspec.Struct, frozen=True, kw_only=True):
    """The bitmap that a `Waiting` points into; written once, at selection."""

    customers: bytes


class KeptPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The policy as it was when its communication began: the end is owed even when the rules have changed."""

    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """Rows of class `safety` that were in flight when the process ended."""

    communication: str
    phase: Phase
    revision: int
    channel: str
    customer: NDArray[np.uint32]
    digest: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Moment:
    """What a decision is made with: everything that is not report's own state."""

    at: Instant
    seq: int
    topology: Topology
    customers: Customers
    effects: Effects


class ReportState:
    """Communications, decisions and alerts, as rows; told sets are worked out from the outbox."""

    def __init__(self) -> None:
        self.epoch = ""
        self.alerts: Rows[Alert] = Rows("alert", Alert)
        self.communications: Rows[Communication] = Rows("communication", Communication)
        self.decisions: Rows[Decision] = Rows("decision", Decision)
        self.incidents: Rows[Incident] = Rows("concern", Incident)
        self.silent: Rows[Finding] = Rows("silent_vantage", Finding)  # vantage points that are not heard
        self.waiting: Rows[Waiting] = Rows("waiting", Waiting)
        self.audiences: Rows[Audience] = Rows("audience", Audience)
        self.policies: Rows[KeptPolicy] = Rows("kept_policy", KeptPolicy)
        self.contacts: Rows[ContactRow] = Rows("contact", ContactRow)
        self.switches: Rows[Switches] = Rows("switch", Switches)
        self.told: dict[str, Told] = {}
        self.ledger = Ledger()
        self.book = ContactBook()
        self.unfinished: list[Unfinished] = []
        self._decided: dict[str, list[str]] = {}  # ids of decisions by communication
        self._policy_of: dict[str, Policy] = {}
        self._bitmaps: dict[str, tuple[bytes, BitMap]] = {}

    def tables(self) -> Sequence[Rows]:  # type: ignore[type-arg]
        return (
            self.alerts,
            self.communications,
            self.decisions,
            self.incidents,
            self.silent,
            self.waiting,
            self.audiences,
            self.policies,
            self.contacts,
            self.switches,
        )

    def restore(self, store: StateStore) -> None:
        """Loads all rows, then works out told sets and caps from the outbox. Call once, on a new state."""
        for table in self.tables():
            table.load(store.rows(table.table))
        self._policy_of.clear()
        self._bitmaps.clear()
        self._decided.clear()
        for decision in self.decisions:
            self._decided.setdefault(decision.communication, []).append(decision.id)
        self.book = ContactBook()
        for row in self.contacts:
            self.book.add(row)
        ats, customers = [np.zeros(0, np.float64)], [np.zeros(0, np.uint32)]
        for communication in self.communications:
            columns = store.outbox(communication.id)
            self.told_of(communication.id).load(columns)
            counted = columns.state != NoticeState.SHADOW
            ats.append(columns.at[counted])
            customers.append(columns.customer[counted])
            if communication.message_class is MessageClass.SAFETY:
                self.unfinished.extend(_unfinished(communication.id, columns))
        self.ledger.load(np.concatenate(ats), np.concatenate(customers))

    def told_of(self, communication: str) -> Told:
        return self.told.setdefault(communication, Told())

    @property
    def sending(self) -> Switches:
        return self.switches.get(SENDING) or Switches()

    def policy_of(self, communication: Communication) -> Policy:
        """The policy as it was when the communication began."""
        if communication.id not in self._policy_of:
            document = self.policies[communication.id].document
            self._policy_of[communication.id] = Policy.model_validate_json(document)
        return self._policy_of[communication.id]

    def keep_policy(self, communication: str, policy: Policy) -> None:
        self.policies.put(communication, KeptPolicy(document=policy.model_dump_json()))
        self._policy_of.pop(communication, None)

    def audience_of(self, key: str) -> BitMap:
        """The bitmap behind a waiting row; kept while it is the same."""
        row = self.audiences[key]
        kept = self._bitmaps.get(key)
        if kept is None or kept[0] is not row.customers:
            kept = self._bitmaps[key] = (row.customers, BitMap.deserialize(row.customers))
        return kept[1]

    def waiting_of(self, communication: str) -> tuple[Waiting, ...]:
        return tuple(row for row in self.waiting if row.communication == communication)

    def forget_waiting(self, key: str) -> None:
        self.waiting.delete(key)
        self.audiences.delete(key)
        self._bitmaps.pop(key, None)

    def decisions_of(self, communication: str) -> tuple[Decision, ...]:
        return tuple(self.decisions[name] for name in self._decided.get(communication, ()))

    def add_decision(self, decision: Decision) -> None:
        self.decisions.put(decision.id, decision)
        self._decided.setdefault(decision.communication, []).append(decision.id)

    def forget_decisions(self, communication: str) -> None:
        for name in self._decided.pop(communication, ()):
            self.decisions.delete(name)

    def incidents_of(self, communication: Communication) -> tuple[Incident, ...]:
        return tuple(row for name in communication.incidents if (row := self.incidents.get(name)) is not None)


def is_hurting(incident: Incident) -> bool:
    """True while anything of it is open."""
    over = (IncidentState.RESOLVED, IncidentState.CLOSED, IncidentState.CANCELLED, IncidentState.REJECTED)
    return incident.clear_since is None and incident.state not in over


def _unfinished(communication: str, columns: OutboxColumns) -> list[Unfinished]:
    flying = np.flatnonzero(columns.state == NoticeState.IN_FLIGHT)
    groups: dict[tuple[int, int, str], list[int]] = {}
    for row in flying.tolist():
        groups.setdefault((int(columns.phase[row]), int(columns.revision[row]), columns.channel[row]), []).append(row)
    return [
        Unfinished(
            communication=communication,
            phase=Phase(phase),
            revision=revision,
            channel=channel,
            customer=columns.customer[rows],
            digest=columns.digest[rows],
        )
        for (phase, revision, channel), rows in groups.items()
    ]
