"""`step(state, entry) -> (state, effects)`: the whole core, synchronous, without I/O, clock or chance.

Entries walk one way: analyze turns them into findings, improve turns findings into incident events, report turns those
into alerts and decisions. While the log is replayed up to `applied_seq` only analyze steps (`catch_up`): improve and
report already have their rows.
"""

from __future__ import annotations

from cemd.analyze import stage as analyze
from cemd.config.configuration import Configuration
from cemd.config.topology import Topology
from cemd.improve import stage as improve
from cemd.loop.stages import Laps, Stage, no_laps
from cemd.loop.state import State
from cemd.model.customers import CustomerFlag
from cemd.model.effect import ConfigChanged, Effects
from cemd.model.entry import ConfigEpoch, Contact, ContactKind, CustomersLoaded, Entry
from cemd.report import stage as report


def step(state: State, entry: Entry, laps: Laps = no_laps) -> tuple[State, Effects]:
    """Applies one entry.

    Args:
        state: Everything known so far; changed in place.
        entry: The next entry; its seq and time must not be below those of the one before.
        laps: Told when a wing is done; says nothing back.

    Returns:
        The same state, and what must be written and then done.
    """
    effects = Effects()
    before = state.topology
    paused = entry.at - state.at if state.seq else 0.0
    _common(state, entry)
    if isinstance(entry.payload, ConfigEpoch):
        effects.config = ConfigChanged(hash=entry.payload.hash)
    findings = analyze.handle(state.analyze, entry, state.topology)
    effects.findings = tuple(findings)
    laps(Stage.ANALYZE)
    events = improve.handle(state.improve, entry, findings, state.topology, state.customers, effects)
    laps(Stage.IMPROVE)
    report.handle(
        state.report, entry, events, state.topology, state.customers, effects, before=before, paused_seconds=paused
    )
    for table in (*state.improve.tables(), *state.report.tables()):
        effects.rows.extend(table.take_changes())
    laps(Stage.REPORT)
    return state, effects


def catch_up(state: State, entry: Entry) -> State:
    """Applies an entry to what has no rows: configuration, customers, analyze. Its findings are old news."""
    _common(state, entry)
    analyze.handle(state.analyze, entry, state.topology)
    return state


def _common(state: State, entry: Entry) -> None:
    """What every wing stands on: time, configuration, customer columns."""
    if entry.seq <= state.seq or entry.at < state.at:
        raise ValueError(f"entry {entry.seq} at {entry.at} follows {state.seq} at {state.at}: the order is broken.")
    state.seq, state.at = entry.seq, entry.at
    match entry.payload:
        case ConfigEpoch(hash=epoch, document=document):
            _take_epoch(state, epoch, document)
            state.analyze.epoch = state.improve.epoch = state.report.epoch = epoch
        case CustomersLoaded() as load:
            state.customers.load(load)
        case Contact() as contact:
            _mark(state, contact)
        case _:
            pass


def _take_epoch(state: State, epoch: str, document: bytes) -> None:
    """The configuration of a document, which was read beside the core where it was expected."""
    expected, state.expected = state.expected, None
    if expected is not None and expected.epoch == epoch:
        state.topology = expected.topology
        state.improve.expect(expected.watch)
    else:
        state.topology = Topology(Configuration.from_document(document))
    state.document, state.epoch = document, epoch


def honour(state: State, entry: Entry) -> State:
    """What holds of an entry though it is in quarantine: whoever unsubscribed or was erased in it is never told."""
    if isinstance(entry.payload, Contact):
        _mark(state, entry.payload)
    return state


def _mark(state: State, contact: Contact) -> None:
    match contact.kind:
        case ContactKind.UNSUBSCRIBED:
            state.customers.set_flag(contact.customer, CustomerFlag.UNSUBSCRIBED)
        case ContactKind.ERASED:
            state.customers.set_flag(contact.customer, CustomerFlag.ERASED)
        case _:
            pass
