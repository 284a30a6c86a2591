"""Findings of the deep detector on seeded series that are as they always were: a series and week, by kind of series.

    python -m bench.deep_false_alarms [--series 25] [--days 21]

Five-minute samples; the first two days are not counted. A finding is an episode whose severity reached 1.
"""

from __future__ import annotations

import argparse

import numpy as np
from cemd.analyze.columns import Array
from cemd.analyze.detectors.deep import Deep

DAY, LEARNT_DAYS = 288, 2
NOW, EVERY = 1_780_012_800.0, 300.0


def usual(samples: int, series: int) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    shape = (samples, series)
    hour = np.arange(samples)[:, None] / DAY * 2 * np.pi
    wandering = np.zeros(shape)
    for row, step in enumerate(rng.normal(0, 1, shape)[1:], 1):
        wandering[row] = 0.9 * wandering[row - 1] + step
    return {
        "normal": rng.normal(10, 1, shape),
        "daily": 30 - 10 * np.cos(hour) + rng.normal(0, 1, shape),
        "daily, multiplicative noise": (30 - 20 * np.cos(hour)) * rng.lognormal(0, 0.15, shape),
        "auto-correlated, 0.9": wandering,
        "lognormal": rng.lognormal(0, 0.6, shape),
        "Student t, 3 degrees": 10 + rng.standard_t(3, shape),
        "Poisson, daily rate": rng.poisson(np.broadcast_to(3 + 2 * np.sin(hour), shape)) * 1.0,
        "two values": (rng.random(shape) < 0.3) * 1.0,
        "loss, one time in twenty": np.where(rng.random(shape) < 0.05, rng.exponential(1, shape), 0.0),
        "constant, spike 1 in 500": np.where(rng.random(shape) < 0.002, 50.0, 5.0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=25)
    parser.add_argument("--days", type=int, default=21)
    asked = parser.parse_args()
    kinds = usual(asked.days * DAY, asked.series)
    values = np.concatenate(list(kinds.values()), axis=1)
    deep, rows = Deep(), np.arange(values.shape[1])
    deep.add(len(rows))
    found = np.zeros(len(rows))
    for number, row in enumerate(values):
        deep.observe(rows, np.full(len(rows), NOW + EVERY * number), row)
        began, _ = deep.gate.turned()
        if number >= LEARNT_DAYS * DAY:
            found[began] += 1
    weeks = (asked.days - LEARNT_DAYS) / 7
    for place, name in enumerate(kinds):
        mine = found[place * asked.series : (place + 1) * asked.series]
        print(f"{name:30s} {mine.mean() / weeks:6.3f} a series and week")


if __name__ == "__main__":
    main()
