"""Forecasts: warnings on data without a trend, and how long before the breach of a ramp they come."""

from __future__ import annotations

import numpy as np
from cemd.analyze.columns import Array
from cemd.analyze.models.forecast import Forecasts
from cemd.config.detection import Forecast

from .series import FLAT, PACE, WEEK

LENGTHS = (48, 100, 200, 400, 1000, 3000)


def warnings(values: Array, target: float) -> list[tuple[int, int]]:
    """(sample, series) at which warnings began."""
    series = values.shape[1]
    forecasts = Forecasts()
    forecasts.reach(series)
    fixed = {
        "sign": np.ones(series),
        "target": np.full(series, target),
        "pace": np.full(series, PACE),
        "phase": np.zeros(series),
    }
    began: list[tuple[int, int]] = []
    for turn, value in enumerate(values):
        given = {**fixed, "value": value, "broken": value < target}
        began += [(turn, row) for row in forecasts.tick(1e9 + turn * PACE, given, Forecast()).began.tolist()]
    return began


def false_warnings(samples: int, series: int) -> dict[str, tuple[int, float]]:
    """Warnings on data without a trend, the target four to six spreads away, all kinds side by side; and the stated."""
    stated = samples * series * PACE / WEEK * Forecast().false_alarms_per_indicator_week
    rng = np.random.default_rng(1)
    began = warnings(np.concatenate([make(rng, samples, series) for make in FLAT.values()], axis=1), -5.0)
    counts = np.bincount([row // series for _, row in began], minlength=len(FLAT)).tolist()
    return {kind: (count, stated) for kind, count in zip(FLAT, counts, strict=True)}


def ramps(series: int) -> dict[int, tuple[int, int, float]]:
    """Length of a ramp over ten spreads -> (warned strictly before, all, median share of the ramp still ahead)."""
    rng, found = np.random.default_rng(2), {}
    for length in LENGTHS:
        turns = np.arange(300 + length)[:, None]
        values = rng.normal(10, 1, (300 + length, series)) - np.clip((turns - 300) / length, 0, 1) * 10
        breach = (values < 0).argmax(axis=0)
        breach[breach == 0] = len(values)
        first: dict[int, int] = {}
        for turn, row in warnings(values, 0.0):
            first.setdefault(row, turn)
        leads = [(breach[row] - turn) / length for row, turn in first.items() if 300 < turn < breach[row]]
        found[length] = (len(leads), series, float(np.median(leads)) if leads else 0.0)
    return found
