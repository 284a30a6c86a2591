"""What customers and staff are told: communication, notice, decision; and the words for why and why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from cemd.model.identity import Instant


class Phase(IntEnum):
    """Stored as a number in the outbox."""

    FIRST = 0
    UPDATE = 1
    WORKAROUND = 2
    OVER = 3
    CORRECTION = 4


class NoticeState(IntEnum):
    """Told means in flight, accepted, delivered or unknown."""

    DUE = 0  # handed over, and surely did not leave: it goes out again while it is still right
    IN_FLIGHT = 1
    ACCEPTED = 2
    DELIVERED = 3
    FAILED = 4
    EXPIRED = 5
    CANCELLED = 6
    UNKNOWN = 7
    SHADOW = 8  # decided and shown, never sent


MOVED_FROM: Mapping[NoticeState, tuple[NoticeState, ...]] = {
    NoticeState.DUE: (NoticeState.IN_FLIGHT,),
    NoticeState.IN_FLIGHT: (),  # never by an outcome: a row is handed over anew, or not at all
    NoticeState.CANCELLED: (NoticeState.DUE, NoticeState.IN_FLIGHT, NoticeState.UNKNOWN),
}
"""From where an outcome may bring a row, by the state that it brings it into; into all others from `SETTLES`."""
SETTLES = (NoticeState.IN_FLIGHT, NoticeState.UNKNOWN)
"""States in which an answer still counts. What is unknown may have left: it never becomes due."""
TOLD_STATES = (NoticeState.IN_FLIGHT, NoticeState.ACCEPTED, NoticeState.DELIVERED, NoticeState.UNKNOWN)


class MessageClass(StrEnum):
    SAFETY = "safety"  # at least one; exempt from quiet hours
    SERVICE = "service"  # informational: at most one submission


class Mode(StrEnum):
    SHADOW = "shadow"
    LIVE = "live"


class Reason(IntEnum):
    """Why a customer is told, or not: the same word in log, metric, row and test (lower case)."""

    FIRST_NOTICE = 0
    OVER_NOTICE = 1
    CORRECTION_NOTICE = 2
    UPDATE_NOTICE = 3
    NO_LAWFUL_BASIS = 10
    QUIET_HOURS = 11
    FREQUENCY_CAP = 12
    ALREADY_TOLD = 13
    SAME_ADDRESS = 14
    NO_WORKING_CHANNEL = 15
    IN_CALL_QUEUE = 16
    OPEN_TICKET = 17
    MACHINE = 18
    UNSUBSCRIBED = 19
    TOLD_BY_AGENT = 20
    ERASED = 21
    ABROAD = 22
    INCIDENT_OVER = 23
    KILL_SWITCH = 24
    CEILING = 25
    NEVER_TOLD = 26
    QUIET_HOURS_PASSED = 27
    AWAITING_APPROVAL = 28
    HELD_AFTER_RESTORE = 29
    POLICY_WITHDRAWN = 30  # the policy was removed or set back to shadow while first notices were leaving
    NOT_CONFIRMED = 31  # nobody and nothing confirmed the problem by the deadline
    DECLINED = 32  # a person decided against it
    NOT_AFFECTED = 33  # moved away, or gave the service up, since the selection


class CommunicationState(StrEnum):
    HOLDING = "holding"  # hold-down runs, or confirmation is awaited
    TELLING = "telling"  # first notices leave
    TOLD = "told"
    STABILISING = "stabilising"  # cleared, waiting to be stable
    ENDING = "ending"  # "over" notices leave
    ENDED = "ended"
    DECLINED = "declined"  # decided not to tell; `reason` says why
    HELD = "held"  # a person must release it (ceiling, restore)


class Communication(msgspec.Struct, frozen=True, kw_only=True):
    """What customers are told about one cause in one place; survives reopening of incidents.

    The outbox rows are the truth of who was told; told sets are worked out from them at a start and therefore not here.
    The approved audience waits per channel, as a bitmap with a cursor, in rows of its own: a dispatch then writes a few
    bytes, not the whole audience again.
    """

    id: str
    trace: str
    incidents: tuple[str, ...]
    policy: str
    mode: Mode
    message_class: MessageClass
    services: tuple[str, ...]
    sites: tuple[str, ...]  # of all services together; empty: everywhere
    places: dict[str, tuple[str, ...]]  # where each service is disturbed; empty: everywhere
    cause_key: str  # same cause and place joins
    state: CommunicationState
    opened_at: Instant
    hold_until: Instant
    decide_by: Instant
    decided_at: Instant | None = None
    clear_since: Instant | None = None
    ended_at: Instant | None = None
    reopened: int = 0
    revision: int = 0
    phase: Phase = Phase.FIRST
    chain: int = 0  # revision in which the present episode began: who was told since then gets no second first
    look_again_at: Instant | None = None  # end of the quiet hours that hold some customers back
    audience_count: int = 0  # customers granted at selection in this phase and revision
    reason: str = ""
    epoch: str = ""
    seq: int = 0


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision about many customers: `customers` is a serialized roaring bitmap, `reasons` uint8 (`Reason`) in its
    order (zstd). Where several decisions name a customer, the last one stands."""

    id: str
    trace: str
    communication: str
    phase: Phase
    revision: int
    stage: str  # "selection", "dequeue", "transport"
    at: Instant
    seq: int
    epoch: str
    counts: dict[str, int]
    customers: bytes = b""
    reasons: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeRows:
    """Outbox rows as columns; all of one communication, phase, revision and channel.

    `customer` uint32[n]; `digest` int64[n] (keyed digest of the address, 0 where none). They are committed `in_flight`
    (or `shadow`) before anything is sent. `notice_id(i)` identifies row i to the transport. A row that was due again is
    the same row: `at` is when it was decided first, `seq` that of the entry that handed it over now.
    """

    communication: str
    trace: str
    phase: Phase
    revision: int
    channel: str
    state: NoticeState
    message_class: MessageClass
    customer: NDArray[np.uint32]
    digest: NDArray[np.int64]
    at: Instant
    expires_at: Instant
    seq: int
    values: dict[str, str]  # what the text may say: service, site, since, ...
    languages: tuple[str, ...] = ()  # table that `language` points into
    language: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))  # per row; empty: not known
    texts: dict[str, tuple[str, str]] = field(default_factory=dict)  # by language: subject, body
    since: Instant = 0.0  # told in each reader's zone; `values` has it in the operator's
    zones: tuple[str, ...] = ()  # table that `zone` points into; "": the operator's
    zone: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, np.uint16))  # per row; empty: not known

    def notice_id(self, index: int) -> str:
        return f"{self.communication}.{int(self.customer[index])}.{int(self.phase)}.{self.revision}"


class AlertState(StrEnum):
    DUE = "due"
    IN_FLIGHT = "in_flight"
    SENT = "sent"
    FAILED = "failed"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What one staff route was last told of one incident, and what it should be told: if a firing was sent, its resolve
    will be sent. At least once: `in_flight` at a start becomes `due` again."""

    id: str  # route, channel and incident
    trace: str
    route: str
    channel: str = ""
    incident: str  # id; of a vantage point that is not heard, its finding
    firing: bool  # what should be told now
    told_firing: bool = False  # what was told last, or may have been
    failure: str = ""  # why the last attempt failed, or why it cannot be told
    state: AlertState = AlertState.DUE
    revision: int = 0
    told_revision: int = -1
    attempts: int = 0
    due_at: Instant
    told_at: Instant | None = None
    summary: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    starts_at: Instant = 0.0
    ends_at: Instant | None = None
