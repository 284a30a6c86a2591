"""command: as Nagios people expect, and nothing of a plugin outlives its run."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.command import split_output
from cemd.monitor.protocols.perfdata import parse_perfdata
from hypothesis import given
from hypothesis import strategies as st

from tests.monitor.peers import look, tools, value
from tests.monitor.probes.contract import Contract

DUMMY = "/usr/lib/nagios/plugins/check_dummy"


async def contract(_stack: contextlib.AsyncExitStack, secret_file: str) -> Contract:
    shouting = ["/bin/sh", "-c", 'echo "CRITICAL: login with $PIN failed"; exit 2']
    return Contract(
        good={"command": ["/bin/sh", "-c", "echo 'OK | time=3ms'"]},
        failing={"command": shouting, "environment_files": {"PIN": secret_file}},
        hanging={"command": ["/bin/sh", "-c", "sleep 60 & sleep 60"]},
    )


def shell(script: str, **params: Any) -> dict[str, Any]:
    return {"command": ["/bin/sh", "-c", script], **params}


@pytest.mark.needs("check_plugins")
@pytest.mark.parametrize(
    ("state", "outcome", "reason"),
    [
        (0, Outcome.OK, Reason.ANSWERED),
        (1, Outcome.OK, Reason.ANSWERED_WITH_WARNING),
        (2, Outcome.FAILED, Reason.PLUGIN_CRITICAL),
        (3, Outcome.BLIND, Reason.PLUGIN_UNKNOWN),
    ],
)
async def test_states_of_a_real_plugin(state: int, outcome: Outcome, reason: Reason) -> None:
    async with tools() as made:
        result = await look(made, "command", {"command": [DUMMY, str(state), "what it says"]})
    assert (result.outcome, result.reason) == (outcome, reason)
    if state in {1, 2, 3}:
        assert "what it says" in result.detail
    if state < 3:
        assert value(result, "state_code") == state


@pytest.mark.needs("check_plugins")
async def test_perfdata_of_a_real_plugin_arrives_in_base_units() -> None:
    async with tools() as made:
        result = await look(
            made, "command", {"command": ["/usr/lib/nagios/plugins/check_load", "-w", "99,99,99", "-c", "99,99,99"]}
        )
    assert {"load1", "load5", "load15"} <= {reading.metric for reading in result.readings}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 4", Reason.PLUGIN_UNKNOWN),
        ("kill -9 $$", Reason.PLUGIN_UNKNOWN),
        ("exit 127", Reason.PLUGIN_UNKNOWN),
        (r"printf 'OK \0\377\1 | a=1'; exit 0", Reason.PLUGIN_UNKNOWN),
    ],
)
async def test_broken_plugin_is_blind_and_not_down(script: str, reason: Reason) -> None:
    async with tools() as made:
        result = await look(made, "command", shell(script))
    assert (result.outcome, result.reason) == (Outcome.BLIND, reason)


async def test_warning_counts_as_the_operator_says() -> None:
    async with tools() as made:
        strict = await look(made, "command", shell("echo warm; exit 1", on_warning="failed"))
    assert (strict.outcome, strict.reason) == (Outcome.FAILED, Reason.PLUGIN_WARNING)


async def test_missing_plugin_is_blind() -> None:
    async with tools() as made:
        result = await look(made, "command", {"command": ["/nowhere/check_nothing"]})
    assert (result.outcome, result.reason) == (Outcome.BLIND, Reason.PLUGIN_MISSING)


async def test_no_shell_ever_sees_the_arguments(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    async with tools() as made:
        result = await look(made, "command", {"command": ["/bin/echo", f"; touch {trap}", "$(id)"]})
    assert result.outcome is Outcome.OK
    assert not trap.exists()


async def test_whole_tree_is_killed_at_the_deadline() -> None:
    mark = "86399.4711"
    async with tools() as made:
        result = await look(made, "command", shell(f"sleep {mark} & (sleep {mark} & sleep {mark}); wait"), seconds=0.4)
    assert result.outcome is Outcome.TIMED_OUT
    await asyncio.sleep(0.1)
    assert not any(mark in words for words in command_lines())


def command_lines() -> list[str]:
    """Of every process that there is."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_text(errors="replace"))
        except OSError:
            continue  # it ended meanwhile
    return found


async def test_output_without_end_is_bounded_and_does_not_block_the_plugin() -> None:
    async with tools() as made:
        script = "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo '|late=1'; exit 0"
        result = await look(made, "command", shell(script, max_output_bytes=1000))
    assert result.outcome is Outcome.OK


async def test_environment_is_nearly_empty_and_secrets_stay_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAEMON_SECRET", "must-not-leak")
    (tmp_path / "pin").write_text("pin-998877")
    async with tools() as made:
        params = shell('echo "$DAEMON_SECRET|$PIN"; exit 2', environment_files={"PIN": str(tmp_path / "pin")})
        result = await look(made, "command", params)
        told = await look(
            made, "command", shell('echo "pin is $PIN"; exit 2', environment_files={"PIN": str(tmp_path / "pin")})
        )
    assert "must-not-leak" not in result.detail
    assert told.detail == "pin is [hidden]"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("time=12ms;100;200;0;", {"time_seconds": 0.012}),
        ("'disk usage'=50%;80;90", {"disk_usage_ratio": 0.5}),
        ("/=2MB /var=3GB", {"root_bytes": 2 * 1024**2, "var_bytes": 3 * 1024**3}),
        ("requests=99c", {"requests_total": 99.0}),
        ("'it''s'=1", {"it_s": 1.0}),
        ("a=U b=1", {"b": 1.0}),
        ("x=1,5s", {"x_seconds": 1.5}),
        ("neg=-3.5e2", {"neg": -350.0}),
        ("rta=0.5us pl=0%", {"rta_seconds": 5e-7, "pl_ratio": 0.0}),
        ("=5 noequals ' unclosed=1 z=2", {}),
        ("1min=0.4", {"value_1min": 0.4}),
        ("n\ufffdise=1 esc\x1b[0m=2 Größe=3", {"gr_e": 3.0}),
    ],
)
def test_perfdata_becomes_base_units(text: str, values: dict[str, float]) -> None:
    assert {perf.metric: pytest.approx(perf.value) for perf in parse_perfdata(text)} == values


@given(st.text(max_size=300))
def test_no_text_makes_the_perfdata_parser_raise(text: str) -> None:
    for perf in parse_perfdata(text):
        assert perf.metric
        assert abs(perf.value) < float("inf")


@given(st.text(max_size=300))
def test_words_and_perfdata_never_mix(text: str) -> None:
    words, _ = split_output(text)
    assert "|" not in words
