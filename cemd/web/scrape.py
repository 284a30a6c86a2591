"""/metrics: one body of three parts. Scores and counts of the view, every series, then the daemon's own metrics.

The parts of the view are rendered once a view, in a thread, and kept together with their gzip form (compressing costs
more than rendering); the daemon's own metrics are read at each scrape. Prometheus text or OpenMetrics, by Accept.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from cemd.model.notice import NoticeState
from cemd.model.quality import Quality
from cemd.model.view import Views
from cemd.web.exposition import SeriesText, family
from cemd.web.present import OVER

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
BANDS = ("expected", "low", "high")
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"  # deflate, no name, no time, fastest, system unknown


def wants_openmetrics(accept: str) -> bool:
    """True when the scraper prefers OpenMetrics to the older text."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            weights[kind] = float(weight)
        except ValueError:
            weights[kind] = 0.0
    asked = weights.get("application/openmetrics-text", 0.0)
    return asked > 0 and asked >= weights.get("text/plain", 0.0)


class Exposition:
    """Renders bodies; every method may take long and is called from one thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._value = SeriesText("cemd_series_value", "Last value of a series, in the unit that its metric names.")
        self._bands = {
            band: SeriesText(f"cemd_series_{band}", f"What the baseline holds for {words} of a series.")
            for band, words in zip(BANDS, ("usual", "the low end", "the high end"), strict=True)
        }
        self._kept: dict[bool, tuple[int, list[bytes]]] = {}
        self._packed: dict[bool, tuple[int, Packed]] = {}

    def body(self, views: Views | None, *, band: bool, strict: bool) -> list[bytes]:
        """The body as blocks; `strict`: as OpenMetrics, which must end with EOF and does."""
        return [*self._of_view(views, band), self._own(strict)]

    def packed(self, views: Views | None, *, band: bool, strict: bool) -> list[bytes]:
        """The same body, gzipped; the large part is compressed once a view."""
        seq = views.seq if views else -1
        kept = self._packed.get(band)
        if kept is None or kept[0] != seq:
            kept = (seq, Packed.of(self._of_view(views, band)))
            self._packed[band] = kept
        return kept[1].ended_with(self._own(strict))

    def _of_view(self, views: Views | None, band: bool) -> list[bytes]:
        if views is None:
            return []
        kept = self._kept.get(band)
        if kept is None or kept[0] != views.seq:
            kept = (views.seq, [part for part in self._render(views, band) if part])
            self._kept[band] = kept
        return kept[1]

    def _render(self, views: Views, band: bool) -> Iterable[bytes]:
        yield from scores(views)
        yield from counts(views)
        columns = views.series
        if not columns.series:
            return
        self._value.name(columns.series, columns.version)
        yield from self._value.render(columns.value)
        if band:
            for word, text in self._bands.items():
                text.name(columns.series, columns.version)
                yield from text.render(getattr(columns, word))

    def _own(self, strict: bool) -> bytes:
        if strict:
            text: bytes = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]
            return text
        return generate_latest(self._registry)


@dataclass(frozen=True, slots=True)
class Packed:
    """The beginning of a gzip member: deflated up to a full flush, so that anything may follow. Fast rather than small;
    the interpreter lock is free while zlib works."""

    parts: tuple[bytes, ...]
    checksum: int
    size: int

    @classmethod
    def of(cls, blocks: Iterable[bytes]) -> Packed:
        packer = zlib.compressobj(level=1, wbits=-15)
        parts, checksum, size = [GZIP_HEAD], 0, 0
        for block in blocks:
            parts.append(packer.compress(block))
            checksum, size = zlib.crc32(block, checksum), size + len(block)
        parts.append(packer.flush(zlib.Z_FULL_FLUSH))
        return cls(tuple(filter(None, parts)), checksum, size)

    def ended_with(self, last: bytes) -> list[bytes]:
        """The whole member, `last` at its end."""
        packer = zlib.compressobj(level=1, wbits=-15)
        tail = packer.compress(last) + packer.flush()
        size = (self.size + len(last)) & 0xFFFFFFFF
        return [*self.parts, tail, struct.pack("<II", zlib.crc32(last, self.checksum), size)]


def scores(views: Views) -> Iterable[bytes]:
    """Quality in numbers, 0 worst to 100 best; a line only where something is known."""
    seen = views.analyze
    yield family("cemd_cei_score", "Customer experience index of the operator, 0 to 100.", [({}, seen.cei.score)])
    yield family("cemd_cei_coverage_ratio", "Share of the index that stands on data.", [({}, seen.cei.coverage)])
    journeys = [({"journey": one.name}, one.score) for one in seen.journeys]
    yield family("cemd_journey_score", "Predicted health of a journey, 0 to 100.", journeys)
    steps = [({"journey": one.name, "step": step.name}, step.score) for one in seen.journeys for step in one.steps]
    yield family("cemd_journey_step_score", "Predicted health of a step, 0 to 100.", steps)
    rater = [
        ({"touchpoint": point.name, "dimension": part.dimension.value}, part.score)
        for point in seen.touchpoints
        for part in point.rater.dimensions
    ]
    yield family("cemd_rater_score", "Service quality of a touchpoint by RATER dimension, 0 to 100.", rater)
    totals = [({"touchpoint": point.name}, point.rater.score) for point in seen.touchpoints]
    yield family("cemd_touchpoint_score", "Service quality of a touchpoint, 0 to 100.", totals)
    places = [
        ({"indicator": one.name, "service": one.service, "site": one.site, "touchpoint": one.touchpoint}, one)
        for one in seen.indicators
    ]
    yield family("cemd_indicator_score", "Score of an indicator, 0 to 100.", [(at, one.score) for at, one in places])
    yield family("cemd_indicator_value", "Value of an indicator, in its unit.", [(at, one.value) for at, one in places])
    services = [({"service": one.name}, one.score) for one in seen.services]
    yield family("cemd_service_score", "Score of a service, 0 to 100.", services)
    states = Counter(one.quality for one in seen.services)
    by_state = [({"quality": quality.value}, float(states[quality])) for quality in Quality]
    yield family("cemd_services", "Services by quality.", by_state)


def counts(views: Views) -> Iterable[bytes]:
    """What is open, who was told, and whether sending is stopped."""
    open_now = Counter(one.quality for one in views.incidents if one.state not in OVER)
    rows = [({"quality": quality.value}, float(open_now[quality])) for quality in Quality]
    yield family("cemd_incidents_open", "Incidents that are open, by quality of their subject.", rows)
    report = views.report
    notices: Counter[str] = Counter()
    for one in report.communications:
        notices.update(one.states)
    by_state = [({"state": state.name.lower()}, float(notices[state.name.lower()])) for state in NoticeState]
    yield family("cemd_notices", "Notices to customers of the communications shown, by state.", by_state)
    told = float(sum(one.told for one in report.communications))
    yield family(
        "cemd_customers_told",
        "Customers of whom a transport accepted a notice, in what is shown.",
        [({}, told)],
    )
    yield family("cemd_sending_killed", "1 while the kill switch stops every message.", [({}, float(report.killed))])
    yield family("cemd_sending_held", "1 while sending is held after a restore.", [({}, float(report.sending_held))])
    yield family("cemd_view_seq", "Sequence number of the newest view.", [({}, float(views.seq))])
    yield family("cemd_view_at_seconds", "Core time of the newest view, seconds since 1970.", [({}, views.at)])
    yield family("cemd_series", "Series known.", [({}, float(len(views.series.series)))])
