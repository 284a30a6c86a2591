"""What was handed over and surely did not leave: due again, decided about again, and out again while it is still right.

The edge says so where it knows it: the server could not be reached, refused for the time being, or the daemon stopped
before it was the notice's turn. The row stays the same row. Whoever it speaks to was told nothing: who is not told in
the end hears no end either. It keeps its place under the cap, and that of its end. What is over by then, superseded,
declined or withdrawn is cancelled, with the reason in a decision.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from pyroaring import BitMap

from cemd.model.entry import NoticeOutcomes
from cemd.model.identity import Instant
from cemd.model.notice import Communication, NoticeRows, NoticeState, Phase, Reason
from cemd.model.notice import CommunicationState as State
from cemd.report.choosing import put_decision, question_of, quiet_now
from cemd.report.decide import GRANTED, answer
from cemd.report.state import Moment, ReportState
from cemd.report.told import Handed, PhaseSets, Told, bitmap, numbers_of

BEGINNINGS = (Phase.FIRST, Phase.CORRECTION)
SPEAKING = (State.TELLING, State.TOLD, State.STABILISING, State.HELD)
"""States in which a beginning may still be told; an end in `ENDING`, and where it had ended already it ends anew."""
SHORTEST_REST, LONGEST_REST = 1.0, 60.0
REST_SHARE = 0.25
"""It rests for a quarter of its age before it goes out again: soon at first, later seldom."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """Rows of one phase that wait for one channel, by customer ascending; `at` is when each was decided first."""

    phase: Phase
    numbers: NDArray[np.uint32]
    digest: NDArray[np.int64]
    at: NDArray[np.float64]

    def only(self, chosen: NDArray[np.bool_]) -> Unsent:
        return dataclasses.replace(self, numbers=self.numbers[chosen], digest=self.digest[chosen], at=self.at[chosen])


def has_unsent(state: ReportState, communication: Communication) -> bool:
    """True while something of it is due again."""
    return next(_due(state, communication), None) is not None


def channels_of(state: ReportState, communication: Communication, moment: Moment) -> list[str]:
    """By which something of it may go out again now."""
    rested = _rested(state, communication, moment.at)
    return [each.channel for phase, each in rested if _is_awake(state, communication, phase, each, moment)]


def unsent_by(state: ReportState, communication: Communication, channel: str, room: int, at: Instant) -> list[Unsent]:
    """What may go out again by this channel, at most `room`: first what came back first."""
    parts = [(phase, each) for phase, each in _rested(state, communication, at) if each.channel == channel]
    found = []
    for phase in dict.fromkeys(phase for phase, _ in sorted(parts, key=lambda part: (part[1].moved_at, part[0]))):
        mine = [each for p, each in parts if p is phase]
        numbers = np.concatenate([each.customer for each in mine])
        moved = np.concatenate([np.full(len(each.customer), each.moved_at) for each in mine])
        first = np.concatenate([np.full(len(each.customer), each.at) for each in mine])
        digest = np.concatenate([each.digest for each in mine])
        chosen = np.lexsort((numbers, moved))[:room]
        chosen = chosen[np.argsort(numbers[chosen], kind="stable")]
        room -= len(chosen)
        found.append(Unsent(phase=phase, numbers=numbers[chosen], digest=digest[chosen], at=first[chosen]))
    return [each for each in found if len(each.numbers)]


def ask_again(state: ReportState, communication: Communication, unsent: Unsent, channel: str, moment: Moment) -> Unsent:
    """Decides about them once more; returns those who are told now. Who sleeps stays due, the others are not told."""
    asked = replace(communication, phase=unsent.phase)
    known = unsent.only(unsent.numbers < moment.customers.size)
    question = question_of(state, asked, moment, at_dequeue=True)
    question = dataclasses.replace(
        question,
        ways=tuple(way for way in question.ways if way.channel == channel),
        already=question.already - bitmap(known.numbers),
        capped=None,
    )
    reply = answer(moment.customers, known.numbers, question)
    granted = reply.granted(unsent.phase)
    reply.reasons[granted & (reply.digest != known.digest)] = Reason.NO_WORKING_CHANNEL  # it has another address now
    refused = (reply.reasons != GRANTED[unsent.phase]) & (reply.reasons != Reason.QUIET_HOURS)
    if refused.any():
        _cancel(state, asked, reply.numbers[refused], moment)
        put_decision(state, asked, moment, "dequeue", bitmap(reply.numbers[refused]), reply.reasons[refused])
    return known.only(reply.granted(unsent.phase))


def hand_over(state: ReportState, rows: NoticeRows, unsent: Unsent, moment: Moment) -> None:
    """They go out again, as the rows that they are: those that were decided together stay together."""
    for at in np.unique(unsent.at).tolist():
        chosen = unsent.at == at
        some = dataclasses.replace(
            rows,
            at=at,
            customer=rows.customer[chosen],
            digest=unsent.digest[chosen],
            language=rows.language[chosen] if len(rows.language) else rows.language,
            zone=rows.zone[chosen] if len(rows.zone) else rows.zone,
        )
        state.told_of(rows.communication).at(rows.phase, rows.revision).hand_over(some, moment.at)
        moment.effects.again.append(some)


def take_back(state: ReportState, told: Told, outcomes: NoticeOutcomes, moment: Moment) -> None:
    """An edge says that these surely did not leave: they are due, or cancelled where nobody is to hear it any more."""
    communication = state.communications.get(outcomes.communication)
    sets = told.sets.get((outcomes.phase, outcomes.revision))
    if communication is None or sets is None:
        return
    members = bitmap(outcomes.customer[outcomes.state == NoticeState.DUE].astype(np.uint32))
    back = sets.give_back(members, outcomes.seq, moment.at)
    if not back:
        return
    _put(moment, outcomes.communication, outcomes.phase, outcomes.revision, numbers_of(back), NoticeState.DUE)
    if (reason := _why_not_again(communication, outcomes.phase, outcomes.revision)) is not None:
        _refuse(state, communication, outcomes.phase, outcomes.revision, back, reason, moment)
    elif communication.state is State.ENDED:
        state.communications.put(communication.id, replace(communication, state=State.ENDING, ended_at=None))


def drop_unsent(state: ReportState, communication: Communication, moment: Moment, reason: Reason) -> None:
    """Nothing of it goes out again."""
    for phase, revision, sets in list(_due(state, communication)):
        _refuse(state, communication, phase, revision, sets.of(NoticeState.DUE), reason, moment)


def forget_unsent_ends(state: ReportState, communication: Communication, moment: Moment) -> None:
    """It hurts again: who did not hear the end hears it when it is over at last."""
    for phase, revision, sets in list(_due(state, communication)):
        if phase is Phase.OVER:
            asked = replace(communication, phase=phase, revision=revision)
            _cancel(state, asked, numbers_of(sets.of(NoticeState.DUE)), moment)


def _due(state: ReportState, communication: Communication) -> Iterator[tuple[Phase, int, PhaseSets]]:
    """Phases and revisions of it of which rows are due again, in their order."""
    told = state.told.get(communication.id)
    return iter(()) if told is None else told.due()


def _rested(state: ReportState, communication: Communication, at: Instant) -> Iterator[tuple[Phase, Handed]]:
    for phase, _, sets in _due(state, communication):
        for each in sets.due:
            rest = min(max(REST_SHARE * (each.moved_at - each.at), SHORTEST_REST), LONGEST_REST)
            if at >= each.moved_at + rest:
                yield phase, each


def _is_awake(state: ReportState, communication: Communication, phase: Phase, each: Handed, moment: Moment) -> bool:
    """False where all of them are in their quiet hours."""
    quiet = quiet_now(state, replace(communication, phase=phase), moment)
    numbers = each.customer[each.customer < moment.customers.size]
    if quiet is None or not len(numbers):
        return True
    return not quiet.holds(moment.customers["zone"][numbers], moment.customers["site"][numbers]).all()


def _why_not_again(communication: Communication, phase: Phase, revision: int) -> Reason | None:
    """Why something that came back is not told any more; None where it is."""
    if revision == communication.revision:
        if phase is Phase.OVER and communication.state in (State.ENDING, State.ENDED):
            return None
        declined = communication.state is State.TOLD and communication.reason == Reason.DECLINED.name.lower()
        if phase in BEGINNINGS and communication.state in SPEAKING:
            return Reason.DECLINED if declined else None
    return Reason.DECLINED if communication.state is State.DECLINED else Reason.INCIDENT_OVER


def _refuse(
    state: ReportState,
    communication: Communication,
    phase: Phase,
    revision: int,
    members: BitMap,
    reason: Reason,
    moment: Moment,
) -> None:
    """Cancels rows that are due; the reason stands, but of an end that a relapse overtook: that one is still owed."""
    asked = replace(communication, phase=phase, revision=revision)
    _cancel(state, asked, numbers_of(members), moment)
    if phase is not Phase.OVER or revision == communication.revision:
        put_decision(state, asked, moment, "dequeue", members, np.full(len(members), reason, np.uint8))


def _cancel(state: ReportState, asked: Communication, numbers: NDArray[np.uint32], moment: Moment) -> None:
    sets = state.told_of(asked.id).at(asked.phase, asked.revision)
    sets.move(bitmap(numbers) & sets.of(NoticeState.DUE), NoticeState.CANCELLED)
    _put(moment, asked.id, asked.phase, asked.revision, numbers, NoticeState.CANCELLED)


def _put(
    moment: Moment, name: str, phase: Phase, revision: int, numbers: NDArray[np.uint32], state: NoticeState
) -> None:
    moment.effects.outcomes.append(
        NoticeOutcomes(
            communication=name,
            phase=phase,
            revision=revision,
            customer=numbers,
            state=np.full(len(numbers), state, np.uint8),
        )
    )
