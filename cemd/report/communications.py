"""The life of a communication: opened by an incident, held down, confirmed, told, stable, ended, perhaps come back.

Incident events open, join and reopen; everything else happens at ticks, by `advance`. All of it is rows: a restart
goes on where it stood. `decided_at` None in TELLING or ENDING means that the selection of the phase is still to be
made. A correction waits until no end is in flight. The end is told to all but those whose first notice is in flight,
so that nobody hears an end before the beginning; they hear it when theirs has arrived, and nobody waits for them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from msgspec.structs import replace

from cemd.config.rules import Policy
from cemd.model.identity import record_id
from cemd.model.incident import Incident, IncidentChange, IncidentEvent
from cemd.model.notice import Communication, CommunicationState, MessageClass, Mode, Phase, Reason
from cemd.report.audience import concerned, select
from cemd.report.choosing import (
    drop_waiting,
    is_to_correct,
    on_the_way,
    owed,
    places_now,
    put_decision,
    question_of,
    select_phase,
    standing,
    told_first,
    unasked,
    whom,
)
from cemd.report.matching import (
    Places,
    belongs_to,
    cause_key,
    hurts_more,
    matched_services,
    places_hurt,
    sites_of,
    united,
)
from cemd.report.state import Moment, ReportState, is_hurting
from cemd.report.told import bitmap

State = CommunicationState
OPEN_STATES = (State.HOLDING, State.TELLING, State.TOLD, State.STABILISING, State.ENDING, State.HELD)

FIRST_REASONS = (Reason.FIRST_NOTICE, Reason.QUIET_HOURS, Reason.ALREADY_TOLD)
"""Last decisions about customers who are, will be or were told of this for the first time."""


def on_event(state: ReportState, event: IncidentEvent, moment: Moment) -> None:
    """Lets every policy hear of an incident's change."""
    incident = event.incident
    before = state.incidents.get(incident.id)
    spreads = before is not None and hurts_more(incident, before)
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
    every = united([communication.places, places])
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
    return _corrected(reopened, policy, moment)


def _corrected(communication: Communication, policy: Policy, moment: Moment) -> Communication:
    """What comes back shows in one place first, and who is corrected is decided once: it is held down like a first
    notice, until the others had the time to show it."""
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


def advance(state: ReportState, communication: Communication, moment: Moment) -> None:
    """Moves one communication on, as far as this instant allows."""
    for _ in range(4):  # a step may open the next one: cleared and stable at the same tick
        before = communication
        communication = _advanced(state, communication, moment)
        state.communications.put(communication.id, communication)
        if communication.state is before.state and communication.phase is before.phase:
            return


def _advanced(state: ReportState, communication: Communication, moment: Moment) -> Communication:
    incidents = state.incidents_of(communication)
    hurting = any(map(is_hurting, incidents))
    if hurting and communication.clear_since is not None:
        communication = replace(communication, clear_since=None)
    if not hurting and communication.clear_since is None:
        clear = max((each.clear_since or each.changed_at for each in incidents), default=moment.at)
        communication = replace(communication, clear_since=min(clear, moment.at))
    match communication.state:
        case State.HOLDING:
            return _holding(state, communication, moment, hurting=hurting)
        case State.HELD:
            return communication if hurting else _quieted(communication, moment)
        case State.TELLING | State.TOLD:
            if not hurting:
                return _quieted(communication, moment)
            return _telling(state, communication, moment) if communication.state is State.TELLING else communication
        case State.STABILISING:
            return _stabilising(state, communication, moment, hurting=hurting)
        case State.ENDING:
            if hurting:
                return _relapsed_while_ending(state, communication, moment)
            return _ending(state, communication, moment)
        case State.ENDED | State.DECLINED:
            return communication


