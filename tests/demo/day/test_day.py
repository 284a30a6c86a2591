"""A day of the small scenario: faults are found, the score is the same for the same seed, and its keys are the
promise.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cemd.daemon.kinds import kinds
from cemd.demo.day.command import live
from cemd.demo.day.compare import compared
from cemd.demo.day.page import report_page
from cemd.demo.files import shipped_root
from cemd.demo.world.reading import SCENARIOS, read_scenario

SMALL = SCENARIOS / "small.yaml"
TOTAL = [
    "faults",
    "found",
    "delay_seconds",
    "false_incidents",
    "incident_weeks",
    "false_notices",
    "cause_right",
    "told_before_contact",
    "told_before_contact_reachable",
    "told_before_contact_oracle",
    "lead_time_seconds",
    "told_twice",
    "never_ended",
    "notices_per_hurt_customer",
    "promises_broken",
]


@pytest.fixture(scope="module")
def day() -> dict[str, Any]:
    return live(read_scenario(SMALL), shipped_root() / "rules", kinds(), seed=1)


def test_what_hurts_is_found_with_its_cause(day: dict[str, Any]) -> None:
    assert [(one["name"], one["found"], one["cause_right"]) for one in day["faults"]] == [
        ("town-dark", True, True),
        ("records-slow", True, True),
    ]
    assert all(one["first_hurt_to_incident_seconds"] <= 180 for one in day["faults"])
    assert all(one["customers_hurt"] > 10 for one in day["faults"])


def test_nobody_is_told_wrongly_or_twice_or_left_without_an_end(day: dict[str, Any]) -> None:
    total = day["total"]
    assert sum(one["told"] for one in day["faults"]) > 0
    assert (total["false_notices"], total["told_twice"], total["never_ended"], total["promises_broken"]) == (0, 0, 0, 0)


def test_the_total_has_exactly_the_documented_keys(day: dict[str, Any]) -> None:
    assert [*day["total"]] == [*TOTAL, "baseline"]
    assert [*day["total"]["baseline"]] == TOTAL
    assert [*day["total"]["delay_seconds"]] == ["median", "p95", "by_class"]
    page = (Path(__file__).parents[3] / "docs" / "day.md").read_text()
    assert all(f"`{key}`" in page for key in TOTAL)


def test_the_same_seed_gives_the_identical_file_whatever_the_hashes(tmp_path: Path) -> None:
    files = []
    for hashes in ("1", "2"):
        out = tmp_path / f"{hashes}.json"
        words = [sys.executable, "-m", "cemd", "bench", "day", "--scenario", str(SMALL), "--seed", "7", "--days", "0.1"]
        subprocess.run(
            [*words, "--json", str(out)], check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": hashes}
        )
        files.append(out.read_bytes())
    assert files[0] == files[1]
    assert json.loads(files[0])["seed"] == 7


def test_another_seed_is_another_day(day: dict[str, Any]) -> None:
    other = live(read_scenario(SMALL), shipped_root() / "rules", kinds(), seed=2)
    assert [one["first_hurt_at"] for one in other["faults"]] != [one["first_hurt_at"] for one in day["faults"]]


def test_the_page_shows_truth_and_incidents_and_loads_nothing(day: dict[str, Any]) -> None:
    page = report_page(day)
    assert page.count("<svg") == 3
    assert "town-dark" in page
    assert all(one["id"] in page for one in day["incidents"])
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_a_comparison_says_what_became_worse(day: dict[str, Any]) -> None:
    assert compared(day, day).lines == ("Nothing changed.",)
    worse = {**day, "total": {**day["total"], "found": 1}}
    found = compared(day, worse)
    assert found.worse
    assert "found: 2 -> 1 (worse)" in found.lines
