"""The life of a communication: opened by an incident, held down, confirmed, told, stable, ended, perhaps come back.

Incident events open, join and reopen (`opening.py`); everything else happens at ticks, by `advance`. All of it is
rows: a restart goes on where it stood. `decided_at` None in TELLING or ENDING means that the selection of the phase is
still to be made. A correction waits until no end is in flight, and follows where what came back spreads. The end is
told to all but those whose first notice is in flight, so that nobody hears an end before the beginning; they hear it
when theirs has arrived, and nobody waits for them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from msgspec.structs import replace

from cemd.model.notice import Communication, CommunicationState, MessageClass, Mode, Phase, Reason
from cemd.report.audience import concerned, select
from cemd.report.choosing import (
    drop_waiting,
    is_to_correct,
    may_hear_the_end,
    put_decision,
    question_of,
    select_phase,
    whom,
)
from cemd.report.entitled import on_the_way, owed, places_now, standing, told_first, unasked
from cemd.report.opening import corrected
from cemd.report.others import still_hurt
from cemd.report.state import Moment, ReportState, is_hurting
from cemd.report.told import bitmap
from cemd.report.unsent import drop_unsent, forget_unsent_ends, has_unsent

State = CommunicationState
OPEN_STATES = (State.HOLDING, State.TELLING, State.TOLD, State.STABILISING, State.ENDING, State.HELD)

LOOK_SECONDS = 60.0
"""How often it is asked whether those who wait for the end of another problem are well."""
FIRST_REASONS = (Reason.FIRST_NOTICE, Reason.QUIET_HOURS, Reason.ALREADY_TOLD)
"""Last decisions about customers who are, will be or were told of this for the first time."""


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
            if communication.state is State.TOLD and has_unsent(state, communication):
                communication = replace(communication, state=State.TELLING)  # some of it came back, and goes out again
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
        drop_unsent(state, communication, moment, Reason.POLICY_WITHDRAWN)
        return replace(communication, state=State.TOLD, look_again_at=None)
    if communication.look_again_at is not None:
        if moment.at < communication.look_again_at:
            return communication
        if not state.waiting_of(communication.id) and is_to_correct(state, communication, moment):
            return _corrected_again(state, communication, moment)
        return _below_ceiling(state, select_phase(state, communication, moment)[0])
    if state.waiting_of(communication.id) or has_unsent(state, communication):
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
    drop_unsent(state, communication, moment, Reason.INCIDENT_OVER)
    return replace(
        communication, state=State.ENDING, phase=Phase.OVER, decided_at=None, look_again_at=None, reason="",
        audience_count=0,
    )  # fmt: skip


def _ending(state: ReportState, communication: Communication, moment: Moment) -> Communication:
    policy = state.policy_of(communication)
    if communication.decided_at is None:
        communication = select_phase(state, replace(communication, decided_at=moment.at), moment)[0]
    elif communication.look_again_at is not None and moment.at >= communication.look_again_at:
        communication = _looked_again(state, communication, moment)
    waits = bool(state.waiting_of(communication.id)) or has_unsent(state, communication)
    if waits and moment.at > (communication.decided_at or moment.at) + policy.valid_for_seconds:
        drop_waiting(state, communication, moment, _why_stuck(state, communication))
        drop_unsent(state, communication, moment, _why_stuck(state, communication))
        waits = False
    if waits or communication.look_again_at is not None or on_the_way(state, communication, moment):
        return communication
    if communication.mode is Mode.LIVE and unasked(state, communication):  # what was on its way has arrived
        communication = _looked_again(state, communication, moment)
        if state.waiting_of(communication.id) or communication.look_again_at is not None:
            return communication
    return _ended(state, communication, moment)


def _looked_again(state: ReportState, communication: Communication, moment: Moment) -> Communication:
    """Decides about those who can hear the end by now; whoever is hurt by another problem waits for its end, and from
    then on the end is as valid as it was for the others."""
    new = unasked(state, communication) - still_hurt(state, communication, moment)
    if new:
        communication = replace(communication, decided_at=moment.at)
    communication = replace(communication, look_again_at=None)
    if new or may_hear_the_end(state, communication, moment):
        communication = select_phase(state, communication, moment)[0]
    if communication.look_again_at is None and unasked(state, communication) - on_the_way(state, communication, moment):
        return replace(communication, look_again_at=moment.at + LOOK_SECONDS)
    return communication


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
    forget_unsent_ends(state, communication, moment)
    moment.effects.withdrawn.append((communication.id, Phase.OVER, communication.revision))
    again = replace(communication, reopened=communication.reopened + 1)
    return corrected(again, state.policy_of(communication), moment)


def at_start(state: ReportState, moment: Moment) -> None:
    """What was in flight is unknown, and informational notices are never submitted again."""
    for communication in state.communications:
        told = state.told_of(communication.id)
        keeps = communication.message_class is MessageClass.SAFETY and not state.sending.killed
        if not keeps and told.orphan():
            moment.effects.orphaned.append(communication.id)
