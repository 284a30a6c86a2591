"""The pool of many seeds' scorecards that `bench.day` prints."""

from __future__ import annotations

from typing import Any

import pytest
from bench.day import pooled


def card(seed: int, faults: list[dict[str, Any]]) -> dict[str, Any]:
    """A scorecard as `cemd bench day` writes it, of what is pooled alone."""
    counts = {"faults": len(faults), "found": len(faults), "false_incidents": 0, "incident_weeks": 0.5,
              "false_notices": 0, "told_twice": 0, "never_ended": 0}  # fmt: skip
    rates = {"told_before_contact_reachable": None, "told_before_contact_oracle": None}
    baseline = {**counts, "delay_seconds": {"median": None}, "cause_right": None, **rates}
    total = {**counts, **rates, "promises_broken": 0, "baseline": baseline}
    return {"seed": seed, "faults": faults, "false_incidents": [], "total": total}


def fault(seconds: float) -> dict[str, Any]:
    return {"name": "shop-down", "class": "hard", "customers_hurt": 10, "found": True, "cause_right": True,
            "cause_named": "shop", "first_hurt_to_incident_seconds": seconds}  # fmt: skip


def test_seeds_without_a_fault_have_no_delay_and_no_cause() -> None:
    one = pooled([card(2, [])])
    figures = ("delay_median", "delay_p95", "cause_right", "undetermined")
    assert [one[figure] for figure in figures] == [None] * 4
    assert one["faults"] == 0
    assert one["false_a_week_at_most"] == pytest.approx(2.9957 / 0.5, rel=1e-3)


def test_a_seed_without_a_fault_counts_its_weeks_beside_one_with_a_fault() -> None:
    one = pooled([card(1, [fault(60.0)]), card(2, [])])
    assert (one["delay_median"], one["cause_right"], one["undetermined"]) == (60.0, 1.0, 0.0)
    assert one["incident_weeks"] == 1.0
