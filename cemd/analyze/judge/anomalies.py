"""Series, services and sites that are not as they always were; an anomaly alone is `at_risk`."""

from __future__ import annotations

import msgspec
import numpy as np

from cemd.analyze.bank.bank import Bank
from cemd.analyze.bank.warnings import Warned, Warnings
from cemd.analyze.columns import Array
from cemd.analyze.detectors.attention import Attention
from cemd.analyze.detectors.explain import Why
from cemd.analyze.detectors.gate import Called
from cemd.analyze.findings import MOST_SERIES, Moment, OpenFindings, Said
from cemd.analyze.labels import Labels
from cemd.analyze.series import Place, SeriesTable
from cemd.config.rules import Detector
from cemd.model.finding import Condition, Evidence, Finding, Reason
from cemd.model.identity import Instant
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind

GROUP_KINDS = ("service", "site")
"""As `Warnings.groups` holds them."""


def series_findings(
    held: OpenFindings,
    bank: Bank,
    attention: Attention,
    labels: Labels,
    warnings: Warnings,
    table: SeriesTable,
    moment: Moment,
    detector: Detector,
) -> list[Finding]:
    """Anomalies that the bank began, grew and ended, of a large operator those only that there is room for;
    what the deep detector holds open stays, and is not said twice."""
    bank.realised.judge(moment.at)
    opened, ended = labels.gate(bank, moment.at, detector)
    said: list[Finding] = []
    if warnings.needed(len(bank), detector) or warnings.open:
        opened = _warn(held, bank, warnings, table, moment, detector, (opened, ended), said)
    for row in opened.tolist():
        place = table.places[row]
        if place is not None and held.get(Condition.ANOMALY, str(table.series[row].id)) is None:
            evidence = _of_series(bank, table, row, moment.at, detector)
            metric = table.series[row].key.metric
            spoken = Said.of_place(place, metric, Quality.AT_RISK, evidence)
            said.append(held.begin(Condition.ANOMALY, str(table.series[row].id), spoken, moment))
    for row in bank.escalated().tolist():
        key = str(table.series[row].id)
        if held.get(Condition.ANOMALY, key) is not None and row not in opened and not attention.is_open(row):
            evidence = _of_series(bank, table, row, moment.at, detector)
            said.append(held.change(Condition.ANOMALY, key, moment, quality=Quality.AT_RISK, evidence=evidence))
    for row in ended.tolist():
        key = str(table.series[row].id)
        if not attention.is_open(row) and (found := held.get(Condition.ANOMALY, key)) is not None:
            said.append(held.end(Condition.ANOMALY, key, moment, _at_the_end(found.evidence, bank, row)))
    return said


def _of_series(bank: Bank, table: SeriesTable, row: int, at: Instant, detector: Detector) -> Evidence:
    rows = np.array([row])
    band = bank.band(rows, at, detector.learn_samples)
    low = float(table.allowed_low(rows, band.expected, band.low)[0])
    value, last_at = float(bank.values()[row]), float(bank.columns["last_at"][row])
    metric, expected = table.series[row].key.metric, float(band.expected[0])
    note = _in_words(metric, value, low, float(band.high[0]))
    if bank.columns["binary"][row]:  # either value lies within "usually 0 to 1"
        usually = max(1.0 - expected, 0.0)
        note = f"{metric} is 0 more often than it always was: usually in {usually:.2%} of its samples"
    return Evidence(
        series=(table.series[row].id,),
        value=value,
        expected=expected,
        low=low,
        high=float(band.high[0]),
        tail_probability=float(bank.tail(rows, detector.learn_samples)[0]),
        samples=int(bank.columns["n"][row]),
        until=last_at,
        note=note,
    )


def _in_words(metric: str, value: float, low: float, high: float) -> str:
    return f"{metric} is not as it always was: {value:.4g}, usually {low:.4g} to {high:.4g}"


def _at_the_end(evidence: Evidence, bank: Bank, row: int) -> Evidence:
    note = f"{evidence.note}; at the end {float(bank.values()[row]):.4g}"
    return msgspec.structs.replace(evidence, until=float(bank.columns["last_at"][row]), note=note)


