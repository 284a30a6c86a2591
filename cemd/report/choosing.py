"""Selection and what it leaves behind: a decision row, waiting audiences, and the sets that the phases stand on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from pyroaring import BitMap

from cemd.config.rules import Policy
from cemd.model.customers import LawfulBasis
from cemd.model.identity import record_id
from cemd.model.notice import Communication, Decision, MessageClass, Mode, Phase, Reason
from cemd.report.audience import Concern, Selection, concern, concerned, of_bitmap, select
from cemd.report.decide import Mask, Question, counts_of, packed
from cemd.report.entitled import (
    STILL_OPEN,
    heard_over,
    on_the_way,
    owed,
    places_now,
    reserved_by,
    standing,
    told_first,
)
from cemd.report.matching import ways_now
from cemd.report.others import heard_elsewhere, still_hurt
from cemd.report.quiet import QuietTable, quiet_table
from cemd.report.state import Audience, Moment, ReportState, Waiting
from cemd.report.told import bitmap, is_member

ASKED_AGAIN = (*STILL_OPEN, Reason.NOT_AFFECTED)
"""Reasons that may be others at the next look: who was well then may be hurt since."""


def basis_bits(policy: Policy) -> int:
    return sum(LawfulBasis[name.upper()] for name in policy.bases)


def whom(communication: Communication, moment: Moment) -> Concern:
    return concern(moment.customers, communication.places, moment.topology)


def hurt_now(state: ReportState, communication: Communication, moment: Moment) -> Concern:
    """Whom it concerns at this moment. A communication speaks of everything that was hurt since it began; who is well
    again by the time that the first notice leaves (a person released it late, or the night passed) need not hear it,
    and who stays well while it comes back elsewhere hears no correction."""
    places = places_now(state, communication, moment)
    return concern(moment.customers, places, moment.topology) if places else whom(communication, moment)


def question_of(state: ReportState, communication: Communication, moment: Moment, *, at_dequeue: bool) -> Question:
    """Everything that bears on this phase now."""
    policy = state.policy_of(communication)
    phase = communication.phase
    overrule = Reason.QUIET_HOURS_PASSED if _is_too_late(state, communication, moment) else None
    place = hurt_now(state, communication, moment)

    def affected(numbers: NDArray[np.uint32]) -> NDArray[np.bool_]:
        return is_concerned(moment, place, numbers)

    return Question(
        phase=phase,
        bases=basis_bits(policy),
        ways=ways_now(state, communication, policy, moment.topology),
        by_place=bool(communication.sites) or place.is_by_place,
        affected=affected if phase is Phase.CORRECTION or (at_dequeue and phase is Phase.FIRST) else None,
        required=_required(state, communication),
        already=_already(state, communication, moment),
        agent=state.book.told_by_agent(communication.id),
        tickets=state.book.tickets(communication.services),
        calls=state.book.calls(communication.services),
        capped=_capped(state, communication, policy, moment) if phase is not Phase.OVER else None,
        quiet=quiet_now(state, communication, moment),
        overrule=overrule,
    )  # fmt: skip


def quiet_now(state: ReportState, communication: Communication, moment: Moment) -> QuietTable | None:
    """Whose quiet hours hold this phase back; None: nobody's do."""
    if communication.message_class is MessageClass.SAFETY or _is_too_late(state, communication, moment):
        return None
    hours = state.policy_of(communication).quiet_hours
    return quiet_table(hours, moment.customers, moment.topology, moment.at)


def _is_too_late(state: ReportState, communication: Communication, moment: Moment) -> bool:
    """True for an end that was held back for longer than it is valid."""
    decided = communication.decided_at if communication.decided_at is not None else moment.at
    return communication.phase is Phase.OVER and moment.at > decided + state.policy_of(communication).valid_for_seconds


