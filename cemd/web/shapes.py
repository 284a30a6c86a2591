"""What stands in the documents of the JSON API, as models that also publish their JSON Schema.

Stable: fields are added, never renamed. Every instant is a `Moment`. A number that is null is unknown, never 0. What is
measured, and from where, is in `shapes_measured`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cemd.model.finding import Condition, FindingPhase
from cemd.model.incident import Confidence, IncidentState
from cemd.model.notice import CommunicationState, MessageClass, Mode
from cemd.model.quality import Dimension, Quality
from cemd.model.subject import SubjectKind


class Shape(BaseModel):
    """What is sent out."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


Score = Annotated[float | None, Field(description="0 (worst) to 100 (best); null: unknown.")]
Share = Annotated[float, Field(description="0 to 1.")]


class Moment(Shape):
    iso: str
    """ISO 8601 with the offset of the operator's zone."""
    epoch: float
    """Seconds since 1970-01-01T00:00:00Z."""


class Document(Shape):
    """Every answer says which view it was made from."""

    seq: int
    """Sequence number of the view; grows with every tick."""
    at: Moment
    """Core time of the view."""


class ToMend(Shape):
    """What a person has to mend while cemd works on."""

    what: str
    """What it means, as a sentence; the same for all of a kind."""
    place: str
    fact: str
    remedy: str
    since: Moment


class Cei(Shape):
    score: Score
    coverage: Share
    calibrated: bool
    """False: the weights are the default profile and were never fitted to a survey."""
    network: Score
    design: Score
    operations: Score
    weights: dict[str, float]
    """Of the three parts; one that is not measured is left out of the score."""
    macro_journeys: dict[str, float | None]
    domains: dict[str, float | None]


class RaterPart(Shape):
    dimension: Dimension
    score: Score
    coverage: Share
    samples: int
    indicators: tuple[str, ...]


class Rater(Shape):
    score: Score
    coverage: Share
    dimensions: tuple[RaterPart, ...]


class Step(Shape):
    name: str
    title: str
    touchpoint: str
    moment_of_truth: bool
    quality: Quality
    score: Score
    coverage: Share
    weakest: str
    """Service that decides the score; empty when all is well or nothing is known."""


class Journey(Shape):
    name: str
    title: str
    macro_journey: str
    stage: str
    process: str
    domain: str
    owner: str
    quality: Quality
    score: Score
    coverage: Share
    capped: bool
    """A moment of truth is down, which caps the score at 40."""
    steps: tuple[Step, ...]
    trend: tuple[float | None, ...]
    """Scores of the past, oldest first, `trend_seconds` apart (see overview)."""


class Touchpoint(Shape):
    name: str
    title: str
    channel: str
    category: str
    quality: Quality
    rater: Rater


class Service(Shape):
    name: str
    title: str
    domain: str
    quality: Quality
    score: Score
    own_score: Score
    """Of its own indicators alone; null where nothing measures it now: it is called as well as what it stands on."""
    depends_on: tuple[str, ...]
    sold: bool


class Indicator(Shape):
    name: str
    service: str
    site: str
    touchpoint: str
    dimension: Dimension
    value: float | None
    unit: str
    score: Score
    samples: int
    quality: Quality
    objective: str
    source: str
    series: tuple[int, ...]


class Subject(Shape):
    kind: SubjectKind
    name: str
    title: str
    """What people call it; the name where nothing better is known."""
    site: str


class Reason(Shape):
    """One kind of evidence that a sample is unusual."""

    kind: str
    """`magnitude`, `nearest`, `shift`, ...: docs/detection.md tells them all."""
    says: str
    tail_probability: float
    """How often this kind said as much on the series' own past."""
    higher: bool
    """Than expected; else lower."""


class Evidence(Shape):
    series: tuple[int, ...]
    value: float | None
    """When the finding began; once it changed or ended: the worst while it held."""
    expected: float | None
    low: float | None
    high: float | None
    threshold: float | None
    tail_probability: float | None
    failing: tuple[str, ...]
    """Vantage points that saw it themselves when it was last stated."""
    well: tuple[str, ...]
    """Those that saw nothing of it."""
    blind: tuple[str, ...]
    """Those that could not look."""
    samples: int
    window_seconds: float
    since: Moment | None
    """First sample that shows it; of a silence, the last before it. Null: only `began_at` is known."""
    until: Moment | None
    """Last moment looked at when it was last stated: the rest of the evidence is as of then."""
    note: str
    breach_at: Moment | None
    """Of a forecast: when the objective would be breached."""
    slope_per_hour: float | None
    confidence: float | None
    """Of a forecast: chance that it is breached within the span looked ahead."""
    severity: float | None
    """Of an anomaly on a series that indicators look at: 1 is where one would look, more is worse."""
    reasons: tuple[Reason, ...]
    """Why it is an anomaly, the strongest first."""
    alike: tuple[Moment, ...]
    """When similar episodes of the series began, the newest first."""


