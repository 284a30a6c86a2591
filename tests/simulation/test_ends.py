"""The promise of one end for each of the told, asked of many customers at once, says what a look at each one says."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from cemd.model.notice import (
    TOLD_STATES,
    Communication,
    CommunicationState,
    Decision,
    MessageClass,
    Mode,
    NoticeState,
    Phase,
    Reason,
)
from cemd.report.decide import packed, unpacked
from cemd.report.told import bitmap
from cemd.simulation.book import Book, Row
from cemd.simulation.promises.ends import everyone_told_hears_one_end

NAME = "com-1"


def a_communication(state: CommunicationState) -> Communication:
    return Communication(
        id=NAME, trace="t", incidents=(), policy="p", mode=Mode.LIVE, message_class=MessageClass.SERVICE, services=(),
        sites=(), places={}, cause_key="", state=state, opened_at=0.0, hold_until=0.0, decide_by=0.0,
    )  # fmt: skip


def a_decision(customers: list[int], reason: Reason, revision: int) -> Decision:
    reasons = np.full(len(customers), reason, np.uint8)
    return Decision(
        id="", trace="t", communication=NAME, phase=Phase.OVER, revision=revision, stage="selection", at=0.0, seq=1,
        epoch="", counts={}, customers=bitmap(np.array(customers, np.uint32)).serialize(), reasons=packed(reasons),
    )  # fmt: skip


def a_book(chance: random.Random) -> Book:
    """Some customers, told in several revisions, with ends, without, and with reasons instead."""
    book = Book(communications={NAME: a_communication(CommunicationState.ENDED)})
    box = book.outbox.setdefault(NAME, {})
    for _ in range(60):
        key = chance.randrange(12), chance.choice((Phase.FIRST, Phase.CORRECTION, Phase.OVER)), chance.randrange(3)
        state = chance.choice((*TOLD_STATES, NoticeState.FAILED))
        box[key] = Row(state=state, at=0.0, digest=0, informational=True, seq=1)
    for revision in range(3):
        some = sorted(chance.sample(range(12), 3))
        reason = chance.choice((Reason.UNSUBSCRIBED, Reason.QUIET_HOURS))
        book.decisions.setdefault(NAME, []).append(a_decision(some, reason, revision))
    return book


def looked_at_one_by_one(book: Book) -> Iterator[tuple[int, str]]:
    """The promise as it is worded: of each of the told, all rows of theirs."""
    box = book.outbox[NAME]
    for customer in dict.fromkeys(number for number, *_ in box):
        mine = {(phase, revision): row for (number, phase, revision), row in box.items() if number == customer}
        told = [
            revision for (phase, revision), row in mine.items() if phase is not Phase.OVER and row.state in TOLD_STATES
        ]
        if not told:
            continue
        since = range(max(told), 9)
        ends = [row for (phase, revision), row in mine.items() if phase is Phase.OVER and revision in since]
        named = any(
            decision.revision in since and decision.customers and customer in numbers(decision)
            for decision in book.decisions[NAME]
        )
        if not ends and not named:
            yield customer, "no end"
        if sum(row.state in TOLD_STATES for row in ends) > 1:
            yield customer, "ends"


def numbers(decision: Decision) -> list[int]:
    """Whose reason stands."""
    customers, reasons = unpacked(decision)
    kept: list[int] = customers[reasons == Reason.UNSUBSCRIBED].tolist()
    return kept


@pytest.mark.parametrize("seed", range(40))
def test_of_each_of_the_told_it_says_what_their_rows_say(seed: int) -> None:
    book = a_book(random.Random(seed))
    said = list(everyone_told_hears_one_end(book, None))  # type: ignore[arg-type]
    found = [(int(one.split()[1]), "no end" if "heard no end" in one else "ends") for one in said]
    assert sorted(found) == sorted(looked_at_one_by_one(book))
    assert seed or found  # that something is broken at all


def test_ten_thousand_told_are_asked_at_once() -> None:
    book = Book(communications={NAME: a_communication(CommunicationState.ENDED)})
    box = book.outbox.setdefault(NAME, {})
    looks = 0

    class Seen(dict[tuple[int, Phase, int], Row]):
        def __iter__(self) -> Iterator[tuple[int, Phase, int]]:
            nonlocal looks
            looks += 1
            return super().__iter__()

        def items(self):  # type: ignore[no-untyped-def]
            nonlocal looks
            looks += 1
            return super().items()

    for customer in range(10_000):
        for phase in (Phase.FIRST, Phase.OVER):
            state = NoticeState.ACCEPTED
            box[customer, phase, 0] = Row(state=state, at=0.0, digest=0, informational=True, seq=1)
    book.outbox[NAME] = Seen(box)
    assert not list(everyone_told_hears_one_end(book, None))  # type: ignore[arg-type]
    assert looks < 10
