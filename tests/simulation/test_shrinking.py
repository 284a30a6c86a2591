"""A failing life is shrunk to the smallest plan, which breaks the same promise again."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from cemd.cli import main
from cemd.daemon.kinds import kinds
from cemd.errors import CemdError
from cemd.improve.orders import Orders
from cemd.simulation.command import Wanted, run_simulation
from cemd.simulation.outcome import Broken, SimulationReport
from cemd.simulation.plan import HABITS, Plan, mishaps, names
from cemd.simulation.run import simulate
from cemd.simulation.shrink import Shrinking
from click.testing import CliRunner

BLANK = simulate(1, 0.01)


def reported(plan: Plan, promise: str | None, after_seconds: float = 0.0) -> SimulationReport:
    broken = promise and Broken(
        seed=plan.seed, promise=promise, seq=1, at=0.0, detail="", trace=(), after_seconds=after_seconds
    )
    return msgspec.structs.replace(BLANK, plan=plan, broken=broken or None)


def refused(self: Orders, *_: object) -> None:
    raise ValueError("not prepared for this")


def fails_with(plan: Plan, needed: set[str], customers: int, days: float) -> bool:
    count = 100 if plan.customers is None else plan.customers
    return all(map(plan.has, needed)) and count >= customers and plan.length_seconds >= days * 86_400.0


def test_only_what_it_takes_is_left() -> None:
    whole = Plan(seed=1, days=2.0)
    everything = names(whole, [("fault.0", 100.0), ("fault.1", 5000.0)])
    needed = {"kill.3", "reload.1", "fault.1", "lies"}

    def live(plan: Plan) -> SimulationReport:
        return reported(plan, "caps_hold" if fails_with(plan, needed, 3, 0.4) else None, 1.5 * 86_400.0)

    found = Shrinking(live(whole), live, most_lives=500).run(everything, 100)
    assert set(found.plan.only or ()) == needed
    assert found.plan.customers == 3
    assert found.plan.until is not None
    assert 0.4 <= found.plan.until < 0.9
    assert found.broken is not None


def test_a_plan_that_breaks_another_promise_is_not_the_same_failure() -> None:
    whole = Plan(seed=1, days=1.0)

    def live(plan: Plan) -> SimulationReport:
        return reported(plan, "caps_hold" if plan.only is None else "quiet_hours_hold", 86_400.0)

    assert Shrinking(live(whole), live, most_lives=30).run(["kill.1", "kill.2"], 1).plan.only is None


def test_shrinking_stops_when_its_lives_are_used_up() -> None:
    whole = Plan(seed=1, days=1.0)
    search = Shrinking(reported(whole, "caps_hold"), lambda plan: reported(plan, "caps_hold"), most_lives=4)
    search.run(names(whole, []), 50)
    assert search.lives == 4


def test_leaving_one_mishap_out_moves_no_other() -> None:
    whole = Plan(seed=4, days=1.0)
    kept = [one for one in mishaps(whole, [500.0]) if one.name != "kill.0"]
    only = tuple(one.name for one in kept)
    assert list(mishaps(msgspec.structs.replace(whole, only=only), [500.0])) == kept


def test_the_names_hold_every_mishap_habit_and_fault_once() -> None:
    found = names(Plan(seed=4, days=1.0), [("fault.0", 500.0)])
    assert len(found) == len(set(found))
    assert {"kill.0", "contact.f0-3", "fault.0", *HABITS} <= set(found)


def test_a_planted_defect_is_shrunk_and_the_printed_command_breaks_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Orders, "obey", refused)
    wanted = Wanted(seeds="1", days=0.1, shrink_lives=40, as_json=True)
    assert run_simulation(wanted, kinds()) == 1
    first, shrunk, _ = map(json.loads, capsys.readouterr().out.splitlines())
    plan: dict[str, Any] = shrunk["shrunk"]["plan"]
    assert first["broken"]["promise"] == shrunk["shrunk"]["broken"]["promise"] == "the_core_never_fails"
    assert len(plan["only"]) == 1
    assert plan["only"][0].startswith("command.")
    assert plan["customers"] == 1
    again = CliRunner().invoke(main, [*shrunk["again"].split()[1:], "--json"])
    assert again.exit_code == 1
    lived = json.loads(again.output.splitlines()[0])
    assert lived["broken"] == shrunk["shrunk"]["broken"]
    assert "shrunk" not in again.output


def test_words_for_people_name_the_promise_the_size_and_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Orders, "obey", refused)
    assert run_simulation(Wanted(seeds="1", days=0.1, shrink_lives=1), kinds()) == 1
    out = capsys.readouterr().out
    assert "BROKEN the_core_never_fails" in out
    assert "shrunk in 1 lives to " in out
    assert "again: cemd simulate --bare --seeds 1 --days 0.1" in out
    assert "1 of them broke a promise" in out


def test_a_plan_tells_of_one_life() -> None:
    with pytest.raises(CemdError, match="name one seed"):
        run_simulation(Wanted(seeds="1-2", only="kill.1"), kinds())


def test_bare_and_a_scenario_exclude_each_other() -> None:
    scenario = "cemd/demo/scenarios/simulation.yaml"
    found = CliRunner().invoke(main, ["simulate", "--seeds", "1", "--bare", "--scenario", scenario])
    assert found.exit_code == 2
    assert "leave out one" in found.output
