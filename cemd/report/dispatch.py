"""What leaves next: an edge asks for a channel, the next customers are decided about again, and become rows in flight.

The rows are committed before anything is sent; so are those that surely did not leave and go out again. Nothing leaves
while the kill switch is on, while sending is held after a restore, or for a communication that no longer hurts.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from cemd.model.effect import WorkDue
from cemd.model.entry import NoticeOutcomes
from cemd.model.identity import Instant
from cemd.model.notice import Communication, MessageClass, Mode, NoticeRows, NoticeState, Phase, Reason
from cemd.report.choosing import put_decision, question_of
from cemd.report.communications import State, is_withdrawn
from cemd.report.decide import GRANTED, Answer, answer, repeated
from cemd.report.matching import hurt_since, spoken_texts, spoken_values
from cemd.report.quiet import zones_spoken
from cemd.report.state import Moment, ReportState, Waiting, is_hurting
from cemd.report.told import bitmap, numbers_of
from cemd.report.unsent import ask_again, channels_of, hand_over, has_unsent, take_back, unsent_by

LOOKS = 8
"""Times that one request looks further when all of a batch were refused: bounds the work of one entry."""
LARGEST = 10_000
"""Most notices that one request yields."""
SAID_BY_EDGES = [
    int(each) for each in NoticeState if each not in (NoticeState.SHADOW, NoticeState.IN_FLIGHT, NoticeState.DUE)
]


def is_sendable(state: ReportState, communication: Communication, moment: Moment) -> bool:
    """True when notices of this communication may leave now."""
    sending = state.sending
    if communication.mode is not Mode.LIVE or sending.killed or communication.decided_at is None:
        return False
    if moment.at < communication.hold_until:  # it was put off after an absence
        return False
    if sending.held and communication.id not in sending.released:
        return False
    hurting = any(map(is_hurting, state.incidents_of(communication)))
    match communication.state:
        case State.TELLING:
            return hurting and not (communication.phase is Phase.FIRST and is_withdrawn(communication, moment))
        case State.ENDING:
            return not hurting
        case _:
            return False


def dispatch(state: ReportState, channel: str, capacity: int, moment: Moment) -> None:
    """Answers one request of an edge; class safety goes first."""
    room = min(capacity, LARGEST)
    order = sorted(state.communications, key=lambda one: one.message_class is not MessageClass.SAFETY)
    for communication in order:
        if room <= 0:
            break
        waiting = state.waiting.get(f"{communication.id}/{channel}")
        unsent = has_unsent(state, communication)
        if (waiting is None and not unsent) or not is_sendable(state, communication, moment):
            continue
        if unsent:  # half of the room at most, so that what is refused again and again keeps nobody waiting
            room -= _take_again(state, communication, channel, room if waiting is None else room // 2, moment)
        if waiting is not None:
            room -= _take(state, communication, waiting, room, moment)
    announce(state, moment, only=channel)


def announce(state: ReportState, moment: Moment, *, only: str = "") -> None:
    """Says which channels have notices waiting; said at every tick, so that a lost word does no harm."""
    said = {due.channel for due in moment.effects.due}
    for waiting in state.waiting:
        if waiting.channel in said or (only and waiting.channel != only):
            continue
        communication = state.communications.get(waiting.communication)
        if communication is not None and is_sendable(state, communication, moment):
            said.add(waiting.channel)
            moment.effects.due.append(WorkDue(channel=waiting.channel))
    for communication in state.communications:
        if has_unsent(state, communication) and is_sendable(state, communication, moment):
            for channel in channels_of(state, communication, moment):
                if channel not in said and (not only or channel == only):
                    said.add(channel)
                    moment.effects.due.append(WorkDue(channel=channel))


def _take_again(state: ReportState, communication: Communication, channel: str, room: int, moment: Moment) -> int:
    """What surely did not leave goes out again, as far as it is still right."""
    taken = 0
    for unsent in unsent_by(state, communication, channel, room, moment.at):
        if unsent.phase is Phase.FIRST and is_withdrawn(communication, moment):
            continue
        told = ask_again(state, communication, unsent, channel, moment)
        if len(told.numbers):
            rows = rows_of(
                state, communication, told.phase, communication.revision, channel, told.numbers, told.digest, moment
            )
            hand_over(state, rows, told, moment)
            taken += len(told.numbers)
    return taken


def _take(state: ReportState, communication: Communication, waiting: Waiting, room: int, moment: Moment) -> int:
    question = question_of(state, communication, moment, at_dequeue=True)
    question = dataclasses.replace(question, ways=tuple(way for way in question.ways if way.channel == waiting.channel))
    key = f"{waiting.communication}/{waiting.channel}"
    audience = state.audience_of(key)
    taken = 0
    for _ in range(LOOKS):
        if taken >= room or waiting.left <= 0:
            break
        start = audience.rank(waiting.cursor) if waiting.cursor >= 0 else 0
        numbers = numbers_of(audience[start : start + room - taken])
        if not len(numbers):
            waiting = replace(waiting, left=0)
            break
        known = numbers[numbers < moment.customers.size]
        reply = answer(moment.customers, known, question)
        _refuse_repeats(state, communication, reply)
        taken += _write(state, communication, waiting.channel, reply, moment)
        waiting = replace(waiting, cursor=int(numbers[-1]), left=waiting.left - len(numbers))
        if question.quiet is not None and (reply.reasons == Reason.QUIET_HOURS).any():
            _look_again(state, communication.id, question.quiet.until)
    if waiting.left <= 0:
        state.forget_waiting(key)
    else:
        state.waiting.put(key, waiting)
    return taken


def _look_again(state: ReportState, name: str, until: Instant | None) -> None:
    communication = state.communications[name]
    if until is not None:
        sooner = min(until, communication.look_again_at or until)
        state.communications.put(name, replace(communication, look_again_at=sooner))


def _refuse_repeats(state: ReportState, communication: Communication, reply: Answer) -> None:
    """An address that has its notice already, or twice in this batch, is not used again."""
    granted = np.flatnonzero(reply.granted(communication.phase))
    digests = reply.digest[granted]
    used = state.told_of(communication.id).at(communication.phase, communication.revision).digests.holds(digests)
    reply.reasons[granted[(used & (digests != 0)) | repeated(digests)]] = Reason.SAME_ADDRESS


def _write(state: ReportState, communication: Communication, channel: str, reply: Answer, moment: Moment) -> int:
    granted = reply.reasons == GRANTED[communication.phase]
    refused = ~granted
    if refused.any():
        put_decision(
            state, communication, moment, "dequeue", bitmap(reply.numbers[refused]), reply.reasons[refused]
        )  # fmt: skip
    if not granted.any():
        return 0
    rows = rows_of(
        state, communication, communication.phase, communication.revision, channel,
        reply.numbers[granted], reply.digest[granted], moment,
    )  # fmt: skip
    state.told_of(communication.id).insert(rows)
    state.ledger.add(moment.at, rows.customer)
    moment.effects.notices.append(rows)
    return len(rows.customer)


def rows_of(
    state: ReportState,
    communication: Communication,
    phase: Phase,
    revision: int,
    channel: str,
    customer: NDArray[np.uint32],
    digest: NDArray[np.int64],
    moment: Moment,
) -> NoticeRows:
    policy = state.policy_of(communication)
    zones, zone = zones_spoken(moment.customers, moment.topology, customer)
    return NoticeRows(
        communication=communication.id,
        trace=communication.trace,
        phase=phase,
        revision=revision,
        channel=channel,
        state=NoticeState.IN_FLIGHT,
        message_class=communication.message_class,
        customer=customer,
        digest=digest,
        at=moment.at,
        expires_at=moment.at + policy.valid_for_seconds,
        seq=moment.seq,
        languages=tuple(moment.customers.languages),
        language=languages_of(moment, customer),
        values=spoken_values(state, communication, moment.topology),
        texts=spoken_texts(policy, phase),
        since=hurt_since(state, communication),
        zones=zones,
        zone=zone,
    )


def languages_of(moment: Moment, customer: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Language code of each customer; none where the columns do not know them all."""
    if len(customer) and int(customer.max()) >= moment.customers.size:
        return np.zeros(0, np.uint8)
    return np.asarray(moment.customers["language"][customer], dtype=np.uint8)


