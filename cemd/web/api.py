"""What the API answers with: documents of the newest view, history with its band, and the chain of an id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from cemd import __version__
from cemd.model.finding import Finding
from cemd.web import documents, probes
from cemd.web.asked import Asked, IncidentsAsked, Nothing, Page
from cemd.web.desk import Desk
from cemd.web.guard import Handler, Refused
from cemd.web.memory import TREND_SECONDS
from cemd.web.present import Presenter, moment_or_none
from cemd.web.routes import Route, get, query_of
from cemd.web.shapes import Shape

I = TypeVar("I", bound=Shape)  # noqa: E741 -- an item


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
        v1, doc = "/api/v1/", documents
        table: tuple[tuple[str, str, str, Handler, type[Shape], type[Asked]], ...] = (
            ("overview", "quality", "Everything that the first page shows.", self.overview, doc.OverviewDoc, Nothing),
            ("cei", "quality", "Customer experience index and its parts.", self.cei, doc.CeiDoc, Nothing),
            ("journeys", "quality", "Journeys with their steps.", self.journeys, doc.JourneysDoc, Page),
            ("touchpoints", "quality", "Touchpoints with RATER.", self.touchpoints, doc.TouchpointsDoc, Page),
            ("services", "quality", "Services and what they stand on.", self.services, doc.ServicesDoc, Page),
            ("vantages", "series", "From where it is measured.", self.vantages, doc.VantagesDoc, Page),
            ("indicators", "quality", "Indicators and objectives.", self.indicators, doc.IndicatorsDoc, Page),
            ("findings", "incidents", "Findings with evidence.", self.findings, doc.FindingsDoc, Page),
            ("incidents", "incidents", "Incidents, urgent first.", self.incidents, doc.IncidentsDoc, IncidentsAsked),
            ("communications", "customers", "Who is told.", self.communications, doc.CommunicationsDoc, Page),
            ("probes", "series", "Who measures, and how it goes.", self.probes, doc.ProbesDoc, Page),
        )
        one, why, probe, gone = v1 + "incidents/{incident}", v1 + "explain/{id}", v1 + "probes/{probe}", (404,)
        found = "Every finding of an incident, also those that ended; the earliest first."
        return (
            *(get(v1 + name, name, words, do, out, tag=tag, query=asked) for name, tag, words, do, out, asked in table),
            get(one, "incident", "One incident.", self.incident, doc.IncidentDoc, tag="incidents", refusals=gone),
            get(probe, "probe", "One probe, and why it failed.", self.probe, doc.ProbeDoc, tag="series", refusals=gone),
            get(
                one + "/findings",
                "incident_findings",
                found,
                self.incident_findings,
                doc.FindingsDoc,
                tag="incidents",
                refusals=gone,
            ),
            get(why, "explain", "The chain of an id.", self.explain, doc.ExplainDoc, tag="incidents", refusals=gone),
        )

    async def overview(self, request: web.Request) -> web.StreamResponse:
        query_of(request, Nothing)
        desk, house = self._desk, self._desk.house
        not_ready, token_needed = tuple(house.ready()), house.token() is not None
        to_mend = house.to_mend()

        def make(present: Presenter) -> documents.OverviewDoc:
            views = present.views
            incidents, communications = present.incidents()[:50], present.communications()[:50]
            return documents.OverviewDoc(
                **present.stamp(),
                operator=house.operator,
                zone=house.zone,
                version=__version__,
                epoch=views.epoch,
                stale_after_seconds=desk.stale_after_seconds,
                trend_seconds=TREND_SECONDS,
                token_needed=token_needed,
                killed=views.report.killed,
                killed_by=views.report.killed_by,
                killed_at=moment_or_none(views.report.killed_at, present.zone),
                sending_held=views.report.sending_held,
                customers=views.report.customers,
                series=len(views.series.series),
                channels_due=views.report.due,
                not_ready=not_ready,
                to_mend=present.to_mend(to_mend),
                cei=present.cei(),
                cei_trend=desk.memory.cei_trend(),
                journeys=present.journeys(desk.memory.journey_trends()),
                touchpoints=present.touchpoints(),
                services=present.services(),
                vantages=present.vantages(),
                incidents=incidents,
                communications=communications,
                site_titles=present.site_titles(incidents, communications),
            )

        return await desk.document(request, make, *not_ready, *map(repr, to_mend))

    async def cei(self, request: web.Request) -> web.StreamResponse:
        query_of(request, Nothing)
        memory = self._desk.memory
        return await self._desk.document(
            request, lambda present: documents.CeiDoc(**present.stamp(), cei=present.cei(), trend=memory.cei_trend())
        )

    async def journeys(self, request: web.Request) -> web.StreamResponse:
        memory = self._desk.memory
        return await self._listed(
            request,
            documents.JourneysDoc,
            lambda present: present.journeys(memory.journey_trends()),
            lambda one: (one.name, one.title, one.macro_journey, one.stage, one.owner),
        )

    async def touchpoints(self, request: web.Request) -> web.StreamResponse:
        return await self._listed(
            request, documents.TouchpointsDoc, Presenter.touchpoints, lambda one: (one.name, one.title, one.channel)
        )

    async def services(self, request: web.Request) -> web.StreamResponse:
        return await self._listed(
            request, documents.ServicesDoc, Presenter.services, lambda one: (one.name, one.title, one.domain)
        )

    async def vantages(self, request: web.Request) -> web.StreamResponse:
        return await self._listed(
            request, documents.VantagesDoc, Presenter.vantages, lambda one: (one.name, one.title, *one.services)
        )

    async def indicators(self, request: web.Request) -> web.StreamResponse:
        return await self._listed(
            request,
            documents.IndicatorsDoc,
            Presenter.indicators,
            lambda one: (one.name, one.service, one.site, one.touchpoint, one.dimension.value),
        )

    async def findings(self, request: web.Request) -> web.StreamResponse:
        return await self._listed(
            request,
            documents.FindingsDoc,
            Presenter.findings,
            lambda one: (one.id, one.condition.value, one.subject.name, one.subject.site, one.indicator, one.probe),
        )

    async def communications(self, request: web.Request) -> web.StreamResponse:
        return await self._listed(
            request,
            documents.CommunicationsDoc,
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
            return documents.IncidentsDoc(**present.stamp(), total=total, items=shown)

        return await self._desk.document(request, make)

    async def incident(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["incident"]
        query_of(request, Nothing)
        if all(one.id != name for one in self._desk.views().incidents):
            raise Refused(404, "incident", f"nobody knows {name[:80]!r}", "see /api/v1/incidents")

        def make(present: Presenter) -> Shape:
            found = next(one for one in present.incidents() if one.id == name)
            staff, unheard = present.staff(name), present.views.unheard.get(name, "")
            return documents.IncidentDoc(**present.stamp(), incident=found, staff=staff, unheard=unheard)

        return await self._desk.document(request, make)

    async def incident_findings(self, request: web.Request) -> web.StreamResponse:
        query_of(request, Nothing)
        name = request.match_info["incident"]
        chain = await self._chain(name)
        kept = [msgspec.convert(one, Finding) for one in chain.get("findings", ()) if one.get("incident") == name]
        kept.sort(key=lambda one: (one.began_at, one.id))

        def make(present: Presenter) -> Shape:
            items = tuple(present.finding(one) for one in kept)
            return documents.FindingsDoc(**present.stamp(), total=len(items), items=items)

        return await self._desk.document(request, make)

    async def probes(self, request: web.Request) -> web.StreamResponse:
        page = query_of(request, Page)

        def make(present: Presenter) -> Shape:
            total, shown = probes.probes_of(present, page)
            return documents.ProbesDoc(**present.stamp(), total=total, items=shown)

        return await self._desk.document(request, make)

    async def probe(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["probe"]
        query_of(request, Nothing)
        if all(one.key.probe != name for one in self._desk.views().series.series):
            raise Refused(404, "probe", f"nothing was measured by {name[:80]!r} yet", "see /api/v1/probes")
        failures = await self._desk.house.failures(name)
        asked = await self._desk.house.runs_asked(name)
        newest = "/".join(str(some[0].at) if some else "" for some in (failures, asked))
        return await self._desk.document(
            request, lambda present: probes.probe_of(present, name, failures, asked), newest
        )

    async def explain(self, request: web.Request) -> web.StreamResponse:
        query_of(request, Nothing)
        name = request.match_info["id"]
        chain = await self._chain(name)
        return web.Response(body=msgspec.json.encode({"id": name, "chain": chain}), content_type="application/json")

    async def _chain(self, name: str) -> dict[str, Any]:
        chain = await self._desk.house.explain(name) if len(name) <= 200 else None
        if chain is None:
            raise Refused(
                404, "id", f"nobody knows {name[:80]!r}", "give the id of an incident, finding, communication or notice"
            )
        return chain
