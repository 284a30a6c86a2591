"""What page, API and metrics may see of analyze: copies made at a tick."""

from __future__ import annotations

import numpy as np

from cemd.analyze.bank.bank import Bank
from cemd.analyze.experience.cei import cei_view
from cemd.analyze.experience.health import Healths, Reading, healths, readings
from cemd.analyze.experience.journeys import journey_view
from cemd.analyze.experience.rater import rater_of, readings_at
from cemd.analyze.findings import OpenFindings
from cemd.analyze.indicators.indicators import Indicators
from cemd.analyze.indicators.instances import objective_text
from cemd.analyze.judge.silence import key_of_vantage
from cemd.analyze.series import SeriesTable
from cemd.analyze.vantages import Vantages
from cemd.config.catalogue import Touchpoint
from cemd.config.topology import Topology
from cemd.model.finding import Condition
from cemd.model.identity import Instant
from cemd.model.quality import worst
from cemd.model.view import AnalyzeView, IndicatorView, SeriesColumns, ServiceView, TouchpointView, VantageView

MOST_SERIES = 100
"""Series that an indicator names in the view: a chart draws no more."""


def analyze_view(
    topology: Topology, table: SeriesTable, indicators: Indicators, findings: OpenFindings, vantages: Vantages
) -> AnalyzeView:
    seen = readings(indicators)
    health = healths(topology, seen, findings)
    cei = topology.configuration.cei
    journeys = tuple(journey_view(one, topology, health, cei) for one in topology.journeys.values())
    return AnalyzeView(
        cei=cei_view(topology, journeys, health, cei),
        journeys=journeys,
        touchpoints=tuple(_touchpoint(one, topology, seen, health) for one in topology.touchpoints.values()),
        services=_services(topology, health),
        indicators=indicators.views.all(
            indicators.columns, indicators.index, lambda number: _indicator(number, table, indicators, seen[number])
        ),
        findings=tuple(findings),
        site_titles=topology.site_titles,
        vantages=tuple(_vantage(name, vantages, findings) for name in vantages),
    )


def _vantage(name: str, vantages: Vantages, findings: OpenFindings) -> VantageView:
    post, heard = vantages.post(name), vantages.heard(name)
    silence = findings.get(Condition.SILENCE, key_of_vantage(name))
    return VantageView(
        name=name,
        title=post.title,
        probes=post.probes,
        services=post.services,
        expected_since=heard.expected_since,
        heard_at=heard.heard_at,
        silent_since=silence.evidence.since if silence else None,
    )


def series_columns(table: SeriesTable, bank: Bank, at: Instant, learn_samples: int) -> SeriesColumns:
    """Every series in row order: last value, what is expected at `at`, and how usual the last value was."""
    rows = np.arange(len(table))
    band = bank.band(rows, at, learn_samples)
    last_at = bank.columns["last_at"]
    return SeriesColumns(
        version=table.version,
        series=tuple(table.series),
        last_at=np.where(np.isfinite(last_at), last_at, np.nan),
        value=bank.values(),
        expected=band.expected,
        low=table.allowed_low(rows, band.expected, band.low),
        high=band.high,
        score=bank.tail(rows, learn_samples),
        outcome=bank.columns["outcome"].copy(),
    )


def _touchpoint(point: Touchpoint, topology: Topology, seen: tuple[Reading, ...], health: Healths) -> TouchpointView:
    here = readings_at(point, seen)
    stands_on = dict.fromkeys([*point.offers, *point.depends_on])
    return TouchpointView(
        name=point.name,
        title=point.title or point.name,
        channel=point.channel,
        category=point.category,
        quality=worst([*(one.quality for one in here), *(health.of(name).quality for name in stands_on)]),
        rater=rater_of(here, topology.configuration.rater),
    )


def _services(topology: Topology, health: Healths) -> tuple[ServiceView, ...]:
    return tuple(
        ServiceView(
            name=service.name,
            title=service.title or service.name,
            domain=service.domain,
            quality=health.of(service.name).quality,
            score=health.of(service.name).score,
            own_score=health.own[service.name].score,
            depends_on=tuple(service.depends_on),
            sold=service.sold,
        )
        for service in topology.services.values()
    )


def _indicator(number: int, table: SeriesTable, indicators: Indicators, seen: Reading) -> IndicatorView:
    one, value = indicators.instances[number], float(indicators.columns["value"][number])
    return IndicatorView(
        name=one.indicator.name,
        service=one.service,
        site=one.site,
        touchpoint=one.touchpoint,
        dimension=one.indicator.dimension,
        value=None if value != value else value,
        unit=one.indicator.unit,
        score=seen.score,
        samples=seen.samples,
        quality=seen.quality,
        objective=objective_text(one.indicator.objective),
        source=one.indicator.source,
        series=tuple(table.series[row].id for row in indicators.series_of(number)[:MOST_SERIES].tolist()),
    )
