"""What the API answers with: documents of the newest view, history with its band, and the chain of an id."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec
import numpy as np
from aiohttp import web

from cemd import __version__
from cemd.model.identity import SeriesId
from cemd.model.measurement import SUCCESS, Samples
from cemd.model.view import Views
from cemd.web import chart, probes, shapes
from cemd.web.desk import Desk
from cemd.web.guard import Refused
from cemd.web.memory import TREND_SECONDS
from cemd.web.present import Presenter, known, moment, outcome_word, series_now
from cemd.web.routes import Route, get, query_of
from cemd.web.shapes import IncidentsAsked, Page, Shape, Span

I = TypeVar("I", bound=Shape)  # noqa: E741 -- an item
HISTORY_SECONDS = 3600.0
MOST_SECONDS = 400 * 86_400.0


class ChartAsked(Span):
    """A span, and what to mark in it."""

    threshold: float | None = None
    """Draw the objective at this value, in the unit of the series."""
    mark_from: float | None = None
    """Shade from this instant, seconds since 1970."""
    mark_until: float | None = None
    fit: bool = False
    """Begin at the first sample where the span begins long before it."""


def paged(items: Sequence[I], page: Page, words: Callable[[I], Iterable[str]]) -> tuple[int, tuple[I, ...]]:
    """How many items fit the words of the page, and those on it."""
    wanted = page.q.lower().split()
    if wanted:
        texts = ((" ".join(words(item)).lower(), item) for item in items)
        items = [item for text, item in texts if all(word in text for word in wanted)]
    return len(items), tuple(items[page.offset : page.offset + page.limit])


class Api:
    """Reading. Nothing here changes anything."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        v1, doc = "/api/v1/", shapes
        return (
            get(
                v1 + "overview",
                "overview",
                "Everything that the first page shows.",
                self.overview,
                doc.OverviewDoc,
                tag="quality",
            ),
            get(v1 + "cei", "cei", "Customer experience index and its parts.", self.cei, doc.CeiDoc, tag="quality"),
            get(
                v1 + "journeys",
                "journeys",
                "Journeys with their steps.",
                self.journeys,
                doc.JourneysDoc,
                tag="quality",
                query=Page,
            ),
            get(
                v1 + "touchpoints",
                "touchpoints",
                "Touchpoints with RATER.",
                self.touchpoints,
                doc.TouchpointsDoc,
                tag="quality",
                query=Page,
            ),
            get(
                v1 + "services",
                "services",
                "Services and what they stand on.",
                self.services,
                doc.ServicesDoc,
                tag="quality",
                query=Page,
            ),
            get(
                v1 + "indicators",
                "indicators",
                "Indicators with score and objective.",
                self.indicators,
                doc.IndicatorsDoc,
                tag="quality",
                query=Page,
            ),
            get(
                v1 + "findings",
                "findings",
                "Findings with evidence.",
                self.findings,
                doc.FindingsDoc,
                tag="incidents",
                query=Page,
            ),
            get(
                v1 + "incidents",
                "incidents",
                "Incidents, open and urgent ones first.",
                self.incidents,
                doc.IncidentsDoc,
                tag="incidents",
                query=IncidentsAsked,
            ),
            get(
                v1 + "incidents/{incident}",
                "incident",
                "One incident.",
                self.incident,
                doc.IncidentDoc,
                tag="incidents",
                refusals=(404,),
            ),
            get(
                v1 + "communications",
                "communications",
                "What customers are told.",
                self.communications,
                doc.CommunicationsDoc,
                tag="customers",
                query=Page,
            ),
            get(
                v1 + "series",
                "series_list",
                "Series by name, with their last sample.",
                self.series_list,
                doc.SeriesListDoc,
                tag="series",
                query=Page,
            ),
            get(
                v1 + "series/{series}",
                "series",
                "One series: history and expected band.",
                self.series,
                doc.SeriesDoc,
                tag="series",
                query=Span,
                refusals=(404,),
            ),
            get(
                v1 + "series/{series}/chart.svg",
                "series_chart",
                "The same as a picture.",
                self.series_chart,
                None,
                tag="series",
                query=ChartAsked,
                media="image/svg+xml",
                refusals=(404,),
            ),
            get(
                v1 + "probes",
                "probes",
                "Who measures, and how it goes.",
                self.probes,
                doc.ProbesDoc,
                tag="series",
                query=Page,
            ),
            get(
                v1 + "explain/{id}",
                "explain",
                "The chain behind an id.",
                self.explain,
                doc.ExplainDoc,
                tag="incidents",
                refusals=(404,),
            ),
        )

    async def overview(self, request: web.Request) -> web.StreamResponse:
        query_of(request, shapes.Nothing)
        desk, house = self._desk, self._desk.house
        not_ready, token_needed = tuple(house.ready()), house.token() is not None

        def make(present: Presenter) -> shapes.OverviewDoc:
            views = present.views
            return shapes.OverviewDoc(
                **present.stamp(),
                operator=house.operator,
                zone=house.zone,
                version=__version__,
                epoch=views.epoch,
                stale_after_seconds=desk.stale_after_seconds,
                trend_seconds=TREND_SECONDS,
                token_needed=token_needed,
                killed=views.report.killed,
                sending_held=views.report.sending_held,
                customers=views.report.customers,
                series=len(views.series.series),
                channels_due=views.report.due,
                not_ready=not_ready,
                cei=present.cei(),
                cei_trend=desk.memory.cei_trend(),
                journeys=present.journeys(desk.memory.journey_trends()),
                touchpoints=present.touchpoints(),
                services=present.services(),
                incidents=present.incidents()[:50],
                communications=present.communications()[:50],
            )

        return await desk.document(request, make, *not_ready)

    async def cei(self, request: web.Request) -> web.StreamResponse:
        query_of(request, shapes.Nothing)
        memory = self._desk.memory
        return await self._desk.document(
            request, lambda present: shapes.CeiDoc(**present.stamp(), cei=present.cei(), trend=memory.cei_trend())
        )

    async def journeys(self, request: web.Request) -> web.StreamResponse:
        memory = self._desk.memory
        return await self._listed(
            request,
            shapes.JourneysDoc,
            lambda present: present.journeys(memory.journey_trends()),
            lambda one: (one.name, one.title, one.macro_journey, one.stage, one.owner),
        )

    async def touchpoints(self, request: web.Request) -> web.StreamResponse:
        return await self._listed(
            request, shapes.TouchpointsDoc, Presenter.touchpoints, lambda one: (one.name, one.title, one.channel)
        )

    async def services(self, request: web.Request) -> web.StreamResponse:
        return await self._listed(
            request, shapes.ServicesDoc, Presenter.services, lambda one: (one.name, one.title, one.domain)
        )

    async def indicators(self, request: web.Request) -> web.StreamResponse:
        return await self._listed(
            request,
            shapes.IndicatorsDoc,
            Presenter.indicators,
            lambda one: (one.name, one.service, one.site, one.touchpoint, one.dimension.value),
        )

    async def findings(self, request: web.Request) -> web.StreamResponse:
        return await self._listed(
            request,
            shapes.FindingsDoc,
            Presenter.findings,
            lambda one: (one.id, one.condition.value, one.subject.name, one.subject.site, one.indicator, one.probe),
        )

    async def communications(self, request: web.Request) -> web.StreamResponse:
        return await self._listed(
            request,
            shapes.CommunicationsDoc,
            Presenter.communications,
            lambda one: (one.id, one.policy, one.state.value, *one.services, *one.sites),
        )

    async def _listed(
        self,
        request: web.Request,
        answer: type[Shape],
        items: Callable[[Presenter], Sequence[I]],
        words: Callable[[I], Iterable[str]],
    ) -> web.StreamResponse:
        page = query_of(request, Page)

        def make(present: Presenter) -> Shape:
            total, shown = paged(items(present), page, words)
            return answer(**present.stamp(), total=total, items=shown)

        return await self._desk.document(request, make)

    async def incidents(self, request: web.Request) -> web.StreamResponse:
        asked = query_of(request, IncidentsAsked)

        def make(present: Presenter) -> Shape:
            wanted = [one for one in present.incidents() if asked.open is None or one.open == asked.open]
            total, shown = paged(
                wanted, asked, lambda one: (one.id, one.subject.name, one.cause.service, *one.impact.services)
            )
            return shapes.IncidentsDoc(**present.stamp(), total=total, items=shown)

        return await self._desk.document(request, make)

    async def incident(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["incident"]
        query_of(request, shapes.Nothing)
        if all(one.id != name for one in self._desk.views().incidents):
            raise Refused(404, "incident", f"nobody knows {name[:80]!r}", "see /api/v1/incidents")

        def make(present: Presenter) -> Shape:
            found = next(one for one in present.incidents() if one.id == name)
            return shapes.IncidentDoc(**present.stamp(), incident=found)

        return await self._desk.document(request, make)

    async def probes(self, request: web.Request) -> web.StreamResponse:
        return await self._listed(request, shapes.ProbesDoc, probes.probes_of, lambda one: (one.name, *one.metrics))

    async def series_list(self, request: web.Request) -> web.StreamResponse:
        page = query_of(request, Page)
        memory = self._desk.memory

        def make(present: Presenter) -> Shape:
            rows = memory.index(present.views.series).search(page.q)
            shown = present.series(rows[page.offset : page.offset + page.limit])
            return shapes.SeriesListDoc(**present.stamp(), total=len(rows), items=shown)

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
            one = series_now(views.series, row, zone)
            kept = chart.thinned(samples.at, samples.value, span.points)
            columns = (samples.at[kept].tolist(), samples.value[kept].tolist(), samples.outcome[kept].tolist())
            points = tuple(
                shapes.Point(at=at, value=known(value), outcome=outcome_word(outcome))
                for at, value, outcome in zip(*columns, strict=True)
            )
            band = tuple(
                shapes.BandPoint(at=at, expected=known(usual), low=known(low), high=known(high))
                for at, usual, low, high in self._band(views, one, since, until).tolist()
            )
            document = shapes.SeriesDoc(
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

    def _band(
        self, views: Views, one: shapes.SeriesNow, since: float, until: float
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
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
                    threshold=asked.threshold if one.metric != SUCCESS else None,  # a share is no value of one attempt
                    shaded_from=asked.mark_from,
                    shaded_until=asked.mark_until,
                )
            )

        return web.Response(text=await desk.away(make), content_type="image/svg+xml")

    async def explain(self, request: web.Request) -> web.StreamResponse:
        query_of(request, shapes.Nothing)
        name = request.match_info["id"]
        chain = await self._desk.house.explain(name) if len(name) <= 200 else None
        if chain is None:
            raise Refused(
                404, "id", f"nobody knows {name[:80]!r}", "give the id of an incident, finding, communication or notice"
            )
        return web.Response(body=msgspec.json.encode({"id": name, "chain": chain}), content_type="application/json")
