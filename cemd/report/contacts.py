"""Who is on the line or waits for an answer about a fault already: one row a contact, bitmaps worked out from them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from pyroaring import BitMap

from cemd.model.entry import Contact, ContactKind
from cemd.model.identity import Instant
from cemd.model.notice import Communication, CommunicationState
from cemd.model.rows import Rows


class ContactRow(msgspec.Struct, frozen=True, kw_only=True):
    """A contact that stands: in the call queue, with an open ticket, or told by an agent."""

    kind: ContactKind
    customer: int
    service: str = ""  # "" any
    communication: str = ""  # of what an agent told
    since: Instant


class ContactBook:
    """Bitmaps over the contact rows; made anew from the rows at a start."""

    def __init__(self) -> None:
        self._calls: dict[str, BitMap] = {}
        self._tickets: dict[str, BitMap] = {}
        self._agents: dict[str, BitMap] = {}

    def calls(self, services: Iterable[str]) -> BitMap:
        """In the call queue, about one of these services or for a reason not known."""
        return _union(self._calls, services)

    def tickets(self, services: Iterable[str]) -> BitMap:
        """With an open ticket for one of these services, or for one not named."""
        return _union(self._tickets, services)

    def told_by_agent(self, communication: str) -> BitMap:
        return self._agents.get(communication, BitMap())

    def add(self, row: ContactRow) -> None:
        self._set_of(row).add(row.customer)

    def remove(self, row: ContactRow) -> None:
        self._set_of(row).discard(row.customer)

    def _set_of(self, row: ContactRow) -> BitMap:
        match row.kind:
            case ContactKind.CALL_QUEUED:
                return self._calls.setdefault(row.service, BitMap())
            case ContactKind.TICKET_OPENED:
                return self._tickets.setdefault(row.service, BitMap())
            case _:
                return self._agents.setdefault(row.communication, BitMap())


def _union(sets: dict[str, BitMap], services: Iterable[str]) -> BitMap:
    return BitMap.union(BitMap(), *(sets[name] for name in dict.fromkeys(["", *services]) if name in sets))


def apply_contact(
    contact: Contact, rows: Rows[ContactRow], book: ContactBook, communications: Iterable[Communication], at: Instant
) -> None:
    """Notes a contact; unsubscribed and erased are columns and not noted here."""
    customer, service = contact.customer, contact.service
    if customer < 0 or customer > 0xFFFFFFFF:
        return
    match contact.kind:
        case ContactKind.CALL_QUEUED | ContactKind.TICKET_OPENED:
            row = ContactRow(kind=contact.kind, customer=customer, service=service, since=at)
            rows.put(f"{contact.kind}/{customer}/{service}", row)
            book.add(row)
        case ContactKind.CALL_ENDED:
            _drop(rows, book, f"{ContactKind.CALL_QUEUED}/{customer}/{service}")
        case ContactKind.TICKET_CLOSED:
            _drop(rows, book, f"{ContactKind.TICKET_OPENED}/{customer}/{service}")
        case ContactKind.TOLD_BY_AGENT:
            for told in communications:
                named = contact.communication == told.id
                if named or (not contact.communication and _is_about(told, service)):
                    row = ContactRow(kind=contact.kind, customer=customer, communication=told.id, since=at)
                    rows.put(f"{contact.kind}/{customer}/{told.id}", row)
                    book.add(row)
        case ContactKind.UNSUBSCRIBED | ContactKind.ERASED:
            pass


def _is_about(communication: Communication, service: str) -> bool:
    over = communication.state in (CommunicationState.ENDED, CommunicationState.DECLINED)
    return not over and (not service or service in communication.services)


def _drop(rows: Rows[ContactRow], book: ContactBook, key: str) -> None:
    if (row := rows.get(key)) is not None:
        rows.delete(key)
        book.remove(row)
