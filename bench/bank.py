"""The bank with all its features on against river's GaussianScorer, in one process, in turn; and what a series weighs.

    python -m bench.bank [--runs 5]

Where numba is installed (`cemd[compiled]`) the bank with machine code takes its turns as well and is stated apart.
Rates are samples per CPU second (score and learn). Memory is counted two ways: bytes of all columns of one series, and
the growth of resident memory for 100,000 series after every hour of the week was written.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cemd.analyze.bank import compiled
from cemd.analyze.bank.bank import Bank
from cemd.analyze.bank.compiled import Compiled
from cemd.analyze.bank.kernel import Kernel
from cemd.analyze.bank.passes import Passes
from cemd.analyze.bank.season import HOURS
from cemd.analyze.columns import Columns
from cemd.analyze.series import FIELDS
from cemd.config.rules import Detector

SERIES = 100_000
RIVER_SERIES = 1_000
TREES_WINDOW = 250  # samples; river's own
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


def bank_case(series: int, ticks: int, *, shuffled: bool = False, kernel: Kernel | None = None) -> Case:
    """All series of a tick, in a bank that is some weeks old; values are never the same again, and lie where the stage
    has just written them, which is not counted."""
    rng = np.random.default_rng(1)
    bank = Bank()
    bank.use(kernel or Passes())
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
    bank.altered()
    run(400)
    assert bank.columns["alarm"].mean() < 0.01
    return run


def mixed_case(series: int, ticks: int, *, kernel: Kernel | None = None) -> Case:
    """What an operator has: every second series is 0 and 1, and lies beside what its probe measured; noise of several
    kinds, constants, counts, rare spikes; one of 200 changes its level every half hour; a tenth comes every 30 s. No
    two series that are judged alike follow each other."""
    rng = np.random.default_rng(4)
    bank, detector, outcome = Bank(), Detector(), np.zeros(series, np.uint8)
    rows = np.arange(series)
    bank.use(kernel or Passes())
    bank.add(rows % 2 == 0)
    kinds = [
        rng.normal(10.0, 2.0, (16, series)),
        10.0 + rng.standard_t(3, (16, series)),
        rng.lognormal(0.0, 1.0, (16, series)),
        np.full((16, series), 7.0),
        np.round(rng.normal(10.0, 0.6, (16, series))),
        100.0 * (rng.random((16, series)) < 0.002),
    ]
    pool = np.where(rows % 2 == 0, rng.random((16, series)) < 0.99, np.choose(rows // 2 % len(kinds), kinds))
    slow, broken = rows % 10 == 9, 30.0 * (rows % 200 == 1)
    state = {"tick": 0}

    def run(count: int = ticks) -> tuple[int, float]:
        spent, done = 0.0, 0
        for _ in range(count):
            state["tick"] += 1
            tick = state["tick"]
            due = rows[~slow | (tick % 3 == 0)]
            value = (pool[rng.integers(16)] + broken * (tick // 180 % 2))[due]
            measured = NOW + tick * 10.0 + rng.uniform(0.0, 0.5, len(due))
            start = time.process_time()
            bank.observe(due, measured, value, outcome[due], detector)
            spent += time.process_time() - start
            done += len(due)
        return done, spent

    run(100)
    bank.columns["n"][:] = 20_000.0
    bank.altered()
    run(200)
    return run


def compiled_cases() -> dict[str, Case]:
    """What machine code changes; series of a tick that are alike stay with numpy."""
    if not compiled.wanted():
        return {}
    code = compiled.machine_code(None)
    return {
        "numba: 1,000 series": bank_case(1_000, 50, kernel=Compiled(code)),
        "numba: 100,000 series of all kinds": mixed_case(SERIES, 6, kernel=Compiled(code)),
        "numba: 1,000 series of all kinds": mixed_case(1_000, 50, kernel=Compiled(code)),
    }


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


def trees_case() -> Case:
    """HalfSpaceTrees as small as it is of use: 10 trees of height 8. It scores nothing before its first window of 250
    samples is full, so that comes before; each run is a window more, what it does at the end of one included."""
    from river import anomaly

    values = np.random.default_rng(1).uniform(0.0, 1.0, (TREES_WINDOW, 50)).tolist()
    models: list[Any] = [anomaly.HalfSpaceTrees(n_trees=10, height=8, seed=1) for _ in range(50)]

    def run() -> tuple[int, float]:
        start = time.process_time()
        for row in values:
            for model, value in zip(models, row, strict=True):
                model.score_one({"x": value})
                model.learn_one({"x": value})
        return TREES_WINDOW * len(models), time.process_time() - start

    run()
    assert all(model.score_one({"x": 0.5}) for model in models)
    return run


class Waits:
    """How long a second thread, which asks for a turn every half millisecond, waits for one at most: ms."""

    def __init__(self) -> None:
        self.most, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        last = time.perf_counter()
        while not self._over.wait(0.0005):
            now = time.perf_counter()
            self.most, last = max(self.most, (now - last) * 1000), now

    def __enter__(self) -> Waits:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class Million(NamedTuple):
    """CPU ms of a tick of a million series every 10 s, and how long another thread waited meanwhile at most, ms."""

    usual: float
    at_hour: float
    after_hour: float  # the longest of the 359 that follow
    wait: float
    wait_at_hour: float


def million() -> Million:
    """A bank that is some weeks old, over the first whole hour after a start."""
    series = 1_000_000
    rng, bank, detector = np.random.default_rng(3), Bank(), Detector()
    bank.add(np.zeros(series, np.bool_))
    rows, outcome = np.arange(series), np.zeros(series, np.uint8)
    pool = rng.normal(10.0, 2.0, series + 300_000)
    hour, state = NOW // HOUR * HOUR + HOUR, {"at": NOW // HOUR * HOUR + HOUR - 1200.0}

    def tick() -> float:
        offset = int(rng.integers(300_000))
        value, at = pool[offset : offset + series], np.full(series, state["at"])
        state["at"] += 10.0
        start = time.thread_time()
        bank.observe(rows, at, value, outcome, detector)
        return (time.thread_time() - start) * 1000

    for _ in range(60):
        tick()
    bank.columns["n"][:] = 20_000.0
    bank.altered()
    for _ in range(48):
        tick()
    with Waits() as waits:
        spent = [tick() for _ in range(12)]
    assert state["at"] == hour
    with Waits() as at_hour:
        turn = tick()
    after = [tick() for _ in range(359)]
    return Million(statistics.median(spent), turn, max(after), waits.most, at_hour.most)


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
        "river HalfSpaceTrees (10, 8), 50 models": trees_case(),
        "bank, 1,000 series": bank_case(1_000, 50),
        "bank, 100,000 series": bank_case(SERIES, 72),
        "bank, 100,000 series, any order": bank_case(SERIES, 2, shuffled=True),
        "bank, 100,000 series of all kinds": mixed_case(SERIES, 6),
        "bank, 1,000 series of all kinds": mixed_case(1_000, 50),
        **compiled_cases(),
    }
    rates = interleaved(cases, runs)
    river = statistics.median(rates["river GaussianScorer, 1,000 models"])
    trees = statistics.median(rates["river HalfSpaceTrees (10, 8), 50 models"])
    for name, measured in rates.items():
        middle = statistics.median(measured)
        spread = f"[{min(measured) / 1e6:.2f}..{max(measured) / 1e6:.2f}]"
        print(f"{name:40s} {middle / 1e6:8.2f} M samples/cpu-s {spread:18s} {middle / river:6.1f} x river")
    bank = statistics.median(rates["bank, 100,000 series"])
    print(f"bank of 100,000 series: {bank / river:.1f} x GaussianScorer, {bank / trees:,.0f} x HalfSpaceTrees (10, 8)")
    of = million()
    print(
        f"a million series: {of.usual:.1f} CPU ms a tick, {of.at_hour:.0f} at a whole hour, up to {of.after_hour:.0f} "
        f"in the hour after; another thread waits {of.wait:.1f} ms at most, {of.wait_at_hour:.1f} at the whole hour"
    )
    print(
        f"bytes per series: bank {Bank().bytes_per_series()}, with its row of names' numbers "
        f"{Bank().bytes_per_series() + Columns(FIELDS).bytes_per_row()}"
    )
    print(
        f"resident memory of 100,000 series after a week: {resident / 2**20:.0f} MiB ({resident / SERIES:.0f} B each)"
    )


if __name__ == "__main__":
    main()
