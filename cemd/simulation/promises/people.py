"""Promises of who may be told, where and when (design 9.1, 9.5, 9.11)."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from cemd.model.customers import CustomerFlag, LawfulBasis
from cemd.model.identity import Instant
from cemd.model.notice import TOLD_STATES, Communication, CommunicationState, MessageClass, NoticeState, Phase
from cemd.simulation.book import Book
from cemd.simulation.promises.moments import Sentences, Written, incidents_behind, is_hurting

SPEAKING = (CommunicationState.TELLING, CommunicationState.TOLD, CommunicationState.STABILISING)
"""States in which customers were told and heard no end."""


def quiet_hours_hold(book: Book, now: Written) -> Sentences:
    """Nobody is told in the quiet hours of their own zone, else the site's, else the operator's; safety may (9.5)."""
    hours = book.policies[now.rows.communication].quiet_hours
    if hours is None or now.rows.message_class is MessageClass.SAFETY:
        return
    topology, customers = now.core.state.topology, now.core.state.customers
    operator = topology.configuration.settings.operator.zone
    is_quiet: dict[str, bool] = {}  # by zone
    for customer in now.rows.customer.tolist():
        zone = customers.zones[int(customers["zone"][customer])]
        site = customers.sites[int(customers["site"][customer])]
        name = zone or topology.zone(site) or operator
        if name not in is_quiet:
            is_quiet[name] = _is_quiet(hours.start, hours.end, name, now.rows.at)
        if is_quiet[name]:
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
    """Customers abroad are never selected by their home site; they hear of what is disturbed everywhere (9.1)."""
    if now.rows.phase is not Phase.FIRST:
        return
    customers, places = now.core.state.customers, book.communications[now.rows.communication].places
    everywhere = sum(1 << at for at, name in enumerate(customers.services) if places.get(name) == ())
    flags, services = customers["flags"][now.rows.customer], customers["services"][now.rows.customer]
    by_home = (services & np.uint64(everywhere)) == 0
    abroad = now.rows.customer[by_home & ((flags & np.uint8(CustomerFlag.ABROAD)) != 0)]
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
        told = Counter(
            who
            for box in book.outbox.values()
            for (who, _, _), row in box.items()
            if row.at > since and row.state is not NoticeState.SHADOW
        )
        for customer in now.rows.customer.tolist():
            count = told[customer]
            if count + 1 > cap.most:
                yield f"customer {customer} gets notice {count} of at most {cap.most}, and no slot is left for the end."


def never_over_the_broken_channel(book: Book, now: Written) -> Sentences:
    """Nobody is told over a channel that stands on what is broken (9.5)."""
    topology = now.core.state.topology
    channel = next((one for one in topology.configuration.channels if one.name == now.rows.channel), None)
    broken = {*book.communications[now.rows.communication].services}
    broken.update(incident.cause.service for incident in incidents_behind(book, now) if is_hurting(incident))
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


def a_service_is_told_once(book: Book, now: Written) -> Sentences:
    """Whoever was told that services of theirs do not work, and not yet that they do, gets no first notice of another
    problem in nothing but these (9.6)."""
    if now.rows.phase is not Phase.FIRST:
        return
    mine, customers = book.communications[now.rows.communication], now.core.state.customers
    abroad = np.uint8(CustomerFlag.ABROAD)
    for other in book.communications.values():
        alike = other.id != mine.id and other.policy == mine.policy and other.mode is mine.mode
        if not alike or other.state not in SPEAKING or other.revision != other.chain:
            continue  # after a relapse some of them heard an end, some a reason why not
        box = book.outbox.get(other.id, {})
        for customer in now.rows.customer[(customers["flags"][now.rows.customer] & abroad) == 0].tolist():
            row = box.get((customer, Phase.FIRST, other.revision))
            if row is None or row.state not in TOLD_STATES:
                continue
            ours = _services_told(mine, customer, now)
            if ours and ours <= _services_told(other, customer, now):
                names = ", ".join(sorted(ours))
                yield f"customer {customer} was told of {names} by {other.id}, and is told again by {mine.id}."


def _services_told(communication: Communication, customer: int, now: Written) -> set[str]:
    """Services of a customer that a communication says are disturbed where the customer is."""
    customers, topology = now.core.state.customers, now.core.state.topology
    bits, site = int(customers["services"][customer]), customers.sites[int(customers["site"][customer])]
    mine = {name for place, name in enumerate(customers.services) if bits >> place & 1}
    return {
        name
        for name, sites in communication.places.items()
        if name in mine and (not sites or any(site in topology.inside(one) for one in sites))
    }


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _is_quiet(start: str, end: str, zone: str, at: Instant) -> bool:
    clock = datetime.fromtimestamp(at, _zone(zone)).strftime("%H:%M")
    if start == end:
        return False
    return start <= clock < end if start < end else clock >= start or clock < end
