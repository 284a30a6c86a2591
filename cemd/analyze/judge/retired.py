"""What is open on something that the configuration does not measure any more."""

from __future__ import annotations

from cemd.analyze.findings import Moment, OpenFindings
from cemd.analyze.indicators.indicators import Indicators
from cemd.analyze.series import SeriesTable
from cemd.model.finding import Condition, Finding
from cemd.model.identity import SeriesId


def retired_findings(held: OpenFindings, indicators: Indicators, table: SeriesTable, moment: Moment) -> list[Finding]:
    """Ends what is open on something that the configuration does not measure any more."""
    said: list[Finding] = []
    for condition in (Condition.OBJECTIVE_WARNING, Condition.OBJECTIVE_BROKEN):
        flags = indicators.columns["warned" if condition is Condition.OBJECTIVE_WARNING else "broken"]
        for key in held.keys(condition):
            number = indicators.number.get(key)
            if number is None or not flags[number]:
                said.append(held.retire(condition, key, moment))
    for key in held.keys(Condition.ANOMALY):
        if not key.isdigit():  # of a touchpoint, service or site as a whole
            continue
        row = table.row(SeriesId(int(key)))
        if table.places[row] is None:
            said.append(held.retire(Condition.ANOMALY, key, moment))
    for key in held.keys(Condition.BUDGET_BURNING):
        row = indicators.budgets.row_of(indicators.number[key]) if key in indicators.number else -1
        if row < 0 or not indicators.budgets.columns["said"][row]:
            said.append(held.retire(Condition.BUDGET_BURNING, key, moment))
    return said
