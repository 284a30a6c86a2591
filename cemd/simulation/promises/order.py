"""Promises of the one order, of what is remembered, and to staff (design 3, 4, 7 and 8)."""

from __future__ import annotations

from cemd.analyze.judge import MOST_SERIES
from cemd.improve.lifecycle import OVER, TRANSITIONS
from cemd.model.finding import Condition, FindingPhase
from cemd.model.incident import IncidentState
from cemd.simulation.book import Book
from cemd.simulation.promises.moments import Failed, Finished, Reloaded, Restarted, Sentences, Stepped


def order_never_goes_back(book: Book, now: Stepped) -> Sentences:
    """Effects leave in the order of seq, and never again for an entry that was applied before a death; core time never
    goes back (3)."""
    entry = now.entry
    if entry.seq <= book.stepped_seq:
        yield f"entry {entry.seq} left after {book.stepped_seq}."
    if now.core.state.at < entry.at:
        yield f"core time {now.core.state.at} is before its entry's {entry.at}."
    if entry.at < book.stepped_at:
        yield f"core time went from {book.stepped_at} back to {entry.at}."


def applied_seq_never_goes_back(book: Book, now: Stepped) -> Sentences:
    """What was applied stays applied: `applied_seq` never goes back and never passes the log (4)."""
    applied = now.core.store.state.applied_seq()
    if applied < book.applied_seq:
        yield f"applied_seq went from {book.applied_seq} back to {applied}."
    if applied > book.logged_seq:
        yield f"applied_seq {applied} is beyond the log's end {book.logged_seq}."


def rows_before_effects(book: Book, now: Stepped) -> Sentences:
    """Rows are committed before any effect of theirs leaves (4)."""
    if now.effects.must_commit() and book.applied_seq < now.entry.seq:
        yield f"effects of entry {now.entry.seq} leave while only {book.applied_seq} is committed."
    if now.entry.seq > book.logged_seq:
        yield f"entry {now.entry.seq} takes effect but only {book.logged_seq} is logged."


def incidents_follow_the_published_transitions(book: Book, now: Stepped) -> Sentences:
    """An incident moves only along TM Forum's published transitions (7, for 8)."""
    del now
    for before, after in book.moved:
        steps = TRANSITIONS[before.state]
        through = any(
            way is IncidentState.IN_PROGRESS and after.state in TRANSITIONS[way] for way in steps
        )  # one entry may do two steps, by way of `inProgress`
        if before.state is not after.state and after.state not in steps and not through:
            yield f"incident {after.id} went from {before.state} to {after.state}."
    book.moved = []


def blindness_never_hurts(book: Book, now: Stepped) -> Sentences:
    """An objective begins to be broken only where somebody could look: who is blind opens nothing, and so tells
    nobody (3, for 2)."""
    for finding in now.effects.findings:
        began = finding.phase is FindingPhase.BEGAN and finding.condition is Condition.OBJECTIVE_BROKEN
        series = finding.evidence.series
        if began and 0 < len(series) < MOST_SERIES and all(book.is_blind(int(one)) for one in series):
            yield f"{finding.indicator} of {finding.subject} is broken, but all who measure it are blind."


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


def the_core_never_fails(book: Book, now: Failed) -> Sentences:
    """No entry, however malformed, late, doubled or out of order, makes the core fail (3)."""
    del book
    yield now.error


def a_firing_that_was_sent_gets_its_resolve(book: Book, now: Finished) -> Sentences:
    """If a firing was sent, its resolve is sent: through kills, reloads, lies and refusals (8)."""
    del now
    for name, alerts in book.alerted.items():
        last, _ = alerts[-1]
        incident = book.incidents.get(last.incident)
        if last.firing and (incident is None or incident.state in OVER):
            yield f"alert {name} still fires for staff, but incident {last.incident} is over."


def _first_difference(one: object, other: object) -> str:
    """Where two recorded values part, short enough to read."""
    if isinstance(one, list) and isinstance(other, list):
        for place, (left, right) in enumerate(zip(one, other, strict=False)):
            if left != right:
                return f"at {place}: {str(left)[:300]} against {str(right)[:300]}"
        return f"{len(one)} against {len(other)} records"
    return f"{str(one)[:300]} against {str(other)[:300]}"
