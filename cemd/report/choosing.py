"""Selection and what it leaves behind: a decision row, waiting audiences, and the sets that the phases stand on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from pyroaring import BitMap

from cemd.config.rules import Policy
from cemd.config.topology import Topology
from cemd.model.customers import LawfulBasis
from cemd.model.identity import record_id
from cemd.model.notice import Communication, CommunicationState, Decision, MessageClass, Mode, Phase, Reason
from cemd.report.audience import Concern, Selection, concern, concerned, of_bitmap, select
from cemd.report.decide import Mask, Question, counts_of, packed, unpacked
from cemd.report.matching import Places, places_hurt, sold_services_hurt, united, ways_now
from cemd.report.quiet import quiet_table
from cemd.report.state import Audience, Moment, ReportState, Waiting, is_hurting
from cemd.report.told import bitmap, is_member

STILL_OPEN = (Reason.QUIET_HOURS,)
"""Reasons that hold a customer back for a while; every other refusal stands."""
SPEAKING = (
    CommunicationState.TELLING,
    CommunicationState.TOLD,
    CommunicationState.STABILISING,
    CommunicationState.HELD,
)
"""States in which first notices left, and their end did not."""
ASKED_AGAIN = (*STILL_OPEN, Reason.NOT_AFFECTED)
"""Reasons that may be others at the next look: who was well then may be hurt since."""


def basis_bits(policy: Policy) -> int:
    return sum(LawfulBasis[name.upper()] for name in policy.bases)


def whom(communication: Communication, moment: Moment) -> Concern:
    return concern(moment.customers, communication.places, moment.topology)


def places_now(state: ReportState, communication: Communication, moment: Moment) -> Places:
    """Where what it speaks of is hurt at this moment; empty: nothing of it is."""
    return united(
        places_hurt(incident, filter(communication.places.__contains__, sold_services_hurt(incident, moment.topology)))
        for incident in filter(is_hurting, state.incidents_of(communication))
    )


def hurt_now(state: ReportState, communication: Communication, moment: Moment) -> Concern:
    """Whom it concerns at this moment. A communication speaks of everything that was hurt since it began; who is well
    again by the time that the first notice leaves (a person released it late, or the night passed) need not hear it,
    and who stays well while it comes back elsewhere hears no correction."""
    places = places_now(state, communication, moment)
    return concern(moment.customers, places, moment.topology) if places else whom(communication, moment)


def question_of(state: ReportState, communication: Communication, moment: Moment, *, at_dequeue: bool) -> Question:
    """Everything that bears on this phase now."""
    policy = state.policy_of(communication)
    phase, at = communication.phase, moment.at
    quiet = None
    if communication.message_class is not MessageClass.SAFETY:
        quiet = quiet_table(policy.quiet_hours, moment.customers, moment.topology, at)
    overrule = None
    decided = communication.decided_at if communication.decided_at is not None else at
    if phase is Phase.OVER and at > decided + policy.valid_for_seconds:
        overrule, quiet = Reason.QUIET_HOURS_PASSED, None
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
        already=_already(state, communication, moment.topology),
        agent=state.book.told_by_agent(communication.id),
        tickets=state.book.tickets(communication.services),
        calls=state.book.calls(communication.services),
        capped=_capped(state, communication, policy, moment) if phase is not Phase.OVER else None,
        quiet=quiet,
        overrule=overrule,
    )  # fmt: skip


def is_concerned(moment: Moment, place: Concern, numbers: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Whom of these the problem still concerns."""
    return place.holds(moment.customers, numbers)


def _already(state: ReportState, communication: Communication, topology: Topology) -> BitMap:
    """Whoever has a row of this phase and revision; for the first also who was told since the episode began, or hears
    of the same cause by another communication: two of its incidents may have been confirmed before it was named."""
    already = state.told_of(communication.id).rows(communication.phase, communication.revision)
    if communication.phase is not Phase.FIRST:
        return already
    for other in state.communications:
        if other.id != communication.id and _is_of_same_cause(state, other, communication, topology):
            already = already | entitled(state, other)  # not in place: the rows are the set of somebody else
    return already | told_first(state, communication)


def _is_of_same_cause(state: ReportState, other: Communication, mine: Communication, topology: Topology) -> bool:
    """It still speaks to customers, and an incident of each has one cause in one place now."""
    if other.policy != mine.policy or other.mode is not mine.mode or other.state not in SPEAKING:
        return False
    theirs = [one.cause for one in state.incidents_of(other) if is_hurting(one) and one.cause.service]
    return any(
        cause.service == one.cause.service and topology.overlap(cause.site, one.cause.site)
        for one in state.incidents_of(mine)
        if is_hurting(one)
        for cause in theirs
    )


