"""Searches the baseline's static thresholds on training seeds, so that cemd is compared with something well tuned.

    .venv/bin/python -m bench.day_baseline [--scenario FILE] [--seeds 101-103] [--days D]

Every point of the grid looks at the same samples of the same worlds (no core runs). The best one finds most, then has
fewest false alarms, then is quickest; it stands frozen as `FROZEN` in `cemd/demo/day/baseline.py`.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
from cemd.daemon.kinds import kinds
from cemd.demo.day.baseline import Baseline, Seen, Thresholds
from cemd.demo.day.command import SHIPPED, scaled
from cemd.demo.day.judge import matched
from cemd.demo.files import shipped_root
from cemd.demo.world.reading import read_scenario
from cemd.demo.world.scenario import Scenario
from cemd.demo.world.world import World
from cemd.model.entry import Batch
from cemd.store.memory import MemorySeries

GRID = [
    Thresholds(window_seconds=window, success_below=below, times_usual=times, loss_above=loss, for_seconds=wait)
    for window, below, times, loss, wait in itertools.product(
        (150.0, 300.0), (0.4, 0.55, 0.7, 0.85), (2.0, 3.0, 5.0), (0.05, 0.1), (0.0, 60.0, 120.0, 180.0, 300.0)
    )
]
MISSED, FALSE, MINUTE = 10.0, 3.0, 1.0
"""What one missed fault, one false alarm and one minute of median delay cost a NOC, against each other."""


def searched(scenario: Scenario, seeds: range) -> list[tuple[float, Thresholds, int, int, int, float]]:
    """(cost, thresholds, faults, found, false, median delay in seconds), best first."""
    faults = [0] * len(GRID)
    found = [0] * len(GRID)
    false = [0] * len(GRID)
    delays: list[list[float]] = [[] for _ in GRID]
    for seed in seeds:
        world = World(scenario, shipped_root() / "rules", kinds(), seed=seed)
        for place, baseline in enumerate(lived(world)):
            hurting = [event for event in world.events if event.number in world.care.truth]
            labelled = [event for event in world.events if event.is_fault]
            alarm_of = matched(labelled, baseline.alarms, world)
            faults[place] += len(hurting)
            found[place] += sum(event.number in alarm_of for event in hurting)
            false[place] += len(baseline.alarms) - len(alarm_of)
            for event in hurting:
                first = world.care.truth[event.number].first_hurt_at
                if event.number in alarm_of and first is not None:
                    delays[place].append(max(0.0, alarm_of[event.number].opened_at - first))
    rows = []
    for place, thresholds in enumerate(GRID):
        median = float(np.median(delays[place])) if delays[place] else 0.0
        cost = MISSED * (faults[place] - found[place]) + FALSE * false[place] + MINUTE * median / 60.0
        rows.append((cost, thresholds, faults[place], found[place], false[place], median))
    return sorted(rows, key=lambda row: row[0])


def lived(world: World) -> list[Baseline]:
    """All points of the grid after one life of the world."""
    world.begin(MemorySeries())
    seen = Seen(world)
    baselines = [Baseline(world, seen, thresholds) for thresholds in GRID]
    at = world.start
    while at < world.end:
        at += world.tick
        seen.take([one for one in world.pass_tick(at) if isinstance(one, Batch)])
        for baseline in baselines:
            baseline.look(at)
    for baseline in baselines:
        baseline.finish()
    return baselines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", type=Path, default=SHIPPED)
    parser.add_argument("--seeds", default="101-103")
    parser.add_argument("--days", type=float, default=None)
    parser.add_argument("--customers", type=int, default=5000)
    words = parser.parse_args()
    first, _, last = words.seeds.partition("-")
    scenario = scaled(read_scenario(words.scenario), days=words.days, customers=words.customers)
    for cost, thresholds, faults, found, false, median in searched(scenario, range(int(first), int(last or first) + 1))[
        :10
    ]:
        print(f"cost {cost:6.1f}: found {found}/{faults}, {false} false, median {median:.0f} s: {thresholds}")


if __name__ == "__main__":
    main()
