"""From what turned at a tick to findings with words and numbers: objectives, anomalies, silence, and what was retired.

The subject is the service (at its site) that was measured; the touchpoint is noted. An anomaly alone is `at_risk`;
silence is `unknown`, never down. A finding that changes or ends says the worst that was seen, not how it is by then.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from cemd.analyze.bank.bank import Bank
from cemd.analyze.bank.warnings import Warned, Warnings
from cemd.analyze.columns import Array
from cemd.analyze.detectors.attention import Attention
from cemd.analyze.detectors.explain import Why
from cemd.analyze.detectors.gate import Called
from cemd.analyze.findings import Moment, OpenFindings, Said
from cemd.analyze.indicators.budgets import DEGRADED as BURNS_FAST
from cemd.analyze.indicators.budgets import Budgets, threshold
from cemd.analyze.indicators.indicators import Indicators, Turns, window_seconds
from cemd.analyze.indicators.instances import Instance, objective_text
from cemd.analyze.labels import Labels
from cemd.analyze.quorum import views_of
from cemd.analyze.series import Place, SeriesTable
from cemd.config.rules import Detector
from cemd.model.finding import Condition, Evidence, Finding, Reason
from cemd.model.identity import Instant, SeriesId
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind

GROUP_KINDS = ("service", "site")
"""As `Warnings.groups` holds them."""
MOST_SERIES = 20
"""Series that evidence names; the indicator's window knows the rest."""
WORK_IS_OVER = "announced work is over: judged anew by what is measured since"


def indicator_findings(
    held: OpenFindings,
    turns: Turns,
    indicators: Indicators,
    table: SeriesTable,
    bank: Bank,
    moment: Moment,
    silent: NDArray[np.bool_],
) -> list[Finding]:
    """What objectives opened, changed and ended; what opens is said before what ends."""
    broken, warning = Condition.OBJECTIVE_BROKEN, Condition.OBJECTIVE_WARNING
    said: list[Finding] = []
    for condition, numbers in ((broken, turns.broke), (warning, turns.warned)):
        for number in numbers.tolist():
            instance = indicators.instances[number]
            evidence = _evidence(condition, number, indicators, table, bank, moment, silent)
            quality = indicators.quality_of(number) if condition is broken else Quality.AT_RISK
            probe = _probe(number, indicators, table)
            said.append(held.begin(condition, instance.key, _of(instance, probe, quality, evidence), moment))
    for number in turns.worsened.tolist():
        evidence = _evidence(broken, number, indicators, table, bank, moment, silent)
        evidence = _worst(evidence, number, indicators)
        if (known := held.get(broken, indicators.instances[number].key)) is not None:
            evidence = msgspec.structs.replace(evidence, heard=known.evidence.heard)
        quality = Quality.DOWN if indicators.columns["down_now"][number] else Quality.DEGRADED
        said.append(held.change(broken, indicators.instances[number].key, moment, quality=quality, evidence=evidence))
    for condition, numbers in ((warning, turns.calmed), (broken, turns.mended)):
        for number in numbers.tolist():
            evidence = _worst(_evidence(condition, number, indicators, table, bank, moment, silent), number, indicators)
            if number in turns.restarted:
                evidence = msgspec.structs.replace(evidence, note=WORK_IS_OVER)
            said.append(held.end(condition, indicators.instances[number].key, moment, evidence))
    indicators.forget_worst(turns.mended)
    said.extend(_budget_findings(held, turns, indicators, table, moment))
    return said


def _budget_findings(
    held: OpenFindings, turns: Turns, indicators: Indicators, table: SeriesTable, moment: Moment
) -> list[Finding]:
    """Budgets that began to burn, burn faster, or last again."""
    burning, budgets, said = Condition.BUDGET_BURNING, indicators.budgets, []
    for row in turns.burning.began.tolist():
        instance = indicators.instances[budgets.instances[row]]
        evidence = _of_budget(row, indicators, table, moment)
        spoken = _of(instance, _probe(budgets.instances[row], indicators, table), _burn_quality(row, budgets), evidence)
        said.append(held.begin(burning, instance.key, spoken, moment))
    for row in turns.burning.changed.tolist():
        key, evidence = indicators.instances[budgets.instances[row]].key, _of_budget(row, indicators, table, moment)
        said.append(held.change(burning, key, moment, quality=_burn_quality(row, budgets), evidence=evidence))
    for row in turns.burning.ended.tolist():
        key, evidence = indicators.instances[budgets.instances[row]].key, _of_budget(row, indicators, table, moment)
        said.append(held.end(burning, key, moment, evidence))
    budgets.forget_worst(turns.burning.ended)
    return said


def _burn_quality(row: int, budgets: Budgets) -> Quality:
    return Quality.DEGRADED if budgets.columns["said"][row] == BURNS_FAST else Quality.AT_RISK


