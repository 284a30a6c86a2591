"""The deep detector against river's anomaly models, in one process, in turn; and what a series weighs.

    python -m bench.deep [--runs 5] [--series 1000] [--json]

Rates are samples per CPU second, score and learn, after two days of five minutes were seen (kinds that look at earlier
days are at work). Exit 1 when a goal is missed: 100,000 samples a second, 48,000 bytes a series.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from cemd.analyze.detectors.deep import Deep

SEEN, ROUNDS = 700, 40
NOW, EVERY = 1_780_012_800.0, 300.0
GOAL_RATE, GOAL_BYTES = 100_000, 48_000
Case = Callable[[], float]
"""Does its work once; tells samples per CPU second."""


def deep_case(series: int) -> Case:
    rng = np.random.default_rng(1)
    deep, rows = Deep(), np.arange(series)
    deep.add(series)
    at = np.full(series, NOW)

    def run(rounds: int = ROUNDS) -> float:
        values = rng.normal(10.0, 2.0, (rounds, series))
        start = time.process_time()
        for value in values:
            np.add(at, EVERY, out=at)
            deep.observe(rows, at, value)
        return rounds * series / max(time.process_time() - start, 1e-9)

    run(SEEN)
    return run


def river_case(make: Callable[[], Any], series: int, score: Callable[[Any, float], None]) -> Case:
    rng = np.random.default_rng(1)
    models = [make() for _ in range(series)]

    def run(rounds: int = 20) -> float:
        values = rng.uniform(0.0, 1.0, (rounds, series)).tolist()
        start = time.process_time()
        for row in values:
            for model, value in zip(models, row, strict=True):
                score(model, value)
        return rounds * series / max(time.process_time() - start, 1e-9)

    run()
    return run


def _one(model: Any, value: float) -> None:
    model.score_one({"x": value})
    model.learn_one({"x": value})


def _target(model: Any, value: float) -> None:
    model.score_one(None, value)
    model.learn_one(None, value)


def cases(series: int) -> dict[str, Case]:
    from river import anomaly as typed

    anomaly: Any = typed
    return {
        f"deep, {series} series": deep_case(series),
        "deep, 100 series": deep_case(100),
        "river GaussianScorer": river_case(lambda: anomaly.GaussianScorer(grace_period=10), 500, _target),
        "river HalfSpaceTrees(10, 8)": river_case(lambda: anomaly.HalfSpaceTrees(10, 8, seed=1), 30, _one),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    made = cases(asked.series)
    rates: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(asked.runs):
        for name, case in made.items():
            rates[name].append(case())
    middle = {name: statistics.median(found) for name, found in rates.items()}
    first = next(iter(middle))
    weight = Deep().bytes_per_series()
    good = middle[first] >= GOAL_RATE and weight <= GOAL_BYTES
    if asked.json:
        print(json.dumps({"samples_per_cpu_second": middle, "bytes_per_series": weight, "ok": good}, indent=2))
        return 0 if good else 1
    for name, rate in middle.items():
        spread = f"[{min(rates[name]) / 1e3:.1f}..{max(rates[name]) / 1e3:.1f}]"
        print(f"{name:32s} {rate / 1e3:8.1f} k samples/cpu-s {spread:18s} deep is {middle[first] / rate:6.2f} x")
    print(f"bytes per series, 30 days at five minutes: {weight} (goal {GOAL_BYTES})")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
