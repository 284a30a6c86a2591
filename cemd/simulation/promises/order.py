"""Promises of the one order, and to staff (design 3, 4, 7 and 8)."""

from __future__ import annotations

from cemd.analyze.findings import MOST_SERIES
from cemd.improve.asked import MOST_OF_ALL, MOST_OF_ONE, WINDOW_SECONDS
from cemd.improve.lifecycle import OVER, TRANSITIONS
from cemd.model.entry import Command, CommandKind, Entry, Started, Tick
from cemd.model.finding import Condition, FindingPhase
from cemd.model.incident import IncidentState
from cemd.simulation.book import Book
from cemd.simulation.promises.moments import Failed, Finished, Sentences, Stepped


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


def runs_asked_for_are_bounded(book: Book, now: Stepped) -> Sentences:
    """However often people ask, in no minute are more than ten runs of a probe, or sixty of all, made for them, and of
    each that is refused the reason is kept (5)."""
    match now.entry:
        case Entry(payload=Command(kind=CommandKind.RUN, subject=probe), at=at, seq=seq):
            kept = now.core.state.improve.runs.get(str(seq))
            if kept is None or bool(kept.reason) is bool(now.effects.rechecks):
                yield f"a run of {probe} was asked for, and its row does not say whether it is made: {kept}."
            if now.effects.rechecks:
                book.runs = [(when, one) for when, one in book.runs if when > at - WINDOW_SECONDS] + [(at, probe)]
            of_it = sum(one == probe for _, one in book.runs)
            if of_it > MOST_OF_ONE or len(book.runs) > MOST_OF_ALL:
                yield f"{of_it} runs of {probe} and {len(book.runs)} of all were made for people within a minute."


def findings_arise_at_ticks(book: Book, now: Stepped) -> Sentences:
    """Batches only update state: findings arise at ticks, are stated anew at a start, and change by what a person says
    (3)."""
    del book
    if now.effects.findings and not isinstance(now.entry.payload, Tick | Started | Command):
        yield f"{len(now.effects.findings)} findings came with a {type(now.entry.payload).__name__}."


def everything_carries_its_evidence(book: Book, now: Stepped) -> Sentences:
    """Every finding, notice and alert carries a trace id, every finding the epoch of the configuration too (3)."""
    del book
    for finding in now.effects.findings:
        if not finding.trace or not finding.epoch:
            yield f"{finding.condition} of {finding.subject} has trace {finding.trace!r}, epoch {finding.epoch!r}."
    for rows in now.effects.notices:
        if not rows.trace:
            yield f"notices of {rows.communication} have no trace."
    for alert in now.effects.alerts:
        if not alert.trace:
            yield f"alert {alert.id} has no trace."


def the_core_never_fails(book: Book, now: Failed) -> Sentences:
    """No entry, however malformed, late, doubled or out of order, makes the core fail (3)."""
    del book
    yield now.error


def a_firing_that_was_sent_gets_its_resolve(book: Book, now: Finished) -> Sentences:
    """If a firing was sent, its resolve is sent: through kills, reloads, lies and refusals (8)."""
    silent = {finding.id for finding in now.core.state.analyze.findings}
    for name, alerts in book.alerted.items():
        last, _ = alerts[-1]
        incident = book.incidents.get(last.incident)
        lasts = last.incident in silent if incident is None else incident.state not in OVER
        if last.firing and not lasts:
            yield f"alert {name} still fires for staff, but {last.incident} is over."
