"""What the commands say about people: told, on the way, and what was decided in shadow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cemd.cli import main
from cemd.commands import people
from cemd.commands.people import state_word
from cemd.model.customers import LawfulBasis
from click.testing import CliRunner

from tests.report.world import World, configuration, policy
from tests.report.world import people as customers

NEVER_ASKED = 3


def answered_by(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands read the rows of this world; a customer's reference is the number."""
    monkeypatch.setattr(people, "state_rows", lambda _root, _state: world.store)
    monkeypatch.setattr(people, "number_of", lambda reference, _root, _state: int(reference))


@pytest.fixture
def shadow(monkeypatch: pytest.MonkeyPatch) -> World:
    """A fault that is over, under a policy in shadow; one customer may not be told."""
    basis = [0 if number == NEVER_ASKED else LawfulBasis.CONTRACT for number in range(8)]
    world = World(configuration([policy(mode="shadow", ceiling=None)]), customers(basis=basis))
    world.hurt()
    world.run(900)
    world.clear()
    world.run(900)
    answered_by(world, monkeypatch)
    return world


def shown(customer: int, *words: str) -> str:
    result = CliRunner().invoke(main, ["customers", "show", str(customer), "--root", str(Path.cwd()), *words])
    assert result.exit_code == 0, result.output
    return result.output


def test_customer_who_would_have_been_told_is_shown_of_what_and_when(shadow: World) -> None:
    said = shown(0)
    assert "This customer was told nothing." in said
    first, over = said.splitlines()[-2:]
    name = shadow.communication.id
    assert first == f"2025-11-06 12:05:00 UTC  {name}  data at east  first  would be told"
    assert over.endswith(f"{name}  data at east  over  would be told")


def test_customer_who_would_not_have_been_told_is_shown_why(shadow: World) -> None:
    said = shown(NEVER_ASKED)
    assert "data at east  first  would not be told: no lawful basis" in said
    assert "would be told" not in said
    found = json.loads(shown(NEVER_ASKED, "--json"))
    assert found["notices"] == []
    first = found["shadow"][0]
    assert (first["communication"], first["would_be_told"]) == (shadow.communication.id, False)
    assert first["reason"] == "no_lawful_basis"


def test_what_was_decided_live_is_no_shadow(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.hurt()
    world.run(600)
    answered_by(world, monkeypatch)
    found = json.loads(shown(0, "--json"))
    assert [one["state"] for one in found["notices"]] == ["accepted"]
    assert found["shadow"] == []


@pytest.mark.parametrize(
    ("state", "notices", "word"),
    [
        ("told", {"first": {"in_flight": 5}}, "telling"),
        ("told", {"first": {"in_flight": 4, "accepted": 1}}, "told"),
        ("told", {"first": {"in_flight": 4, "failed": 1}}, "telling"),
        ("told", {"first": {"delivered": 5}}, "told"),
        ("told", {}, "told"),
        ("told", {"first": {"unknown": 2}}, "unknown"),
        ("told", {"first": {"unknown": 2, "accepted": 1}}, "told"),
        ("ending", {"first": {"accepted": 5}, "over": {"in_flight": 5}}, "ending"),
    ],
)
def test_nobody_is_told_while_every_notice_is_on_its_way_or_of_none_is_known_whether_it_left(
    state: str, notices: dict[str, Any], word: str
) -> None:
    assert state_word({"state": state, "notices": notices}) == word
