"""What the web remembers between views, to draw with: recent scores for sparklines, and the expected bands of series
that somebody looks at or that findings stand on. Bounded, lost at a restart, and nothing is decided from it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cemd.model.identity import Instant
from cemd.model.view import SeriesColumns, Views
from cemd.web.placing import Places

TREND_SECONDS = 10.0
TREND_POINTS = 120
MOST_BANDS = 400
"""Series whose band is recorded; the one that was wanted longest ago gives way."""
BAND_SECONDS = 10.0
BAND_POINTS = 1080  # three hours


class SeriesIndex:
    """Row by series id; made once a version of the series."""

    def __init__(self, columns: SeriesColumns) -> None:
        self.version = columns.version
        ids = np.fromiter((one.id for one in columns.series), np.int64, len(columns.series))
        self._order = np.argsort(ids, kind="stable")
        self._ids = ids[self._order]

    def row(self, series: int) -> int | None:
        """Row of a series id; None where it is not known."""
        place = int(np.searchsorted(self._ids, series))
        if place < len(self._ids) and int(self._ids[place]) == series:
            return int(self._order[place])
        return None


class Bands:
    """Recorded expectation of one series: (at, expected, low, high) at most every `BAND_SECONDS`."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float, float, float]] = deque(maxlen=BAND_POINTS)

    def note(self, at: Instant, expected: float, low: float, high: float) -> None:
        if not self._points or at - self._points[-1][0] >= BAND_SECONDS:
            self._points.append((at, expected, low, high))

    def between(self, since: Instant, until: Instant) -> NDArray[np.float64]:
        """Rows (at, expected, low, high), float64[n, 4]."""
        table = np.array(self._points, np.float64).reshape(-1, 4)
        return table[(table[:, 0] >= since) & (table[:, 0] <= until)]


class Memory:
    """Used by the web's one thread."""

    def __init__(self) -> None:
        self._trend_at = -np.inf
        self._cei: deque[float | None] = deque(maxlen=TREND_POINTS)
        self._journeys: dict[str, deque[float | None]] = {}
        self._bands: OrderedDict[int, Bands] = OrderedDict()
        self._index: SeriesIndex | None = None
        self._places: Places | None = None

    def index(self, columns: SeriesColumns) -> SeriesIndex:
        if self._index is None or self._index.version != columns.version:
            self._index = SeriesIndex(columns)
        return self._index

    def places(self, views: Views) -> Places:
        if self._places is None or self._places.made_of != (views.series.version, views.epoch):
            self._places = Places(views)
        return self._places

    def note(self, views: Views) -> None:
        """Takes in a new view."""
        if views.at - self._trend_at >= TREND_SECONDS:
            self._trend_at = views.at
            self._cei.append(views.analyze.cei.score)
            self._note_journeys(views)
        self._want(series for one in views.analyze.findings for series in one.evidence.series)
        for series in self._bands:
            self._note_band(views, series)

    def _note_journeys(self, views: Views) -> None:
        kept: dict[str, deque[float | None]] = {}
        for one in views.analyze.journeys:
            kept[one.name] = self._journeys.get(one.name) or deque(maxlen=TREND_POINTS)
            kept[one.name].append(one.score)
        self._journeys = kept

    def _want(self, series: Iterable[int]) -> None:
        for one in series:
            self._bands.setdefault(one, Bands())
        while len(self._bands) > MOST_BANDS:
            self._bands.popitem(last=False)

    def _note_band(self, views: Views, series: int) -> None:
        columns = views.series
        row = self.index(columns).row(series)
        if row is not None and np.isfinite(columns.low[row]) and np.isfinite(columns.high[row]):
            expected, low, high = (float(column[row]) for column in (columns.expected, columns.low, columns.high))
            self._bands[series].note(views.at, expected, low, high)

    def cei_trend(self) -> tuple[float | None, ...]:
        return tuple(self._cei)

    def journey_trends(self) -> dict[str, tuple[float | None, ...]]:
        return {name: tuple(points) for name, points in self._journeys.items()}

    def bands(self, views: Views, series: int) -> Bands:
        """The bands of a series that somebody looks at; recorded from now on."""
        self._want([series])
        self._bands.move_to_end(series)
        self._note_band(views, series)
        return self._bands[series]
