"""What looks ahead and across: forecasts, drift, touchpoints as a whole, and budgets of errors (`rules/analyze`).

One parameter set for everything; each default has its reason beside it, and `cemd explain forecast` prints them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cemd.config.base import FileModel, Seconds

DAY = 86_400.0


class BurnRate(FileModel):
    """Burns when the long and the short window both spend the budget faster than `budget_share` of it in the long one.

    The short window lets the finding end soon after the errors do.
    """

    budget_share: Annotated[float, Field(gt=0, le=1)]
    """Share of the whole budget that is gone after one long window at this rate."""
    long_seconds: Seconds
    """Window that must show it."""
    short_seconds: Seconds
    """Window that must show that it still goes on; one twelfth of the long one is usual."""
    quality: Literal["at_risk", "degraded"]
    """What the finding says: `degraded` opens an incident, `at_risk` only supports one."""


GOOGLE_30_DAYS = [
    BurnRate(budget_share=0.02, long_seconds=3_600.0, short_seconds=300.0, quality="degraded"),
    BurnRate(budget_share=0.05, long_seconds=21_600.0, short_seconds=1_800.0, quality="degraded"),
    BurnRate(budget_share=0.10, long_seconds=DAY, short_seconds=7_200.0, quality="at_risk"),
    BurnRate(budget_share=0.10, long_seconds=3 * DAY, short_seconds=21_600.0, quality="at_risk"),
]
"""Site Reliability Workbook, chapter 5: 14.4, 6, 3 and 1 times the sustainable rate over 30 days."""


class Budget(FileModel):
    """An error budget of a ratio: what may fail in a period, and how quickly it may be spent."""

    promised: Annotated[float, Field(gt=0, lt=1)]
    """Share of successes that is promised over the period; 1 minus it is the budget."""
    period_seconds: Annotated[float, Field(ge=3_600, le=31_622_400)] = 30 * DAY
    """Over which it is promised; 30 days: a month without its odd lengths."""
    burn_rates: Annotated[list[BurnRate], Field(min_length=1, max_length=8)] = GOOGLE_30_DAYS
    """What is too fast; the default is the published set of four."""
    min_samples: Annotated[int, Field(ge=1, le=1_000_000)] = 30
    """Fewer attempts than this in the long window say nothing: one failure among few is no rate."""
    min_failures: Annotated[float, Field(ge=1, le=1_000_000)] = 3
    """Fewer failed attempts than this in the long window are chance, whatever rate they make."""


class Forecast(FileModel):
    """Warns before an indicator breaches its objective, where a straight trend leads there.

    Each indicator with an objective is looked at over three spans: 24, 192 and 1,536 of its windows. A warning needs a
    slope that noise does not make (at the stated rate, with the samples' own correlation counted), a line that fits
    better than one step, and a breach that comes no further ahead than the span reaches back.
    """

    enabled: bool = True
    """False: no forecasts."""
    false_alarms_per_indicator_week: Annotated[float, Field(gt=0, le=100)] = 0.02
    """Stated rate per indicator and week of warnings on data without a trend: as for a series."""
    hold_samples: Annotated[int, Field(ge=1, le=20)] = 2
    """So many looks in a row must agree before it is said: one more than chance needs."""
    clear_samples: Annotated[int, Field(ge=1, le=100)] = 6
    """So many looks in a row without a breach ahead end it: a quarter of the span's memory."""


class Drift(FileModel):
    """Says that an indicator's mean has moved toward its objective, and stays there, though nothing is broken yet.

    ADWIN (Bifet and Gavaldà 2007) on one value a window, placed between `worst` and `best`: a move counts by how much
    of what matters to people it is, not by how small the noise is.
    """

    enabled: bool = True
    """False: no drift."""
    confidence: Annotated[float, Field(gt=0, lt=0.5)] = 0.0001
    """Chance that a cut of a window without drift is taken for one. ADWIN's usual 0.002 is meant per stream; here it
    looks at thousands of streams for weeks."""
    smallest_move: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Moves below this share of the way from `best` to `worst` are nobody's concern."""
    accept_after_seconds: Annotated[float, Field(ge=3_600, le=31_622_400)] = DAY
    """A level that stays so long without another move is the new normal, unless a person said that it is true."""


class Multivariate(FileModel):
    """One model per touchpoint and site over all its indicators: a combination that never was, though each value was.

    The distance of the newest values from the mean of the past, in units of their joint spread (Mahalanobis), against
    the tail of its own past: the largest distance of each block of eight looks, a generalised Pareto tail beyond.
    """

    enabled: bool = True
    """False: no models of touchpoints."""
    false_alarms_per_touchpoint_week: Annotated[float, Field(gt=0, le=100)] = 0.02
    """Stated rate per touchpoint, site and week: as for a series."""
    learn_looks: Annotated[int, Field(ge=64, le=4096)] = 256
    """Looks (two a window) before it says anything; so many are also remembered. A tail needs 32 blocks of eight."""
    hold_looks: Annotated[int, Field(ge=1, le=20)] = 2
    """So many looks in a row beyond the limit begin a finding."""
    clear_looks: Annotated[int, Field(ge=1, le=100)] = 4
    """So many looks in a row within the usual end it: two whole windows."""
    relearn_after_seconds: Annotated[float, Field(ge=3_600, le=31_622_400)] = DAY
    """A state that lasts so long is learnt as the new normal, unless a person said that it is true."""