def _warn(
    held: OpenFindings,
    bank: Bank,
    warnings: Warnings,
    table: SeriesTable,
    moment: Moment,
    detector: Detector,
    turned: tuple[Array, Array],
    said: list[Finding],
) -> Array:
    """Says of groups what is to be said of them.

    Returns:
        Rows of single series whose anomaly is to be said.
    """
    opened, ended = turned
    warnings.place(table)
    warnings.waiting |= dict.fromkeys(opened.tolist())
    for row in ended.tolist():
        warnings.waiting.pop(row, None)
    wanted, over = warnings.tick(bank, moment.at, detector)
    for kind, number in over:
        key = _group_key(warnings, kind, number)
        if kind >= 0 and held.get(Condition.ANOMALY, key) is not None:
            said.append(held.end(Condition.ANOMALY, key, moment))
    for one in wanted:
        place = table.places[int(one.rows[0])]
        if one.kind >= 0 and place is not None:
            spoken = _of_group(bank, table, one, place, moment.at, detector)
            said.append(held.begin(Condition.ANOMALY, _group_key(warnings, one.kind, one.number), spoken, moment))
    return np.array([one.number for one in wanted if one.kind < 0], np.intp)


def _group_key(warnings: Warnings, kind: int, number: int) -> str:
    return "" if kind < 0 else f"{GROUP_KINDS[kind]}:{list(warnings.groups[kind].codes)[number]}"


def _of_group(bank: Bank, table: SeriesTable, one: Warned, place: Place, at: Instant, detector: Detector) -> Said:
    """The series that shows it most stands for the group; the site or service that they do not share is left out."""
    strongest = one.rows[np.argsort(-bank.columns["evidence"][one.rows], kind="stable")][:MOST_SERIES].tolist()
    evidence = _of_series(bank, table, strongest[0], at, detector)
    note = f"{len(one.rows)} series of one {GROUP_KINDS[one.kind]} together; most of all {evidence.note}"
    evidence = msgspec.structs.replace(evidence, series=tuple(table.series[row].id for row in strongest), note=note)
    site = place.site if one.kind == 1 else ""
    spoken = Said.of_place(place, "", Quality.AT_RISK, evidence)
    return msgspec.structs.replace(
        spoken, subject=Subject(kind=SubjectKind.SERVICE, name=place.service, site=site), probe="", touchpoint=""
    )


def deep_findings(
    held: OpenFindings, bank: Bank, attention: Attention, labels: Labels, table: SeriesTable, moment: Moment
) -> list[Finding]:
    """Anomalies that the deep detector began, those of the bank that it explains, and those that are over for both and
    for the person who called them true."""
    began, ended = attention.turned(moment.at)
    said: list[Finding] = []
    for row in began:
        place, key = table.places[row], str(table.series[row].id)
        if place is None:
            continue
        evidence = of_deep(attention.why(row), table, row, float(bank.columns["last_at"][row]))
        if held.get(Condition.ANOMALY, key) is not None:
            said.append(held.change(Condition.ANOMALY, key, moment, quality=Quality.AT_RISK, evidence=evidence))
        else:
            spoken = Said.of_place(place, table.series[row].key.metric, Quality.AT_RISK, evidence)
            said.append(held.begin(Condition.ANOMALY, key, spoken, moment))
    for row in ended:
        key = str(table.series[row].id)
        holds = bank.columns["alarm"][row] or row in labels.true
        if not holds and (found := held.get(Condition.ANOMALY, key)) is not None:
            said.append(held.end(Condition.ANOMALY, key, moment, _at_the_end(found.evidence, bank, row)))
    return said


def of_deep(why: Why, table: SeriesTable, row: int, last_at: Instant) -> Evidence:
    """The deep detector's reasons, in numbers and in words."""
    reasons = tuple(
        Reason(kind=kind, says=says, tail_probability=rare, higher=higher) for kind, says, rare, higher in why.reasons
    )
    words = ", ".join(f"{one.says} (1 in {1 / one.tail_probability:,.0f})" for one in reasons)
    again = f"; like {len(why.alike)} of its last episodes{_called(why)}" if why.alike else ""
    return Evidence(
        series=(table.series[row].id,),
        value=why.value,
        expected=why.expected,
        low=why.low,
        high=why.high,
        tail_probability=reasons[0].tail_probability if reasons else None,
        samples=why.samples,
        until=last_at,
        severity=why.severity,
        reasons=reasons,
        alike=why.alike,
        note=f"{_in_words(table.series[row].key.metric, why.value, why.low, why.high)}; unusual: {words}{again}",
    )


def _called(why: Why) -> str:
    """What people said of similar episodes."""
    found = [(word, why.alike_called.count(word)) for word in (Called.TRUE, Called.FALSE, Called.BENIGN)]
    words = ", ".join(f"{count} called {word.name.lower()}" for word, count in found if count)
    return f" ({words})" if words else ""
