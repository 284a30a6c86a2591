"""The promises, one named function each: what no fault, kill, lie or reload may break.

A promise yields a sentence for each way in which it is broken now. It reads the book (a witness outside the process)
and, where the promise is about the core's own state, the core. The first paragraph of each docstring is the promise, in
brackets the section of the design it comes from; `docs/promises.md` lists the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from cemd.analyze.judge import MOST_SERIES
from cemd.improve.lifecycle import OVER, TRANSITIONS
from cemd.loop.core import Core
from cemd.model.customers import CustomerFlag, LawfulBasis
from cemd.model.effect import Effects
from cemd.model.entry import Entry, Started
from cemd.model.finding import Condition, FindingPhase
from cemd.model.identity import Instant
from cemd.model.incident import Incident, IncidentState
from cemd.model.notice import (
    TOLD_STATES,
    CommunicationState,
    MessageClass,
    Mode,
    NoticeRows,
    NoticeState,
    Phase,
    Reason,
)
from cemd.report.decide import unpacked
from cemd.simulation.book import Book

Sentences = Iterator[str]
STILL_OPEN = (Reason.OVER_NOTICE, Reason.QUIET_HOURS)
SLACK_SECONDS = 300.0
"""A deadline is met at a tick, and ticks are coarse here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """An entry was applied and committed; its effects are about to leave."""

    entry: Entry
    effects: Effects
    core: Core


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Notices became rows in flight."""

    rows: NoticeRows
    core: Core


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message leaves for good."""

    rows: NoticeRows
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """A new process has loaded everything, and has not taken an entry yet. `lived` is the state of the one before,
    where it died between two entries."""

    core: Core
    lived: dict[str, object] | None
    loaded: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Long after the last fault: everything had time to end. `replayed` and `lived` are rows and outbox."""

    core: Core
    lived: dict[str, object]
    replayed: dict[str, object] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """A damaged configuration was offered."""

    accepted: bool
    before: str  # epoch
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The core raised what is no refusal of the store."""

    error: str


# --- one order, and what is remembered (sections 3 and 4)


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


def unknown_is_bounded_by_what_was_in_flight(book: Book, now: Stepped) -> Sentences:
    """After a start no more notices are unknown than were unknown or in flight before it (9.7)."""
    if not isinstance(now.entry.payload, Started) or not now.effects.orphaned:
        return
    outbox = now.core.store.state.outbox
    unknown = sum(int((outbox(name).state == NoticeState.UNKNOWN).sum()) for name in book.outbox)
    if unknown > book.flying:
        yield f"{unknown} notices are unknown, {book.flying} were in flight or unknown."


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


# --- staff (section 8)


def a_firing_that_was_sent_gets_its_resolve(book: Book, now: Finished) -> Sentences:
    """If a firing was sent, its resolve is sent: through kills, reloads, lies and refusals (8)."""
    del now
    for name, alerts in book.alerted.items():
        last, _ = alerts[-1]
        incident = book.incidents.get(last.incident)
        if last.firing and (incident is None or incident.state in OVER):
            yield f"alert {name} still fires for staff, but incident {last.incident} is over."


# --- customers (section 9)


def only_live_policies_send(book: Book, now: Written) -> Sentences:
    """A policy in shadow decides and shows, and nothing leaves (9.3)."""
    communication = book.communications[now.rows.communication]
    live = communication.mode is Mode.LIVE and book.policies[communication.id].mode is Mode.LIVE
    if now.rows.state is NoticeState.IN_FLIGHT and not live:
        yield f"{communication.id} is in shadow and has notices in flight."


def the_kill_switch_stops_everything(book: Book, now: Written) -> Sentences:
    """While the kill switch is on, no notice is released (9.3, 9.10)."""
    if book.killed:
        yield f"{len(now.rows.customer)} notices of {now.rows.communication} were released."


def held_sending_stays_held(book: Book, now: Written) -> Sentences:
    """While sending is held after a restore, only what a person released leaves (4, 9)."""
    if book.held and now.rows.communication not in book.released:
        yield f"{now.rows.communication} was not released by anybody."


