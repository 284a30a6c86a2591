"""The units: valid, tight, and with the commands that cemd really has."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from cemd.cli import main
from cemd.config.settings import Settings
from cemd.daemon.house import EXIT_CONFIG, EXIT_STORE, EXIT_STORE_LATER
from cemd.daemon.house import GRACE_SECONDS as DAEMON_GRACE_SECONDS
from cemd.daemon.places import places
from cemd.monitor.prober import GRACE_SECONDS as PROBER_GRACE_SECONDS
from click.testing import CliRunner

FOLDER = Path(__file__).resolve().parents[2] / "systemd"
UNITS = ("cemd.service", "cemd-prober.service", "cemd-reflect.service")
EXPOSURE_MOST = 1.5


def settings(unit: str) -> dict[str, list[str]]:
    """Key -> values of a unit file, in order."""
    found: dict[str, list[str]] = {}
    for line in (FOLDER / unit).read_text(encoding="utf-8").splitlines():
        if re.match(r"^[A-Z]\w*=", line):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS)
def test_exposure_is_low(unit: str) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(FOLDER / unit)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    match = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert match is not None, said
    assert float(match[1]) <= EXPOSURE_MOST


@pytest.mark.needs("systemd-analyze")
def test_units_hold_no_unknown_key() -> None:
    command = ["systemd-analyze", "verify", *(str(FOLDER / unit) for unit in UNITS)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    ours = [line for line in said.splitlines() if "cemd" in line and "is not executable" not in line]
    assert ours == []


@pytest.mark.parametrize("unit", UNITS)
def test_command_of_the_unit_is_one_of_ours(unit: str) -> None:
    (line,) = settings(unit)["ExecStart"]
    _program, command, *words = shlex.split(line)
    said = CliRunner().invoke(main, [command, "--help"])
    assert said.exit_code == 0
    options = {word for word in words if word.startswith("--")}
    assert options <= set(re.findall(r"--[a-z-]+", said.output))


@pytest.mark.parametrize("unit", UNITS)
def test_manager_hears_of_start_progress_and_end(unit: str) -> None:
    found = settings(unit)
    grace = DAEMON_GRACE_SECONDS if unit == "cemd.service" else PROBER_GRACE_SECONDS
    assert found["Type"] == ["notify"]
    assert int(found["WatchdogSec"][0]) >= 30
    assert int(found["TimeoutStopSec"][0]) > 2 * grace


def test_reload_is_the_signal_that_the_daemon_takes() -> None:
    assert settings("cemd.service")["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_prober_is_another_user_that_may_use_the_socket_of_the_daemon() -> None:
    daemon, prober = settings("cemd.service"), settings("cemd-prober.service")
    assert daemon["User"] != prober["User"]
    assert daemon["Group"] == prober["Group"]
    assert f"/run/{daemon['RuntimeDirectory'][0]}/prober.sock" in prober["ExecStart"][0]
    assert daemon["StateDirectoryMode"] == ["0700"]


def test_prober_finds_secrets_from_the_same_root_as_the_daemon() -> None:
    words = shlex.split(settings("cemd.service")["ExecStart"][0])
    root = words[words.index("--root") + 1]
    assert [folder.removeprefix("-") for folder in settings("cemd-prober.service")["WorkingDirectory"]] == [root]


def test_daemon_keeps_no_capability_and_the_prober_one() -> None:
    assert settings("cemd.service")["CapabilityBoundingSet"] == [""]
    assert settings("cemd-prober.service")["CapabilityBoundingSet"] == ["CAP_NET_RAW"]
    assert settings("cemd-prober.service")["AmbientCapabilities"] == ["CAP_NET_RAW"]


def test_reflector_keeps_only_the_right_to_its_port_and_answers_nobody_else_until_told() -> None:
    found = settings("cemd-reflect.service")
    assert found["CapabilityBoundingSet"] == found["AmbientCapabilities"] == ["CAP_NET_BIND_SERVICE"]
    assert "--allow 127.0.0.0/8 --allow ::1/128" in found["ExecStart"][0]


def test_socket_is_open_to_the_group_only_where_the_manager_made_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    assert places(tmp_path, Settings(), None).socket_mode == 0o600
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    found = places(tmp_path, Settings(), None)
    assert (found.socket, found.socket_mode) == (tmp_path / "run/prober.sock", 0o660)


def test_a_failure_that_passes_is_tried_again_for_ever_and_slowly(tmp_path: Path) -> None:
    found = settings("cemd.service")
    stays_down = set(map(int, found["RestartPreventExitStatus"][0].split()))
    assert stays_down == {EXIT_CONFIG, EXIT_STORE}
    assert found["Restart"] == ["on-failure"]
    (line,) = found["ExecStopPost"]
    sleep = tmp_path / "sleep"
    sleep.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/slept\n')
    sleep.chmod(0o755)
    for status in (0, 1, EXIT_STORE, EXIT_STORE_LATER):
        variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "EXIT_STATUS": str(status)}
        subprocess.run(shlex.split(line.replace("$$", "$")), env=variables, check=True)
    (slept,) = (tmp_path / "slept").read_text().split()
    between = int(slept) + int(found["RestartSec"][0])
    assert between * int(found["StartLimitBurst"][0]) > int(found["StartLimitIntervalSec"][0])
    assert int(slept) < int(found["TimeoutStopSec"][0])
