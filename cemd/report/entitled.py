"""What rows and decisions say of the told: who was told, who is owed an end, who heard that it is over. Sets of
customer numbers, worked out anew when they are asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from cemd.model.notice import Communication, Mode, Phase, Reason
from cemd.report.decide import unpacked
from cemd.report.matching import Places, places_hurt, sold_services_hurt, united
from cemd.report.state import Moment, ReportState, is_hurting
from cemd.report.told import bitmap, is_member

STILL_OPEN = (Reason.QUIET_HOURS,)
"""Reasons that hold a customer back for a while; every other refusal stands."""


def places_now(state: ReportState, communication: Communication, moment: Moment) -> Places:
    """Where what it speaks of is hurt at this moment; empty: nothing of it is."""
    return united(
        places_hurt(incident, filter(communication.places.__contains__, sold_services_hurt(incident, moment.topology)))
        for incident in filter(is_hurting, state.incidents_of(communication))
    )


def told_first(state: ReportState, communication: Communication) -> BitMap:
    """Who got a first notice since the episode began."""
    told, first = state.told_of(communication.id), BitMap()
    for revision in range(communication.chain, communication.revision + 1):
        first |= told.told(Phase.FIRST, revision)
    return first


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
    """Who is still owed an end: entitled, without a row of the end (one that is due is none) or a named reason."""
    if communication.mode is Mode.SHADOW:
        return would_be_told(state, communication) - ended_by_decision(state, communication, communication.revision)
    told = state.told_of(communication.id)
    done = told.rows(Phase.OVER, communication.revision) - told.unsent(Phase.OVER, communication.revision)
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


def reserved_by(state: ReportState, communication: Communication) -> BitMap:
    """Whose end is promised: told, or about to be told anew what did not leave, and the end has no row yet."""
    if communication.ended_at is not None:
        return BitMap()
    told = state.told_of(communication.id)
    revision = communication.revision
    members = BitMap()
    for each in range(communication.chain, revision + 1):
        for phase in (Phase.FIRST, Phase.CORRECTION):
            members |= told.told(phase, each) | told.unsent(phase, each)
    return members - told.rows(Phase.OVER, revision)
