"""The documents that the JSON API answers with, one a route; what stands in them is in `shapes`, `shapes_measured`."""

from __future__ import annotations

from typing import Any

from cemd.web.shapes import (
    Cei,
    Communication,
    Document,
    Finding,
    Incident,
    Indicator,
    Journey,
    Moment,
    Service,
    Shape,
    Staff,
    ToMend,
    Touchpoint,
)
from cemd.web.shapes_measured import Attempt, Probe, RunAsked, SeriesNow, SeriesTrend, Vantage


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
    killed_by: str
    """Who stopped all messages to customers; empty while they may leave."""
    killed_at: Moment | None
    sending_held: bool
    customers: int
    series: int
    channels_due: tuple[str, ...]
    not_ready: tuple[str, ...]
    to_mend: tuple[ToMend, ...]
    cei: Cei
    cei_trend: tuple[float | None, ...]
    journeys: tuple[Journey, ...]
    touchpoints: tuple[Touchpoint, ...]
    services: tuple[Service, ...]
    vantages: tuple[Vantage, ...]
    incidents: tuple[Incident, ...]
    communications: tuple[Communication, ...]
    site_titles: dict[str, str]
    """What people call the sites that this document names; those without a title are left out."""


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


class VantagesDoc(Document):
    total: int
    items: tuple[Vantage, ...]


class FindingsDoc(Document):
    total: int
    items: tuple[Finding, ...]


class IncidentsDoc(Document):
    total: int
    items: tuple[Incident, ...]


class IncidentDoc(Document):
    incident: Incident
    staff: tuple[Staff, ...]
    """What staff were told, by route."""
    unheard: str
    """Why no staff was told, as a sentence; empty where some were, or are about to be."""


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
    asked: tuple[RunAsked, ...]
    """The latest runs that people asked for, the newest first."""


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


class RunDoc(Shape):
    seq: int
    """The command is logged under this number; what the run finds comes with one of the next views."""
    kind: str
    subject: str
    """The uid of the probe."""
    probers: int
    """Connected probers that run it; 0: nobody was there to be asked, and it runs as planned once one is back."""
    active: bool
    """False: it is outside of its times (`active`), at which it is not measured but blind, asked for or not."""


class PushDoc(Shape):
    accepted: int
    refused: int
    unjudged: int
    """Of those that were accepted: kept, but a label names what the catalogue does not know, so nobody judges them."""
    message: str
    """The first of what was wrong; empty where nothing was."""


class ErrorBody(Shape):
    status: int
    place: str
    fact: str
    remedy: str


class ErrorDoc(Shape):
    error: ErrorBody
