"""Impossible worlds are refused with place, fact and remedy."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from cemd.config.yaml import parse
from cemd.demo.world.reading import SCENARIOS, read_scenario
from cemd.demo.world.schema import scenario_schema
from cemd.errors import ConfigError

SMALL = (SCENARIOS / "small.yaml").read_text()
SHIPPED = sorted(SCENARIOS.glob("*.yaml"))

BAD = {
    "journey over an unknown touchpoint": (
        "touchpoint: handset, needs: [mobile-data], moment",
        "touchpoint: handsat, needs: [mobile-data], moment",
        (
            'journeys[0] "browse": there is no touchpoint "handsat" (did you mean "handset"?); '
            "define it under `touchpoints:` or correct the name"
        ),
    ),
    "customers without sites": (
        "lives_in: cell",
        "lives_in: house",
        (
            'people: 800 customers have no site to live in: there is none of the kind "house"; '
            "give some site this kind, or correct it"
        ),
    ),
    "fault on nothing": (
        "service: crm, when: {at_hour: 3.5}",
        "service: cmr, when: {at_hour: 3.5}",
        (
            'faults[1] "records-slow": there is no service "cmr" (did you mean "crm"?); '
            "define it under `services:` or correct the name"
        ),
    ),
    "fault that hurts nothing": (
        "hurts: {delay_seconds: 9}",
        "hurts: {}",
        (
            'faults[1] "records-slow": the fault hurts nothing: fails, delay_seconds and loss are all 0; '
            "give one of them, or make it a trap"
        ),
    ),
    "no time": (
        "when: {at_hour: 3.5}",
        "when: {}",
        (
            'faults[1] "records-slow": none of at_hour, per_week, with_event is given; '
            "give exactly one of at_hour, per_week and with_event"
        ),
    ),
    "nobody sells it": (
        "- {service: billing, share: 0.5}",
        "- {service: crm, share: 0.5}",
        (
            'people: service "crm" is not sold, so nobody has it by contract; '
            "set `sold: true` on it, or name one that is sold"
        ),
    ),
    "blind nobody": (
        "kind: blind_vantage, vantage: away",
        "kind: blind_vantage",
        'traps[1] "away-is-blind": a blind_vantage needs `vantage`; add `vantage: …`',
    ),
    "unknown key": (
        "lives_in: cell",
        "live_in: cell",
        'people: unknown key "live_in" (did you mean "lives_in"?); correct or remove it',
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_an_impossible_world_is_refused_with_place_and_remedy(tmp_path: Path, name: str) -> None:
    before, after, message = BAD[name]
    assert SMALL.count(before) == 1
    path = tmp_path / "bad.yaml"
    path.write_text(SMALL.replace(before, after))
    line = next(at for at, text in enumerate(path.read_text().splitlines(), 1) if after.split(",")[0] in text)
    with pytest.raises(ConfigError) as raised:
        read_scenario(path)
    said = [str(fault) for fault in raised.value.faults]
    assert any(one.endswith(message) for one in said), said
    found = next(fault for fault in raised.value.faults if str(fault).endswith(message))
    assert found.file == "bad.yaml"
    assert found.line == line
    assert found.column > 0


def test_more_sold_services_than_a_customer_can_have_are_refused(tmp_path: Path) -> None:
    more = "".join(
        f"  - {{name: s-{number}, function: f, domain: it, platform: p, sold: true}}\n" for number in range(63)
    )
    (tmp_path / "bad.yaml").write_text(SMALL.replace("\nsites:\n", f"{more}\nsites:\n", 1))
    with pytest.raises(ConfigError, match="services: 65 services are sold; sell at most 64"):
        read_scenario(tmp_path / "bad.yaml")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_are_right_and_fit_their_schema(path: Path) -> None:
    assert read_scenario(path).name == path.stem
    tree = parse(path.read_bytes(), path.name).tree
    jsonschema.Draft202012Validator(scenario_schema()).validate(json.loads(json.dumps(tree)))


def test_a_file_has_the_sections_of_those_that_it_extends_and_its_own(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "quiet.yaml").write_text("name: quiet\nextends: small.yaml\nfaults: []\n")
    (tmp_path / "silent.yaml").write_text("name: silent\nextends: quiet.yaml\ntraps: []\n")
    silent = read_scenario(tmp_path / "silent.yaml")
    assert (silent.name, silent.faults, silent.traps, silent.people.count) == ("silent", [], [], 800)


def test_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("name: one\nextends: other.yaml\n")
    (tmp_path / "other.yaml").write_text("name: other\nextends: one.yaml\n")
    with pytest.raises(ConfigError, match=r'other\.yaml:2:10: "one\.yaml" extends this file; extend another'):
        read_scenario(tmp_path / "one.yaml")


def test_a_missing_file_is_said_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name a scenario file that exists"):
        read_scenario(tmp_path / "none.yaml")


def test_an_alternative_touchpoint_that_nobody_defines_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(SMALL.replace("    owner: billing\n", "    owner: billing\n    alternatives: {web: [shoop]}\n"))
    with pytest.raises(
        ConfigError, match=r'bad\.yaml:48:25: journeys\[1\] "see-the-bill": there is no touchpoint "shoop"'
    ):
        read_scenario(path)


def test_a_world_that_nobody_watches_is_refused(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "dark.yaml").write_text(
        "name: dark\nextends: small.yaml\nprobes: []\nfeeds: []\nfaults: []\ntraps: []\n"
    )
    with pytest.raises(ConfigError, match="nothing is watched; give `probes`, `feeds`, or both"):
        read_scenario(tmp_path / "dark.yaml")


def test_an_unknown_kind_of_probe_is_said_with_its_place_and_those_that_there_are(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(SMALL.replace("{name: crm-port, kind: tcp,", "{name: crm-port, kind: tpc,"))
    line = 1 + path.read_text().splitlines().index(next(one for one in path.read_text().splitlines() if "tpc" in one))
    said = (
        rf'bad\.yaml:{line}:28: probes\[3\] "crm-port": unknown kind of probe "tpc" \(did you mean "tcp"\?\); '
        "use one of dns, tcp"
    )
    with pytest.raises(ConfigError, match=said):
        read_scenario(path, ["tcp", "dns"])