def the_ceiling_holds(book: Book, now: Written) -> Sentences:
    """A larger audience than the ceiling waits for a person (9.3)."""
    rows = now.rows
    policy = book.policies[rows.communication]
    if rows.phase is not Phase.FIRST or policy.ceiling is None or rows.communication in book.released:
        return
    chain = book.communications[rows.communication].chain
    told = {key[0] for key in book.outbox[rows.communication] if key[1] is Phase.FIRST and key[2] >= chain}
    if len(told) > policy.ceiling:
        yield f"{len(told)} customers are told first, the ceiling of {policy.name} is {policy.ceiling}."


def nobody_hears_of_what_is_over(book: Book, now: Written) -> Sentences:
    """No first notice, update or correction is released when every incident behind it is clear (9.2, 9.4)."""
    if now.rows.phase is Phase.OVER:
        return
    if not any(_is_hurting(incident) for incident in _incidents(book, now)):
        yield f"{now.rows.phase.name.lower()} of {now.rows.communication} is released though nothing hurts."


def over_only_after_it_was_stable(book: Book, now: Written) -> Sentences:
    """ "Over" is released only when nothing hurts and it was stable for the time of the policy (9.6)."""
    if now.rows.phase is not Phase.OVER:
        return
    policy = book.policies[now.rows.communication]
    for incident in _incidents(book, now):
        if _is_hurting(incident):
            yield f"over of {now.rows.communication} is released while {incident.id} hurts."
        elif incident.clear_since and now.rows.at < incident.clear_since + policy.stable_seconds:
            yield f"over of {now.rows.communication} came {now.rows.at - incident.clear_since:.0f} s after clear."


def first_needs_confirmation(book: Book, now: Written) -> Sentences:
    """Customers hear only of what a quorum or a person confirmed, after the hold-down (9.2)."""
    if now.rows.phase is not Phase.FIRST:
        return
    communication = book.communications[now.rows.communication]
    if not any(incident.confirmed_at for incident in _incidents(book, now)):
        yield f"{communication.id} tells customers of what nobody confirmed."
    if now.rows.at < communication.hold_until and not communication.reopened:
        yield f"{communication.id} tells customers before its hold-down is over."


def quiet_hours_hold(book: Book, now: Written) -> Sentences:
    """Nobody is told in the quiet hours of their own zone, else the site's, else the operator's; safety may (9.5)."""
    hours = book.policies[now.rows.communication].quiet_hours
    if hours is None or now.rows.message_class is MessageClass.SAFETY:
        return
    topology, customers = now.core.state.topology, now.core.state.customers
    operator = topology.configuration.settings.operator.zone
    for customer in now.rows.customer.tolist():
        zone = customers.zones[int(customers["zone"][customer])]
        site = customers.sites[int(customers["site"][customer])]
        if _is_quiet(hours.start, hours.end, zone or topology.zone(site) or operator, now.rows.at):
            yield f"customer {customer} of {now.rows.communication} sleeps."


def lawful_basis_is_recorded(book: Book, now: Written) -> Sentences:
    """Never without a recorded lawful basis that the policy accepts (9.5)."""
    bases = sum(int(LawfulBasis[name.upper()]) for name in book.policies[now.rows.communication].bases)
    lawless = now.rows.customer[(now.core.state.customers["basis"][now.rows.customer] & np.uint8(bases)) == 0]
    if len(lawless):
        yield f"customers {lawless.tolist()} have no basis for {now.rows.communication}."


def some_are_never_told(book: Book, now: Written) -> Sentences:
    """Machines, the unsubscribed and the erased are never told (9.5, 9.11)."""
    flags = now.core.state.customers["flags"][now.rows.customer]
    never = int(CustomerFlag.MACHINE | CustomerFlag.UNSUBSCRIBED | CustomerFlag.ERASED)
    for customer, flag in zip(now.rows.customer.tolist(), flags.tolist(), strict=True):
        if flag & never or customer in book.unsubscribed or customer in book.erased:
            yield f"customer {customer} ({CustomerFlag(flag)!r}) is told of {now.rows.communication}."


