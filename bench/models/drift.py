"""Drift: episodes on flat data, and how soon a move is found."""

from __future__ import annotations

import numpy as np
from cemd.analyze.columns import Array
from cemd.analyze.models.drift import Drifts
from cemd.config.detection import Drift

from .series import FLAT, PACE

STEADY = tuple(FLAT)[:9]
"""Kinds whose mean does not wander."""


def episodes(values: Array) -> list[int]:
    """Samples at which an episode of a series began."""
    series = values.shape[1]
    drifts = Drifts()
    drifts.reach(series)
    given = {"pace": np.full(series, 2 * PACE), "phase": np.zeros(series)}
    began: list[int] = []
    for turn, value in enumerate(values):
        found = drifts.tick(1e9 + turn * 2 * PACE, {**given, "placed": value}, Drift()).began
        began += [turn] * len(found)
    return began


def false_episodes(samples: int, series: int) -> dict[str, int]:
    """Episodes of drift on flat data of a spread of a tenth of the way from worst to best."""
    rng = np.random.default_rng(3)
    return {kind: len(episodes(0.8 + 0.1 * FLAT[kind](rng, samples, series))) for kind in STEADY}


def delays(series: int) -> dict[float, tuple[int, float]]:
    """Size of a move -> (found, median samples until found)."""
    rng, found = np.random.default_rng(4), {}
    for size in (0.1, 0.2, 0.4):
        values = 0.9 + rng.normal(0, 0.1, (700, series))
        values[300:] -= size
        late = [turn - 300 for turn in episodes(values)]
        found[size] = (len(late), float(np.median(late)) if late else np.nan)
    return found