def send_again(state: ReportState, moment: Moment) -> None:
    """Class safety, at a start: what was in flight is sent again; the rows are there already."""
    for each in state.unfinished:
        communication = state.communications.get(each.communication)
        if communication is None or state.sending.killed:
            continue
        # an outcome may have been logged and not applied before the end: what it settled is not sent again
        sets = state.told_of(each.communication).at(each.phase, each.revision)
        open_ones = np.isin(each.customer, numbers_of(sets.of(NoticeState.IN_FLIGHT, NoticeState.UNKNOWN)))
        if open_ones.any():
            rows = each.customer[open_ones], each.digest[open_ones]
            moment.effects.resends.append(
                rows_of(state, communication, each.phase, each.revision, each.channel, *rows, moment)
            )
    state.unfinished = []


def settle(state: ReportState, outcomes: NoticeOutcomes, moment: Moment) -> None:
    """Takes what became of notices; the first word about a customer in an answer counts."""
    told = state.told.get(outcomes.communication)
    if told is None:
        return
    first = np.sort(np.unique(outcomes.customer, return_index=True)[1], kind="stable")
    if (outcomes.state[first] == NoticeState.DUE).any():
        take_back(
            state, told, replace(outcomes, customer=outcomes.customer[first], state=outcomes.state[first]), moment
        )
    known = first[np.isin(outcomes.state[first], SAID_BY_EDGES)]
    clean = NoticeOutcomes(
        communication=outcomes.communication,
        phase=outcomes.phase,
        revision=outcomes.revision,
        customer=outcomes.customer[known].astype(np.uint32),
        state=outcomes.state[known].astype(np.uint8),
        reason=outcomes.reason,
    )
    if told.settle(clean):
        moment.effects.outcomes.append(clean)
