"""Rows: every series that analyze knows, where it was measured, and when it was heard of last.

A row number is private to this state; samples come with durable series ids and are translated here, in numpy.
A *feed* is everything that one attempt measures (the series of one probe, target, vantage and label set): it falls
silent as a whole, because a metric may be absent while the attempts go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array, Columns, Field
from cemd.config.configuration import Configuration
from cemd.config.names import Names
from cemd.config.probes import Probe
from cemd.config.settings import Settings
from cemd.config.topology import Topology
from cemd.model.identity import SERIAL_MASK, SeriesId, serials
from cemd.model.measurement import Series, is_never_negative, prober_at

FIELDS = {
    "vantage": Field("<i4"),
    "prober": Field("<i4"),  # whose prober measures it, -1: pushed
    "feed": Field("<i4"),
    "every_seconds": Field("<f4"),  # as configured, 0: pushed
    "placed": Field("|b1"),
    "floor": Field("<f8"),  # lowest value that its unit allows; -inf: any
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a series belongs, by the configuration of now."""

    service: str
    site: str
    touchpoint: str
    probe: str  # uid
    probe_name: str
    kind: str
    every_seconds: float = 0.0


class SeriesTable:
    """Names by row. `places[row]` is None for a series that no probe (any more, from that vantage point) or label
    claims (retired), or whose labels name what the catalogue does not know: kept, and judged by nobody until a
    configuration gives it a place."""

    def __init__(self) -> None:
        self.series: list[Series] = []
        self.places: list[Place | None] = []
        self.columns = Columns(FIELDS)
        self.version = 0
        self.vantages: dict[str, int] = {}
        self.probers: dict[str, int] = {}  # vantage points that measure themselves, as the column numbers them
        self.feeds: dict[tuple[str, ...], int] = {}
        self.feed_rows: list[int] = []  # first row of each feed
        self._row_of: NDArray[np.int32] = np.full(0, -1, np.int32)
        self._probes: dict[str, Probe] = {}
        self._settings = Settings()
        self._names = Names(Configuration())

    def __len__(self) -> int:
        return len(self.series)

    def add(self, series: Sequence[Series]) -> range:
        """Takes those that are new; returns their rows."""
        fresh = list({one.id: one for one in series if self.row(one.id) < 0}.values())
        first = len(self.series)
        self.columns.add(len(fresh))
        vantage, feed, floor = self.columns["vantage"], self.columns["feed"], self.columns["floor"]
        prober = self.columns["prober"]
        for row, one in enumerate(fresh, first):
            serial = one.id & SERIAL_MASK
            if serial >= len(self._row_of):
                grown = np.full(max(1024, 2 * serial), -1, np.int32)
                grown[: len(self._row_of)] = self._row_of
                self._row_of = grown
            self._row_of[serial] = row
            key = one.key
            vantage[row] = self.vantages.setdefault(key.vantage, len(self.vantages))
            measured = bool(prober_at(one.source))
            prober[row] = self.probers.setdefault(key.vantage, len(self.probers)) if measured else -1
            words = (one.source, key.probe, key.vantage, key.target, *(f"{n}={v}" for n, v in key.labels))
            if words not in self.feeds:
                self.feeds[words] = len(self.feed_rows)
                self.feed_rows.append(row)
            feed[row] = self.feeds[words]
            floor[row] = 0.0 if is_never_negative(key.metric) else -np.inf
            self.series.append(one)
            self.places.append(self._place(one))
        self._note_places(first)
        self.version += bool(fresh)
        return range(first, len(self.series))

    def place_all(self, topology: Topology) -> None:
        """A new configuration: every series finds its place anew; that of a probe which is the same one stays."""
        before, self._probes = self._probes, {probe.identity(): probe for probe in topology.configuration.probes}
        self._names = Names(topology.configuration)
        home, self._settings = self._settings.vantage, topology.configuration.settings
        moved = home != self._settings.vantage
        same = {uid for uid, probe in self._probes.items() if not moved and probe is before.get(uid)}
        self.places = [
            place if place is not None and one.key.probe in same else self._place(one)
            for one, place in zip(self.series, self.places, strict=True)
        ]
        self._note_places(0)
        self.version += 1

    def _note_places(self, first: int) -> None:
        held = self.places[first:]
        self.columns["every_seconds"][first:] = [place.every_seconds if place else 0.0 for place in held]
        self.columns["placed"][first:] = [place is not None for place in held]

    def row(self, series: SeriesId) -> int:
        """-1 where the series is not known."""
        serial = series & SERIAL_MASK
        return int(self._row_of[serial]) if serial < len(self._row_of) else -1

    def rows(self, ids: Array) -> NDArray[np.intp]:
        """Row of each id; -1 where it is not known."""
        serial = serials(ids)
        known = serial < len(self._row_of)
        if known.all():
            return self._row_of[serial].astype(np.intp)
        rows = np.full(len(ids), -1, np.intp)
        rows[known] = self._row_of[serial[known]]
        return rows

    def allowed_low(self, rows: Array, expected: Array, low: Array) -> NDArray[np.float64]:
        """The low ends of bands, no lower than the units of the series allow. A series whose expectation itself lies
        below that is one that goes below zero whatever its name says."""
        floor = self.columns["floor"][rows]
        clipped: NDArray[np.float64] = np.where(expected >= floor, np.maximum(low, floor), low)
        return clipped

    def _place(self, series: Series) -> Place | None:
        key = series.key
        probe = self._probes.get(key.probe)
        measured = bool(prober_at(series.source))
        if measured and probe is not None and key.vantage not in self._settings.runs_at(probe.vantages):
            return None  # it runs there no more
        if probe is not None:
            return Place(
                probe.service,
                probe.site or "",
                probe.touchpoint or "",
                key.probe,
                probe.name,
                probe.kind,
                probe.every_seconds,
            )
        labels = dict(key.labels)
        if measured or "service" not in labels or self._names.strange(labels) is not None:
            return None
        site, touchpoint = labels.get("site", ""), labels.get("touchpoint", "")
        return Place(labels["service"], site, touchpoint, key.probe, key.probe, series.source.partition(":")[0])
