"""Promises of when a communication may speak at all (design 9.2, 9.3, 9.10)."""

from __future__ import annotations

from cemd.model.notice import CommunicationState, Mode, NoticeState, Phase
from cemd.simulation.book import Book
from cemd.simulation.promises.moments import NEVER_TOLD, Sentences, Stepped, Written, incidents_behind, is_hurting

SLACK_SECONDS = 300.0
"""A deadline is met at a tick, and ticks are coarse here."""


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
    told = {
        customer
        for (customer, phase, revision), row in book.outbox[rows.communication].items()
        if phase is Phase.FIRST and revision >= chain and row.state not in NEVER_TOLD
    }
    if len(told) > policy.ceiling:
        yield f"{len(told)} customers are told first, the ceiling of {policy.name} is {policy.ceiling}."


def nobody_hears_of_what_is_over(book: Book, now: Written) -> Sentences:
    """No first notice, update or correction is released when every incident behind it is clear (9.2, 9.4)."""
    if now.rows.phase is Phase.OVER:
        return
    if not any(is_hurting(incident) for incident in incidents_behind(book, now)):
        yield f"{now.rows.phase.name.lower()} of {now.rows.communication} is released though nothing hurts."


def only_the_hurt_hear_first(book: Book, now: Written) -> Sentences:
    """A first notice reaches only whom an incident behind it hurts at that moment: service and place, not those of
    yesterday (9.1, 9.2)."""
    if now.rows.phase is not Phase.FIRST:
        return
    customers, topology = now.core.state.customers, now.core.state.topology
    hurt = [
        {
            name: {
                place
                for site in incident.impact.places.get(name, incident.impact.sites)
                for place in topology.inside(site)
            }
            for name in incident.impact.services
        }
        for incident in incidents_behind(book, now)
        if is_hurting(incident)
    ]
    if not all(
        any(topology.services[name].sold for name in services if name in topology.services) for services in hurt
    ):
        return  # no sold service is named as hurt: what is sold on top of the cause stands in, and is not judged here
    for customer in now.rows.customer.tolist():
        bits, site = int(customers["services"][customer]), customers.sites[int(customers["site"][customer])]
        mine = {name for place, name in enumerate(customers.services) if bits >> place & 1}
        if not any(
            name in mine and (not sites or site in sites) for services in hurt for name, sites in services.items()
        ):
            yield f"customer {customer} at {site or 'no place'} hears of {now.rows.communication} and is not hurt now."


def first_needs_confirmation(book: Book, now: Written) -> Sentences:
    """Customers hear only of what a quorum or a person confirmed, after the hold-down (9.2)."""
    if now.rows.phase is not Phase.FIRST:
        return
    communication = book.communications[now.rows.communication]
    if not any(incident.confirmed_at for incident in incidents_behind(book, now)):
        yield f"{communication.id} tells customers of what nobody confirmed."
    if now.rows.at < communication.hold_until and not communication.reopened:
        yield f"{communication.id} tells customers before its hold-down is over."


def nobody_hears_before_it_is_watched_again(book: Book, now: Written) -> Sentences:
    """After a pause in which nobody watched, no first notice or correction is released before the hold-down has passed
    again, and no "over" before the time of stability has (9.2, 9.6)."""
    watched = now.rows.at - book.watched_since
    policy = book.policies[now.rows.communication]
    communication = book.communications[now.rows.communication]
    ends = now.rows.phase is Phase.OVER
    if communication.opened_at >= book.watched_since or (communication.reopened and not ends):
        return  # a relapse was measured, and its correction is held down by nothing
    due = policy.stable_seconds if ends else policy.hold_seconds
    if watched < due:
        yield f"{communication.id} speaks {watched:.0f} s after nobody had watched, not {due:.0f} s."


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


def _hurts(book: Book, names: tuple[str, ...]) -> bool:
    return any((incident := book.incidents.get(name)) is not None and is_hurting(incident) for name in names)
