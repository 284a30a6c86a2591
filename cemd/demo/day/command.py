"""`cemd bench day`: one day (or many) under one seed, the scorecard as JSON and in words, the report page, and
comparisons.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from cemd.config.load import Kinds
from cemd.demo.day import scorecard
from cemd.demo.day.compare import compared
from cemd.demo.day.drive import Day
from cemd.demo.day.judge import alarms_of, verdicts
from cemd.demo.day.page import report_page
from cemd.demo.day.witness import Witness
from cemd.demo.files import shipped_root
from cemd.demo.world.reading import SCENARIOS, read_scenario
from cemd.demo.world.scenario import Scenario
from cemd.demo.world.world import World
from cemd.errors import CemdError

SHIPPED = SCENARIOS / "day.yaml"


def run_day(  # noqa: PLR0913, RUF100 -- the options of the command
    *,
    scenario: Path | None,
    seed: int,
    days: float | None,
    customers: int | None,
    rules: Path | None,
    kinds: Kinds,
    out: Path | None,
    page: Path | None,
) -> int:
    """Lives the day and writes the scorecard; returns the exit code.

    Raises:
        ConfigError: the scenario is impossible, or the rules do not fit it.
    """
    began = time.process_time()
    chosen = scaled(read_scenario(scenario or SHIPPED, kinds.probe_params), days=days, customers=customers)
    document = live(chosen, rules or shipped_root() / "rules", kinds, seed=seed)
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    if page is not None:
        page.write_text(report_page(document), encoding="utf-8")
    print(_words(document), f"{time.process_time() - began:.1f} s of processor time", sep="\n", file=sys.stderr)
    return 0


def compare_days(before: Path, after: Path) -> int:
    """Prints what changed from one scorecard to another; the exit code says whether any figure became worse.

    Raises:
        CemdError: a file is no scorecard.
    """
    worse = compared(_read(before), _read(after))
    print("\n".join(worse.lines))
    return 1 if worse.worse else 0


def _read(path: Path) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise CemdError(f"{path}: is no scorecard ({exc}); name a file that `cemd bench day --json` wrote.") from exc
    if document.get("version") != scorecard.VERSION or "total" not in document:
        raise CemdError(f"{path}: is no scorecard of version {scorecard.VERSION}; make it anew with `cemd bench day`.")
    return document


def scaled(scenario: Scenario, *, days: float | None, customers: int | None) -> Scenario:
    """The scenario with another length or size."""
    if days is not None:
        scenario = scenario.model_copy(update={"calendar": scenario.calendar.model_copy(update={"days": days})})
    if customers is not None:
        scenario = scenario.model_copy(update={"people": scenario.people.model_copy(update={"count": customers})})
    return scenario


def live(scenario: Scenario, rules: Path, kinds: Kinds, *, seed: int) -> dict[str, Any]:
    """One life of the core in the world; its scorecard."""
    world = World(scenario, rules, kinds, seed=seed)
    witness = Witness(world)
    Day(world, witness).live()
    judged, false = verdicts(witness, alarms_of(witness), witness.records, witness.incidents_behind)
    return scorecard.document(witness, judged, false, scorecard.baseline_total(witness))


def _words(document: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in document["total"].items())
