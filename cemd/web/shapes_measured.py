"""What stands in the documents of the JSON API about measuring: vantage points, series, probes and their attempts."""

from __future__ import annotations

from cemd.web.shapes import Moment, Shape


class Vantage(Shape):
    """A vantage point that has something to measure."""

    name: str
    title: str
    probes: int
    services: tuple[str, ...]
    """That are measured from there."""
    expected_since: Moment
    heard_at: Moment | None
    """When something came from it last; null: nothing ever did."""
    silent_since: Moment | None
    """Null: it is heard, or not missed yet."""


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


class RunAsked(Shape):
    """A run that somebody asked for. `reason`: why it was not made; empty where it was."""

    at: Moment
    actor: str
    note: str
    reason: str


class Attempt(Shape):
    """One attempt that failed."""

    at: Moment
    vantage: str
    """From where it was made; empty: kept by a version that did not say."""
    seconds: float
    outcome: str
    reason: str
    detail: str
    values: dict[str, float | None]
