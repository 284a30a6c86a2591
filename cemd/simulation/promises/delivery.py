"""Promises of honest delivery: what leaves, how often, and what is known of it (design 9.7, 9.10)."""

from __future__ import annotations

from cemd.model.entry import Started
from cemd.model.notice import MessageClass, NoticeState, Phase
from cemd.simulation.book import Book
from cemd.simulation.promises.moments import Finished, Sent, Sentences, Stepped, Written


def unknown_is_bounded_by_what_was_in_flight(book: Book, now: Stepped) -> Sentences:
    """After a start no more notices are unknown than were unknown or in flight before it (9.7)."""
    if not isinstance(now.entry.payload, Started) or not now.effects.orphaned:
        return
    outbox = now.core.store.state.outbox
    unknown = sum(int((outbox(name).state == NoticeState.UNKNOWN).sum()) for name in book.outbox)
    if unknown > book.flying:
        yield f"{unknown} notices are unknown, {book.flying} were in flight or unknown."


def what_did_not_leave_stays_due(book: Book, now: Stepped) -> Sentences:
    """What surely did not leave is due after a start as it was before it, and never unknown (9.7)."""
    if not isinstance(now.entry.payload, Started):
        return
    for name, box in book.outbox.items():
        if any(row.state is NoticeState.DUE for row in box.values()):
            columns = now.core.store.state.outbox(name)
            keys = zip(columns.customer.tolist(), columns.phase.tolist(), columns.revision.tolist(), strict=True)
            for (customer, phase, revision), state in zip(keys, columns.state.tolist(), strict=True):
                was = box[customer, Phase(phase), revision].state
                if was is NoticeState.DUE and state != was:
                    word = NoticeState(state).name.lower()
                    yield f"the notice of customer {customer} in {name} was due, and is {word}."


def only_what_did_not_leave_goes_out_again(book: Book, now: Written) -> Sentences:
    """A notice that goes out again has surely not left before; only one of class safety may have (9.7)."""
    rows = now.rows
    if rows.message_class is MessageClass.SAFETY:
        return
    for customer in rows.customer.tolist():
        if times := book.submitted[rows.communication, (customer, rows.phase, rows.revision)]:
            yield f"the notice of customer {customer} in {rows.communication} goes out again, and left {times} times."


def nothing_stays_due(book: Book, now: Finished) -> Sentences:
    """In the end nothing is due any more: what did not leave went out again, or was cancelled (9.7)."""
    del now
    for name, box in book.outbox.items():
        left = sorted(customer for (customer, _, _), row in box.items() if row.state is NoticeState.DUE)
        if left:
            yield f"notices of {name} to customers {left} are still due."


def nothing_leaves_before_its_row(book: Book, now: Sent) -> Sentences:
    """A message leaves only after its row is committed in flight, by the process that wrote the row; only one of class
    safety may leave again after a start (9.7)."""
    rows = now.rows
    row = book.row(rows.communication, (int(rows.customer[now.index]), rows.phase, rows.revision))
    if row is None:
        yield f"{rows.notice_id(now.index)} leaves without a row."
    elif row.informational and row.seq <= book.born_at_seq:
        yield f"{rows.notice_id(now.index)} leaves though a former process may have sent it."
    elif row.informational and row.state not in (NoticeState.IN_FLIGHT, NoticeState.UNKNOWN):
        yield f"{rows.notice_id(now.index)} leaves though its row is {row.state.name.lower()}."


def informational_is_submitted_at_most_once(book: Book, now: Sent) -> Sentences:
    """An informational notice is submitted at most once for a communication, phase, revision and customer, and never
    twice to one address (9.7)."""
    rows = now.rows
    if rows.message_class is MessageClass.SAFETY:
        return
    key = (int(rows.customer[now.index]), rows.phase, rows.revision)
    if book.submitted[rows.communication, key] > 1:
        yield f"{rows.notice_id(now.index)} was submitted {book.submitted[rows.communication, key]} times."
    address = (rows.communication, rows.phase, rows.revision, int(rows.digest[now.index]))
    if address[3] and book.submitted_to[address] > 1:
        yield f"the address of {rows.notice_id(now.index)} heard it {book.submitted_to[address]} times."


def nothing_leaves_after_the_kill_switch(book: Book, now: Sent) -> Sentences:
    """Once the kill switch took effect, not even what was handed over before leaves (9.10)."""
    if book.killed:
        yield f"{now.rows.notice_id(now.index)} leaves."
