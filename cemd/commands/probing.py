"""`cemd probe NAME`: one run of one probe, now and from here, with every phase; nothing is recorded."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from typing import Any

import structlog

from cemd.commands.looking import loaded_files
from cemd.config.probes import Probe
from cemd.config.targets import Targets
from cemd.errors import CemdError

MOST_NAMES = 8
"""Probes that are named where the one that was asked for is not there."""


def run_now(name: str, root: Path) -> dict[str, Any]:
    """What an attempt found: probe, kind, target, outcome, reason, detail, seconds, and its readings.

    Raises:
        ConfigError: the files have faults.
        CemdError: no probe has this name.
    """
    configuration = loaded_files(root).configuration
    found = [probe for probe in configuration.probes if name in (probe.name, probe.identity())]
    if not found:
        raise CemdError(f"no probe has the name {name}; {_near(name, [probe.name for probe in configuration.probes])}.")
    with contextlib.chdir(root):  # files that a probe names lie relative to the root, as in the daemon
        return asyncio.run(_run(found[0], configuration.settings.targets))


def _near(name: str, known: list[str]) -> str:
    """Which names there are, those first that look like it."""
    if not known:
        return "there is none; write one into a file of probes/"
    alike = [one for one in known if name.lower() in one.lower()]
    alike += [one for one in get_close_matches(name, known, MOST_NAMES) if one not in alike]
    shown = sorted(alike or known)
    more = f" and {len(shown) - MOST_NAMES} more" if len(shown) > MOST_NAMES else ""
    return f"{'near it are' if alike else 'there are'} {', '.join(shown[:MOST_NAMES])}{more}"


async def _run(probe: Probe, targets: Targets) -> dict[str, Any]:
    from cemd.monitor.probes import libraries_of, make
    from cemd.monitor.probes.attempts import measure
    from cemd.monitor.probes.base import Attempt, load_libraries
    from cemd.monitor.probes.tools import make_tools

    with tempfile.TemporaryDirectory(prefix="cemd-probe-") as state:
        tools = make_tools(state=Path(state), targets=targets)
        try:
            kind = make(probe, tools)
            await load_libraries(libraries_of(kind))
            deadline = asyncio.get_running_loop().time() + probe.timeout_seconds
            log = structlog.get_logger("cemd.monitor")
            run = f"cemd-{secrets.token_hex(8)}"
            result = await measure(kind, Attempt(probe=probe.identity(), deadline=deadline, run=run, log=log))
        finally:
            await tools.aclose()
    readings = [{"metric": one.metric, "value": one.value, "labels": dict(one.labels)} for one in result.readings]
    return {
        "probe": probe.name,
        "kind": probe.kind,
        "target": kind.target,
        "outcome": result.outcome.name.lower(),
        "reason": str(result.reason),
        "detail": result.detail,
        "seconds": result.seconds,
        "readings": readings,
    }


_PHASES = ("name_seconds", "connect_seconds", "tls_seconds", "first_byte_seconds", "response_seconds")


def told(result: dict[str, Any]) -> str:
    """The same for people: a head, and a line for each reading: its metric as indicators name it, the value with a unit
    that suits its size."""
    head = f"{result['probe']} ({result['kind']}, {result['target']}): {result['outcome'].replace('_', ' ')}"
    lines = [f"{head}, {result['reason'].replace('_', ' ')}, after {_seconds(result['seconds'])}"]
    if result["detail"]:
        lines.append(f"  {result['detail']}")
    width = max((len(one["metric"]) for one in result["readings"]), default=0)
    for one in _in_time(result["readings"]):
        labels = " ".join(f"{name}={value}" for name, value in one["labels"].items())
        shown = _shown(one["metric"], one["value"])
        lines.append(f"  {one['metric']:<{width}}  {shown}{'  ' + labels if labels else ''}")
    return "\n".join(lines)


def _in_time(readings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The phases of a request in the order in which they happen; everything else keeps its place."""
    told = list(readings)
    phases = [place for place, one in enumerate(told) if one["metric"] in _PHASES]
    for _, group in groupby(phases, key=lambda place: sorted(readings[place]["labels"].items())):
        places = list(group)
        ordered = sorted((readings[place] for place in places), key=lambda one: _PHASES.index(one["metric"]))
        for place, one in zip(places, ordered, strict=True):
            told[place] = one
    return told


def _shown(metric: str, value: float) -> str:
    """The value with the unit that the name of its metric ends with."""
    if metric.endswith("_seconds"):
        return _seconds(value)
    if metric.endswith("_ratio"):
        return f"{value:.6g} ({value * 100:.4g} %)"
    if metric.endswith("_bits_per_second"):
        return _scaled(value, "bit/s")
    for unit in ("bytes", "days"):
        if metric.endswith(f"_{unit}"):
            return f"{value:,.6g} {unit}"
    return f"{value:,.6g}"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.3f} s" if abs(seconds) >= 1.0 else f"{seconds * 1000:.2f} ms"


def _scaled(value: float, unit: str) -> str:
    for prefix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:,.4g} {prefix}{unit}"
    return f"{value:,.4g} {unit}"