def _of_budget(row: int, indicators: Indicators, table: SeriesTable, moment: Moment) -> Evidence:
    """The value is how many times too fast; the threshold, from which rate on it is said."""
    budgets = indicators.budgets
    number, budget = budgets.instances[row], budgets.budgets[row]
    rate = budget.burn_rates[max(int(budgets.columns["rate"][row]), 0)]
    worst = float(budgets.columns["worst"][row])
    days = budget.period_seconds / 86_400.0
    return Evidence(
        series=tuple(table.series[one].id for one in indicators.series_of(number)[:MOST_SERIES].tolist()),
        value=None if np.isnan(worst) else worst,
        threshold=threshold(budget, rate),
        samples=int(budgets.columns["samples"][row]),
        window_seconds=rate.long_seconds,
        until=moment.at,
        note=f"the error budget of {1 - budget.promised:.4g} in {days:g} days burns up to {worst:.4g} times too fast; "
        f"at {threshold(budget, rate):.4g} times, {rate.budget_share:.0%} of it are gone in {rate.long_seconds:g} s",
    )


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
            spoken = _of_place(place, metric, Quality.AT_RISK, evidence)
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
            spoken = _of_place(place, table.series[row].key.metric, Quality.AT_RISK, evidence)
            said.append(held.begin(Condition.ANOMALY, key, spoken, moment))
    for row in ended:
        key = str(table.series[row].id)
        holds = bank.columns["alarm"][row] or row in labels.true
        if not holds and (found := held.get(Condition.ANOMALY, key)) is not None:
            said.append(held.end(Condition.ANOMALY, key, moment, _at_the_end(found.evidence, bank, row)))
    return said


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
    spoken = _of_place(place, "", Quality.AT_RISK, evidence)
    return msgspec.structs.replace(
        spoken, subject=Subject(kind=SubjectKind.SERVICE, name=place.service, site=site), probe="", touchpoint=""
    )


def silent_series(
    bank: Bank, table: SeriesTable, at: Instant, detector: Detector, awake_at: Instant
) -> NDArray[np.bool_]:
    """Which series were heard once and are heard no more, bool[all]; silence is counted from `awake_at` at the
    earliest."""
    last_at = bank.columns["last_at"]
    patience = bank.silent_after(detector, table.columns["every_seconds"])
    counts = table.columns["placed"] & np.isfinite(last_at)
    return np.asarray(counts & (at - np.maximum(last_at, awake_at) > patience))


def silence_findings(
    held: OpenFindings,
    bank: Bank,
    table: SeriesTable,
    moment: Moment,
    detector: Detector,
    silent: NDArray[np.bool_],
) -> list[Finding]:
    """Feeds that fell silent (all series that were ever heard), and those that speak again."""
    last_at = bank.columns["last_at"]
    counts = table.columns["placed"] & np.isfinite(last_at)
    open_keys = held.keys(Condition.SILENCE)
    if not open_keys and not silent.any():
        return []
    feeds = len(table.feed_rows)
    heard = np.bincount(table.columns["feed"][counts], minlength=feeds)
    quiet = (np.bincount(table.columns["feed"][silent], minlength=feeds) == heard) & (heard > 0)
    feed_of = table.columns["feed"]
    patience = bank.silent_after(detector, table.columns["every_seconds"])
    said = [
        held.end(Condition.SILENCE, key, moment)
        for key in open_keys
        if not quiet[feed_of[table.row(SeriesId(int(key)))]]
    ]
    already = dict.fromkeys(open_keys)
    for feed in np.flatnonzero(quiet).tolist():
        row = table.feed_rows[feed]
        key, place = str(table.series[row].id), table.places[row]
        if key in already or place is None:
            continue
        since = float(last_at[table.columns["feed"] == feed].max())
        series = table.series[row]
        seen_from = f" from {series.key.vantage}" if series.source.startswith("prober:") else ""
        lasted = f"no sample{seen_from} for {moment.at - since:.0f} s"
        note = f"{lasted}; after {float(patience[row]):.0f} s this counts as silence"
        evidence = Evidence(series=(table.series[row].id,), since=since, until=moment.at, note=note)
        said.append(held.begin(Condition.SILENCE, key, _of_place(place, "", Quality.UNKNOWN, evidence), moment))
    return said


def retired_findings(held: OpenFindings, indicators: Indicators, table: SeriesTable, moment: Moment) -> list[Finding]:
    """Ends what is open on something that the configuration does not measure any more."""
    said: list[Finding] = []
    for condition in (Condition.OBJECTIVE_WARNING, Condition.OBJECTIVE_BROKEN):
        flags = indicators.columns["warned" if condition is Condition.OBJECTIVE_WARNING else "broken"]
        for key in held.keys(condition):
            number = indicators.number.get(key)
            if number is None or not flags[number]:
                said.append(retire(held, condition, key, moment))
    for key in held.keys(Condition.ANOMALY):
        if not key.isdigit():  # of a touchpoint, service or site as a whole
            continue
        row = table.row(SeriesId(int(key)))
        if table.places[row] is None:
            said.append(retire(held, Condition.ANOMALY, key, moment))
    for key in held.keys(Condition.BUDGET_BURNING):
        row = indicators.budgets.row_of(indicators.number[key]) if key in indicators.number else -1
        if row < 0 or not indicators.budgets.columns["said"][row]:
            said.append(retire(held, Condition.BUDGET_BURNING, key, moment))
    return said


