"""One series through time: names to search, history with its expected band, and the picture of both."""

from __future__ import annotations

import math

import numpy as np
from aiohttp import web
from numpy.typing import NDArray
from pydantic import Field

from cemd.model.identity import SeriesId
from cemd.model.measurement import Samples
from cemd.model.view import Views
from cemd.web import chart, documents
from cemd.web.asked import Page, Span
from cemd.web.desk import Desk
from cemd.web.guard import Refused
from cemd.web.present import Presenter, known, moment, outcome_word, series_now
from cemd.web.routes import Route, get, query_of
from cemd.web.shapes import Shape
from cemd.web.shapes_measured import SeriesNow

HISTORY_SECONDS = 3600.0
MOST_SECONDS = 400 * 86_400.0


class ChartAsked(Span):
    """A span, and what to mark in it."""

    threshold: float | None = Field(None, ge=-1e15, le=1e15, allow_inf_nan=False)
    """Draw the objective at this value, in the unit of the series; of `success`, the share that must be one."""
    mark_from: float | None = Field(None, ge=0, le=1e11, allow_inf_nan=False)
    """Shade from this instant, seconds since 1970."""
    mark_until: float | None = Field(None, ge=0, le=1e11, allow_inf_nan=False)
    fit: bool = False
    """Begin at the first sample where the span begins long before it."""
    width: int = Field(chart.WIDTH, ge=240, le=2400)
    """Pixels of the place where the picture will stand."""
    height: int = Field(chart.HEIGHT, ge=120, le=1200)


class History:
    """Reading of series; the house fetches the samples, the desk draws."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        every, one, doc = "/api/v1/series", "/api/v1/series/{series}", documents
        gone = (404,)
        return (
            get(every, "series_list", "Series by name.", self.series_list, doc.SeriesListDoc, tag="series", query=Page),
            get(one, "series", "History, band.", self.series, doc.SeriesDoc, tag="series", query=Span, refusals=gone),
            get(
                one + "/chart.svg",
                "series_chart",
                "The same as a picture.",
                self.series_chart,
                tag="series",
                query=ChartAsked,
                media="image/svg+xml",
                refusals=gone,
            ),
        )

    async def series_list(self, request: web.Request) -> web.StreamResponse:
        page = query_of(request, Page)
        memory = self._desk.memory

        def make(present: Presenter) -> Shape:
            rows = memory.places(present.views).search(page.q)
            shown = present.series(rows[page.offset : page.offset + page.limit])
            return documents.SeriesListDoc(**present.stamp(), total=len(rows), items=shown)

        return await self._desk.document(request, make)

    async def _history(self, request: web.Request, span: Span) -> tuple[Views, int, float, float, Samples]:
        """View, row, since, until, samples of the series that the path names."""
        desk, views = self._desk, self._desk.views()
        try:
            series = int(request.match_info["series"])
        except ValueError:
            series = -1
        row = await desk.away(lambda: desk.memory.index(views.series).row(series)) if 0 <= series < 1 << 62 else None
        if row is None:
            raise Refused(404, "series", f"nobody knows {request.match_info['series'][:40]!r}", "see /api/v1/series")
        until = span.until if span.until is not None else math.nextafter(views.at, math.inf)
        since = span.since if span.since is not None else until - HISTORY_SECONDS
        if not 0 < until - since <= MOST_SECONDS:
            raise Refused(400, "query", "since must be before until, by 400 days at most", "ask for a shorter span")
        return views, row, since, until, await desk.house.history(SeriesId(series), since, until)

    async def series(self, request: web.Request) -> web.StreamResponse:
        span = query_of(request, Span)
        views, row, since, until, samples = await self._history(request, span)
        desk, zone = self._desk, self._desk.zone

        def make() -> bytes:
            one = series_now(views.series, row, zone, service=desk.memory.places(views).service(row))
            kept = chart.thinned(samples.at, samples.value, span.points)
            columns = (samples.at[kept].tolist(), samples.value[kept].tolist(), samples.outcome[kept].tolist())
            points = tuple(
                documents.Point(at=at, value=known(value), outcome=outcome_word(outcome))
                for at, value, outcome in zip(*columns, strict=True)
            )
            band = tuple(
                documents.BandPoint(at=at, expected=known(usual), low=known(low), high=known(high))
                for at, usual, low, high in self._band(views, one, since, until).tolist()
            )
            document = documents.SeriesDoc(
                seq=views.seq,
                at=moment(views.at, zone),
                series=one,
                since=moment(since, zone),
                until=moment(until, zone),
                samples=len(samples),
                points=points,
                band=band,
            )
            return document.model_dump_json().encode()

        return web.Response(body=await desk.away(make), content_type="application/json")

    def _band(self, views: Views, one: SeriesNow, since: float, until: float) -> NDArray[np.float64]:
        """Recorded rows of the span; the present band stands for itself when nothing was recorded in it."""
        rows = self._desk.memory.bands(views, one.id).between(since, until)
        if len(rows) or one.low is None or one.high is None:
            return rows
        return np.array(
            [[min(views.at, until), one.expected if one.expected is not None else np.nan, one.low, one.high]]
        )

    async def series_chart(self, request: web.Request) -> web.StreamResponse:
        asked = query_of(request, ChartAsked)
        views, row, since, until, samples = await self._history(request, asked)
        desk, zone = self._desk, self._desk.zone

        def make() -> str:
            one = series_now(views.series, row, zone)
            kept = chart.thinned(samples.at, samples.value, min(asked.points, 2000))
            place = f" from {one.vantage}" if one.vantage else ""
            begins = float(samples.at[0]) if asked.fit and len(samples) else since
            return chart.draw(
                chart.Chart(
                    title=f"{one.probe} {one.metric}{place}",
                    metric=one.metric,
                    zone=zone,
                    since=begins if begins - since > (until - since) / 10 else since,
                    until=until,
                    at=samples.at[kept],
                    value=samples.value[kept],
                    outcome=samples.outcome[kept],
                    band=self._band(views, one, since, until),
                    threshold=asked.threshold,
                    shaded_from=asked.mark_from,
                    shaded_until=asked.mark_until,
                    width=asked.width,
                    height=asked.height,
                )
            )

        return web.Response(text=await desk.away(make), content_type="image/svg+xml")
