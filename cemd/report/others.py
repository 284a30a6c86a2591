"""What other communications say to the same customers: nobody hears twice that a service of theirs does not work, nor
that it works again while another problem still hurts it where they are.

A customer who was told by one communication and is hurt by a second one in the same services hears nothing of the
second; the end of the first waits for this customer, and for no other, until the second is over as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from cemd.config.topology import Topology
from cemd.model.notice import Communication, CommunicationState, Mode
from cemd.report.audience import Concern, concern, of_bitmap
from cemd.report.entitled import entitled, owed, places_now, unasked
from cemd.report.matching import Places
from cemd.report.state import Moment, ReportState, is_hurting
from cemd.report.told import bitmap

SPEAKING = (
    CommunicationState.TELLING,
    CommunicationState.TOLD,
    CommunicationState.STABILISING,
    CommunicationState.HELD,
)
"""States in which first notices left, and their end did not."""
GOING_ON = (CommunicationState.HOLDING, *SPEAKING)


def heard_elsewhere(state: ReportState, mine: Communication, moment: Moment) -> BitMap:
    """Whoever hears by another communication of the same cause (two of its incidents may have been confirmed before it
    was named), or was told by it, without an end so far, of all that this one would say to them."""
    heard, here = BitMap(), None
    for other in _others(state, mine, (*SPEAKING, CommunicationState.ENDING)):
        if other.state in SPEAKING and _is_of_same_cause(state, other, mine, moment.topology):
            heard |= entitled(state, other)
        elif not set(other.places).isdisjoint(mine.places) and (told := _without_end(state, other)):
            here = here or concern(moment.customers, places_now(state, mine, moment) or mine.places, moment.topology)
            there = concern(moment.customers, other.places, moment.topology)
            heard |= _those(told, moment, partial(_covers, there, here, moment))
    return heard


def still_hurt(state: ReportState, mine: Communication, moment: Moment) -> BitMap:
    """Whom of those who are owed an end another problem still hurts, in a service that this one spoke of to them."""
    hurt = BitMap()
    if mine.mode is not Mode.LIVE:
        return hurt
    here = None
    for other in _others(state, mine, GOING_ON):
        places = _hurting_places(state, other, moment)
        if set(places).isdisjoint(mine.places) or not (left := owed(state, mine) - hurt):
            continue
        here = here or concern(moment.customers, mine.places, moment.topology)
        there = concern(moment.customers, places, moment.topology)
        hurt |= _those(left, moment, partial(_meets, there, here, moment))
    return hurt


def _others(state: ReportState, mine: Communication, states: Sequence[CommunicationState]) -> Iterator[Communication]:
    """Others of the same policy that speak to customers alike."""
    for other in state.communications:
        if other.state in states and other.id != mine.id and other.policy == mine.policy and other.mode is mine.mode:
            yield other


def _hurting_places(state: ReportState, other: Communication, moment: Moment) -> Places:
    """Where what the other speaks of is hurt, for all that is known; nothing where it may be a false alarm."""
    confirmed = any(one.confirmed_at is not None for one in state.incidents_of(other) if is_hurting(one))
    if other.state is CommunicationState.HOLDING and not confirmed:
        return {}
    return places_now(state, other, moment) or other.places


def _without_end(state: ReportState, other: Communication) -> BitMap:
    """Who was told by it, and is neither told nor about to be told the end."""
    if other.state in SPEAKING:
        return entitled(state, other)
    return unasked(state, other) if other.state is CommunicationState.ENDING else BitMap()


def _those(members: BitMap, moment: Moment, are: Callable[[NDArray[np.uint32]], NDArray[np.bool_]]) -> BitMap:
    found = BitMap()
    for numbers in of_bitmap(members, moment.customers.size):
        found |= bitmap(numbers[are(numbers)])
    return found


def _covers(there: Concern, here: Concern, moment: Moment, numbers: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Whom the one concerns in all services in which the other does."""
    ours = here.services_of(moment.customers, numbers)
    covered: NDArray[np.bool_] = (ours != 0) & ((ours & ~there.services_of(moment.customers, numbers)) == 0)
    return covered


def _meets(there: Concern, here: Concern, moment: Moment, numbers: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Whom both concern in one service."""
    both = here.services_of(moment.customers, numbers) & there.services_of(moment.customers, numbers)
    meets: NDArray[np.bool_] = both != 0
    return meets


def _is_of_same_cause(state: ReportState, other: Communication, mine: Communication, topology: Topology) -> bool:
    """An incident of each has one cause in one place now."""
    theirs = [one.cause for one in state.incidents_of(other) if is_hurting(one) and one.cause.service]
    return any(
        cause.service == one.cause.service and topology.overlap(cause.site, one.cause.site)
        for one in state.incidents_of(mine)
        if is_hurting(one)
        for cause in theirs
    )
