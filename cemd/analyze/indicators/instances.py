"""What an indicator is where it looks: one instance per indicator and (service, site, touchpoint), and the columns that
its definition and what was seen fill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cemd.analyze.columns import Field
from cemd.analyze.series import Place
from cemd.config.rules import Indicator, Objective, Selector, Summary
from cemd.config.topology import Topology
from cemd.model.measurement import Series
from cemd.model.quality import Quality

QUALITIES = (Quality.UNKNOWN, Quality.HEALTHY, Quality.AT_RISK, Quality.DEGRADED, Quality.DOWN)
UNKNOWN, HEALTHY, AT_RISK, DEGRADED, DOWN = range(5)

DEFINED = {
    "sign": Field("<f8"),  # turns "at most" into "at least" of the negated value; 0: no objective
    "target": Field("<f8", np.nan),
    "clear": Field("<f8", np.nan),
    "warn": Field("<f8", np.nan),
    "calm": Field("<f8", np.nan),
    "down": Field("<f8", np.nan),
    "for_seconds": Field("<f8"),
    "clear_seconds": Field("<f8"),
    "min_samples": Field("<f8"),
    "worst": Field("<f8"),
    "best": Field("<f8"),
    "weight": Field("<f8"),
    "means": Field("|b1"),  # a ratio or mean: one sample alone must not break it
    "ratio": Field("|b1"),  # of attempts: each of which failed or did not
    "needs_fresh": Field("|b1"),  # opens only while one of its newest samples is bad itself
}
"""What the definition says."""

SEEN = {
    "value": Field("<f8", np.nan),
    "spared": Field("<f8", np.nan),  # the value without its one worst sample
    "good_in_row": Field("<i8"),  # samples on the right side since the last that was not
    "samples": Field("<f8"),
    "quality": Field("|u1"),
    "bad_since": Field("<f8", np.nan),
    "good_since": Field("<f8", np.nan),
    "warn_since": Field("<f8", np.nan),
    "calm_since": Field("<f8", np.nan),
    "up_since": Field("<f8", np.nan),
    "broken": Field("|b1"),
    "down_now": Field("|b1"),
    "warned": Field("|b1"),
    "evidence": Field("<f8"),  # that samples beyond the objective are no chance, where few of them decide
    "mixed": Field("|b1"),  # a good sample was measured since it is bad
    "lowest": Field("<f8", np.nan),  # of `sign * value`, since it went beyond warning or objective
    "bad_at": Field("<f8", -np.inf),  # when the newest bad sample was measured
    "bad_in_row": Field("<i8"),  # samples on the wrong side since the last that was not
    "row_at": Field("<f8", np.inf),  # when the first of these was measured
    # announced work: the window that covers it now or next, and what became of it
    "work_from": Field("<f8", np.nan),
    "work_until": Field("<f8", np.nan),
    "under_work": Field("|b1"),  # at the last tick
    "broke_before": Field("|b1"),  # was broken when the work began
    "counts_from": Field("<f8", -np.inf),  # what was measured earlier was under work that is over
    "after_work": Field("|b1"),  # was bad until work was over, and nothing good was measured since
}
"""What became of it: kept in snapshots."""

FIELDS = {**DEFINED, **SEEN}
STREAKS = ("bad_since", "good_since", "warn_since", "calm_since", "up_since")


MEANS = (Summary.RATIO, Summary.MEAN)
TYPICAL = (*MEANS, Summary.P50)
"""Summaries whose single samples are like the whole: while the newest is good, an objective does not begin to break."""


def instance_key(indicator: str, service: str, site: str, touchpoint: str) -> str:
    """The key of an indicator on one service, site and touchpoint."""
    return "\x1f".join((indicator, service, site, touchpoint))


@dataclass(frozen=True, slots=True)
class Instance:
    """One indicator on one service, site and touchpoint."""

    indicator: Indicator
    service: str
    site: str
    touchpoint: str

    @property
    def key(self) -> str:
        return instance_key(self.indicator.name, self.service, self.site, self.touchpoint)


def matches(of: Selector, series: Series, place: Place, topology: Topology) -> bool:
    """True when every word of the selector fits; a site also fits the sites within it."""
    return of.fits(
        probes=(place.probe, place.probe_name),
        kind=place.kind,
        service=place.service,
        touchpoint=place.touchpoint,
        sites=topology.around(place.site) if of.site is not None else (),
        source=series.source,
    )


def objective_text(objective: Objective | None) -> str:
    """In words: "at least 0.98, warning at 0.99"; "" without an objective."""
    if objective is None:
        return ""
    words, target = _aim(objective)
    warning = "" if objective.warn_at is None else f", warning at {objective.warn_at:g}"
    return f"{words} {target:g}{warning}"


def _aim(objective: Objective) -> tuple[str, float]:
    if objective.at_least is not None:
        return "at least", objective.at_least
    if objective.at_most is not None:
        return "at most", objective.at_most
    raise ValueError("an objective names neither at_least nor at_most; give exactly one of them.")


def definition(indicator: Indicator) -> dict[str, float]:
    """The columns that the definition fills, of one instance."""
    held = {
        "means": indicator.summary in MEANS,
        "ratio": indicator.summary is Summary.RATIO,
        "needs_fresh": indicator.summary in TYPICAL,
        "min_samples": float(indicator.min_samples),
        "worst": indicator.score.worst,
        "best": indicator.score.best,
        "weight": indicator.weight,
    }
    objective = indicator.objective
    if objective is None:
        return held
    words, target = _aim(objective)
    sign = 1.0 if words == "at least" else -1.0
    ratio = indicator.summary is Summary.RATIO
    limit = 1.0 if ratio and sign > 0 else np.inf  # a ratio cannot become better than 1: hysteresis stops there
    down = objective.down_at if objective.down_at is not None else (0.0 if ratio and sign > 0 else np.nan)
    warn = np.nan if objective.warn_at is None else objective.warn_at
    return {
        **held,
        "sign": sign,
        "target": sign * target,
        "clear": min(sign * target + abs(target) * objective.hysteresis, limit),
        "warn": sign * warn,
        "calm": float(np.minimum(sign * warn + abs(warn) * objective.hysteresis, limit)),
        "down": sign * down,
        "for_seconds": objective.for_seconds,
        "clear_seconds": objective.clear_for_seconds,
    }
