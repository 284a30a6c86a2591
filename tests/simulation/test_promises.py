"""Promises hold; a seed is one life; what is promised stands in the book of promises."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from cemd.daemon.kinds import kinds
from cemd.demo.files import shipped_root
from cemd.demo.world.reading import SCENARIOS
from cemd.errors import CemdError
from cemd.simulation import command
from cemd.simulation.command import Wanted, run_simulation
from cemd.simulation.outcome import SimulationReport
from cemd.simulation.promises import PROMISES, words_of
from cemd.simulation.run import simulate

from tests.simulation.planting import all_planted

PAGE = Path(__file__).parents[2] / "docs" / "promises.md"


def same(report: SimulationReport) -> SimulationReport:
    return msgspec.structs.replace(report, cpu_seconds=0.0)


def test_nothing_is_broken_and_much_happens() -> None:
    reports = [simulate(seed, 0.4) for seed in (4, 8)]
    assert [report.broken for report in reports] == [None, None]
    assert all(report.starts > 5 and report.kills and report.incidents for report in reports)
    assert sum(report.told for report in reports) > 20
    assert sum(report.overs for report in reports) > 10
    assert sum(report.refusals for report in reports) > 0


def test_a_seed_lives_the_same_life_twice() -> None:
    assert same(simulate(3, 0.2)) == same(simulate(3, 0.2))


def test_a_seed_lives_the_same_life_in_another_process_with_other_hashes() -> None:
    words = [sys.executable, "-m", "cemd", "simulate", "--seeds", "3", "--days", "0.1", "--json"]
    seen = []
    for hashes in ("1", "2"):
        out = subprocess.run(
            words, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": hashes}
        ).stdout
        first = json.loads(out.splitlines()[0])
        first.pop("cpu_seconds")
        seen.append(first)
    assert seen[0] == seen[1]


def test_the_page_lists_every_promise_in_the_words_of_its_function() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `") and line.count(" | ") == 1]
    assert rows == [f"| `{promise.__name__}` | {words_of(promise)} |" for promise in PROMISES]


def test_every_promise_names_the_section_it_comes_from() -> None:
    assert all(words_of(promise).endswith(").") and "(" in words_of(promise) for promise in PROMISES)


def test_the_command_prints_a_line_per_seed_and_a_sum(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_simulation(Wanted(seeds="1-2", days=0.02, jobs=1, as_json=True), kinds()) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["seed"] for line in lines[:2]] == [1, 2]
    assert lines[2]["seeds"] == 2
    assert lines[2]["broken"] == []


def test_scenarios_are_lived_by_several_processes_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = Wanted(
        seeds="1-2",
        days=0.02,
        jobs=2,
        scenario=SCENARIOS / "simulation.yaml",
        rules=shipped_root() / "rules",
        as_json=True,
    )
    assert run_simulation(wanted, kinds()) == 0
    assert sorted(json.loads(line)["seed"] for line in capsys.readouterr().out.splitlines()[:2]) == [1, 2]


def test_a_run_that_was_cut_short_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = tmp_path / "lives.jsonl"
    first = Wanted(seeds="1-2", days=0.02, jobs=1, journal=journal, as_json=True)
    assert run_simulation(first, kinds()) == 0
    said = capsys.readouterr().out.splitlines()
    kept = journal.read_text()
    assert kept.splitlines() == said[:2]
    journal.write_text(kept[:-30])  # killed while it wrote
    assert run_simulation(msgspec.structs.replace(first, seeds="1-3"), kinds()) == 0
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["seed"] for line in again[:-1]] == [2, 3]
    assert again[-1]["seeds"] == 3
    assert sorted(json.loads(line)["seed"] for line in journal.read_text().splitlines()) == [1, 2, 3]


def test_a_journal_that_is_something_else_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "notes.txt"
    journal.write_text("buy milk\n")
    with pytest.raises(CemdError, match=r"notes\.txt:1 is no report .* name another file"):
        run_simulation(Wanted(seeds="1", days=0.02, journal=journal), kinds())
    assert journal.read_text() == "buy milk\n"


def test_a_long_life_says_how_far_it_is_and_the_report_stays_clean(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "WAIT_SECONDS", 0.0)
    assert run_simulation(Wanted(seeds="1", days=0.02, jobs=1, as_json=True), kinds()) == 0
    said = capsys.readouterr()
    assert [json.loads(line).get("seed") for line in said.out.splitlines()] == [1, None]
    assert re.match(r"  seed 1: day 0\.0 of 0\.02, \d+ entries$", said.err.splitlines()[0])
    assert "after its last day" in said.err.splitlines()[-1]


def test_seeds_that_make_no_sense_are_refused_with_a_remedy() -> None:
    with pytest.raises(CemdError, match="write A-B"):
        run_simulation(Wanted(seeds="many"), kinds())
    with pytest.raises(CemdError, match="smaller number first"):
        run_simulation(Wanted(seeds="5-1"), kinds())


def test_every_promise_has_a_defect_that_was_planted_against_it() -> None:
    planted = {one.promise for one in all_planted()}
    apart = {  # each in a life of its own
        "a_service_is_told_once",
        "an_entry_that_kills_twice_is_set_aside",
        "blindness_never_hurts",
        "only_the_hurt_hear_first",
    }
    assert {promise.__name__ for promise in PROMISES} - apart == planted
