"""The bank with all its features on against river's GaussianScorer, in one process, in turn; and what a series weighs.

    python -m bench.bank [--runs 5]

Rates are samples per CPU second (score and learn). Memory is counted two ways: bytes of all columns of one series, and
the growth of resident memory for 100,000 series after every hour of the week was written.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cemd.analyze.bank import Bank
from cemd.analyze.columns import Columns
from cemd.analyze.season import HOURS
from cemd.analyze.series import FIELDS
from cemd.config.rules import Detector

SERIES = 100_000
RIVER_SERIES = 1_000
HOUR = 3600.0
NOW = 1_780_000_000.0


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


Case = Callable[[], tuple[int, float]]
"""Does its work once; tells samples and the CPU seconds that scoring and learning took."""


def interleaved(cases: dict[str, Case], runs: int) -> dict[str, list[float]]:
    """Every case once per round, so that the machine's moods hit all alike; samples per CPU second."""
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for run in range(-1, runs):
        for name, case in cases.items():
            gc.collect()
            gc.disable()
            done, spent = case()
            gc.enable()
            if run >= 0:
                rates[name].append(done / max(spent, 1e-9))
    return rates


def bank_case(series: int, ticks: int, *, shuffled: bool = False) -> Case:
    """All series of a tick, in a bank that is some weeks old; values are never the same again, and lie where the stage
    has just written them, which is not counted."""
    rng = np.random.default_rng(1)
    bank = Bank()
    bank.add(np.zeros(series, np.bool_))
    rows = rng.permutation(series) if shuffled else np.arange(series)
    pool = rng.normal(10.0, 2.0, series + 300_000)
    outcome, value = np.zeros(series, np.uint8), np.zeros(series)
    detector = Detector()
    at, jitter = np.full(series, NOW), rng.uniform(0.0, 0.02, series + 300_000)

    def run(count: int = ticks) -> tuple[int, float]:
        spent = 0.0
        for _ in range(count):
            offset = int(rng.integers(300_000))
            np.add(at, 10.0, out=at)
            measured = at + jitter[offset : offset + series]
            np.copyto(value, pool[offset : offset + series])
            start = time.process_time()
            bank.observe(rows, measured, value, outcome, detector)
            spent += time.process_time() - start
        return count * series, spent

    run(100)
    bank.columns["n"][:] = 20_000.0 + np.arange(series) % 977  # some weeks old, not all alike
    run(400)
    assert bank.columns["alarm"].mean() < 0.01
    return run


def river_case() -> Case:
    from river import anomaly

    rng = np.random.default_rng(1)
    values = rng.normal(10.0, 2.0, (20, RIVER_SERIES)).tolist()
    scorer: Any = anomaly.GaussianScorer
    models = [scorer(window_size=None, grace_period=10) for _ in range(RIVER_SERIES)]

    def run() -> tuple[int, float]:
        start = time.process_time()
        for row in values:
            for model, value in zip(models, row, strict=True):
                model.score_one(None, value)
                model.learn_one(None, value)
        return len(values) * RIVER_SERIES, time.process_time() - start

    run()
    return run


def resident_per_100_000() -> int:
    """Resident bytes of a bank of 100,000 series that has seen a whole week."""
    gc.collect()
    before = resident_bytes()
    bank = Bank()
    bank.add(np.zeros(SERIES, np.bool_))
    rows, outcome, detector = np.arange(SERIES), np.zeros(SERIES, np.uint8), Detector()
    value = np.random.default_rng(2).normal(10.0, 2.0, SERIES)
    for hour in range(HOURS):
        bank.observe(rows, np.full(SERIES, NOW + hour * HOUR), value, outcome, detector)
    gc.collect()
    return resident_bytes() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    resident = resident_per_100_000()
    cases = {
        "river GaussianScorer, 1,000 models": river_case(),
        "bank, 1,000 series": bank_case(1_000, 50),
        "bank, 100,000 series": bank_case(SERIES, 72),
        "bank, 100,000 series, any order": bank_case(SERIES, 2, shuffled=True),
    }
    rates = interleaved(cases, runs)
    river = statistics.median(rates["river GaussianScorer, 1,000 models"])
    for name, measured in rates.items():
        middle = statistics.median(measured)
        spread = f"[{min(measured) / 1e6:.2f}..{max(measured) / 1e6:.2f}]"
        print(f"{name:36s} {middle / 1e6:8.2f} M samples/cpu-s {spread:18s} {middle / river:6.1f} x river")
    print(
        f"bytes per series: bank {Bank().bytes_per_series()}, with its row of names' numbers "
        f"{Bank().bytes_per_series() + Columns(FIELDS).bytes_per_row()}"
    )
    print(
        f"resident memory of 100,000 series after a week: {resident / 2**20:.0f} MiB ({resident / SERIES:.0f} B each)"
    )


if __name__ == "__main__":
    main()
