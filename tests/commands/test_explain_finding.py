"""`cemd explain` of a finding that is no incident yet: why it waits, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cemd.cli import main
from cemd.commands import explain as command
from cemd.config.rules import Grouping
from cemd.model.finding import Condition
from cemd.model.quality import Quality
from click.testing import CliRunner
from msgspec.structs import replace

from tests.improve.house import House, configuration


class Rows:
    """The rows of a house, as a reader of state.db hands them out; tables of others are empty."""

    def __init__(self, house: House) -> None:
        self._house = house

    def rows(self, table: str) -> Iterator[tuple[str, bytes]]:
        return iter(self._house.stored.get(table, {}).items())


def test_a_finding_says_why_it_opens_no_incident_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(configuration(grouping=Grouping(alone_opens_after_seconds=3600.0)))
    house.tick(house.began("hlr"))
    house.tick(after=60.0)
    (waiting,) = house.state.findings
    monkeypatch.setattr(command, "state_rows", lambda _root, _state: Rows(house))
    monkeypatch.setattr(command, "find_series", lambda _folder, _numbers: {})
    words = ["explain", waiting.finding.id, "--root", str(tmp_path)]
    said = CliRunner().invoke(main, words)
    assert said.exit_code == 0, said.output
    why = "only probe-hlr says so; probe-mobile-data, probe-sms would show it too."
    assert f"opens no incident yet: {why}" in said.output
    (found,) = json.loads(CliRunner().invoke(main, [*words, "--json"]).output)["findings"]
    assert found["waits"] == why


def test_a_finding_of_an_incident_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(configuration(grouping=Grouping(alone_opens_after_seconds=0.0)))
    house.tick(house.began("hlr"))
    house.tick(after=60.0)
    (held,) = house.state.findings
    assert held.incident
    monkeypatch.setattr(command, "state_rows", lambda _root, _state: Rows(house))
    monkeypatch.setattr(command, "find_series", lambda _folder, _numbers: {})
    said = CliRunner().invoke(main, ["explain", held.finding.id, "--root", str(tmp_path)])
    assert said.output.count(f"finding {held.finding.id}:") == 1


def test_silence_tells_who_is_not_heard_and_no_attempts_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(configuration(grouping=Grouping(alone_opens_after_seconds=3600.0)))
    house.tick(replace(house.began("hlr", condition=Condition.SILENCE, quality=Quality.UNKNOWN), indicator=""))
    (held,) = house.state.findings
    monkeypatch.setattr(command, "state_rows", lambda _root, _state: Rows(house))
    monkeypatch.setattr(command, "find_series", lambda _folder, _numbers: {})
    monkeypatch.setattr(command, "find_attempts", lambda *_, **__: pytest.fail("what is silent made no attempt"))
    said = CliRunner().invoke(main, ["explain", held.finding.id, "--root", str(tmp_path)]).output
    assert f"finding {held.finding.id}: silence on " in said
    assert "nothing more is heard of " in said
    assert "against" not in said