def retire(held: OpenFindings, condition: Condition, key: str, moment: Moment) -> Finding:
    """Ends what is not measured any more."""
    found = held.get(condition, key)
    note = "not measured any more: configuration changed"
    evidence = msgspec.structs.replace(found.evidence if found else Evidence(), until=moment.at, note=note)
    return held.end(condition, key, moment, evidence)


def _probe(number: int, indicators: Indicators, table: SeriesTable) -> str:
    rows = indicators.series_of(number)
    place = table.places[int(rows[0])] if len(rows) else None
    return place.probe if place else ""


def _of(instance: Instance, probe: str, quality: Quality, evidence: Evidence) -> Said:
    return Said(
        quality=quality,
        subject=Subject(kind=SubjectKind.SERVICE, name=instance.service, site=instance.site),
        indicator=instance.indicator.name,
        probe=probe,
        touchpoint=instance.touchpoint,
        evidence=evidence,
    )


def _of_place(place: Place, metric: str, quality: Quality, evidence: Evidence) -> Said:
    return Said(
        quality=quality,
        subject=Subject(kind=SubjectKind.SERVICE, name=place.service, site=place.site),
        indicator=metric,
        probe=place.probe,
        touchpoint=place.touchpoint,
        evidence=evidence,
    )


def _evidence(
    condition: Condition,
    number: int,
    indicators: Indicators,
    table: SeriesTable,
    bank: Bank,
    moment: Moment,
    silent: NDArray[np.bool_],
) -> Evidence:
    instance = indicators.instances[number]
    objective = instance.indicator.objective
    value = float(indicators.columns["value"][number])
    since = float(indicators.columns["bad_since" if condition is Condition.OBJECTIVE_BROKEN else "warn_since"][number])
    samples, seconds = int(indicators.columns["samples"][number]), window_seconds(indicators, number)
    target = None
    if objective is not None:
        asked = objective.at_most if objective.at_least is None else objective.at_least
        target = objective.warn_at if condition is Condition.OBJECTIVE_WARNING else asked
    unit = f" {instance.indicator.unit}" if instance.indicator.unit else ""
    return Evidence(
        series=tuple(table.series[row].id for row in indicators.series_of(number)[:MOST_SERIES].tolist()),
        value=None if np.isnan(value) else value,
        threshold=target,
        **views_of(indicators.series_of(number), objective, table, bank, silent),
        samples=samples,
        window_seconds=seconds,
        mixed=indicators.is_mixed(number),
        since=0.0 if np.isnan(since) else since,
        until=moment.at,
        note=f"{instance.indicator.summary} {value:.4g}{unit} of {samples} samples in {seconds:g} s; "
        f"asked: {objective_text(objective)}",
    )


def _worst(evidence: Evidence, number: int, indicators: Indicators) -> Evidence:
    """The evidence with the worst value of the episode; the latest stands in the note."""
    worst = indicators.worst_of(number)
    if np.isnan(worst):
        return evidence
    return msgspec.structs.replace(evidence, value=worst, note=f"at worst {worst:.4g}; latest: {evidence.note}")


def _of_series(bank: Bank, table: SeriesTable, row: int, at: Instant, detector: Detector) -> Evidence:
    rows = np.array([row])
    band = bank.band(rows, at, detector.learn_samples)
    low = float(table.allowed_low(rows, band.expected, band.low)[0])
    value, last_at = float(bank.values()[row]), float(bank.columns["last_at"][row])
    return Evidence(
        series=(table.series[row].id,),
        value=value,
        expected=float(band.expected[0]),
        low=low,
        high=float(band.high[0]),
        tail_probability=float(bank.tail(rows, detector.learn_samples)[0]),
        samples=int(bank.columns["n"][row]),
        until=last_at,
        note=f"{table.series[row].key.metric} is not as it always was: {value:.4g}, "
        f"usually {low:.4g} to {float(band.high[0]):.4g}",
    )


def _called(why: Why) -> str:
    """What people said of similar episodes."""
    found = [(word, why.alike_called.count(word)) for word in (Called.TRUE, Called.FALSE, Called.BENIGN)]
    words = ", ".join(f"{count} called {word.name.lower()}" for word, count in found if count)
    return f" ({words})" if words else ""


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
        note=f"{table.series[row].key.metric} is not as it always was: {why.value:.4g}, "
        f"usually {why.low:.4g} to {why.high:.4g}; unusual: {words}{again}",
    )
