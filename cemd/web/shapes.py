"""The documents of the JSON API, as models that also publish their JSON Schema.

Stable: fields are added, never renamed. Every instant is a `Moment`. A number that is null is unknown, never 0. What
comes in is read leniently (`23.0` is a whole number) but refuses unknown keys.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from cemd.model.finding import Condition, FindingPhase
from cemd.model.incident import Confidence, IncidentState
from cemd.model.notice import CommunicationState, MessageClass, Mode
from cemd.model.quality import Dimension, Quality
from cemd.model.subject import SubjectKind


class Shape(BaseModel):
    """What is sent out."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Asked(BaseModel):
    """What comes in: a query or a body."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


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
    until: Moment | None
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
    changed_at: Moment
    """When it was last stated; of one that ended, its end."""
    label: str
    """What a person said of it: `true`, `false`, `benign`; empty: nobody did."""
    now: float | None
    """Newest value; null: unknown, or the finding ended. The evidence tells how it was when it was last stated."""
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
    """Empty: everywhere."""
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
    audience: int


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
    reason: str
    reasons: dict[str, int]
    """Why told and why not, in customers."""
    states: dict[str, int]
    """Notices by state."""


class Labels(Shape):
    id: int
    probe: str
    metric: str
    vantage: str
    target: str
    labels: dict[str, str]
    source: str
    service: str
    """What it measures, as far as an indicator tells; else empty."""


class SeriesNow(Labels):
    """A series with its last sample and what was expected of it."""

    last_at: Moment | None
    value: float | None
    expected: float | None
    low: float | None
    high: float | None
    tail_probability: float | None
    """1: ordinary; near 0: as extreme as it gets."""
    outcome: str


class SeriesTrend(SeriesNow):
    trend: tuple[float | None, ...]
    """Means of the recent past, oldest first, `trend_seconds` apart."""


class Probe(Shape):
    name: str
    sources: tuple[str, ...]
    metrics: tuple[str, ...]
    series: int
    last_at: Moment | None
    success: float | None
    outcome: str


class Attempt(Shape):
    """One attempt that failed."""

    at: Moment
    seconds: float
    outcome: str
    reason: str
    detail: str
    values: dict[str, float | None]


class OverviewDoc(Document):
    """Everything that the first page shows."""

    operator: str
    zone: str
    version: str
    epoch: str
    stale_after_seconds: float
    """Without a new view for so long, the page says that it is stale."""
    trend_seconds: float
    token_needed: bool
    """Commands must carry a bearer token."""
    killed: bool
    sending_held: bool
    customers: int
    series: int
    channels_due: tuple[str, ...]
    not_ready: tuple[str, ...]
    cei: Cei
    cei_trend: tuple[float | None, ...]
    journeys: tuple[Journey, ...]
    touchpoints: tuple[Touchpoint, ...]
    services: tuple[Service, ...]
    incidents: tuple[Incident, ...]
    communications: tuple[Communication, ...]


class CeiDoc(Document):
    cei: Cei
    trend: tuple[float | None, ...]


class JourneysDoc(Document):
    total: int
    items: tuple[Journey, ...]


class TouchpointsDoc(Document):
    total: int
    items: tuple[Touchpoint, ...]


class ServicesDoc(Document):
    total: int
    items: tuple[Service, ...]


class IndicatorsDoc(Document):
    total: int
    items: tuple[Indicator, ...]


class FindingsDoc(Document):
    total: int
    items: tuple[Finding, ...]


class IncidentsDoc(Document):
    total: int
    items: tuple[Incident, ...]


class IncidentDoc(Document):
    incident: Incident


class CommunicationsDoc(Document):
    total: int
    items: tuple[Communication, ...]


class SeriesListDoc(Document):
    total: int
    items: tuple[SeriesNow, ...]


class NotableDoc(Document):
    trend_seconds: float
    items: tuple[SeriesTrend, ...]
    """The rarest first."""


class ProbesDoc(Document):
    total: int
    items: tuple[Probe, ...]


class ProbeDoc(Document):
    probe: Probe
    failures: tuple[Attempt, ...]
    """Attempts that failed, the newest first, as far as this process remembers them."""


class Point(Shape):
    """`low` and `high`: the expected band, where this daemon has recorded one for the instant."""

    at: float
    """Seconds since 1970."""
    value: float | None
    outcome: str


class BandPoint(Shape):
    at: float
    expected: float | None
    low: float | None
    high: float | None


class SeriesDoc(Document):
    series: SeriesNow
    since: Moment
    until: Moment
    samples: int
    """Samples in the span; `points` holds fewer when it was thinned."""
    points: tuple[Point, ...]
    band: tuple[BandPoint, ...]
    """Recorded while somebody looked or a finding stood on the series, oldest first; the last is the present one."""


class ExplainDoc(Shape):
    id: str
    chain: dict[str, Any]
    """From sample to message; every element carries its own ids."""


class CommandDoc(Shape):
    seq: int
    """The command is logged under this number; views from here on show its effect."""
    kind: str
    subject: str


class PushDoc(Shape):
    accepted: int
    refused: int
    message: str


class ErrorBody(Shape):
    status: int
    place: str
    fact: str
    remedy: str


class ErrorDoc(Shape):
    error: ErrorBody


class Nothing(Asked):
    """No parameters."""


class Page(Asked):
    q: str = Field("", max_length=200)
    """Words that must all occur in the names; upper and lower case are alike."""
    limit: int = Field(200, ge=1, le=5000)
    offset: int = Field(0, ge=0, le=100_000_000)


class IncidentsAsked(Page):
    open: bool | None = None
    """true: only open ones; false: only those that are over."""


class Span(Asked):
    since: float | None = Field(None, ge=0, le=1e11, allow_inf_nan=False)
    """Seconds since 1970; without it, an hour before `until`."""
    until: float | None = Field(None, ge=0, le=1e11, allow_inf_nan=False)
    """Seconds since 1970; without it, the instant of the view."""
    points: int = Field(1000, ge=10, le=10_000)
    """Most points in the answer; the lowest and the highest of each stretch are kept."""


class CommandAsked(Asked):
    actor: str = Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")
    """Who asks: a name of staff, never of a customer."""
    note: str = Field("", max_length=500)
