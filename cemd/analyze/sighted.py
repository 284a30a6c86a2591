"""From what the models sighted to findings with words and numbers: forecasts, drift, touchpoints as a whole.

All of them are `at_risk`: nothing is broken yet. A forecast's end says whether it came true.
"""

from __future__ import annotations

import msgspec
import numpy as np

from cemd.analyze.findings import MOST_SERIES, Moment, OpenFindings, Said, key_of, place_of
from cemd.analyze.indicators.indicators import Indicators, window_seconds
from cemd.analyze.indicators.instances import Instance, objective_text
from cemd.analyze.models.lookout import Lookout, Place, Sighted
from cemd.analyze.series import SeriesTable
from cemd.model.finding import Condition, Evidence, Finding
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind


def retired_sightings(held: OpenFindings, lookout: Lookout, indicators: Indicators, moment: Moment) -> list[Finding]:
    """Ends what is open on something that the configuration does not watch any more. Asked before the models' tick."""
    said: list[Finding] = []
    for condition, columns in (
        (Condition.FORECAST, lookout.forecasts.columns),
        (Condition.DRIFT, lookout.drifts.columns),
    ):
        for key in held.keys(condition):
            number = indicators.number.get(key, -1)
            if not 0 <= number < len(columns) or not columns["said"][number]:
                said.append(held.retire(condition, key, moment))
    for key in held.keys(Condition.ANOMALY):
        if (place := place_of(key)) is not None:
            model = lookout.touchpoints.get(place)
            if model is None or not model.said:
                said.append(held.retire(Condition.ANOMALY, key, moment))
    return said


def sighted_findings(  # noqa: PLR0913, RUF100 -- what a finding is put together from
    held: OpenFindings,
    sighted: Sighted,
    lookout: Lookout,
    indicators: Indicators,
    table: SeriesTable,
    moment: Moment,
) -> list[Finding]:
    """What began and ended at this tick."""
    said: list[Finding] = []
    for number in sighted.forecasts.began.tolist():
        evidence = _of_forecast(number, lookout, indicators, table, moment)
        said.append(_begin(Condition.FORECAST, number, held, indicators, evidence, moment))
    said.extend(_end_forecast(number, held, indicators, moment) for number in sighted.forecasts.ended.tolist())
    for number in sighted.drifts.began.tolist():
        evidence = _of_drift(number, lookout, indicators, table, moment)
        said.append(_begin(Condition.DRIFT, number, held, indicators, evidence, moment))
    said.extend(_end_drift(number, held, lookout, indicators, moment) for number in sighted.drifts.ended.tolist())
    for place in sighted.began:
        spoken = _of_touchpoint(place, lookout, indicators, table, moment)
        said.append(held.begin(Condition.ANOMALY, key_of(place), spoken, moment))
    keys = [key for place in sighted.ended if held.get(Condition.ANOMALY, key := key_of(place)) is not None]
    said.extend(held.end(Condition.ANOMALY, key, moment) for key in keys)
    return said


def _begin(
    condition: Condition, number: int, held: OpenFindings, indicators: Indicators, evidence: Evidence, moment: Moment
) -> Finding:
    instance = indicators.instances[number]
    spoken = Said(
        quality=Quality.AT_RISK,
        subject=Subject(kind=SubjectKind.SERVICE, name=instance.service, site=instance.site),
        indicator=instance.indicator.name,
        touchpoint=instance.touchpoint,
        evidence=evidence,
    )
    return held.begin(condition, instance.key, spoken, moment)


def _series(number: int, indicators: Indicators, table: SeriesTable) -> tuple[int, ...]:
    return tuple(table.series[row].id for row in indicators.series_of(number)[:MOST_SERIES].tolist())


def _of_forecast(number: int, lookout: Lookout, indicators: Indicators, table: SeriesTable, moment: Moment) -> Evidence:
    instance = indicators.instances[number]
    ahead = lookout.forecasts.ahead(number, lookout.pace(number, indicators))
    unit = _unit(instance)
    value = float(indicators.columns["value"][number])
    return Evidence(
        series=_series(number, indicators, table),  # type: ignore[arg-type]  # ids are numbers
        value=value,
        threshold=float(indicators.columns["target"][number] * indicators.columns["sign"][number]),
        samples=ahead.points,
        window_seconds=ahead.span_seconds,
        since=moment.at - ahead.span_seconds,
        until=moment.at,
        breach_at=ahead.breach_at,
        slope_per_hour=ahead.slope_per_hour,
        confidence=ahead.confidence,
        note=f"{value:.4g}{unit}, {ahead.slope_per_hour:+.3g}{unit} an hour over the last {_long(ahead.span_seconds)}: "
        f"{objective_text(instance.indicator.objective)} is breached in {_long(ahead.breach_at - moment.at)} "
        f"if it goes on (chance {ahead.confidence:.0%})",
    )


