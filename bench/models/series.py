"""Seeded data without a trend, a move or a fault: what models must be silent on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from cemd.analyze.columns import Array

PACE = 150.0
WEEK = 604_800.0
Make = Callable[[np.random.Generator, int, int], Array]


def _correlated(share: float) -> Make:
    def make(rng: np.random.Generator, samples: int, series: int) -> Array:
        noise = rng.normal(0, 1, (samples, series))
        for place in range(1, samples):
            noise[place] = share * noise[place - 1] + np.sqrt(1 - share * share) * noise[place]
        return noise

    return make


def _daily(rng: np.random.Generator, samples: int, series: int) -> Array:
    hours = np.arange(samples)[:, None] * PACE / 3600.0
    return np.asarray(2.0 * np.sin(hours * 2 * np.pi / 24) + rng.normal(0, 0.7, (samples, series)))


FLAT: dict[str, Make] = {
    "normal": lambda rng, n, k: rng.normal(0, 1, (n, k)),
    "overlapping windows": lambda rng, n, k: (lambda x: (x[1:] + x[:-1]) / 2**0.5)(rng.normal(0, 1, (n + 1, k))),
    "Student t3": lambda rng, n, k: rng.standard_t(3, (n, k)),
    "log-normal": lambda rng, n, k: -rng.lognormal(0, 0.7, (n, k)),
    "quantised": lambda rng, n, k: np.round(rng.normal(0, 0.6, (n, k))),
    "constant": lambda _, n, k: np.zeros((n, k)),
    "mostly whole": lambda rng, n, k: -(rng.random((n, k)) < 0.01).astype(np.float64),
    "uniform": lambda rng, n, k: rng.uniform(-1.7, 1.7, (n, k)),
    "AR 0.5": _correlated(0.5),
    "AR 0.7": _correlated(0.7),
    "AR 0.9": _correlated(0.9),
    "daily rhythm": _daily,
}