def _holding(state: ReportState, communication: Communication, moment: Moment, *, hurting: bool) -> Communication:
    if not hurting:
        over = (communication.clear_since or moment.at) + state.policy_of(communication).stable_seconds
        if moment.at < over:
            return communication
        return _not_told(state, communication, moment, State.ENDED, Reason.INCIDENT_OVER)
    confirmed = any(each.confirmed_at is not None for each in state.incidents_of(communication) if is_hurting(each))
    if confirmed and moment.at >= communication.hold_until:
        return _tell(state, communication, moment)
    if moment.at >= communication.decide_by:
        return _not_told(state, communication, moment, State.DECLINED, Reason.NOT_CONFIRMED)
    return communication


def _tell(state: ReportState, communication: Communication, moment: Moment) -> Communication:
    """Selects for the first notice (or the correction); too large an audience waits for a person."""
    telling = replace(communication, state=State.TELLING, decided_at=moment.at, audience_count=0)
    telling, _ = select_phase(state, telling, moment)
    return _below_ceiling(state, telling)


def _below_ceiling(state: ReportState, telling: Communication) -> Communication:
    """Holds first notices when all together exceed the ceiling: those of former looks, those asleep, and those of this
    episode before it relapsed, whether they are hurt again or not."""
    if telling.mode is not Mode.LIVE or telling.phase is not Phase.FIRST or telling.reason == "released":
        return telling
    numbers, reasons = standing(state, telling, Phase.FIRST, telling.revision)
    audience = told_first(state, telling) | bitmap(numbers[np.isin(reasons, FIRST_REASONS)])
    if len(audience) <= (state.policy_of(telling).ceiling or 0):
        return telling
    return replace(telling, state=State.HELD, reason="ceiling")


def _not_told(
    state: ReportState, communication: Communication, moment: Moment, ending: State, reason: Reason
) -> Communication:
    """Nobody is told: nothing is said, and the reason is counted for everyone who would have been."""
    question = question_of(state, communication, moment, at_dequeue=False)
    blocks = concerned(moment.customers, whom(communication, moment))
    selection = select(moment.customers, blocks, dataclasses.replace(question, overrule=reason, quiet=None))
    put_decision(state, communication, moment, "selection", selection.concerned, selection.reasons)
    return replace(communication, state=ending, reason=reason.name.lower(), decided_at=moment.at, ended_at=moment.at)


def _quieted(communication: Communication, moment: Moment) -> Communication:
    """Clear: nothing more of this phase leaves, and the wait for stability begins."""
    if communication.decided_at is not None:
        for phase in (Phase.FIRST, Phase.CORRECTION):
            moment.effects.withdrawn.append((communication.id, phase, communication.revision))
    return replace(communication, state=State.STABILISING)


def _telling(state: ReportState, communication: Communication, moment: Moment) -> Communication:
    if communication.decided_at is None:
        return _correct(state, communication, moment)
    if communication.phase is Phase.FIRST and is_withdrawn(communication, moment):
        drop_waiting(state, communication, moment, Reason.POLICY_WITHDRAWN)
        return replace(communication, state=State.TOLD, look_again_at=None)
    if communication.look_again_at is not None:
        if moment.at < communication.look_again_at:
            return communication
        if not state.waiting_of(communication.id) and is_to_correct(state, communication, moment):
            return _corrected_again(state, communication, moment)
        return _below_ceiling(state, select_phase(state, communication, moment)[0])
    if state.waiting_of(communication.id):
        return communication
    if communication.phase is Phase.CORRECTION:  # whoever is new to the problem hears of it for the first time
        if is_to_correct(state, communication, moment):
            return _corrected_again(state, communication, moment)
        return _tell(state, replace(communication, phase=Phase.FIRST), moment)
    return replace(communication, state=State.TOLD)


def _corrected_again(state: ReportState, communication: Communication, moment: Moment) -> Communication:
    """It spreads to others who had heard "over": they hear the same correction."""
    return select_phase(state, replace(communication, phase=Phase.CORRECTION), moment)[0]


