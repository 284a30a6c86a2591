"""Many seeds of a scenario, pooled: how right is cemd, and how sure is that?

    .venv/bin/python -m bench.day [--scenario FILE] [--seeds 1-10] [--days D] [--customers C] [--folder DIR]

Each seed's scorecard is kept in the folder, so that a run can be ended and taken up again. Beside cemd stand the static
thresholds on the same samples. The bound on false incidents is the exact one of a Poisson count.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from cemd.daemon.kinds import kinds
from cemd.demo.day.command import SHIPPED, live, scaled
from cemd.demo.files import shipped_root
from cemd.demo.world.reading import read_scenario

COUNTED = ("faults", "found", "false_incidents", "incident_weeks", "false_notices", "told_twice", "never_ended")


def scorecards(words: argparse.Namespace) -> list[dict[str, Any]]:
    """One a seed, from the folder where it is there already."""
    words.folder.mkdir(parents=True, exist_ok=True)
    first, _, last = words.seeds.partition("-")
    scenario = scaled(read_scenario(words.scenario), days=words.days, customers=words.customers)
    cards = []
    for seed in range(int(first), int(last or first) + 1):
        path = words.folder / f"{scenario.name}-{seed}.json"
        if not path.exists():
            path.write_bytes(msgspec.json.encode(live(scenario, shipped_root() / "rules", kinds(), seed=seed)))
            print(f"seed {seed} lived", flush=True)
        cards.append(msgspec.json.decode(path.read_bytes()))
    return cards


def pooled(cards: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All seeds as one; a figure about faults is None where no seed had one."""
    total = {key: sum(card["total"][key] for card in cards) for key in (*COUNTED, "promises_broken")}
    faults = [one for card in cards for one in card["faults"] if one["customers_hurt"]]
    named = [one for one in faults if one["cause_right"] is not None]
    found = [one for one in faults if one["found"]]
    delays = [one["first_hurt_to_incident_seconds"] for one in found]
    by_class = {
        name: float(np.median([one["first_hurt_to_incident_seconds"] for one in found if one["class"] == name]))
        for name in sorted({one["class"] for one in found})
    }
    weeks = total["incident_weeks"]
    return {
        **total,
        "delay_median": float(np.median(delays)) if delays else None,
        "delay_p95": float(np.quantile(delays, 0.95)) if delays else None,
        "by_class": by_class,
        "false_a_week": total["false_incidents"] / weeks,
        "false_a_week_at_most": upper_bound(total["false_incidents"]) / weeks,
        "cause_right": sum(one["cause_right"] for one in named) / len(named) if named else None,
        "undetermined": 1.0 - len(named) / len(found) if found else None,
        "reachable": _mean(cards, "told_before_contact_reachable"),
        "oracle": _mean(cards, "told_before_contact_oracle"),
        "baseline": {
            **{key: sum(card["total"]["baseline"][key] for card in cards) for key in COUNTED},
            "delay_median": _mean_of([card["total"]["baseline"]["delay_seconds"]["median"] for card in cards]),
            "cause_right": _mean_of([card["total"]["baseline"]["cause_right"] for card in cards]),
            "reachable": _mean_of([card["total"]["baseline"]["told_before_contact_reachable"] for card in cards]),
        },
        "missed": [f"{seed}: {one['name']}" for seed, one in _each(cards, "faults") if _is_missed(one)],
        "wrong": [
            f"{seed}: {one['name']} -> {one['cause_named']}"
            for seed, one in _each(cards, "faults")
            if one["cause_right"] is False
        ],
        "false": [
            f"{seed}: {one['services']} at {one['sites'][:3]} because {one['evidence'][-1:]}"
            for seed, one in _each(cards, "false_incidents")
        ],
    }


def _each(cards: Sequence[dict[str, Any]], section: str) -> list[tuple[int, dict[str, Any]]]:
    return [(card["seed"], one) for card in cards for one in card[section]]


def _is_missed(fault: dict[str, Any]) -> bool:
    return bool(fault["customers_hurt"]) and not fault["found"]


def upper_bound(count: int, share: float = 0.95) -> float:
    """The expectation that a Poisson count of so many leaves possible, one-sided."""
    low, high = 0.0, 10.0 + 3.0 * count
    while high - low > 1e-6:
        middle = (low + high) / 2
        likely = sum(math.exp(-middle) * middle**k / math.factorial(k) for k in range(count + 1))
        low, high = (middle, high) if likely > 1.0 - share else (low, middle)
    return high


def _mean(cards: Sequence[dict[str, Any]], key: str) -> float | None:
    """Mean over the seeds that have the figure."""
    return _mean_of([card["total"][key] for card in cards])


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", type=Path, default=SHIPPED)
    parser.add_argument("--seeds", default="1-10")
    parser.add_argument("--days", type=float, default=None)
    parser.add_argument("--customers", type=int, default=None)
    parser.add_argument("--folder", type=Path, default=Path("day-results"))
    for name, value in pooled(scorecards(parser.parse_args())).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
