"""Views in, documents out: pure functions that turn a snapshot into the shapes of the API."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from cemd.model.finding import Condition, Finding, FindingPhase
from cemd.model.identity import Instant, SeriesId
from cemd.model.incident import Incident, IncidentState
from cemd.model.measurement import SUCCESS
from cemd.model.notice import Alert, AlertState, Phase
from cemd.model.quality import Outcome
from cemd.model.subject import Subject, SubjectKind
from cemd.model.view import CommunicationView, RaterView, SeriesColumns, Views
from cemd.web import shapes, shapes_measured
from cemd.web.house import ToMend

S = TypeVar("S", bound=shapes.Shape)
OVER = frozenset({IncidentState.RESOLVED, IncidentState.CLOSED, IncidentState.CANCELLED, IncidentState.REJECTED})


def moment(at: Instant, zone: ZoneInfo) -> shapes.Moment:
    """An instant for people and for programs."""
    iso = datetime.fromtimestamp(at, zone).isoformat(timespec="milliseconds")
    return shapes.Moment(iso=iso, epoch=at)


def moment_or_none(at: Instant | None, zone: ZoneInfo) -> shapes.Moment | None:
    """0, NaN and what no calendar holds (a peer's broken clock) are no instants."""
    try:
        return moment(at, zone) if at and at == at else None
    except (ValueError, OverflowError, OSError):
        return None


def _same(shape: type[S], record: msgspec.Struct, **more: object) -> S:
    """A shape whose fields are those of a record, except `more`."""
    fields = {name: getattr(record, name) for name in shape.model_fields if name not in more}
    return shape(**fields, **more)


def known(value: float) -> float | None:
    """NaN and infinities are null in JSON."""
    return value if np.isfinite(value) else None


def staff_words(alert: Alert) -> str:
    """What a route was told, or why it was not: without an address."""
    if alert.state is AlertState.SENT:
        return "told of it" if alert.firing else "told that it is over"
    if alert.told_revision < 0:
        before = "not told so far"
    elif alert.told_firing:
        before = "told of it" if alert.firing else "told of it, not yet that it is over"
    else:
        before = "told that it was over"
    match alert.state:
        case AlertState.FAILED:
            return f"{before}: {alert.failure} It is tried again now and then."
        case AlertState.IN_FLIGHT:
            return f"{before}; a message is on its way"
        case _:
            return (
                f"{before}; it is tried again soon: {alert.failure}" if alert.failure else f"{before}; it is sent soon"
            )


class Presenter:
    """Makes shapes of one snapshot in one zone.

    `row_of` finds a series' row by its id, `service_of` the service that the series of a row measures.
    """

    def __init__(
        self,
        views: Views,
        zone: ZoneInfo,
        row_of: Callable[[int], int | None],
        service_of: Callable[[int], str],
    ) -> None:
        self.views, self.zone, self.row_of, self._service_of = views, zone, row_of, service_of
        seen = views.analyze
        self._titles = {
            (kind, one.name): one.title or one.name
            for kind, named in (
                (SubjectKind.SERVICE, seen.services),
                (SubjectKind.TOUCHPOINT, seen.touchpoints),
                (SubjectKind.JOURNEY, seen.journeys),
                (SubjectKind.VANTAGE, seen.vantages),
            )
            for one in named
        }
        self._units = {one.name: one.unit for one in seen.indicators}
        self._indicators = {(one.name, one.service, one.site, one.touchpoint): one for one in seen.indicators}
        self._findings = {one.id: one for one in views.analyze.findings}

    def stamp(self) -> dict[str, object]:
        return {"seq": self.views.seq, "at": moment(self.views.at, self.zone)}

    def to_mend(self, found: Iterable[ToMend]) -> tuple[shapes.ToMend, ...]:
        return tuple(
            shapes.ToMend(
                what=one.what,
                place=one.place,
                fact=one.fact,
                remedy=one.remedy,
                since=moment(one.since, self.zone),
            )
            for one in found
        )

    def cei(self) -> shapes.Cei:
        return _same(shapes.Cei, self.views.analyze.cei)

    def journeys(self, trends: dict[str, tuple[float | None, ...]]) -> tuple[shapes.Journey, ...]:
        return tuple(
            _same(
                shapes.Journey,
                one,
                steps=tuple(_same(shapes.Step, step) for step in one.steps),
                trend=trends.get(one.name, ()),
            )
            for one in self.views.analyze.journeys
        )

    def touchpoints(self) -> tuple[shapes.Touchpoint, ...]:
        return tuple(_same(shapes.Touchpoint, one, rater=_rater(one.rater)) for one in self.views.analyze.touchpoints)

    def services(self) -> tuple[shapes.Service, ...]:
        return tuple(_same(shapes.Service, one) for one in self.views.analyze.services)

    def vantages(self) -> tuple[shapes_measured.Vantage, ...]:
        return tuple(
            _same(
                shapes_measured.Vantage,
                one,
                expected_since=moment(one.expected_since, self.zone),
                heard_at=moment_or_none(one.heard_at, self.zone),
                silent_since=moment_or_none(one.silent_since, self.zone),
            )
            for one in self.views.analyze.vantages
        )

    def indicators(self) -> tuple[shapes.Indicator, ...]:
        return tuple(_same(shapes.Indicator, one) for one in self.views.analyze.indicators)

    def _unit(self, one: Finding) -> str:
        """Unit of a finding whose indicator names none: that of the metric it stands on."""
        row = self.row_of(one.evidence.series[0]) if one.evidence.series else None
        metric = self.views.series.series[row].key.metric if row is not None else one.indicator
        return "ratio" if metric == SUCCESS else unit_of(metric)

    def _now(self, one: Finding) -> tuple[float | None, Instant | None]:
        """How it is now and when that was measured: evidence tells how it was when the finding was last stated."""
        if one.phase is FindingPhase.ENDED or not one.evidence.series:
            return None, None
        if one.condition is Condition.BUDGET_BURNING or one.subject.kind is SubjectKind.TOUCHPOINT:
            return None, None  # their values are rates and distances, worked out when they turn
        if one.condition is Condition.ANOMALY:
            value, series = self._value_of(one.evidence.series[0]), one.evidence.series[:1]
        else:
            found = self._indicators.get((one.indicator, one.subject.name, one.subject.site, one.touchpoint))
            value, series = (found.value, tuple(map(SeriesId, found.series))) if found else (None, ())
        return value, None if value is None else self._measured_at(series)

    def _value_of(self, series: int) -> float | None:
        row = self.row_of(series)
        return None if row is None else known(float(self.views.series.value[row]))

    def _measured_at(self, series: Iterable[int]) -> Instant | None:
        """Of the newest sample of any of them."""
        at = [float(self.views.series.last_at[row]) for one in series if (row := self.row_of(one)) is not None]
        return max((one for one in at if np.isfinite(one)), default=None)

    def _subject(self, subject: Subject) -> shapes.Subject:
        strange = subject.kind == SubjectKind.SERVICE  # pushed data may name what the files do not
        otherwise = f"{subject.name} (not in the catalogue)" if strange else subject.name
        return _same(shapes.Subject, subject, title=self._titles.get((subject.kind, subject.name), otherwise))

    def findings(self) -> tuple[shapes.Finding, ...]:
        return tuple(self.finding(one) for one in self.views.analyze.findings)

    def finding(self, one: Finding) -> shapes.Finding:
        now, now_at = self._now(one)
        evidence = _same(
            shapes.Evidence,
            one.evidence,
            since=moment_or_none(one.evidence.since, self.zone),
            until=moment_or_none(one.evidence.until, self.zone),
            breach_at=moment_or_none(one.evidence.breach_at, self.zone),
            reasons=tuple(_same(shapes.Reason, reason) for reason in one.evidence.reasons),
            alike=tuple(moment(at, self.zone) for at in one.evidence.alike),
        )
        return _same(
            shapes.Finding,
            one,
            subject=self._subject(one.subject),
            unit=self._units.get(one.indicator) or self._unit(one),
            waits=self.views.waits.get(one.id, ""),
            now=now,
            now_at=moment_or_none(now_at, self.zone),
            began_at=moment(one.began_at, self.zone),
            changed_at=moment(one.at, self.zone),
            evidence=evidence,
        )

    def incidents(self) -> tuple[shapes.Incident, ...]:
        """Open ones first, the most urgent at the top; then those that are over, the newest first."""
        order = sorted(
            self.views.incidents,
            key=lambda one: (one.state in OVER, one.priority if one.state not in OVER else 0, -one.opened_at, one.id),
        )
        told = self._told()
        return tuple(self.incident(one, told.get(one.id, ())) for one in order)

    def staff(self, incident: str) -> tuple[shapes.Staff, ...]:
        """What each route of staff was told of an incident."""
        return tuple(
            shapes.Staff(
                route=one.route,
                channel=one.channel,
                says=staff_words(one),
                told_at=moment_or_none(one.told_at, self.zone),
            )
            for one in self.views.report.alerts
            if one.incident == incident
        )

    def _told(self) -> dict[str, tuple[shapes.Told, ...]]:
        by_incident: dict[str, list[shapes.Told]] = defaultdict(list)
        for view in self.views.report.communications:
            one = view.communication
            told = shapes.Told(
                id=one.id,
                state=one.state,
                mode=one.mode,
                told=view.told,
                in_flight=view.in_flight,
                unknown=view.unknown,
                audience=one.audience_count,
            )
            for name in one.incidents:
                by_incident[name].append(told)
        return {name: tuple(told) for name, told in by_incident.items()}

    def incident(self, one: Incident, told: tuple[shapes.Told, ...]) -> shapes.Incident:
        title = self._titles.get((SubjectKind.SERVICE, one.cause.service), one.cause.service)
        return _same(
            shapes.Incident,
            one,
            open=one.state not in OVER,
            subject=self._subject(one.subject),
            cause=_same(shapes.Cause, one.cause, title=title),
            impact=_same(shapes.Impact, one.impact),
            findings=tuple(self.finding(self._findings[name]) for name in one.findings if name in self._findings),
            timeline=tuple(_same(shapes.TimelineItem, item, at=moment(item.at, self.zone)) for item in one.timeline),
            communications=told,
            **self._moments(one, shapes.Incident),
        )

    def _moments(self, record: msgspec.Struct, shape: type[shapes.Shape]) -> dict[str, object]:
        names = [
            name
            for name in shape.model_fields
            if name.endswith("_at") or name in ("clear_since", "hold_until", "decide_by")
        ]
        return {name: moment_or_none(getattr(record, name), self.zone) for name in names}

    def communications(self) -> tuple[shapes.Communication, ...]:
        """Those under way first, the newest at the top."""
        views = self.views.report.communications
        order = sorted(
            views,
            key=lambda one: (
                one.communication.ended_at is not None,
                -one.communication.opened_at,
                one.communication.id,
            ),
        )
        return tuple(self.communication(one) for one in order)

    def communication(self, view: CommunicationView) -> shapes.Communication:
        one = view.communication
        return _same(
            shapes.Communication,
            one,
            phase=Phase(one.phase).name.lower(),
            audience=one.audience_count,
            told=view.told,
            in_flight=view.in_flight,
            unknown=view.unknown,
            reasons=view.reasons,
            states=view.states,
            **self._moments(one, shapes.Communication),
        )

    def site_titles(
        self, incidents: Iterable[shapes.Incident], communications: Iterable[shapes.Communication]
    ) -> dict[str, str]:
        """Titles of the sites that these name: an operator has tens of thousands, and the page shows a few."""
        named = {site for one in communications for site in one.sites}
        for one in incidents:
            subjects = (one.subject, *(finding.subject for finding in one.findings))
            named.update(one.impact.sites, (one.cause.site,), (subject.site for subject in subjects))
        titles = self.views.analyze.site_titles
        return {site: titles[site] for site in sorted(named) if site in titles}

    def series(self, rows: Iterable[int]) -> tuple[shapes_measured.SeriesNow, ...]:
        return tuple(self.one_series(row) for row in rows)

    def one_series(self, row: int) -> shapes_measured.SeriesNow:
        return series_now(self.views.series, row, self.zone, service=self._service_of(row))


def series_now(columns: SeriesColumns, row: int, zone: ZoneInfo, *, service: str = "") -> shapes_measured.SeriesNow:
    """One row of the columns."""
    one = columns.series[row]
    return shapes_measured.SeriesNow(
        id=one.id,
        probe=one.key.probe,
        metric=one.key.metric,
        vantage=one.key.vantage,
        target=one.key.target,
        labels=dict(one.key.labels),
        source=one.source,
        service=service,
        last_at=moment_or_none(float(columns.last_at[row]), zone),
        value=known(float(columns.value[row])),
        expected=known(float(columns.expected[row])),
        low=known(float(columns.low[row])),
        high=known(float(columns.high[row])),
        tail_probability=known(float(columns.score[row])),
        outcome=outcome_word(int(columns.outcome[row])),
    )


def outcome_word(code: int) -> str:
    try:
        return Outcome(code).name.lower()
    except ValueError:
        return "unknown"


def unit_of(metric: str) -> str:
    """A metric's unit stands at the end of its name; empty where it names none."""
    ending = metric.rpartition("_")[2]
    return ending if ending in ("seconds", "ratio", "bytes", "mos", "celsius") else ""


def _rater(rater: RaterView) -> shapes.Rater:
    return shapes.Rater(
        score=rater.score,
        coverage=rater.coverage,
        dimensions=tuple(_same(shapes.RaterPart, part) for part in rater.dimensions),
    )
