"""A small world for time lines: a configuration, some customers, and `handle` driven in virtual time with a store.

Every entry goes through the real stage; rows, notices and outcomes are committed to the store in memory as the core
does it, and `restart` builds a new state from that store alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from cemd.config.configuration import Configuration
from cemd.config.topology import Topology
from cemd.model.customers import ChannelKind, CustomerFlag, Customers, LawfulBasis
from cemd.model.effect import Effects
from cemd.model.entry import (
    AlertOutcome,
    Command,
    CommandKind,
    ConfigEpoch,
    Contact,
    ContactKind,
    CustomersLoaded,
    DispatchRequest,
    Entry,
    NoticeOutcomes,
    Payload,
    Started,
    Tick,
)
from cemd.model.finding import Finding
from cemd.model.identity import record_id
from cemd.model.incident import Cause, Confidence, Impact, Incident, IncidentChange, IncidentEvent, IncidentState
from cemd.model.notice import Communication, NoticeRows, NoticeState
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind
from cemd.report.stage import ReportState, handle
from cemd.store.base import StateChange
from cemd.store.memory import MemoryState

NOON = 1_762_430_400.0  # 2025-11-06T12:00:00Z

TEXTS = {
    "en": {
        "first_subject": "{{ service }} is disturbed",
        "first": "Since {{ since }} {{ service }} is disturbed.",
        "over_subject": "{{ service }} works again",
        "over": "It is over.",
        "correction_subject": "{{ service }} is disturbed again",
        "correction": "It came back.",
    }
}


def policy(**changes: Any) -> dict[str, Any]:
    return {
        "name": "mobile",
        "mode": "live",
        "ceiling": 1_000_000,
        "bases": ["contract"],
        "channels": ["mail", "hook"],
        "hold_seconds": 300.0,
        "texts": TEXTS,
        **changes,
    }


def configuration(policies: list[dict[str, Any]] | None = None, **changes: Any) -> Configuration:
    document: dict[str, Any] = {
        "settings": {"operator": {"name": "DemoTelco", "zone": "UTC"}},
        "services": [
            {"name": "hlr", "function": "subscribers", "domain": "network", "platform": "hlr1"},
            {"name": "mail-relay", "function": "mail", "domain": "it", "platform": "mx"},
            {"name": "data", "function": "access", "domain": "network", "platform": "pgw", "depends_on": ["hlr"],
             "sold": True, "title": "Mobile data"},
            {"name": "voice", "function": "access", "domain": "network", "platform": "ims", "sold": True},
            {"name": "mailbox", "function": "mail", "domain": "it", "platform": "mx", "depends_on": ["mail-relay"],
             "sold": True},
        ],
        "sites": [
            {"name": "country"},
            {"name": "east", "parent": "country", "zone": "Europe/Berlin"},
            {"name": "cell-1", "parent": "east"},
            {"name": "west", "parent": "country", "zone": "America/New_York"},
        ],
        "channels": [
            {"name": "mail", "kind": "email", "to": "customers", "depends_on": ["mail-relay"], "params": {}},
            {"name": "hook", "kind": "webhook", "to": "customers", "params": {}},
            {"name": "desk", "kind": "webhook", "to": "staff", "params": {}},
            {"name": "pager", "kind": "webhook", "to": "staff", "params": {}},
        ],
        "routes": [{"name": "noc", "channel": "desk", "repeat_seconds": 3600.0}],
        "policies": [policy()] if policies is None else policies,
        **changes,
    }  # fmt: skip
    import msgspec

    return Configuration.from_document(msgspec.json.encode(document))


def people(n: int = 8, **columns: Any) -> CustomersLoaded:
    """`n` customers with data and mail, all at east, with a contract; columns given replace the defaults."""
    base: dict[str, Any] = {
        "number": np.arange(n, dtype=np.uint32),
        "site": np.zeros(n, np.uint16),
        "services": np.ones(n, np.uint64),
        "segment": np.zeros(n, np.uint8),
        "language": np.zeros(n, np.uint8),
        "zone": np.zeros(n, np.uint16),
        "basis": np.full(n, LawfulBasis.CONTRACT, np.uint8),
        "channels": np.full(n, 1 << ChannelKind.EMAIL, np.uint8),
        "preferred": np.full(n, 255, np.uint8),
        "flags": np.zeros(n, np.uint8),
        "digest_email": np.arange(1, n + 1, dtype=np.int64),
        "digest_sms": np.zeros(n, np.int64),
        "digest_webhook": np.zeros(n, np.int64),
    }
    for name, values in columns.items():
        base[name] = np.asarray(values, dtype=base[name].dtype)
    return CustomersLoaded(
        source="test",
        replace=True,
        sites=("east", "west", "cell-1"),
        services=("data", "voice", "mailbox"),
        segments=("consumer",),
        languages=("en", "de"),
        zones=("", "Europe/Berlin", "America/New_York", "Asia/Tokyo"),
        columns=base,
    )


class World:
    """Report on its own, with everything around it under control."""

    def __init__(self, config: Configuration | None = None, load: CustomersLoaded | None = None) -> None:
        self.at = NOON
        self.seq = 0
        self.state = ReportState()
        self.store = MemoryState()
        self.topology = Topology(config or configuration())
        self.customers = Customers()
        self.customers.load(load or people())
        self.effects = Effects()
        self.incident: Incident | None = None
        self.sent: list[tuple[str, int, str, int]] = []  # communication, customer, phase, revision
        self.alerts: list[tuple[str, bool]] = []
        self.rows: list[NoticeRows] = []
        self.due: list[str] = []

    def enter(
        self,
        payload: Payload,
        *events: IncidentEvent,
        paused_seconds: float = 0.0,
        findings: tuple[Finding, ...] = (),
    ) -> Effects:
        before = self.topology
        self.seq += 1
        if isinstance(payload, ConfigEpoch):
            self.topology = Topology(Configuration.from_document(payload.document))
        if isinstance(payload, Contact):
            flag = {ContactKind.UNSUBSCRIBED: CustomerFlag.UNSUBSCRIBED, ContactKind.ERASED: CustomerFlag.ERASED}
            if payload.kind in flag:
                self.customers.set_flag(payload.customer, flag[payload.kind])
        effects = Effects(findings=findings)
        entry = Entry(seq=self.seq, at=self.at, payload=payload)
        handle(
            self.state, entry, events, self.topology, self.customers, effects, before=before,
            paused_seconds=paused_seconds,
        )  # fmt: skip
        for table in self.state.tables():
            effects.rows.extend(table.take_changes())
        self.store.commit(
            StateChange(
                applied_seq=self.seq,
                at=self.at,
                rows=effects.rows,
                notices=effects.notices,
                again=effects.again,
                outcomes=effects.outcomes,
                orphaned=effects.orphaned,
            )
        )
        self.alerts.extend((alert.id, alert.firing) for alert in effects.alerts)
        self.due = [due.channel for due in effects.due]
        again = [dataclasses.replace(rows, at=self.at) for rows in effects.again]
        for rows in (*effects.notices, *again, *effects.resends):
            self.rows.append(rows)
            self.sent.extend(
                (rows.communication, c, rows.phase.name.lower(), rows.revision) for c in rows.customer.tolist()
            )
        self.effects = effects
        return effects

    def restart(
        self,
        replay: Callable[[], None] = lambda: None,
        *,
        after_seconds: float = 0.0,
        findings: tuple[Finding, ...] = (),
    ) -> None:
        """Kill -9 and a new start, later: nothing but the store survives (customers are restored by the core).
        `replay` enters what was logged and not applied; `findings` are those that analyze states anew."""
        before, self.at = self.at, self.at + after_seconds
        self.state = ReportState()
        self.state.restore(self.store)
        replay()
        self.enter(Started(version="test"), paused_seconds=self.at - before, findings=findings)

    def tick(self, seconds: float = 0.0) -> Effects:
        self.at += seconds
        return self.enter(Tick())

    def run(self, seconds: float, *, step: float = 10.0, channels: tuple[str, ...] = ("mail", "hook")) -> None:
        """Time passes: ticks, and edges that take what is due and get it accepted."""
        end = self.at + seconds
        while self.at < end:
            self.tick(min(step, end - self.at))
            for channel in [due for due in self.due if due in channels]:
                self.take(channel)

    def take(self, channel: str = "mail", capacity: int = 100, state: NoticeState | None = NoticeState.ACCEPTED) -> int:
        taken = 0
        effects = self.enter(DispatchRequest(channel=channel, capacity=capacity))
        for rows in (*effects.notices, *effects.again):
            taken += len(rows.customer)
            if state is not None:
                self.outcome(rows, state)
        return taken

    def outcome(self, rows: NoticeRows, state: NoticeState, customers: list[int] | None = None) -> None:
        """What became of them; `due`: they surely did not leave, and so were not sent."""
        chosen = rows.customer if customers is None else np.array(customers, np.uint32)
        self.enter(
            NoticeOutcomes(
                communication=rows.communication,
                phase=rows.phase,
                revision=rows.revision,
                customer=chosen,
                state=np.full(len(chosen), state, np.uint8),
                seq=rows.seq,
            )
        )

    def hurt(self, service: str = "data", *, site: str = "east", confirmed: bool = True, **changes: Any) -> Incident:
        """A service problem begins (or goes on, changed)."""
        incident = Incident(
            id=changes.pop("id", record_id("inc", self.seq, service)),
            trace="trace",
            state=IncidentState.IN_PROGRESS,
            quality=changes.pop("quality", Quality.DOWN),
            subject=Subject(kind=SubjectKind.SERVICE, name=service, site=site),
            cause=Cause(confidence=Confidence.PROBABLE, service=changes.pop("cause", service)),
            impact=Impact(
                services=changes.pop("services", (service,)),
                sites=changes.pop("sites", (site,) if site else ()),
                places=changes.pop("places", {}),
            ),
            findings=("f",),
            first_hurt_at=self.at,
            opened_at=self.at,
            changed_at=self.at,
            confirmed_at=self.at if confirmed else None,
            **changes,
        )
        return self.tell(IncidentChange.OPENED, incident)

    def tell(self, change: IncidentChange, incident: Incident) -> Incident:
        self.incident = incident
        self.enter(Tick(), IncidentEvent(change=change, incident=incident, at=self.at, seq=self.seq + 1))
        return incident

    def clear(self) -> None:
        import msgspec

        assert self.incident is not None
        self.tell(IncidentChange.CLEARED, msgspec.structs.replace(self.incident, clear_since=self.at, findings=()))

    def resolve(self) -> None:
        import msgspec

        assert self.incident is not None
        changed = msgspec.structs.replace(self.incident, state=IncidentState.RESOLVED, resolved_at=self.at)
        self.tell(IncidentChange.RESOLVED, changed)

    def relapse(self) -> None:
        import msgspec

        assert self.incident is not None
        changed = msgspec.structs.replace(
            self.incident, clear_since=None, state=IncidentState.IN_PROGRESS, resolved_at=None, findings=("f",)
        )
        self.tell(IncidentChange.RELAPSED, changed)

    def command(self, kind: CommandKind, subject: str = "") -> Effects:
        return self.enter(Command(kind=kind, actor="anna", subject=subject))

    def contact(self, kind: ContactKind, customer: int, **more: str) -> None:
        self.enter(Contact(kind=kind, customer=customer, **more))

    def reload(self, config: Configuration) -> None:
        self.enter(ConfigEpoch(hash="h", author="anna", document=config.document()))

    def answer(self, *, sent: bool = True, permanent: bool = False, unknown: bool = False, reason: str = "") -> None:
        """The edge reports on every alert that was just handed to it."""
        for alert in self.effects.alerts:
            outcome = AlertOutcome(alert=alert.id, revision=alert.revision, sent=sent)
            self.enter(msgspec.structs.replace(outcome, permanent=permanent, unknown=unknown, reason=reason))

    @property
    def communication(self) -> Communication:
        (found,) = self.state.communications
        return found

    def told(self, phase: str, revision: int | None = None) -> list[int]:
        return [c for _, c, p, r in self.sent if p == phase and revision in (None, r)]

    def reasons(self) -> dict[str, int]:
        total: dict[str, int] = {}
        for decision in self.state.decisions:
            for reason, count in decision.counts.items():
                total[reason] = total.get(reason, 0) + count
        return total