def _end_forecast(number: int, held: OpenFindings, indicators: Indicators, moment: Moment) -> Finding:
    key = indicators.instances[number].key
    found = held.get(Condition.FORECAST, key)
    evidence = found.evidence if found else Evidence()
    came = f"breached {_long(moment.at - found.began_at)} after the warning" if found else "breached"
    became = came if indicators.columns["broken"][number] else "no breach is ahead any more"
    value = float(indicators.columns["value"][number])
    note = f"{became}; warned: {evidence.note}"
    now = None if np.isnan(value) else value
    evidence = msgspec.structs.replace(evidence, value=now, until=moment.at, note=note)
    return held.end(Condition.FORECAST, key, moment, evidence)


def _of_drift(number: int, lookout: Lookout, indicators: Indicators, table: SeriesTable, moment: Moment) -> Evidence:
    instance, c = indicators.instances[number], lookout.drifts.columns
    was, is_now = (_back(instance, float(c[name][number])) for name in ("before", "after"))
    since = float(c["since"][number])
    unit = _unit(instance)
    return Evidence(
        series=_series(number, indicators, table),  # type: ignore[arg-type]  # ids are numbers
        value=is_now,
        expected=was,
        threshold=float(indicators.columns["target"][number] * indicators.columns["sign"][number]),
        samples=int(c["count"][number]),
        window_seconds=window_seconds(indicators, number),
        since=since,
        until=moment.at,
        note=f"the mean moved from {was:.4g}{unit} to {is_now:.4g}{unit} {_long(moment.at - since)} ago, toward "
        f"{objective_text(instance.indicator.objective)}",
    )


def _end_drift(number: int, held: OpenFindings, lookout: Lookout, indicators: Indicators, moment: Moment) -> Finding:
    key = indicators.instances[number].key
    found = held.get(Condition.DRIFT, key)
    evidence = found.evidence if found else Evidence()
    back = lookout.drifts.columns["moved_at"][number] == moment.at
    became = "it came back" if back else "it stayed so long that it is the new normal"
    note = f"{became}; {evidence.note}"
    return held.end(Condition.DRIFT, key, moment, msgspec.structs.replace(evidence, until=moment.at, note=note))


def _of_touchpoint(place: Place, lookout: Lookout, indicators: Indicators, table: SeriesTable, moment: Moment) -> Said:
    model = lookout.touchpoints[place]
    verdict = model.verdict
    numbers = [indicators.number[model.members[one]] for one in (verdict.leading if verdict else ())]
    named = ", ".join(
        f"{indicators.instances[one].indicator.name} {float(indicators.columns['value'][one]):.4g}" for one in numbers
    )
    series = tuple(dict.fromkeys(one for number in numbers for one in _series(number, indicators, table)))
    evidence = Evidence(
        series=series[:MOST_SERIES],  # type: ignore[arg-type]  # ids are numbers
        value=model.distance,
        threshold=verdict.limit if verdict else None,
        expected=verdict.usual if verdict else None,
        samples=min(model.head, len(model.looks)),
        since=model.since,
        until=moment.at,
        note=f"its {len(model.members)} indicators were never so together; what leads away most: {named}",
    )
    return Said(
        quality=Quality.AT_RISK,
        subject=Subject(kind=SubjectKind.TOUCHPOINT, name=place[0], site=place[1]),
        touchpoint=place[0],
        evidence=evidence,
    )


def _back(instance: Instance, placed: float) -> float:
    """A place between worst (0) and best (1) in the indicator's unit."""
    score = instance.indicator.score
    return score.worst + placed * (score.best - score.worst)


def _unit(instance: Instance) -> str:
    return f" {instance.indicator.unit}" if instance.indicator.unit else ""


def _long(seconds: float) -> str:
    """A duration in the unit that reads best."""
    for size, word in ((172_800.0, "days"), (7200.0, "h"), (120.0, "min")):
        if seconds >= size:
            return f"{seconds / {'days': 86_400.0, 'h': 3600.0, 'min': 60.0}[word]:.3g} {word}"
    return f"{seconds:.0f} s"
