"""What others may see of report: communications with their counts, alerts, switches; and why one customer was told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cemd.model.customers import Customers
from cemd.model.notice import Communication, NoticeState, Phase, Reason
from cemd.model.view import CommunicationView, ReportView
from cemd.report.entitled import standing
from cemd.report.state import ReportState


def view(state: ReportState, customers: Customers) -> ReportView:
    """A snapshot for the page, the API and the metrics."""
    sending = state.sending
    return ReportView(
        communications=tuple(_seen(state, communication) for communication in state.communications),
        alerts=tuple(state.alerts),
        killed=sending.killed,
        killed_by=sending.killed_by,
        killed_at=sending.killed_at,
        sending_held=sending.held,
        customers=customers.present(),
        due=tuple(dict.fromkeys((*(waiting.channel for waiting in state.waiting), *_unsent_by(state)))),
    )


def _unsent_by(state: ReportState) -> Iterator[str]:
    """Channels by which something is to go out again."""
    for communication in state.communications:
        if (told := state.told.get(communication.id)) is not None:
            yield from (each.channel for _, _, sets in told.due() for each in sets.due)


def _seen(state: ReportState, communication: Communication) -> CommunicationView:
    reasons: dict[str, int] = {}
    for decision in state.decisions_of(communication.id):
        for reason, count in decision.counts.items():
            reasons[reason] = reasons.get(reason, 0) + count
    told = state.told_of(communication.id)
    accepted, in_flight, unknown = told.heard()
    return CommunicationView(
        communication=communication,
        told=accepted,
        in_flight=in_flight,
        unknown=unknown,
        reasons=reasons,
        states=told.states(),
    )


def reason_for(state: ReportState, name: str, customer: int) -> list[dict[str, Any]]:
    """Why one customer was told in one communication, or why not: the standing reason of each phase and revision."""
    communication = state.communications.get(name)
    if communication is None:
        return []
    found = []
    keys = dict.fromkeys((decision.phase, decision.revision) for decision in state.decisions_of(name))
    for phase, revision in keys:
        numbers, reasons = standing(state, communication, phase, revision)
        place = int(np.searchsorted(numbers, customer))
        if place < len(numbers) and numbers[place] == customer:
            row = {
                "phase": phase.name.lower(),
                "revision": revision,
                "reason": Reason(int(reasons[place])).name.lower(),
                "notice": notice_state(state, name, phase, revision, customer),
            }
            found.append(row)
    return found


def notice_state(state: ReportState, name: str, phase: Phase, revision: int, customer: int) -> str | None:
    """State of the outbox row, None where there is none."""
    sets = state.told_of(name).sets.get((phase, revision))
    states: dict[NoticeState, Any] = sets.by_state if sets is not None else {}
    return next((each.name.lower() for each, members in states.items() if customer in members), None)