def _correct(state: ReportState, communication: Communication, moment: Moment) -> Communication:
    """Starts the correction once the cause is confirmed, the hold-down over, and no "over" still under way."""
    confirmed = any(each.confirmed_at is not None for each in state.incidents_of(communication) if is_hurting(each))
    since = moment.at - state.policy_of(communication).valid_for_seconds
    if not confirmed or moment.at < communication.hold_until or not places_now(state, communication, moment):
        return communication
    if state.told_of(communication.id).in_flight(Phase.OVER, since=since):
        return communication
    return _tell(state, communication, moment)


def is_withdrawn(communication: Communication, moment: Moment) -> bool:
    """True when the rules no longer let first notices of this policy leave."""
    current = next((p for p in moment.topology.configuration.policies if p.name == communication.policy), None)
    return communication.mode is Mode.LIVE and (current is None or current.mode is not Mode.LIVE)


def _stabilising(state: ReportState, communication: Communication, moment: Moment, *, hurting: bool) -> Communication:
    if hurting:
        return replace(communication, state=State.HELD if communication.reason == "ceiling" else State.TELLING)
    stable = state.policy_of(communication).stable_seconds
    if moment.at < (communication.clear_since or 0.0) + stable:
        return communication
    if communication.decided_at is not None:
        drop_waiting(state, communication, moment, Reason.INCIDENT_OVER)
    return replace(
        communication, state=State.ENDING, phase=Phase.OVER, decided_at=None, look_again_at=None, reason="",
        audience_count=0,
    )  # fmt: skip


def _ending(state: ReportState, communication: Communication, moment: Moment) -> Communication:
    policy = state.policy_of(communication)
    if communication.decided_at is None:
        communication = select_phase(state, replace(communication, decided_at=moment.at), moment)[0]
    elif communication.look_again_at is not None and moment.at >= communication.look_again_at:
        communication = select_phase(state, communication, moment)[0]
    waits = bool(state.waiting_of(communication.id))
    if waits and moment.at > (communication.decided_at or moment.at) + policy.valid_for_seconds:
        drop_waiting(state, communication, moment, _why_stuck(state, communication))
        waits = False
    if waits or communication.look_again_at is not None or on_the_way(state, communication, moment):
        return communication
    if communication.mode is Mode.LIVE and unasked(state, communication):  # what was on its way has arrived
        communication = select_phase(state, communication, moment)[0]
        if state.waiting_of(communication.id) or communication.look_again_at is not None:
            return communication
    return _ended(state, communication, moment)


def _why_stuck(state: ReportState, communication: Communication) -> Reason:
    sending = state.sending
    if sending.killed:
        return Reason.KILL_SWITCH
    if sending.held and communication.id not in sending.released:
        return Reason.HELD_AFTER_RESTORE
    return Reason.NO_WORKING_CHANNEL


def _ended(state: ReportState, communication: Communication, moment: Moment) -> Communication:
    """Ends; whoever is told but could not be reached by the selection (gone from the columns) gets a reason too."""
    left = owed(state, communication) if communication.mode is Mode.LIVE else None
    if left:
        reasons = np.full(len(left), Reason.NO_WORKING_CHANNEL, np.uint8)
        put_decision(state, communication, moment, "dequeue", left, reasons)
    return replace(communication, state=State.ENDED, ended_at=moment.at)


def _relapsed_while_ending(state: ReportState, communication: Communication, moment: Moment) -> Communication:
    """Hurts again while "over" leaves: stop it, correct it for those who heard it."""
    for waiting in state.waiting_of(communication.id):
        state.forget_waiting(f"{waiting.communication}/{waiting.channel}")
    moment.effects.withdrawn.append((communication.id, Phase.OVER, communication.revision))
    again = replace(communication, reopened=communication.reopened + 1)
    return _corrected(again, state.policy_of(communication), moment)


def at_start(state: ReportState, moment: Moment) -> None:
    """What was in flight is unknown, and informational notices are never submitted again."""
    for communication in state.communications:
        told = state.told_of(communication.id)
        keeps = communication.message_class is MessageClass.SAFETY and not state.sending.killed
        if not keeps and told.orphan():
            moment.effects.orphaned.append(communication.id)
