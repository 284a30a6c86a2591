"""Forecasts, drift and touchpoints: what they find, how early, how often falsely, beside river's own; their cost.

    python -m bench.models [--samples 10000] [--series 20] [--json]

All data is seeded. A false alarm is an episode on data without a trend, a move or a fault; "stated" is what the rules
say for so many samples. Costs are CPU time, both sides in this process. Exit 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from . import drift, forecast, touchpoint
from .cost import costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found: dict[str, Any] = {
        "forecast_false": forecast.false_warnings(asked.samples, asked.series),
        "forecast_ramps": forecast.ramps(asked.series),
        "drift_false": drift.false_episodes(asked.samples // 2, asked.series),
        "drift_delay": drift.delays(asked.series),
        "touchpoint": touchpoint.case(asked.samples // 2, max(2, asked.series // 2)),
        "cost_microseconds": costs(),
    }
    if asked.json:
        print(json.dumps(found))
    else:
        _print(found, asked.samples)
    held = all(count <= 2 * stated + 1 for count, stated in found["forecast_false"].values())
    quiet = sum(found["drift_false"].values()) == 0
    early = all(found["forecast_ramps"][length][0] >= 0.9 * asked.series for length in (400, 1000, 3000))
    sys.exit(0 if held and quiet and early else 1)


def _print(found: dict[str, Any], samples: int) -> None:
    print(f"forecast: warnings on {samples} samples a series without a trend (stated)")
    for kind, (count, stated) in found["forecast_false"].items():
        print(f"  {kind:22s} {count:5d} ({stated:.1f})")
    print("forecast: ramps over ten spreads")
    for length, (warned, series, lead) in found["forecast_ramps"].items():
        print(f"  {length:5d} samples: {warned} of {series} warned strictly before, {lead:.0%} of the ramp still ahead")
    print(
        "drift: episodes on flat data " + ", ".join(f"{kind} {count}" for kind, count in found["drift_false"].items())
    )
    for size, (count, delay) in found["drift_delay"].items():
        print(f"  move of {size:.0%}: {count} found, after {delay:.0f} samples")
    case = found["touchpoint"]
    print(f"touchpoint: {case['false']} false episodes in {case['runs']} runs; faults found of {case['runs']}:")
    for name, kinds in case["found"].items():
        print(f"  {name:16s} " + ", ".join(f"{kind} {count}" for kind, count in kinds.items()))
    costs_found = found["cost_microseconds"]
    for name, cost in costs_found.items():
        print(f"  {name:30s} {cost:8.2f} us a look")
    trees, look = costs_found["river HalfSpaceTrees (10, 8)"], costs_found["touchpoint of four"]
    print(f"a touchpoint's look costs {look / trees:.2f} of HalfSpaceTrees' score and learn")


if __name__ == "__main__":
    main()
