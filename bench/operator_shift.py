"""Anomaly warnings of a whole operator: 100,000 correlated series over 14 days with seeded faults among them.

    python -m bench.operator_shift [--services 1000] [--days 14] [--seed 1]

Every series has a day of its own, noise that hangs together, and shares in what moves its service, its site and the
whole network; one value every five minutes. After `QUIET_DAYS` come faults: of a service (a third to all of its
series), of a site (likewise), of one series; 4 to 8 spreads high, half an hour to four hours long. Printed are warnings
per eight-hour shift (goal: at most 10) and the share of the faults that a warning names while they last (goal: 90 %).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from cemd.analyze.bank.bank import Bank
from cemd.analyze.bank.warnings import Warnings
from cemd.analyze.columns import Array
from cemd.config.rules import Detector

PER_SERVICE = 100
SITES = 200
EVERY = 300.0
DAY = 86_400.0
START = 1_767_571_200.0
QUIET_DAYS = 4
FAULTS = 60
SHIFT_TICKS = 96


class World:
    """Values of all series, tick by tick; where and when they are faulty."""

    def __init__(self, services: int, ticks: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        rng, self.size = self.rng, services * PER_SERVICE
        self.service, self.site = np.arange(self.size) // PER_SERVICE, rng.integers(0, SITES, self.size)
        self.level, self.spread = rng.lognormal(3, 1, self.size), rng.uniform(0.03, 0.1, self.size)
        self.phase, self.depth = rng.uniform(-1.5, 1.5, self.size), rng.uniform(0.1, 0.4, self.size)
        self.shares = rng.uniform(0.0, 0.5, (3, self.size)).astype(np.float32)
        self.service_moves, self.site_moves, self.moves = np.zeros(services), np.zeros(SITES), 0.0
        self.own = np.zeros(self.size, np.float32)
        self.faults = [self._fault(number, ticks) for number in range(FAULTS)]

    def _fault(self, number: int, ticks: int) -> tuple[int, int, Array, float]:
        """(first tick, tick after the last, rows, spreads)"""
        rng = self.rng
        first = int(rng.integers(QUIET_DAYS * 288, ticks - 60))
        if number % 10 == 4:
            rows = rng.integers(0, self.size, 1)
        else:
            of, count = (self.service, self.size // PER_SERVICE) if number % 2 else (self.site, SITES)
            rows = np.flatnonzero(of == rng.integers(count))
            rows = rows[rng.random(len(rows)) < rng.uniform(1 / 3, 1)]
        return first, first + int(rng.integers(6, 48)), rows, float(rng.uniform(4, 8))

    def values(self, tick: int) -> Array:
        rng = self.rng
        self.moves = 0.95 * self.moves + 0.31 * rng.normal()
        self.service_moves = 0.9 * self.service_moves + 0.44 * rng.normal(size=len(self.service_moves))
        self.site_moves = 0.9 * self.site_moves + 0.44 * rng.normal(size=SITES)
        self.own = np.float32(0.5) * self.own + np.float32(0.87) * rng.standard_normal(self.size, np.float32)
        noise = self.own + self.shares[0] * np.float32(self.moves)
        noise += self.shares[1] * self.service_moves.astype(np.float32)[self.service]
        noise += self.shares[2] * self.site_moves.astype(np.float32)[self.site]
        for first, end, rows, size in self.faults:
            if first <= tick < end:
                noise[rows] += size
        day = 1 + self.depth * np.sin(tick * EVERY / DAY * 2 * np.pi + self.phase)
        return np.asarray(self.level * day * (1 + self.spread * noise))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    ticks = given.days * 288
    world, bank, warnings, detector = World(given.services, ticks, given.seed), Bank(), Warnings(), Detector()
    bank.add(np.zeros(world.size, np.bool_))
    warnings.groups[0].place([f"service-{one}" for one in world.service.tolist()])
    warnings.groups[1].place([f"site-{one}" for one in world.site.tolist()])
    rows, outcome = np.arange(world.size), np.zeros(world.size, np.uint8)
    at, said, alarms, spent = START, [], 0, 0.0
    for tick in range(ticks):
        value = world.values(tick)
        at += EVERY
        began = time.process_time()
        bank.observe(rows, np.full(world.size, at), value, outcome, detector)
        bank.realised.judge(at)
        turned, over = bank.turned()
        alarms += len(turned) * (tick >= QUIET_DAYS * 288)
        warnings.waiting |= dict.fromkeys(turned.tolist())
        for row in over.tolist():
            warnings.waiting.pop(row, None)
        opened, _ = warnings.tick(bank, at, detector)
        spent += time.process_time() - began
        said += [(tick, one) for one in opened]
    found = [_named(fault, said) for fault in world.faults]
    counted = [tick for tick, _ in said if tick >= QUIET_DAYS * 288]
    shifts = np.bincount([(tick - QUIET_DAYS * 288) // SHIFT_TICKS for tick in counted], minlength=1)
    false = sum(
        not any(_names(fault, tick, one.rows) for fault in world.faults) for tick, one in said if tick in set(counted)
    )
    print(f"{world.size:,} series, {given.days} days, {FAULTS} faults; {spent / ticks * 1000:.1f} CPU ms a tick")
    print(f"alarms of single series after day {QUIET_DAYS}: {alarms} ({alarms / len(shifts):.0f} a shift)")
    print(f"warnings: {len(counted)}, a shift: mean {shifts.mean():.1f}, most {shifts.max()}; of no fault: {false}")
    print(f"before day {QUIET_DAYS}: {len(said) - len(counted)}")
    kinds = [sum(found[number] for number in range(FAULTS) if _kind(number) == kind) for kind in range(3)]
    totals = [sum(_kind(number) == kind for number in range(FAULTS)) for kind in range(3)]
    print(f"faults named: {sum(found)} of {FAULTS} ({sum(found) / FAULTS:.0%}); site, service, one series: "
          + ", ".join(f"{a} of {b}" for a, b in zip(kinds, totals, strict=True)))  # fmt: skip


def _kind(number: int) -> int:
    return 2 if number % 10 == 4 else number % 2


def _names(fault: tuple[int, int, Array, float], tick: int, rows: Array) -> bool:
    first, end, where, _ = fault
    return first <= tick < end + (end - first) and bool(np.isin(rows, where).any())


def _named(fault: tuple[int, int, Array, float], said: list) -> bool:  # type: ignore[type-arg]
    return any(_names(fault, tick, one.rows) for tick, one in said)


if __name__ == "__main__":
    main()
