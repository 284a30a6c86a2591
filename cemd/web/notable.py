"""The series that deviate most just now, each with its recent past: what to look at when nothing was asked for."""

from __future__ import annotations

import asyncio
import math

import numpy as np
from aiohttp import web
from pydantic import Field

from cemd.model.identity import Instant
from cemd.model.measurement import Samples
from cemd.model.view import SeriesColumns
from cemd.web import documents
from cemd.web.asked import Asked
from cemd.web.desk import Desk
from cemd.web.present import Presenter, known
from cemd.web.routes import Route, get, query_of
from cemd.web.shapes import Shape
from cemd.web.shapes_measured import SeriesTrend

RECENT_SECONDS = 900.0
TREND_POINTS = 60


class NotableAsked(Asked):
    limit: int = Field(12, ge=1, le=50)


def most_unusual(columns: SeriesColumns, at: Instant, limit: int) -> list[int]:
    """Rows by tail probability, the rarest first; only those that were heard lately and of which enough is known."""
    heard = np.isfinite(columns.score) & (at - columns.last_at <= RECENT_SECONDS)
    rows = np.flatnonzero(heard)
    if len(rows) > limit:
        rows = np.sort(rows[np.argpartition(columns.score[rows], limit - 1)[:limit]])
    return [int(row) for row in rows[np.argsort(columns.score[rows], kind="stable")]]


def trend_of(samples: Samples, since: Instant, until: Instant) -> tuple[float | None, ...]:
    """Means of equal stretches of time; None where a stretch has no value."""
    good = np.isfinite(samples.value)
    place = ((samples.at[good] - since) / (until - since) * TREND_POINTS).astype(np.intp)
    place = np.clip(place, 0, TREND_POINTS - 1)
    counts = np.bincount(place, minlength=TREND_POINTS)
    sums = np.bincount(place, weights=samples.value[good], minlength=TREND_POINTS)
    return tuple(known(total / n) if n else None for total, n in zip(sums.tolist(), counts.tolist(), strict=True))


class Notable:
    """Reads a short history of a few series a view."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        words = "Series that deviate most now."
        return (
            get(
                "/api/v1/notable",
                "notable",
                words,
                self.notable,
                documents.NotableDoc,
                tag="series",
                query=NotableAsked,
            ),
        )

    async def notable(self, request: web.Request) -> web.StreamResponse:
        asked = query_of(request, NotableAsked)
        desk, views = self._desk, self._desk.views()
        since, until = views.at - RECENT_SECONDS, math.nextafter(views.at, math.inf)
        rows = await desk.away(lambda: most_unusual(views.series, views.at, asked.limit))
        wanted = [views.series.series[row].id for row in rows]
        histories = await asyncio.gather(*(desk.house.history(one, since, until) for one in wanted))

        def make(present: Presenter) -> Shape:
            known_rows = [(present.row_of(one), samples) for one, samples in zip(wanted, histories, strict=True)]
            items = tuple(
                SeriesTrend(**present.one_series(row).model_dump(), trend=trend_of(samples, since, until))
                for row, samples in known_rows
                if row is not None
            )
            return documents.NotableDoc(**present.stamp(), trend_seconds=RECENT_SECONDS / TREND_POINTS, items=items)

        return await desk.document(request, make)
