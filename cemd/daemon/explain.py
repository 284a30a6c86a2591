"""The chain behind a record: samples, finding, incident, communication, decisions, notices; read from rows alone.

It works beside a running daemon and on the state of a stopped one. No address is ever part of it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import numpy as np
import zstandard
from pyroaring import BitMap

from cemd.improve.records import AskedRun, AttachedFinding
from cemd.model.incident import Incident
from cemd.model.notice import (
    Alert,
    Communication,
    CommunicationState,
    Decision,
    Mode,
    NoticeState,
    Phase,
    Reason,
)
from cemd.report.state import SENDING, Switches
from cemd.store.base import StateStore

R = TypeVar("R")
_TELLING = (Reason.FIRST_NOTICE, Reason.OVER_NOTICE, Reason.CORRECTION_NOTICE, Reason.UPDATE_NOTICE)


def explain(rows: StateStore, record: str) -> dict[str, Any] | None:
    """The chain that `record` is part of, ready for JSON; None when nobody knows it.

    Args:
        rows: The state store, or readers of it.
        record: Id of an incident, finding, communication, alert, decision or notice
            (`communication.customer.phase.revision`); the trace id that they share will do, and so does a beginning of
            an id that only one of them has.

    Raises:
        StoreError: state.db cannot be read.
    """
    findings = dict(_table(rows, "incident_finding", AttachedFinding))
    incidents = dict(_table(rows, "incident", Incident))
    communications = dict(_table(rows, "communication", Communication))
    decisions = dict(_table(rows, "decision", Decision))
    alerts = dict(_table(rows, "alert", Alert))
    wanted = _incidents_of(record, findings, incidents, communications, decisions, alerts)
    alone = [kept for kept in findings.values() if record in {kept.finding.id, kept.finding.trace}]
    if not wanted and not alone:
        return None
    found = {kept.finding.id for kept in alone}
    told = [one for one in communications.values() if wanted.intersection(one.incidents)]
    return {
        "id": record,
        "incidents": [_plain(incidents[name]) for name in sorted(wanted) if name in incidents],
        "findings": [
            {**_plain(kept.finding), "open": kept.open, "incident": kept.incident, "waits": kept.waits}
            for kept in findings.values()
            if kept.incident in wanted or kept in alone
        ],
        "alerts": [_plain(one) for one in alerts.values() if one.incident in wanted or one.incident in found],
        "communications": [_told(rows, one, decisions, incidents) for one in told],
    }


def communications(rows: StateStore) -> list[dict[str, Any]]:
    """Every communication, oldest first, with its decisions, the states of its notices, and what it waits for."""
    decisions = dict(_table(rows, "decision", Decision))
    incidents = dict(_table(rows, "incident", Incident))
    return [_told(rows, one, decisions, incidents) for _, one in _table(rows, "communication", Communication)]


def _told(
    rows: StateStore, one: Communication, decisions: dict[str, Decision], incidents: dict[str, Incident]
) -> dict[str, Any]:
    confirmed = any(incidents[name].confirmed_at is not None for name in one.incidents if name in incidents)
    return {
        **_plain(one),
        "decisions": _decisions(decisions, one.id),
        "notices": _notices(rows, one.id),
        "waits": waits_for(one, _switches(rows), confirmed=confirmed),
    }


def asked_runs(rows: StateStore) -> list[AskedRun]:
    """Runs of probes that people asked for, as far as they are kept."""
    return [run for _, run in _table(rows, "asked_run", AskedRun)]


def stopped(rows: StateStore) -> str:
    """What keeps every message to customers from leaving, as a sentence; "" where nothing does."""
    switches = _switches(rows)
    if switches.killed:
        return f"{_who_stopped(switches)}; `cemd resume-sending` lets them leave again."
    if switches.held:
        return "Sending is held after a restore; a person lifts that on the page."
    return ""


def _who_stopped(switches: Switches) -> str:
    since = "" if switches.killed_at is None else f" at {_at(switches.killed_at)}"
    return f"{switches.killed_by} stopped all messages to customers{since}"


def _switches(rows: StateStore) -> Switches:
    return dict(_table(rows, "switch", Switches)).get(SENDING, Switches())


def waits_for(communication: Communication, switches: Switches, *, confirmed: bool) -> str:
    """What must happen before anybody else is told of it, as a sentence; "" where it waits for nothing."""
    state, live = communication.state, communication.mode is Mode.LIVE
    if state in (CommunicationState.ENDED, CommunicationState.DECLINED):
        return ""
    if live and switches.killed:
        return f"waits for somebody to resume: {_who_stopped(switches)} (`cemd resume-sending`, or the page)"
    if live and switches.held and communication.id not in switches.released:
        return "waits for a person to release it on the page: sending is held after a restore"
    if state is CommunicationState.HELD:
        return "waits for a person to release it on the page"
    if state is CommunicationState.TELLING and communication.hold_until > (communication.decided_at or math.inf):
        return f"waits until {_at(communication.hold_until)}: nobody watched for a while, so the hold-down began anew"
    if state is not CommunicationState.HOLDING:
        return ""
    if confirmed:
        return f"waits for the end of its hold-down at {_at(communication.hold_until)}"
    return (
        f"waits until {_at(communication.decide_by)} for a confirmation: further independent sources that see it"
        " (`confirm_sources` of the grouping), or a person on the page; else nobody is told"
    )


def _at(instant: float) -> str:
    return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M:%S} UTC"


def explain_customer(rows: StateStore, communication: str, customer: int) -> list[dict[str, Any]]:
    """Why one customer was told of a communication, or not: each decision that names the customer, in order, then what
    became of each notice."""
    steps: list[dict[str, Any]] = []
    for _, decision in _table(rows, "decision", Decision):
        if decision.communication == communication and (reason := _reason(decision, customer)) is not None:
            steps.append({"at": decision.at, "stage": decision.stage, "phase": decision.phase.name.lower(),
                          "revision": decision.revision, "reason": reason.name.lower()})  # fmt: skip
    steps.extend(
        {"at": at, "stage": "outbox", "phase": phase.name.lower(), "revision": revision,
         "channel": channel, "state": state.name.lower()}
        for told, phase, revision, state, channel, at in rows.notices_of(customer, 0.0)
        if told == communication
    )  # fmt: skip
    return sorted(steps, key=lambda step: float(step["at"]))


def shadow_of(rows: StateStore, customer: int) -> list[dict[str, Any]]:
    """What was decided about one customer under policies in shadow, of which nothing left: for each communication,
    phase and revision the decision that stands, oldest first."""
    shadow = {name: one for name, one in _table(rows, "communication", Communication) if one.mode is Mode.SHADOW}
    decisions = sorted((one for _, one in _table(rows, "decision", Decision)), key=lambda one: (one.at, one.seq))
    standing: dict[tuple[str, Phase, int], dict[str, Any]] = {}
    for decision in decisions:
        owner = shadow.get(decision.communication)
        if owner is None or (reason := _reason(decision, customer)) is None:
            continue
        standing[owner.id, decision.phase, decision.revision] = {
            "communication": owner.id, "services": list(owner.services), "sites": list(owner.sites),
            "phase": decision.phase.name.lower(), "revision": decision.revision, "at": decision.at,
            "would_be_told": reason in _TELLING, "reason": reason.name.lower(),
        }  # fmt: skip
    return sorted(standing.values(), key=lambda one: float(one["at"]))


def _reason(decision: Decision, customer: int) -> Reason | None:
    """The word of a decision about one customer; None when it does not name the customer."""
    if not decision.customers:
        return None
    members = BitMap.deserialize(decision.customers)
    if customer not in members:
        return None
    return Reason(zstandard.decompress(decision.reasons)[members.rank(customer) - 1])


def _table(rows: StateStore, table: str, record: type[R]) -> Iterator[tuple[str, R]]:
    decoder = msgspec.json.Decoder(record)
    return ((key, decoder.decode(body)) for key, body in rows.rows(table))


def _plain(record: object) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return plain


def _incidents_of(
    record: str,
    findings: dict[str, AttachedFinding],
    incidents: dict[str, Incident],
    communications: dict[str, Communication],
    decisions: dict[str, Decision],
    alerts: dict[str, Alert],
) -> set[str]:
    """Incidents that the record belongs to."""
    owners: dict[str, set[str]] = {}

    def note(name: str, *belongs: str) -> None:
        owners.setdefault(name, set()).update(name for name in belongs if name)

    for incident in incidents.values():
        note(incident.id, incident.id)
        note(incident.trace, incident.id)
    for kept in findings.values():
        note(kept.finding.id, kept.incident)
        note(kept.finding.trace, kept.incident)
    for communication in communications.values():
        note(communication.id, *communication.incidents)
    for decision in decisions.values():
        owner = communications.get(decision.communication)
        note(decision.id, *(owner.incidents if owner else ()))
    for alert in alerts.values():
        note(alert.id, alert.incident)
    if record in owners:
        return owners[record]
    notice_of = record.split(".", 1)[0]
    if "." in record and notice_of in communications:
        return set(communications[notice_of].incidents)
    begun = [name for name in owners if name.startswith(record)] if len(record) >= 6 else []
    return owners[begun[0]] if len(begun) == 1 else set()


def _decisions(decisions: dict[str, Decision], communication: str) -> list[dict[str, Any]]:
    return [
        {
            "id": one.id,
            "at": one.at,
            "seq": one.seq,
            "stage": one.stage,
            "phase": one.phase.name.lower(),
            "revision": one.revision,
            "epoch": one.epoch,
            "counts": one.counts,
        }
        for one in decisions.values()
        if one.communication == communication
    ]


def _notices(rows: StateStore, communication: str) -> dict[str, dict[str, int]]:
    """How many outbox rows stand in which state, by phase."""
    columns = rows.outbox(communication)
    found: dict[str, Counter[str]] = {}
    for phase in np.unique(columns.phase).tolist():
        states, counts = np.unique(columns.state[columns.phase == phase], return_counts=True)
        found[Phase(phase).name.lower()] = Counter(
            {
                NoticeState(state).name.lower(): count
                for state, count in zip(states.tolist(), counts.tolist(), strict=True)
            }
        )
    return {phase: dict(states) for phase, states in found.items()}