def nobody_abroad_by_home_site(book: Book, now: Written) -> Sentences:
    """Customers abroad are never selected by their home site (9.1)."""
    if now.rows.phase is not Phase.FIRST or not book.communications[now.rows.communication].sites:
        return
    flags = now.core.state.customers["flags"][now.rows.customer]
    abroad = now.rows.customer[(flags & np.uint8(CustomerFlag.ABROAD)) != 0]
    if len(abroad):
        yield f"customers {abroad.tolist()} are abroad."


def nobody_on_the_line_is_told(book: Book, now: Written) -> Sentences:
    """Nobody is told who is in the call queue, has an open ticket or was told by an agent for the same fault (9.5)."""
    communication = book.communications[now.rows.communication]
    for customer in now.rows.customer.tolist():
        about = [(customer, service) for service in ("", *communication.services)]
        if any(pair in book.calls or pair in book.tickets for pair in about):
            yield f"customer {customer} is on the line or has a ticket."
        if (customer, communication.id) in book.by_agent:
            yield f"customer {customer} was told by an agent."


def caps_hold(book: Book, now: Written) -> Sentences:
    """Above the cap nobody is told, and the first leaves a slot for the end (9.5)."""
    if now.rows.phase is Phase.OVER:
        return
    for cap in book.policies[now.rows.communication].caps:
        since = now.rows.at - cap.window_seconds
        for customer in now.rows.customer.tolist():
            count = sum(
                row.at > since and row.state is not NoticeState.SHADOW
                for box in book.outbox.values()
                for (who, _, _), row in box.items()
                if who == customer
            )
            if count + 1 > cap.most:
                yield f"customer {customer} gets notice {count} of at most {cap.most}, and no slot is left for the end."


def never_over_the_broken_channel(book: Book, now: Written) -> Sentences:
    """Nobody is told over a channel that stands on what is broken (9.5)."""
    topology = now.core.state.topology
    channel = next((one for one in topology.configuration.channels if one.name == now.rows.channel), None)
    broken = {*book.communications[now.rows.communication].services}
    broken.update(incident.cause.service for incident in _incidents(book, now) if _is_hurting(incident))
    for service in channel.depends_on if channel else ():
        if both := broken.intersection(topology.needs(service)):
            yield f"channel {now.rows.channel} stands on {', '.join(sorted(both))}."


def an_address_hears_once(book: Book, now: Written) -> Sentences:
    """One address gets at most one notice of a communication, phase and revision, whoever shares it (9.5)."""
    rows = now.rows
    seen: dict[int, int] = {}
    for (customer, phase, revision), row in book.outbox[rows.communication].items():
        if row.digest and (phase, revision) == (rows.phase, rows.revision):
            if row.digest in seen:
                yield f"customers {seen[row.digest]} and {customer} share an address and both have a notice."
            seen[row.digest] = customer


def no_second_first(book: Book, now: Written) -> Sentences:
    """Within an episode nobody gets a second first notice; a relapse brings one correction (9.6)."""
    if now.rows.phase is not Phase.FIRST:
        return
    chain = book.communications[now.rows.communication].chain
    box = book.outbox[now.rows.communication]
    for customer in now.rows.customer.tolist():
        told = [
            key[2]
            for key, row in box.items()
            if key[0] == customer and key[1] is Phase.FIRST and key[2] >= chain and row.state is not NoticeState.FAILED
            and row.state not in (NoticeState.CANCELLED, NoticeState.EXPIRED)
        ]  # fmt: skip
        if len(told) > 1:
            yield f"customer {customer} gets a second first notice of {now.rows.communication}."


def over_only_to_the_told(book: Book, now: Written) -> Sentences:
    """The end goes to those who were told, never to an audience computed anew (9.6)."""
    if now.rows.phase is not Phase.OVER:
        return
    told = book.told(now.rows.communication, Phase.FIRST, Phase.CORRECTION)
    strangers = [customer for customer in now.rows.customer.tolist() if customer not in told]
    if strangers:
        yield f"customers {strangers} hear that {now.rows.communication} is over and never heard that it began."


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


