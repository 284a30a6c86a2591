"""An incident (TM Forum: service problem): findings that belong together, their cause, whom it hurts, its life."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cemd.model.identity import Instant
from cemd.model.quality import Quality
from cemd.model.subject import Subject


class IncidentState(StrEnum):
    """TMF656 states."""

    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    PENDING = "pending"
    HELD = "held"
    IN_PROGRESS = "inProgress"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"
    CLOSED = "closed"


class Confidence(StrEnum):
    UNDETERMINED = "undetermined"
    PROBABLE = "probable"
    CONFIRMED = "confirmed"


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """`service` is "" while undetermined. `reasons` are short sentences for people."""

    confidence: Confidence = Confidence.UNDETERMINED
    service: str = ""
    site: str = ""
    score: float = 0.0
    reasons: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()


class Impact(msgspec.Struct, frozen=True, kw_only=True):
    """Who is hurt. `customers` is a count; the audience itself is worked out by report, from the same columns."""

    services: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()  # of all services together; empty: everywhere
    places: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Where each sold service is hurt (empty: everywhere). What hurts one here and another there hurts nobody who has
    the first there; a service that is not named is hurt at all `sites`."""
    touchpoints: tuple[str, ...] = ()
    journeys: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()  # "journey/step"
    moments_of_truth: tuple[str, ...] = ()  # of these steps
    customers: int = 0
    peak_customers: int = 0  # most that were ever hurt at once
    user_minutes: float = 0.0
    uncertainty: str = ""


class TimelineItem(msgspec.Struct, frozen=True, kw_only=True):
    at: Instant
    seq: int
    what: str
    by: str = "cemd"


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    trace: str
    state: IncidentState
    quality: Quality
    subject: Subject
    cause: Cause
    impact: Impact
    findings: tuple[str, ...]  # ids of open ones
    past_findings: tuple[str, ...] = ()
    first_hurt_at: Instant
    opened_at: Instant
    changed_at: Instant
    clear_since: Instant | None = None  # all findings ended at this instant; None while any is open
    resolved_at: Instant | None = None
    closed_at: Instant | None = None
    acknowledged_by: str = ""
    confirmed_at: Instant | None = None  # by quorum or a person: customers may hear of it
    confirmed_by: str = ""
    priority: int = 5  # 1 highest .. 10 lowest, as TMF656
    importance_factor: float = 0.0  # 0 .. 100
    planned: bool = False
    reopened: int = 0
    epoch: str = ""
    seq: int = 0
    timeline: tuple[TimelineItem, ...] = ()


class IncidentChange(StrEnum):
    OPENED = "opened"
    CHANGED = "changed"
    CONFIRMED = "confirmed"
    CLEARED = "cleared"
    RELAPSED = "relapsed"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class IncidentEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What improve tells report: this incident changed thus, and is now so."""

    change: IncidentChange
    incident: Incident
    at: Instant
    seq: int
