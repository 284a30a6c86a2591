"""`cemd demo` end to end, as a newcomer starts it: one fault, found, named, told to exactly the hurt, and over.

 0 s  DemoTelco opens, the ordinary daemon starts on the shipped files
15 s  the subscriber register dies (only the demo knows)
25 s  an incident names it
40 s  the hurt are told, nobody else
50 s  it is mended
95 s  the same people hear that it is over
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cemd.demo.conditions import Fault, Mode
from cemd.demo.operator import ZONE
from cemd.demo.population import expected_addresses, people
from cemd.kit.parent import end_with_starter

FAULT = Fault(name="subscriber register down", service="hlr", mode=Mode.OUTAGE)


OTHER_HOUR = """
import os, time
real, ahead = time.time, float(os.environ["AHEAD_SECONDS"])
time.time = lambda: real() + ahead
"""


def _shortly_before_midnight(folder: Path) -> dict[str, str]:
    """Environment in which it is 23:59 for the operator, on a machine at the other end of the world."""
    (folder / "sitecustomize.py").write_text(OTHER_HOUR, encoding="ascii")
    now = datetime.now(ZoneInfo(ZONE))
    wanted = now.replace(hour=23, minute=59, second=0)
    if wanted < now:
        wanted += timedelta(days=1)
    ahead = wanted.timestamp() - now.timestamp()  # not the difference of the two: it would miss a change of summer time
    return {**os.environ, "PYTHONPATH": str(folder), "AHEAD_SECONDS": str(ahead), "TZ": "Pacific/Kiritimati"}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `cemd demo --for 180 --json` printed over midnight, with its exit code; told once for all."""
    environment = _shortly_before_midnight(tmp_path_factory.mktemp("hour"))

    async def run() -> tuple[int, bytes, bytes]:
        process = await _started("--for", "180", "--json", environment=environment)
        out, err = await process.communicate()
        return process.returncode or 0, out, err

    code, out, err = asyncio.run(run())
    document: dict[str, Any] = json.loads(out)
    return {**document, "exit_code": code, "told": err.decode()}


async def _started(*words: str, environment: dict[str, str] | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cemd", "demo", "--port", "0", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        preexec_fn=end_with_starter,
    )


def test_it_was_told_in_what_are_quiet_hours_elsewhere(story: dict[str, Any]) -> None:
    (incident,) = (one for one in story["incidents"] if one["state"] != "cancelled")
    opened, over = (datetime.fromtimestamp(incident[name], ZoneInfo(ZONE)) for name in ("opened_at", "resolved_at"))
    assert (opened.hour, over.hour) in {(23, 0), (0, 0), (23, 23)}


def test_everything_was_right(story: dict[str, Any]) -> None:
    assert (story["exit_code"], story["ok"], story["problems"]) == (0, True, []), story["told"]


def test_the_fault_became_an_incident_within_twenty_seconds(story: dict[str, Any]) -> None:
    (fault,) = story["faults"]
    assert 0 < fault["seconds_to_incident"] < 20


def test_the_incident_names_the_cause_and_the_journeys_that_suffer(story: dict[str, Any]) -> None:
    (incident,) = (one for one in story["incidents"] if one["state"] != "cancelled")
    assert (incident["cause"], incident["confidence"], incident["state"]) == ("hlr", "confirmed", "resolved")
    assert {"order-to-activate", "travel-abroad", "change-the-sim"} <= set(incident["journeys"])


def test_exactly_the_hurt_were_told_and_told_again(story: dict[str, Any]) -> None:
    expected = len(expected_addresses(FAULT, people()))
    assert story["mails"] == {"first": expected, "over": expected}
    assert story["notices"] == {"first": {"accepted": expected}, "over": {"accepted": expected}}


def test_staff_heard_of_it_and_of_its_end(story: dict[str, Any]) -> None:
    assert story["staff_alerts"]["firing"] >= 1
    assert story["staff_alerts"]["resolved"] >= 1


def test_it_took_no_longer_than_two_minutes(story: dict[str, Any]) -> None:
    assert story["seconds"] < 120


def test_the_terminal_told_the_story_in_its_order(story: dict[str, Any]) -> None:
    chains = (
        ("DemoTelco is open", "The page: http", "hlr has an outage", "opened", "holding", 'first "first" mail'),
        ("opened", "cause: Subscriber", 'first "first" mail', 'first "over" mail', "found, cause named"),
        ('first "first" mail', "hlr is mended", "resolved", "found, cause named"),
    )
    for marks in chains:
        places = [story["told"].find(mark) for mark in marks]
        assert -1 not in places, story["told"]
        assert places == sorted(places), story["told"]


async def test_ctrl_c_ends_every_process_and_removes_the_files() -> None:
    process = await _started()
    assert process.stdout is not None
    scratch = ""
    try:
        async with asyncio.timeout(60):
            while b"The page:" not in (line := await process.stdout.readline()):
                assert line, "the demo ended by itself"
                if b"files, state, mails: " in line:
                    scratch = line.decode().rpartition(": ")[2].strip()
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 130, err
    assert scratch
    assert not await asyncio.to_thread(Path(scratch).exists)
    assert [pid for pid in _pids() if scratch in _command_of(pid)] == []


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""  # it ended just now
