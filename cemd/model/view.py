"""Views: what the page, the API and the metrics may see. Snapshots made at a tick; nobody changes them afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from cemd.model.finding import Finding
from cemd.model.identity import Instant
from cemd.model.incident import Incident
from cemd.model.measurement import Series
from cemd.model.notice import Alert, Communication
from cemd.model.quality import Dimension, Quality


class DimensionView(msgspec.Struct, frozen=True, kw_only=True):
    """One RATER value: `score` None is unknown, never 0 or 100."""

    dimension: Dimension
    score: float | None
    coverage: float  # share of the indicators' weight that has data
    samples: int
    indicators: tuple[str, ...]


class RaterView(msgspec.Struct, frozen=True, kw_only=True):
    score: float | None
    coverage: float
    dimensions: tuple[DimensionView, ...]


class IndicatorView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    service: str
    site: str
    touchpoint: str
    dimension: Dimension
    value: float | None
    unit: str
    score: float | None
    samples: int
    quality: Quality
    objective: str  # "at least 0.98, warning at 0.99" or ""
    source: str
    series: tuple[int, ...] = ()


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    domain: str
    quality: Quality
    score: float | None
    own_score: float | None  # of its own indicators; None: all that is known of it is what it stands on
    depends_on: tuple[str, ...]
    sold: bool


class TouchpointView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    channel: str
    category: str
    quality: Quality
    rater: RaterView


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    touchpoint: str
    moment_of_truth: bool
    quality: Quality
    score: float | None
    coverage: float
    weakest: str  # the service that decides the score, "" when all is well or nothing is known


class JourneyView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    macro_journey: str
    stage: str
    process: str
    domain: str
    owner: str
    quality: Quality
    score: float | None
    coverage: float
    capped: bool  # a moment of truth is down
    steps: tuple[StepView, ...]


class CeiView(msgspec.Struct, frozen=True, kw_only=True):
    score: float | None
    coverage: float
    calibrated: bool
    network: float | None
    design: float | None
    operations: float | None
    macro_journeys: dict[str, float | None]
    domains: dict[str, float | None]
    weights: dict[str, float] = {}  # of network, design and operations, as configured


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesColumns:
    """Every series as columns of length n, in row order; `version` grows when `series` does, so that names can be
    rendered once. NaN: unknown."""

    version: int
    series: tuple[Series, ...]
    last_at: NDArray[np.float64]
    value: NDArray[np.float64]
    expected: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    score: NDArray[np.float64]  # tail probability of the last sample, 1 = ordinary
    outcome: NDArray[np.uint8]


class VantageView(msgspec.Struct, frozen=True, kw_only=True):
    """A vantage point that has something to measure."""

    name: str
    title: str
    probes: int
    services: tuple[str, ...]  # that are measured from there
    expected_since: Instant
    heard_at: Instant | None  # when something came from it last; None: nothing ever did
    silent_since: Instant | None  # None: it is heard


class AnalyzeView(msgspec.Struct, frozen=True, kw_only=True):
    cei: CeiView
    journeys: tuple[JourneyView, ...]
    touchpoints: tuple[TouchpointView, ...]
    services: tuple[ServiceView, ...]
    indicators: tuple[IndicatorView, ...]
    findings: tuple[Finding, ...]
    site_titles: dict[str, str] = {}  # of the sites that have one
    vantages: tuple[VantageView, ...] = ()


class CommunicationView(msgspec.Struct, frozen=True, kw_only=True):
    communication: Communication  # with empty bitmaps
    told: int  # customers of whom a transport accepted a notice
    in_flight: int = 0  # of whom it did not yet, but one is on its way
    unknown: int = 0  # of whom none did, and one may have left
    reasons: dict[str, int]  # why and why not, summed over its decisions
    states: dict[str, int]  # outbox rows by state


class ReportView(msgspec.Struct, frozen=True, kw_only=True):
    communications: tuple[CommunicationView, ...]
    alerts: tuple[Alert, ...]
    killed: bool
    sending_held: bool
    customers: int
    killed_by: str = ""  # who stopped all sending
    killed_at: Instant | None = None  # None also where it was stopped before this was kept
    due: tuple[str, ...] = ()  # channels that have notices waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """All that was known at one tick."""

    at: Instant
    seq: int
    epoch: str
    analyze: AnalyzeView
    incidents: tuple[Incident, ...]
    waits: Mapping[str, str]
    """Why a finding opens no incident yet, as a sentence by its id; those that wait for nothing are left out."""
    report: ReportView
    series: SeriesColumns
    unheard: Mapping[str, str] = field(default_factory=dict)
    """Why no staff was told of an incident, as a sentence by its id; those that were told of are left out."""
