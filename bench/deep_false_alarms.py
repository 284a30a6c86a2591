"""Does the deep detector's stated rate hold? Findings on seeded series that are as they always were, by kind.

    python -m bench.deep_false_alarms [--rate 0.05] [--series 25] [--weeks 10] [--skip-weeks 2] [--seed 0]

Five-minute samples, all kinds in one detector; counted is what begins after the first `--skip-weeks`. Printed are
findings a series and week before and after that, and the latter's ratio to the stated rate. `--rate 0` is the detector
without a stated rate, as `cemd detect` has it. A finding is an episode whose severity reached its limit.
"""

from __future__ import annotations

import argparse

import numpy as np
from cemd.analyze.columns import Array
from cemd.analyze.detectors.deep import Deep
from cemd.config.rules import Detector

DAY = 288
NOW, EVERY = 1_780_012_800.0, 300.0


def usual(samples: int, series: int, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
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
    parser.add_argument("--rate", type=float, default=Detector().deep_false_alarms_per_series_week)
    parser.add_argument("--series", type=int, default=25)
    parser.add_argument("--weeks", type=int, default=10)
    parser.add_argument("--skip-weeks", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    kinds = usual(asked.weeks * 7 * DAY, asked.series, asked.seed)
    values = np.concatenate(list(kinds.values()), axis=1)
    deep, rows = Deep(), np.arange(values.shape[1])
    deep.add(len(rows))
    deep.stated.rate = asked.rate
    found = np.zeros((2, len(rows)))
    for number, row in enumerate(values):
        at = NOW + EVERY * number
        deep.observe(rows, np.full(len(rows), at), row)
        deep.stated.alike.judge(at)
        began, _ = deep.gate.turned()
        found[int(number >= asked.skip_weeks * 7 * DAY), began] += 1
    weeks = asked.weeks - asked.skip_weeks
    for place, name in enumerate(kinds):
        early, late = found[:, place * asked.series : (place + 1) * asked.series].mean(axis=1)
        rate = late / weeks
        ratio = f"{rate / asked.rate:5.2f} of stated" if asked.rate else ""
        print(
            f"{name:30s} {early / max(asked.skip_weeks, 1):6.3f} at first, then {rate:6.3f} a series and week  {ratio}"
        )


if __name__ == "__main__":
    main()
