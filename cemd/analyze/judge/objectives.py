"""Objectives that are broken or nearly, and error budgets that burn."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from cemd.analyze.bank.bank import Bank
from cemd.analyze.findings import MOST_SERIES, Moment, OpenFindings, Said
from cemd.analyze.indicators.budgets import DEGRADED as BURNS_FAST
from cemd.analyze.indicators.budgets import Budgets, threshold
from cemd.analyze.indicators.indicators import Indicators, Turns, window_seconds
from cemd.analyze.indicators.instances import Instance, objective_text
from cemd.analyze.quorum import views_of
from cemd.analyze.series import SeriesTable
from cemd.model.finding import Condition, Evidence, Finding
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind

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
    rows = indicators.series_of(number)
    # A slow probe may look less often than the window is long: two of its intervals are waited for as well.
    waited = np.maximum(seconds, 2.0 * table.columns["every_seconds"][rows].astype(np.float64))
    unheard = silent[rows] | (bank.columns["last_at"][rows] < moment.at - waited)
    target = None
    if objective is not None:
        asked = objective.at_most if objective.at_least is None else objective.at_least
        target = objective.warn_at if condition is Condition.OBJECTIVE_WARNING else asked
    unit = f" {instance.indicator.unit}" if instance.indicator.unit else ""
    return Evidence(
        series=tuple(table.series[row].id for row in rows[:MOST_SERIES].tolist()),
        value=None if np.isnan(value) else value,
        threshold=target,
        **views_of(rows, objective, table, bank, unheard),
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


def _of(instance: Instance, probe: str, quality: Quality, evidence: Evidence) -> Said:
    return Said(
        quality=quality,
        subject=Subject(kind=SubjectKind.SERVICE, name=instance.service, site=instance.site),
        indicator=instance.indicator.name,
        probe=probe,
        touchpoint=instance.touchpoint,
        evidence=evidence,
    )


def _probe(number: int, indicators: Indicators, table: SeriesTable) -> str:
    rows = indicators.series_of(number)
    place = table.places[int(rows[0])] if len(rows) else None
    return place.probe if place else ""


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
