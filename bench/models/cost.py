"""Microseconds of CPU that a look of each model takes, beside river's HalfSpaceTrees and ADWIN in the same process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from cemd.analyze.models.drift import Drifts
from cemd.analyze.models.forecast import Forecasts
from cemd.analyze.models.touchpoint import TouchpointModel
from cemd.config.detection import Drift, Forecast, Multivariate

from .series import PACE
from .touchpoint import looks

SERIES = 2000
Work = Callable[[], int]
"""Does its looks and says how many they were."""


def costs() -> dict[str, float]:
    rng = np.random.default_rng(6)
    works: dict[str, Callable[[np.random.Generator], Work]] = {
        "forecast": forecasting,
        "drift": drifting,
        "touchpoint of four": looking,
        "river HalfSpaceTrees (10, 8)": growing,
        "river ADWIN": winding,
    }
    return {name: _microseconds(make(rng)) for name, make in works.items()}


def _microseconds(work: Work) -> float:
    start = time.process_time()
    count = work()
    return (time.process_time() - start) / count * 1e6


def forecasting(rng: np.random.Generator) -> Work:
    values, forecasts = rng.normal(10, 1, (80, SERIES)), Forecasts()
    forecasts.reach(SERIES)
    zeros = np.zeros(SERIES)
    fixed = {"sign": zeros + 1.0, "target": zeros, "pace": zeros + PACE, "phase": zeros, "broken": zeros > 0}

    def take(first: int, last: int) -> int:
        for turn in range(first, last):
            forecasts.tick(1e9 + turn * PACE, {**fixed, "value": values[turn]}, Forecast())
        return (last - first) * SERIES

    take(0, 60)
    return lambda: take(60, 80)


def drifting(rng: np.random.Generator) -> Work:
    placed, drifts = rng.normal(0.8, 0.1, (200, 200)), Drifts()
    drifts.reach(200)
    fixed = {"pace": np.full(200, PACE), "phase": np.zeros(200)}

    def work() -> int:
        for turn, value in enumerate(placed):
            drifts.tick(1e9 + turn * PACE, {**fixed, "placed": value}, Drift())
        return placed.size

    return work


def looking(rng: np.random.Generator) -> Work:
    whole, model = looks(rng, 4000, 4), TouchpointModel(tuple("abcd"), Multivariate().learn_looks)

    def work() -> int:
        for turn, x in enumerate(whole):
            model.look(1e9 + turn * PACE, x, PACE, Multivariate())
        return len(whole)

    return work


def growing(rng: np.random.Generator) -> Work:
    from river import anomaly

    made: Any = anomaly.HalfSpaceTrees
    whole, trees = looks(rng, 4000, 4).tolist(), made(n_trees=10, height=8, window_size=250, seed=1)

    def work() -> int:
        for x in whole:
            named = dict(enumerate(x))
            trees.score_one(named)
            trees.learn_one(named)
        return len(whole)

    return work


def winding(rng: np.random.Generator) -> Work:
    from river import drift

    one: Any = drift.ADWIN
    placed, windows = rng.normal(0.8, 0.1, (200, 200)), [one() for _ in range(200)]

    def work() -> int:
        for value in placed.tolist():
            for window, x in zip(windows, value, strict=True):
                window.update(x)
        return placed.size

    return work
