"""Promises of the beginning and the end that each of the told hears (design 9.6)."""

from __future__ import annotations

from collections import Counter

import numpy as np

from cemd.model.notice import TOLD_STATES, CommunicationState, Mode, Phase, Reason
from cemd.report.decide import unpacked
from cemd.simulation.book import Book, Row
from cemd.simulation.promises.moments import (
    NEVER_TOLD,
    Finished,
    Sentences,
    Written,
    incidents_behind,
    is_hurting,
)

STILL_OPEN = (Reason.OVER_NOTICE, Reason.QUIET_HOURS)


def no_second_first(book: Book, now: Written) -> Sentences:
    """Within an episode nobody gets a second first notice; a relapse brings one correction (9.6)."""
    if now.rows.phase is not Phase.FIRST:
        return
    chain = book.communications[now.rows.communication].chain
    box = book.outbox[now.rows.communication]
    told = Counter(
        customer
        for (customer, phase, revision), row in box.items()
        if phase is Phase.FIRST and revision >= chain and row.state not in NEVER_TOLD
    )
    for customer in now.rows.customer.tolist():
        if told[customer] > 1:
            yield f"customer {customer} gets a second first notice of {now.rows.communication}."


def over_only_after_it_was_stable(book: Book, now: Written) -> Sentences:
    """ "Over" is released only when nothing hurts and it was stable for the time of the policy (9.6)."""
    if now.rows.phase is not Phase.OVER:
        return
    policy = book.policies[now.rows.communication]
    for incident in incidents_behind(book, now):
        if is_hurting(incident):
            yield f"over of {now.rows.communication} is released while {incident.id} hurts."
        elif incident.clear_since and now.rows.at < incident.clear_since + policy.stable_seconds:
            yield f"over of {now.rows.communication} came {now.rows.at - incident.clear_since:.0f} s after clear."


def over_only_to_the_told(book: Book, now: Written) -> Sentences:
    """The end goes to those who were told, never to an audience computed anew (9.6)."""
    if now.rows.phase is not Phase.OVER:
        return
    told = book.told(now.rows.communication, Phase.FIRST, Phase.CORRECTION)
    strangers = [customer for customer in now.rows.customer.tolist() if customer not in told]
    if strangers:
        yield f"customers {strangers} hear that {now.rows.communication} is over and never heard that it began."


def everyone_told_hears_one_end(book: Book, now: Finished) -> Sentences:
    """Everyone who was told gets exactly one end of an episode: "over", or a named reason why not (9.6)."""
    del now
    for communication in book.communications.values():
        if communication.mode is not Mode.LIVE:
            continue
        told = book.told(communication.id, Phase.FIRST, Phase.CORRECTION)
        if told and communication.state not in (CommunicationState.ENDED, CommunicationState.DECLINED):
            yield f"{communication.id} is still {communication.state}, {len(told)} customers wait for the end."
            continue
        reasons = reasons_for_no_end(book, communication.id)
        written = _ends_written(book, communication.id)
        for customer, revision in told.items():
            ends = [row for number, row in written.get(customer, ()) if number >= revision]
            if not ends and reasons.get(customer, -1) < revision:
                yield f"customer {customer} was told of {communication.id} and heard no end, without a reason."
            heard = sum(row.state in TOLD_STATES for row in ends)
            if heard > 1:
                yield f"customer {customer} heard {heard} ends of {communication.id} after the last notice."


def _ends_written(book: Book, communication: str) -> dict[int, list[tuple[int, Row]]]:
    """By customer: (revision, row) of each end that has one, looked up once for all of them."""
    ends: dict[int, list[tuple[int, Row]]] = {}
    for (customer, phase, revision), row in book.outbox.get(communication, {}).items():
        if phase is Phase.OVER:
            ends.setdefault(customer, []).append((revision, row))
    return ends


def reasons_for_no_end(book: Book, communication: str) -> dict[int, int]:
    """Customers with a named reason instead of the end, and the latest revision it was given in."""
    reasons: dict[int, int] = {}
    for decision in book.decisions.get(communication, []):
        if decision.phase is not Phase.OVER:
            continue
        numbers, why = unpacked(decision)
        for customer in numbers[~np.isin(why, STILL_OPEN)].tolist():
            reasons[customer] = max(decision.revision, reasons.get(customer, -1))
    return reasons
