"""Improve's part of `step`: findings and commands in, incident events out. All that it knows is rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from cemd.config.topology import Topology
from cemd.improve.asked import too_often
from cemd.improve.assessor import Assessor
from cemd.improve.desk import Desk
from cemd.improve.doubt import waiting
from cemd.improve.ledger import Ledger
from cemd.improve.lifecycle import ENDED
from cemd.improve.orders import Orders
from cemd.improve.playbook import rechecks
from cemd.improve.records import AskedRun, FindingLabel, ServiceChange, Upkeep
from cemd.improve.state import ImproveState
from cemd.model.customers import Customers
from cemd.model.effect import Effects, Recheck
from cemd.model.entry import Command, CommandKind, ConfigEpoch, Entry, Started, Tick
from cemd.model.finding import Finding
from cemd.model.identity import Instant
from cemd.model.incident import Incident, IncidentEvent

__all__ = ["ImproveState", "handle", "view"]

KEPT_SECONDS = 30 * 86_400.0
KEPT_INCIDENTS = 10_000
"""History in rows; what is older is in reports and backups."""
SWEEP_SECONDS = 3600.0
SWEEP_MOST = 200
"""Rows that one sweep deletes, so that no tick is long; the next tick goes on when more are due."""
SHOWN_ENDED = 200

_LABELS = {
    CommandKind.LABEL_TRUE: "true",
    CommandKind.LABEL_FALSE: "false",
    CommandKind.LABEL_BENIGN: "benign",
}
_MINE = (CommandKind.ACKNOWLEDGE, CommandKind.CONFIRM, CommandKind.CLOSE, CommandKind.CANCEL)


def handle(  # noqa: PLR0913, RUF100 -- the door that all wings have
    state: ImproveState,
    entry: Entry,
    findings: Sequence[Finding],
    topology: Topology,
    customers: Customers,
    effects: Effects,
) -> Sequence[IncidentEvent]:
    """Applies an entry and the findings that arose from it.

    Returns:
        What happened to incidents, in order; each event carries the incident as it then was.
    """
    payload = entry.payload
    if not findings and not isinstance(payload, Tick | Command | ConfigEpoch | Started):
        return ()
    ledger, assessor = Ledger(state, entry), Assessor(state, entry.at, topology, customers)
    desk = Desk(ledger, assessor)
    match payload:
        case Command(kind=kind) if kind in _MINE:
            Orders(ledger, assessor).obey(payload)
        case Command(kind=kind) if kind in _LABELS:
            _write_label(state, entry, payload, findings)
        case Command(kind=CommandKind.RUN):
            _ask_for_run(ledger, payload, topology, effects)
        case ConfigEpoch():
            _note_changes(state, topology, entry.at)
        case Started():
            desk.reconcile(findings)
        case _:
            pass
    if findings:
        desk.take(findings)
        effects.rechecks.extend(rechecks([*assessor.fresh, *desk.look_again], topology, assessor.watch))
    if isinstance(payload, Tick):
        desk.pass_time()
        _sweep(state, entry.at)
    return ledger.events


def _write_label(state: ImproveState, entry: Entry, command: Command, findings: Sequence[Finding]) -> None:
    """The audit row of a label; analyze states the finding anew when it took the label."""
    said = next((one for one in findings if one.id == command.subject), None)
    refused = "no detector made such a finding, or it ended too long ago; the list of findings shows the open ones."
    state.label(
        FindingLabel(
            at=entry.at,
            seq=entry.seq,
            finding=command.subject,
            label=_LABELS[command.kind],
            actor=command.actor,
            note=command.note,
            condition=said.condition if said else "",
            subject=str(said.subject) if said else "",
            reason="" if said else refused,
        )
    )


def _ask_for_run(ledger: Ledger, command: Command, topology: Topology, effects: Effects) -> None:
    """A run that a person wants now, unless too many were, and its audit row, which is committed before anybody is
    asked: a restart does not ask again."""
    probe, state = command.subject, ledger.state
    if topology.probed_by(probe):
        why_not = too_often(state.runs, probe, ledger.at)
    else:
        why_not = f"there is no probe {probe}; a reload may have taken it away meanwhile."
        ledger.refuse(command, why_not)
    state.note_run(
        AskedRun(at=ledger.at, seq=ledger.seq, probe=probe, actor=command.actor, note=command.note, reason=why_not)
    )
    if not why_not:
        effects.rechecks.append(Recheck(probe=probe, reason=f"{command.actor} asks for it"))


def view(state: ImproveState) -> tuple[Incident, ...]:
    """Incidents for people: those that are not over first, the most urgent before the others, then the latest of what
    has ended."""
    shown = {incident.id: incident for incident in state.live()}
    latest = islice((one for one in reversed(tuple(state.incidents)) if one.state in ENDED), SHOWN_ENDED)
    shown.update((incident.id, incident) for incident in latest)
    return tuple(
        sorted(shown.values(), key=lambda one: (one.state in ENDED, one.resolved_at is not None, -one.opened_at))
    )


def waits(state: ImproveState) -> dict[str, str]:
    """Why findings that would open an incident open none yet, as a sentence by their id."""
    return {one.finding.id: one.waits for one in waiting(state.attached(""))}


def _note_changes(state: ImproveState, topology: Topology, at: Instant) -> None:
    """Remembers when each service was last defined otherwise: a recent change may be the cause."""
    is_first = not len(state.changes)
    for name, fingerprint in state.watch(topology).fingerprints().items():
        known = state.changes.get(name)
        if known is None or known.fingerprint != fingerprint:
            state.changes.put(name, ServiceChange(fingerprint=fingerprint, changed_at=0.0 if is_first else at))


def _sweep(state: ImproveState, at: Instant) -> None:
    """Old history leaves the rows, a few at a time."""
    upkeep = state.upkeep.get("swept")
    if upkeep is None:
        state.upkeep.put("swept", Upkeep(swept_at=at))
        return
    if at - upkeep.swept_at < SWEEP_SECONDS:
        return
    ended = [one for one in state.incidents if one.state in ENDED and one.id not in state.grounds]
    surplus = len(state.incidents) - KEPT_INCIDENTS
    due = [one for place, one in enumerate(ended) if place < surplus or at - one.changed_at > KEPT_SECONDS]
    for incident in due[:SWEEP_MOST]:
        state.incidents.delete(incident.id)
    if len(due) <= SWEEP_MOST:
        state.upkeep.put("swept", Upkeep(swept_at=at))
