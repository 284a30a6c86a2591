"""Promises of what is remembered: through deaths, starts and reloads (design 3, 4)."""

from __future__ import annotations

from cemd.loop.core import CRASHES_TO_QUARANTINE
from cemd.loop.order import STEP_SECONDS
from cemd.model.entry import ConfigEpoch
from cemd.model.notice import NoticeState
from cemd.simulation.book import Book
from cemd.simulation.promises.moments import Begun, Born, Finished, Reloaded, Restarted, Sentences, Stepped

NEVER_FORGOTTEN = ("communication", "contact", "decision", "incident", "kept_policy", "switch")
"""Tables from which no reload takes a row."""


def acknowledged_is_never_lost(book: Book, now: Restarted) -> Sentences:
    """What was acknowledged is in the log of the next process, byte for byte (3)."""
    store = now.core.store
    if store.log.last_seq() < book.acknowledged_seq:
        yield f"the log ends at {store.log.last_seq()} but {book.acknowledged_seq} was acknowledged."
    written = {group.first: group.blob for group in book.groups}
    for group in store.log.read(0):
        if written.get(group.first) != group.blob:
            yield f"the group at {group.first} is not what was logged."


def loaded_equals_lived(book: Book, now: Restarted) -> Sentences:
    """A state loaded from rows, snapshot and log is the state that was lived (4)."""
    del book
    for name, value in (now.lived or {}).items():
        if now.loaded.get(name) != value:
            yield f"{name} differs after the start: {_first_difference(value, now.loaded.get(name))}."


def a_clock_set_while_down_is_said(book: Book, now: Begun) -> Sentences:
    """How far core time is ahead of the wall clock is known after a start, though the clock was set meanwhile (3)."""
    del book
    state = now.core.state
    known, true = max(0.0, state.analyze.even_at - state.at), max(0.0, state.at - now.wall)
    if not now.core.stalled and abs(known - true) > STEP_SECONDS + 0.001:
        yield f"core time is {true:.1f} s ahead of the clock, and {known:.1f} s are known."


def replay_decides_the_same(book: Book, now: Finished) -> Sentences:
    """The whole log, replayed by a process that never died, gives the same rows and the same outbox (3)."""
    del book
    if now.replayed is not None:
        for name in sorted({*now.lived, *now.replayed}):
            if now.lived.get(name) != now.replayed.get(name):
                yield f"{name} differs: {_first_difference(now.lived.get(name), now.replayed.get(name))}."


def a_refused_reload_changes_nothing(book: Book, now: Reloaded) -> Sentences:
    """A configuration that is not valid is refused whole, and the old one stays (4)."""
    del book
    if now.accepted:
        yield "a damaged configuration was accepted."
    if now.before != now.after:
        yield f"the epoch went from {now.before} to {now.after}."


def a_reload_forgets_nothing(book: Book, now: Stepped) -> Sentences:
    """A reload keeps incidents, communications, decisions, contacts and switches (4)."""
    del book
    if isinstance(now.entry.payload, ConfigEpoch):
        for row in now.effects.rows:
            if row.body is None and row.table in NEVER_FORGOTTEN:
                yield f"{row.table} {row.key} is gone after a reload."


def a_settled_notice_stays_settled(book: Book, now: Restarted) -> Sentences:
    """A notice moves only from due, in flight or unknown; the store holds of it what commits and outcomes left (4)."""
    for communication, box in book.outbox.items():
        columns = now.core.store.state.outbox(communication)
        keys = zip(columns.customer.tolist(), columns.phase.tolist(), columns.revision.tolist(), strict=True)
        held = dict(zip(keys, columns.state.tolist(), strict=True))
        for (customer, phase, revision), row in box.items():
            state = held.get((customer, int(phase), revision))
            if state != row.state:
                found = "gone" if state is None else NoticeState(state).name.lower()
                where = f"{communication}, customer {customer}, {phase.name.lower()}"
                yield f"{where}: {found}, not {row.state.name.lower()}."


def an_entry_that_kills_twice_is_set_aside(book: Book, now: Born) -> Sentences:
    """An entry that was in progress at two deaths in a row is quarantined, and not tried again (4)."""
    del book
    if now.deaths > CRASHES_TO_QUARANTINE:
        yield f"entry {now.seq} was in progress at {now.deaths} deaths in a row."


def _first_difference(one: object, other: object) -> str:
    """Where two recorded values part, short enough to read."""
    if isinstance(one, list) and isinstance(other, list):
        for place, (left, right) in enumerate(zip(one, other, strict=False)):
            if left != right:
                return f"at {place}: {str(left)[:300]} against {str(right)[:300]}"
        return f"{len(one)} against {len(other)} records"
    return f"{str(one)[:300]} against {str(other)[:300]}"