def is_concerned(moment: Moment, place: Concern, numbers: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Whom of these the problem still concerns."""
    return place.holds(moment.customers, numbers)


def _already(state: ReportState, communication: Communication, moment: Moment) -> BitMap:
    """Whoever has a row of this phase and revision; for the first also who was told since the episode began, or heard
    of it from another communication."""
    already = state.told_of(communication.id).rows(communication.phase, communication.revision)
    if communication.phase is not Phase.FIRST:
        return already
    return already | told_first(state, communication) | heard_elsewhere(state, communication, moment)


def _required(state: ReportState, communication: Communication) -> BitMap | None:
    match communication.phase:
        case Phase.OVER:
            return owed(state, communication)
        case Phase.CORRECTION:
            return heard_over(state, communication)
        case _:
            return None


def _capped(state: ReportState, communication: Communication, policy: Policy, moment: Moment) -> Mask | None:
    if not policy.caps:
        return None
    reserved = [
        members for one in state.communications if one.id != communication.id and (members := reserved_by(state, one))
    ]

    def capped(numbers: NDArray[np.uint32]) -> NDArray[np.bool_]:
        promised = np.zeros(len(numbers), np.int64)
        for members in reserved:
            promised += is_member(members, numbers)
        full = np.zeros(len(numbers), np.bool_)
        for cap in policy.caps:
            full |= state.ledger.count(numbers, cap.window_seconds, moment.at) + promised + 2 > cap.most
        return full

    return capped


def select_phase(state: ReportState, communication: Communication, moment: Moment) -> tuple[Communication, Selection]:
    """Selects for the phase under way, writes the decision, and lets the granted wait for their channels."""
    question = question_of(state, communication, moment, at_dequeue=False)
    selection = select(moment.customers, _candidates(state, communication, moment), question)
    held = int((selection.reasons == Reason.QUIET_HOURS).sum())
    look = question.quiet.until if held and question.quiet is not None else None
    put_decision(state, communication, moment, "selection", selection.concerned, selection.reasons)
    if communication.mode is Mode.LIVE:
        for channel, members in selection.audience.items():
            add_waiting(state, communication, channel, members)
    count = selection.count + held + communication.audience_count
    return replace(communication, look_again_at=look, audience_count=count), selection


def _candidates(state: ReportState, communication: Communication, moment: Moment) -> Iterator[NDArray[np.uint32]]:
    """Those concerned about whom no decision stands yet in this phase and revision."""
    size = moment.customers.size
    match communication.phase:
        case Phase.OVER:
            return of_bitmap(may_hear_the_end(state, communication, moment), size)
        case Phase.CORRECTION:
            return of_bitmap(heard_over(state, communication) - _decided(state, communication), size)
        case _:
            decided = _decided(state, communication)
            blocks = concerned(moment.customers, whom(communication, moment))
            return (numbers[~is_member(decided, numbers)] for numbers in blocks) if decided else blocks


def may_hear_the_end(state: ReportState, communication: Communication, moment: Moment) -> BitMap:
    """Who is owed an end, was not decided about for good, and could hear it now."""
    asked = owed(state, communication) - _decided(state, communication) - on_the_way(state, communication, moment)
    return asked - still_hurt(state, communication, moment)


def is_to_correct(state: ReportState, communication: Communication, moment: Moment) -> bool:
    """True when it came back and has spread: somebody who heard "over" is hurt again, and heard no correction."""
    if communication.revision == communication.chain:
        return False
    places = places_now(state, communication, moment)
    left = heard_over(state, communication)
    left -= state.told_of(communication.id).rows(Phase.CORRECTION, communication.revision)
    left -= _decided(state, replace(communication, phase=Phase.CORRECTION))
    if not places or not left:
        return False
    place = concern(moment.customers, places, moment.topology)
    return any(is_concerned(moment, place, some).any() for some in of_bitmap(left, moment.customers.size))


def _decided(state: ReportState, communication: Communication) -> BitMap:
    numbers, reasons = standing(state, communication, communication.phase, communication.revision)
    again = ASKED_AGAIN if communication.sites else (*ASKED_AGAIN, Reason.ABROAD)  # disturbed everywhere by now
    return bitmap(numbers[~np.isin(reasons, again)])


def add_waiting(state: ReportState, communication: Communication, channel: str, members: BitMap) -> None:
    """Adds customers to those who wait for a channel."""
    key = f"{communication.id}/{channel}"
    before = state.waiting.get(key)
    if before is not None:
        members = members | remaining(state, before)
    state.audiences.put(key, Audience(customers=members.serialize()))
    state.waiting.put(key, Waiting(communication=communication.id, channel=channel, left=len(members)))


def remaining(state: ReportState, waiting: Waiting) -> BitMap:
    members = state.audience_of(f"{waiting.communication}/{waiting.channel}")
    if waiting.cursor < 0:
        return members
    left = members.copy()
    left.remove_range(0, waiting.cursor + 1)
    return left


def drop_waiting(state: ReportState, communication: Communication, moment: Moment, reason: Reason) -> None:
    """Whoever still waits, or is held by quiet hours, is not told: with this reason."""
    left = BitMap()
    for waiting in state.waiting_of(communication.id):
        left |= remaining(state, waiting)
        state.forget_waiting(f"{waiting.communication}/{waiting.channel}")
    numbers, reasons = standing(state, communication, communication.phase, communication.revision)
    left |= bitmap(numbers[np.isin(reasons, STILL_OPEN)])
    if communication.mode is Mode.SHADOW:
        left = bitmap(numbers[np.isin(reasons, STILL_OPEN)])
    if left:
        put_decision(state, communication, moment, "dequeue", left, np.full(len(left), reason, np.uint8))


def put_decision(
    state: ReportState,
    communication: Communication,
    moment: Moment,
    stage: str,
    members: BitMap,
    reasons: NDArray[np.uint8],
) -> None:
    """Keeps one decision for ever after to be explained."""
    place = (communication.id, int(communication.phase), communication.revision, stage)
    name = record_id("dec", *place, moment.seq, len(state.decisions))
    decision = Decision(
        id=name,
        trace=communication.trace,
        communication=communication.id,
        phase=communication.phase,
        revision=communication.revision,
        stage=stage,
        at=moment.at,
        seq=moment.seq,
        epoch=state.epoch,
        counts=counts_of(reasons) if len(reasons) else {},
        customers=members.serialize() if members else b"",
        reasons=packed(reasons) if members else b"",
    )
    state.add_decision(decision)
