"""How a communication comes up, and what an incident's change makes of it: opened, joined, widened, come back.

Everything else of its life happens at ticks (`communications.py`).
"""

from __future__ import annotations

from msgspec.structs import replace

from cemd.config.rules import Policy
from cemd.model.identity import record_id
from cemd.model.incident import Incident, IncidentChange, IncidentEvent
from cemd.model.notice import Communication, Phase, Reason
from cemd.model.notice import CommunicationState as State
from cemd.report.matching import (
    Places,
    belongs_to,
    beyond,
    cause_key,
    hurts_more,
    matched_services,
    places_hurt,
    sites_of,
    united,
)
from cemd.report.state import Moment, ReportState


def on_event(state: ReportState, event: IncidentEvent, moment: Moment) -> None:
    """Lets every policy hear of an incident's change."""
    incident = event.incident
    before = state.incidents.get(incident.id)
    spreads = before is not None and hurts_more(incident, before, moment.topology)
    state.incidents.put(incident.id, replace(incident, timeline=()))
    for policy in moment.topology.configuration.policies:
        found = belongs_to(state, policy, incident, moment.at)
        services = matched_services(policy, incident, moment.topology)
        if found is None:
            if services:
                _open(state, policy, incident, services, moment)
            continue
        if services or incident.id in found.incidents:
            _join(state, found, policy, event, services, moment, spreads=spreads)


def _open(state: ReportState, policy: Policy, incident: Incident, services: tuple[str, ...], moment: Moment) -> None:
    name = record_id("com", policy.name, incident.id, moment.seq)
    at = moment.at
    state.keep_policy(name, policy)
    places = places_hurt(incident, services)
    state.communications.put(
        name,
        Communication(
            id=name,
            trace=incident.trace,
            incidents=(incident.id,),
            policy=policy.name,
            mode=policy.mode,
            message_class=policy.message_class,
            services=services,
            sites=sites_of(places),
            places=places,
            cause_key=cause_key(policy, incident),
            state=State.HOLDING,
            opened_at=at,
            hold_until=at + policy.hold_seconds,
            decide_by=at + policy.decide_by_seconds,
            epoch=state.epoch,
            seq=moment.seq,
        ),
    )


def _join(
    state: ReportState,
    communication: Communication,
    policy: Policy,
    event: IncidentEvent,
    services: tuple[str, ...],
    moment: Moment,
    *,
    spreads: bool,
) -> None:
    """An incident that the communication knows changed, or one of the same cause and place came up. `spreads`: it hurts
    what it did not hurt a moment ago, though perhaps earlier."""
    incident = event.incident
    joined = replace(communication, incidents=tuple(dict.fromkeys([*communication.incidents, incident.id])))
    if services:
        if communication.state is State.HOLDING:
            joined = _as_hurt_now(state, joined, policy, moment)
        else:
            joined = _widened(joined, places_hurt(incident, services), moment, spreads=spreads)
        if communication.state in (State.HOLDING, State.HELD):
            joined = replace(joined, cause_key=cause_key(policy, incident))
    match communication.state:
        case State.ENDED if services:
            joined = _reopened(state, joined, policy, moment)
        case State.DECLINED if services and _decides_again(communication, event):
            joined = replace(
                _held_down(joined, policy, moment), hold_until=moment.at, reason="", ended_at=None, decided_at=None
            )
        case _:
            pass
    state.communications.put(joined.id, joined)


def _decides_again(communication: Communication, event: IncidentEvent) -> bool:
    confirmed = event.change is IncidentChange.CONFIRMED or event.incident.confirmed_at is not None
    return confirmed and communication.reason == Reason.NOT_CONFIRMED.name.lower()


def _as_hurt_now(state: ReportState, communication: Communication, policy: Policy, moment: Moment) -> Communication:
    """Until anybody is told it concerns what is hurt now and no more: who is well again need not hear of it."""
    places = united(
        places_hurt(incident, matched_services(policy, incident, moment.topology))
        for incident in state.incidents_of(communication)
    )
    return _concerning(communication, places)


def _concerning(communication: Communication, places: Places) -> Communication:
    return replace(communication, services=tuple(places), sites=sites_of(places), places=places)


def _widened(communication: Communication, places: Places, moment: Moment, *, spreads: bool) -> Communication:
    """Concerns more than before: then it looks again for those who are new to it. It never concerns fewer; where it
    `spreads` back to a place that was well for a while, it looks again for those who were passed over there."""
    every = united([communication.places, beyond(places, communication.places, moment.topology)])
    if every == communication.places and not spreads:
        return communication
    wider = _concerning(communication, every)
    if communication.decided_at is None or communication.phase is not Phase.FIRST:
        return wider
    match communication.state:
        case State.TELLING | State.TOLD:
            return replace(wider, state=State.TELLING, look_again_at=moment.at)
        case State.HELD | State.STABILISING:  # it looks when a person released it, when it hurts again
            return replace(wider, look_again_at=moment.at)
        case _:
            return wider


def _held_down(communication: Communication, policy: Policy, moment: Moment) -> Communication:
    """Begins a new episode: hold-down, then first notices under a new revision."""
    at, revision = moment.at, communication.revision + 1
    return replace(
        communication,
        state=State.HOLDING,
        phase=Phase.FIRST,
        revision=revision,
        chain=revision,
        hold_until=at + policy.hold_seconds,
        decide_by=at + policy.decide_by_seconds,
        decided_at=None,
        clear_since=None,
        ended_at=None,
        look_again_at=None,
        audience_count=0,
        reason="",
    )


def _reopened(state: ReportState, communication: Communication, policy: Policy, moment: Moment) -> Communication:
    """Within the relapse window those who heard "over" hear a correction; later it is a new episode."""
    reopened = replace(communication, reopened=communication.reopened + 1)
    ended = communication.ended_at if communication.ended_at is not None else moment.at
    told = bool(state.told_of(communication.id).everyone())
    if not told or moment.at - ended > policy.relapse_within_seconds:
        return _held_down(reopened, policy, moment)
    return corrected(reopened, policy, moment)


def corrected(communication: Communication, policy: Policy, moment: Moment) -> Communication:
    """What comes back shows in one place first: the correction is held down like a first notice, until the others had
    the time to show it."""
    return replace(
        communication,
        hold_until=moment.at + policy.hold_seconds,
        state=State.TELLING,
        phase=Phase.CORRECTION,
        revision=communication.revision + 1,
        decided_at=None,
        clear_since=None,
        ended_at=None,
        look_again_at=None,
        audience_count=0,
    )
