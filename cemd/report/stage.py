"""Report's part of `step`: entries and incident events in; alerts, decisions notices out; rows before effects."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from cemd.config.topology import Topology
from cemd.model.customers import Customers
from cemd.model.effect import Effects
from cemd.model.entry import (
    AlertOutcome,
    Command,
    CommandKind,
    ConfigEpoch,
    Contact,
    DispatchRequest,
    Entry,
    NoticeOutcomes,
    Started,
    Tick,
)
from cemd.model.incident import IncidentEvent
from cemd.model.notice import CommunicationState, Phase, Reason
from cemd.report import alerts, vantage_alerts
from cemd.report.absence import after_absence
from cemd.report.choosing import drop_waiting
from cemd.report.communications import OPEN_STATES, advance, at_start
from cemd.report.contacts import apply_contact
from cemd.report.dispatch import announce, dispatch, send_again, settle
from cemd.report.opening import on_event
from cemd.report.state import SENDING, Moment, ReportState
from cemd.report.unsent import drop_unsent
from cemd.report.upkeep import sweep
from cemd.report.view import view

__all__ = ["ReportState", "handle", "view"]


def handle(
    state: ReportState,
    entry: Entry,
    events: Sequence[IncidentEvent],
    topology: Topology,
    customers: Customers,
    effects: Effects,
    *,
    before: Topology,  # noqa: ARG001 -- a route that is gone is known by its rows
    paused_seconds: float = 0.0,
) -> None:
    """Applies an entry and the incident events that arose from it; `paused_seconds` passed since the entry before."""
    moment = Moment(at=entry.at, seq=entry.seq, topology=topology, customers=customers, effects=effects)
    after_absence(state, paused_seconds, moment)
    for event in events:
        on_event(state, event, moment)
        alerts.consider(state.alerts, event.incident, topology, moment.at)
    vantage_alerts.take(state, effects.findings, topology, moment.at)
    match entry.payload:
        case Tick():
            _tick(state, moment)
        case Command() as command:
            _obey(state, command, moment)
        case Contact() as contact:
            apply_contact(contact, state.contacts, state.book, state.communications, moment.at)
        case DispatchRequest(channel=channel, capacity=capacity):
            dispatch(state, channel, capacity, moment)
        case NoticeOutcomes() as outcomes:
            settle(state, outcomes, moment)
        case AlertOutcome() as outcome:
            alerts.settle(state.alerts, outcome, moment.at)
        case ConfigEpoch():
            alerts.reload(state.alerts, tuple(state.incidents), topology, moment.at)
            vantage_alerts.reload(state, topology, moment.at)
        case Started():
            _start(state, moment)
        case _:
            pass
    if events or isinstance(entry.payload, Tick | Command | Started | ConfigEpoch | AlertOutcome):
        alerts.release(state.alerts, topology, moment.at, effects)


def _tick(state: ReportState, moment: Moment) -> None:
    for communication in state.communications:
        if communication.state in OPEN_STATES:
            advance(state, communication, moment)
    announce(state, moment)
    sweep(state, moment)


def _start(state: ReportState, moment: Moment) -> None:
    alerts.restart(state.alerts, moment.at)
    vantage_alerts.start(state, moment.effects.findings, moment.topology, moment.at)
    at_start(state, moment)
    send_again(state, moment)
    moment.effects.stopped = state.sending.killed
    announce(state, moment)


def _obey(state: ReportState, command: Command, moment: Moment) -> None:
    """Commands act at their seq."""
    sending = state.sending
    match command.kind:
        case CommandKind.KILL:
            if not sending.killed:  # who stops again what is stopped changes neither since when nor by whom
                stopped = replace(sending, killed=True, killed_by=command.actor, killed_at=moment.at)
                state.switches.put(SENDING, stopped)
            moment.effects.stopped = True
        case CommandKind.UNKILL:
            state.switches.put(SENDING, replace(sending, killed=False, killed_by="", killed_at=None))
            moment.effects.stopped = False
        case CommandKind.HOLD_SENDING:
            state.switches.put(SENDING, replace(sending, held=True, released=()))
        case CommandKind.RELEASE:
            _release(state, command.subject)
        case CommandKind.DECLINE:
            _decline(state, command, moment)
        case _:
            return
    announce(state, moment)


def _release(state: ReportState, subject: str) -> None:
    """One communication, or with an empty subject the hold after a restore as a whole."""
    sending = state.sending
    if not subject:
        state.switches.put(SENDING, replace(sending, held=False, released=()))
        return
    communication = state.communications.get(subject)
    if communication is None:
        return
    if sending.held:
        released = tuple(dict.fromkeys([*sending.released, subject]))
        state.switches.put(SENDING, replace(sending, released=released))
    if communication.reason == "ceiling":
        telling = communication.state is CommunicationState.HELD
        state.communications.put(
            subject,
            replace(
                communication, reason="released", state=CommunicationState.TELLING if telling else communication.state
            ),
        )


def _decline(state: ReportState, command: Command, moment: Moment) -> None:
    communication = state.communications.get(command.subject)
    if communication is None or communication.phase is not Phase.FIRST:
        return
    match communication.state:
        case CommunicationState.HOLDING | CommunicationState.HELD | CommunicationState.TELLING:
            told = bool(state.told_of(communication.id).everyone())
            drop_waiting(state, communication, moment, Reason.DECLINED)
            drop_unsent(state, communication, moment, Reason.DECLINED)
            moment.effects.withdrawn.append((communication.id, communication.phase, communication.revision))
            declined = replace(communication, reason="declined", look_again_at=None)
            if told:
                declined = replace(declined, state=CommunicationState.TOLD)
            else:
                declined = replace(declined, state=CommunicationState.DECLINED, ended_at=moment.at)
            state.communications.put(communication.id, declined)
        case _:
            pass