def decided_by_the_deadline(book: Book, now: Stepped) -> Sentences:
    """By its deadline a communication is decided: told, or a reason why not (9.2)."""
    for communication in book.communications.values():
        late = now.entry.at - communication.decide_by
        if (
            communication.state is CommunicationState.HOLDING
            and late > SLACK_SECONDS
            and _hurts(book, communication.incidents)
        ):
            yield f"{communication.id} still holds {late:.0f} s after its deadline."


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
        box = book.outbox.get(communication.id, {})
        for customer, revision in told.items():
            ends = [key for key in box if key[0] == customer and key[1] is Phase.OVER and key[2] >= revision]
            if not ends and reasons.get(customer, -1) < revision:
                yield f"customer {customer} was told of {communication.id} and heard no end, without a reason."
            heard = [key for key in ends if box[key].state in TOLD_STATES]
            if len(heard) > 1:
                yield f"customer {customer} heard {len(heard)} ends of {communication.id} after the last notice."


Promise = Callable[..., Sentences]
AT_STEP: tuple[Promise, ...] = (
    order_never_goes_back,
    applied_seq_never_goes_back,
    rows_before_effects,
    incidents_follow_the_published_transitions,
    blindness_never_hurts,
    unknown_is_bounded_by_what_was_in_flight,
)
AT_TICK: tuple[Promise, ...] = (decided_by_the_deadline,)
AT_WRITE: tuple[Promise, ...] = (
    only_live_policies_send,
    the_kill_switch_stops_everything,
    held_sending_stays_held,
    the_ceiling_holds,
    nobody_hears_of_what_is_over,
    over_only_after_it_was_stable,
    first_needs_confirmation,
    quiet_hours_hold,
    lawful_basis_is_recorded,
    some_are_never_told,
    nobody_abroad_by_home_site,
    nobody_on_the_line_is_told,
    caps_hold,
    never_over_the_broken_channel,
    an_address_hears_once,
    no_second_first,
    over_only_to_the_told,
)
AT_SEND: tuple[Promise, ...] = (
    nothing_leaves_before_its_row,
    informational_is_submitted_at_most_once,
    nothing_leaves_after_the_kill_switch,
)
AT_START: tuple[Promise, ...] = (acknowledged_is_never_lost, loaded_equals_lived)
AT_END: tuple[Promise, ...] = (
    replay_decides_the_same,
    a_firing_that_was_sent_gets_its_resolve,
    everyone_told_hears_one_end,
)
AT_RELOAD: tuple[Promise, ...] = (a_refused_reload_changes_nothing,)
AT_FAILURE: tuple[Promise, ...] = (the_core_never_fails,)
PROMISES: tuple[Promise, ...] = (
    *AT_STEP,
    *AT_TICK,
    *AT_WRITE,
    *AT_SEND,
    *AT_START,
    *AT_RELOAD,
    *AT_FAILURE,
    *AT_END,
)


def words_of(promise: Promise) -> str:
    """What is promised, on one line."""
    return " ".join((promise.__doc__ or "").split())


def _incidents(book: Book, now: Written) -> list[Incident]:
    """The incidents behind a communication, as improve has them now."""
    known = now.core.state.improve.incidents
    names = book.communications[now.rows.communication].incidents
    return [incident for name in names if (incident := known.get(name)) is not None]


def _is_hurting(incident: Incident) -> bool:
    return incident.clear_since is None and incident.state not in OVER


def _hurts(book: Book, names: tuple[str, ...]) -> bool:
    return any((incident := book.incidents.get(name)) is not None and _is_hurting(incident) for name in names)


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


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _is_quiet(start: str, end: str, zone: str, at: Instant) -> bool:
    clock = datetime.fromtimestamp(at, _zone(zone)).strftime("%H:%M")
    if start == end:
        return False
    return start <= clock < end if start < end else clock >= start or clock < end


def _first_difference(one: object, other: object) -> str:
    """Where two recorded values part, short enough to read."""
    if isinstance(one, list) and isinstance(other, list):
        for place, (left, right) in enumerate(zip(one, other, strict=False)):
            if left != right:
                return f"at {place}: {str(left)[:300]} against {str(right)[:300]}"
        return f"{len(one)} against {len(other)} records"
    return f"{str(one)[:300]} against {str(other)[:300]}"
