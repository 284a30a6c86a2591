"""How large a fault does the bank find? Shifts of the series of `bench/false_alarms.py`, all kinds in one bank, by age.

    python -m bench.power [--series 100] [--every 300] [--rate 0.02] [--seed 31]

A kind's unit is the distance from its median at that time that three of its samples in a thousand exceed: for noise
some three standard deviations. All values are higher by so many units for 48 samples; printed is the share of the
series that alarm within 12 of them and within 48, of those that were not in an alarm. Series of 0 and 1 are left out.
"""

from __future__ import annotations

import argparse
from itertools import islice

import numpy as np
from cemd.analyze.bank.bank import Bank
from cemd.analyze.bank.learning import WEEK_SECONDS
from cemd.analyze.columns import Array
from cemd.config.rules import Detector

from bench.false_alarms import KINDS, START

WEEKS = 1, 2, 4, 8, 12
UNITS = 1.0, 2.0, 4.0, 8.0, 12.0, 16.0
SOON, LATE = 12, 48


class Fleet:
    """A bank of all kinds, as it lives."""

    def __init__(self, series: int, every: float, detector: Detector) -> None:
        self.bank, self.at, self.every, self.detector = Bank(), START, every, detector
        self.size = series * (len(KINDS) - 1)
        self.bank.add(np.zeros(self.size, np.bool_))

    def live(self, value: Array) -> Array:
        """Takes a value of each series; tells which are in an alarm."""
        self.at += self.every
        rows, outcome = np.arange(self.size), np.zeros(self.size, np.uint8)
        self.bank.observe(rows, np.full(self.size, self.at), value, outcome, self.detector)
        self.bank.realised.judge(self.at)
        alarm: Array = self.bank.columns["alarm"]
        return alarm

    def again(self) -> Fleet:
        """Another one that has lived the same."""
        other = Fleet(self.size // (len(KINDS) - 1), self.every, self.detector)
        other.bank.load(self.bank.dump())
        other.at = self.at
        return other


def found(fleet: Fleet, values: list[Array], by: Array) -> tuple[Array, Array]:
    """1 for each series that alarms within `SOON` of these values, and within all of them; NaN if it did before."""
    before = fleet.bank.columns["alarm"].copy()
    shown, soon = np.zeros(fleet.size, np.bool_), before
    for number, value in enumerate(values):
        shown |= fleet.live(value + by)
        if number == SOON - 1:
            soon = shown.copy()
    return np.where(before, np.nan, soon), np.where(before, np.nan, shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--every", type=float, default=300)
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=31)
    given = parser.parse_args()
    ticks = int(WEEKS[-1] * WEEK_SECONDS / given.every) + LATE
    hours = np.arange(ticks) * given.every / 3600.0
    names = [name for name in KINDS if "success" not in name]
    parts = [KINDS[name](np.random.default_rng(given.seed), hours, given.series) for name in names]
    values = (row for chunks in zip(*parts, strict=True) for row in np.concatenate(chunks, axis=1))
    fleet = Fleet(given.series, given.every, Detector(false_alarms_per_series_week=given.rate))
    lived = 0
    for weeks in WEEKS:
        for value in islice(values, int(weeks * WEEK_SECONDS / given.every) - lived):
            fleet.live(value)
            lived += 1
        ahead = list(islice(values, LATE))
        kinds = np.stack(ahead).reshape(LATE, len(names), given.series)
        away = np.abs(kinds - np.median(kinds, axis=2, keepdims=True))
        unit = np.quantile(away.transpose(1, 0, 2).reshape(len(names), -1), 0.997, axis=1)
        shares = [found(fleet.again(), ahead, np.repeat(unit * by, given.series)) for by in UNITS]
        print(
            f"week {weeks}: found of 100 within {SOON} and {LATE} samples, by " + ", ".join(f"{by:g}" for by in UNITS)
        )
        for number, name in enumerate(names):
            part = slice(number * given.series, (number + 1) * given.series)
            of = [f"{np.nanmean(a[part]) * 100:.0f} / {np.nanmean(b[part]) * 100:.0f}" for a, b in shares]
            print(f"  {name:24s} unit {unit[number]:10.3g}   " + "   ".join(f"{one:>9s}" for one in of), flush=True)
        for value in ahead:
            fleet.live(value)
        lived += LATE


if __name__ == "__main__":
    main()