def told_first(state: ReportState, communication: Communication) -> BitMap:
    """Who got a first notice since the episode began."""
    told, first = state.told_of(communication.id), BitMap()
    for revision in range(communication.chain, communication.revision + 1):
        first |= told.told(Phase.FIRST, revision)
    return first


def _required(state: ReportState, communication: Communication) -> BitMap | None:
    match communication.phase:
        case Phase.OVER:
            return owed(state, communication)
        case Phase.CORRECTION:
            return heard_over(state, communication)
        case _:
            return None


def heard_over(state: ReportState, communication: Communication) -> BitMap:
    """Who heard before this revision that it is over, and nothing since: perhaps some relapses ago, of other places."""
    told, members = state.told_of(communication.id), BitMap()
    for revision in range(communication.chain, communication.revision):
        members -= told.told(Phase.FIRST, revision) | told.told(Phase.CORRECTION, revision)
        members |= told.told(Phase.OVER, revision)
    return members


def entitled(state: ReportState, communication: Communication) -> BitMap:
    """Who was told that something is wrong, and has not heard or been decided about since."""
    told = state.told_of(communication.id)
    members = BitMap()
    for revision in range(communication.chain, communication.revision + 1):
        if revision > communication.chain:
            members -= told.told(Phase.OVER, revision - 1) | ended_by_decision(state, communication, revision - 1)
        members |= told.told(Phase.FIRST, revision) | told.told(Phase.CORRECTION, revision)
    return members


def owed(state: ReportState, communication: Communication) -> BitMap:
    """Who is still owed an end: entitled, without a row of the end and without a named reason."""
    if communication.mode is Mode.SHADOW:
        return would_be_told(state, communication) - ended_by_decision(state, communication, communication.revision)
    told = state.told_of(communication.id)
    done = told.rows(Phase.OVER, communication.revision)
    return entitled(state, communication) - done - ended_by_decision(state, communication, communication.revision)


def on_the_way(state: ReportState, communication: Communication, moment: Moment) -> BitMap:
    """Who may still hear that something is wrong: nobody hears the end before that."""
    since = moment.at - state.policy_of(communication).valid_for_seconds
    return state.told_of(communication.id).in_flight(Phase.FIRST, Phase.CORRECTION, since=since)


def unasked(state: ReportState, communication: Communication) -> BitMap:
    """Who is owed an end and was not decided about yet: the first notice was on its way when the others were."""
    numbers, _ = standing(state, communication, Phase.OVER, communication.revision)
    return owed(state, communication) - bitmap(numbers)


def standing(
    state: ReportState, communication: Communication, phase: Phase, revision: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """(customers ascending, reasons): the last decision about each customer in this phase and revision."""
    numbers, reasons = np.zeros(0, np.uint32), np.zeros(0, np.uint8)
    for decision in state.decisions_of(communication.id):
        if decision.phase is phase and decision.revision == revision:
            newer, why = unpacked(decision)
            kept = (
                ~is_member(BitMap.deserialize(decision.customers), numbers)
                if len(newer)
                else np.ones(len(numbers), bool)
            )
            numbers, reasons = np.concatenate([numbers[kept], newer]), np.concatenate([reasons[kept], why])
            order = np.argsort(numbers, kind="stable")
            numbers, reasons = numbers[order], reasons[order]
    return numbers, reasons


def ended_by_decision(state: ReportState, communication: Communication, revision: int) -> BitMap:
    """Who got a named reason instead of the end."""
    numbers, reasons = standing(state, communication, Phase.OVER, revision)
    return bitmap(numbers[(reasons != Reason.OVER_NOTICE) & ~np.isin(reasons, STILL_OPEN)])


def would_be_told(state: ReportState, communication: Communication) -> BitMap:
    """In shadow: whom the first notice would have reached."""
    numbers, reasons = standing(state, communication, Phase.FIRST, communication.revision)
    return bitmap(numbers[reasons == Reason.FIRST_NOTICE])


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


def reserved_by(state: ReportState, communication: Communication) -> BitMap:
    """Whose end is promised: told, and the end has no row yet."""
    if communication.ended_at is not None:
        return BitMap()
    told = state.told_of(communication.id)
    revision = communication.revision
    members = BitMap()
    for each in range(communication.chain, revision + 1):
        members |= told.told(Phase.FIRST, each) | told.told(Phase.CORRECTION, each)
    return members - told.rows(Phase.OVER, revision)


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
            asked = owed(state, communication) - _decided(state, communication)
            return of_bitmap(asked - on_the_way(state, communication, moment), size)
        case Phase.CORRECTION:
            return of_bitmap(heard_over(state, communication) - _decided(state, communication), size)
        case _:
            decided = _decided(state, communication)
            blocks = concerned(moment.customers, whom(communication, moment))
            return (numbers[~is_member(decided, numbers)] for numbers in blocks) if decided else blocks


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
    return bitmap(numbers[~np.isin(reasons, ASKED_AGAIN)])


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
