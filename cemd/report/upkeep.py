"""Forgets what nobody can ask for any more: ended communications with their decisions, closed incidents."""

from __future__ import annotations

from cemd.model.incident import IncidentState
from cemd.model.notice import Communication
from cemd.report.state import Moment, ReportState

KEPT_SECONDS = 35 * 86_400.0
"""Decisions are explained for so long; longer where a cap looks further back."""


def sweep(state: ReportState, moment: Moment) -> None:
    """Drops what is old; costs a look at each communication and incident."""
    for communication in state.communications:
        if communication.ended_at is not None and moment.at - communication.ended_at > _kept(state, communication):
            _forget(state, communication.id)
    closed = (IncidentState.CLOSED, IncidentState.CANCELLED, IncidentState.REJECTED)
    finished = [incident for incident in state.incidents if incident.state in closed]
    if finished:
        needed = {name for one in state.communications if one.ended_at is None for name in one.incidents}
        for incident in finished:
            if incident.id not in needed:
                state.incidents.delete(incident.id)


def _kept(state: ReportState, communication: Communication) -> float:
    caps = state.policy_of(communication).caps
    return max([KEPT_SECONDS, *(cap.window_seconds for cap in caps)])


def _forget(state: ReportState, name: str) -> None:
    state.forget_decisions(name)
    for row in state.contacts:
        if row.communication == name:
            state.contacts.delete(f"{row.kind}/{row.customer}/{name}")
            state.book.remove(row)
    state.policies.delete(name)
    state.told.pop(name, None)
    state.communications.delete(name)