class Finding(Shape):
    id: str
    condition: Condition
    phase: FindingPhase
    quality: Quality
    subject: Subject
    indicator: str
    """Name of the indicator, or metric of the series."""
    unit: str
    """Unit of the values in the evidence: `seconds`, `ratio`, ..., or empty."""
    probe: str
    touchpoint: str
    began_at: Moment
    """When it was found; the evidence's `since` is when the samples began to show it."""
    changed_at: Moment
    """When it was last stated; of one that ended, its end."""
    label: str
    """What a person said of it: `true`, `false`, `benign`; empty: nobody did."""
    waits: str
    """Why it opens no incident yet, as a sentence; empty: it belongs to one, or is only a warning."""
    now: float | None
    """Newest value; null: unknown, or the finding ended. The evidence tells how it was when it was last stated."""
    now_at: Moment | None
    """When the newest sample behind `now` was measured: what exists on success alone may be old."""
    evidence: Evidence


class Cause(Shape):
    confidence: Confidence
    service: str
    """Empty while undetermined."""
    title: str
    site: str
    score: float
    reasons: tuple[str, ...]
    rivals: tuple[str, ...]


class Impact(Shape):
    services: tuple[str, ...]
    sites: tuple[str, ...]
    """Of all services together. Empty: everywhere."""
    places: dict[str, tuple[str, ...]]
    """Where each sold service is hurt. Empty: everywhere."""
    touchpoints: tuple[str, ...]
    journeys: tuple[str, ...]
    steps: tuple[str, ...]
    moments_of_truth: tuple[str, ...]
    customers: int
    """Hurt now."""
    peak_customers: int
    """Most that were hurt at once."""
    user_minutes: float
    uncertainty: str


class TimelineItem(Shape):
    at: Moment
    seq: int
    what: str
    by: str


class Told(Shape):
    """One communication in short, as an incident names it."""

    id: str
    state: CommunicationState
    mode: Mode
    told: int
    """Customers of whom a transport accepted a notice."""
    in_flight: int
    """A notice is on its way to them and not yet accepted."""
    unknown: int
    """A notice to them may have left or not."""
    audience: int


class Staff(Shape):
    """What one route of staff was told of an incident."""

    route: str
    channel: str
    says: str
    """Whether they were told, or why not, as a sentence."""
    told_at: Moment | None
    """When something was told last; null: nothing was so far."""


class Incident(Shape):
    id: str
    state: IncidentState
    open: bool
    quality: Quality
    subject: Subject
    cause: Cause
    impact: Impact
    findings: tuple[Finding, ...]
    """Open ones, with their evidence."""
    past_findings: tuple[str, ...]
    first_hurt_at: Moment
    opened_at: Moment
    changed_at: Moment
    clear_since: Moment | None
    resolved_at: Moment | None
    closed_at: Moment | None
    acknowledged_by: str
    confirmed_at: Moment | None
    confirmed_by: str
    priority: int
    """1 highest to 10 lowest, as TMF656."""
    importance_factor: float
    planned: bool
    reopened: int
    timeline: tuple[TimelineItem, ...]
    communications: tuple[Told, ...]


class Communication(Shape):
    id: str
    incidents: tuple[str, ...]
    policy: str
    mode: Mode
    message_class: MessageClass
    services: tuple[str, ...]
    sites: tuple[str, ...]
    state: CommunicationState
    phase: str
    revision: int
    opened_at: Moment
    hold_until: Moment
    decide_by: Moment
    decided_at: Moment | None
    clear_since: Moment | None
    ended_at: Moment | None
    reopened: int
    audience: int
    told: int
    """Customers of whom a transport accepted a notice."""
    in_flight: int
    """A notice is on its way to them and not yet accepted."""
    unknown: int
    """A notice to them may have left or not."""
    reason: str
    reasons: dict[str, int]
    """Why told and why not, in customers."""
    states: dict[str, int]
    """Notices by state."""
