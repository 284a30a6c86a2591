"""Vantage points in the files: names that exist, references that may be reached; all faults with their places."""

from __future__ import annotations

from pathlib import Path

import pytest
from cemd.config.load import load
from cemd.daemon.kinds import kinds
from cemd.errors import ConfigError

SERVICES = "services:\n  - {name: web, function: portal, domain: it, platform: nginx}\n"
PROBES = """\
probes:
  - {name: far, kind: tcp, service: web, every_seconds: 10, timeout_seconds: 2, params: {host: 192.0.2.1, port: 80},
     vantages: [home, wset]}
"""
SETTINGS = """\
vantages:
  - name: west
    way_out: {references: [{host: 192.0.2.1, port: 53}, {host: 127.0.0.1, port: 53}]}
  - {name: west}
"""


def write(root: Path, settings: str, probes: str) -> Path:
    for name, text in (
        ("config/catalogue/it.yaml", SERVICES),
        ("config/cemd.yaml", settings),
        ("probes/it.yaml", probes),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_every_fault_of_vantage_points_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, SETTINGS, PROBES), kinds())
    told = [str(fault) for fault in caught.value.faults]
    assert len(told) == 3, told
    assert any("wset" in one and "did you mean" in one and one.startswith("probes/it.yaml:3:") for one in told)
    assert any('duplicate vantage point "west"' in one for one in told)
    assert any("127.0.0.1 is on loopback" in one and one.startswith("config/cemd.yaml:3:") for one in told)


def test_probe_runs_at_home_unless_it_names_vantage_points(tmp_path: Path) -> None:
    settings = "vantage: berlin\nvantages:\n  - {name: west}\n"
    good = load(write(tmp_path, settings, PROBES.replace("[home, wset]", "[berlin, west]")), kinds())
    [probe] = good.configuration.probes
    assert good.configuration.settings.runs_at(probe.vantages) == ("berlin", "west")
    assert good.configuration.settings.runs_at(()) == ("berlin",)
