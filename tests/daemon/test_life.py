"""One life of the real daemon: signals at any moment, and faults of an edge that must stay there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from cemd.daemon.doors import _token_in
from cemd.daemon.house import EXIT_CONFIG, EXIT_STORE, EXIT_STORE_LATER
from cemd.daemon.outlet import Outlet
from cemd.errors import ConfigError
from cemd.kit.parent import end_with_starter
from cemd.model.effect import Effects, WorkDue
from cemd.model.entry import Entry, Tick
from cemd.store.sqlite import lock_directory, open_state_readers

from tests.daemon.test_reload import write


@asynccontextmanager
async def daemon(root: Path, **environment: str) -> AsyncIterator[Process]:
    command = [sys.executable, "-m", "cemd", "run", "--root", str(root), "--state", str(root / "state")]
    started = await asyncio.create_subprocess_exec(
        *command,
        "--no-prober",
        "--port",
        "0",
        "--log-json",
        stderr=PIPE,
        env={**os.environ, **environment},
        preexec_fn=end_with_starter,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


async def says(process: Process, event: str, times: int = 1) -> dict[str, Any]:
    """Reads the log until an event was said so often; returns the last."""
    assert process.stderr is not None
    said: dict[str, Any] = {}
    async with asyncio.timeout(60):
        while times:
            line = await process.stderr.readline()
            assert line, f"the daemon ended before it said {event}"
            said = json.loads(line) if line.startswith(b"{") else {}
            times -= said.get("event") == event
    return said


async def test_a_stop_at_once_after_a_start_is_clean(tmp_path: Path) -> None:
    write(tmp_path, "one")
    async with daemon(tmp_path) as process:
        await says(process, "started")
        os.kill(process.pid, signal.SIGTERM)
        os.kill(process.pid, signal.SIGHUP)  # a late reload must not cut the end short
        _, log = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, log


async def test_a_service_manager_that_does_not_listen_ends_nobody(tmp_path: Path) -> None:
    write(tmp_path, "one")
    deaf = {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "30000"}
    async with daemon(tmp_path, **deaf) as process:
        await says(process, "service_manager_gone")
        await says(process, "started")
        os.kill(process.pid, signal.SIGHUP)
        await says(process, "reloaded")
        os.kill(process.pid, signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, log


async def test_a_refused_customer_file_stands_on_the_page_until_it_is_wanted_no_more(tmp_path: Path) -> None:
    write(tmp_path, "one")
    with (tmp_path / "config/cemd.yaml").open("a", encoding="utf-8") as file:
        file.write("customers: {file: people.csv}\n")
    (tmp_path / "people.csv").write_text("name,town\n", encoding="utf-8")

    async def reasons(page: str) -> str:
        async with ClientSession() as client, client.get(f"{page}readyz") as answer:
            return " ".join((await answer.json())["reasons"])

    async with daemon(tmp_path) as process:
        page = (await says(process, "started"))["page"]
        await says(process, "customers_refused")
        assert "people.csv was refused, so who is new in it hears of nothing" in await reasons(page)
        write(tmp_path, "two")  # names no file of customers any more
        os.kill(process.pid, signal.SIGHUP)
        await says(process, "reloaded")
        async with asyncio.timeout(30):
            while "people.csv" in await reasons(page):
                await asyncio.sleep(0.2)


async def test_a_refused_reload_stands_on_the_page_until_a_reload_is_taken(tmp_path: Path) -> None:
    write(tmp_path, "one")

    async def seen(page: str) -> tuple[Any, str]:
        async with ClientSession() as client, asyncio.timeout(30):
            while True:  # until the first tick; a refusal makes nobody unready, who works by what was known before
                async with client.get(f"{page}readyz") as answer:
                    ready = await answer.json()
                if answer.status == 200:
                    break
                await asyncio.sleep(0.1)
            async with client.get(f"{page}metrics") as answer:
                lines = (await answer.text()).splitlines()
        return ready["to_mend"], next(one for one in lines if one.startswith("cemd_config_last_reload_refused "))

    async with daemon(tmp_path) as process:
        page = (await says(process, "started"))["page"]
        assert await seen(page) == ([], "cemd_config_last_reload_refused 0.0")
        (tmp_path / "config/cemd.yaml").write_text("tick_secnds: 1.0\n")
        os.kill(process.pid, signal.SIGHUP)
        await says(process, "reload_refused")
        (said,), refused = await seen(page)
        assert said.startswith(
            "The last reload was refused; what was in effect before it still is: config/cemd.yaml:1:1:"
        )
        assert 'did you mean "tick_seconds"' in said
        assert refused == "cemd_config_last_reload_refused 1.0"
        write(tmp_path, "one")  # nothing changed by it, and yet the files are right again
        os.kill(process.pid, signal.SIGHUP)
        await says(process, "reloaded")
        assert await seen(page) == ([], "cemd_config_last_reload_refused 0.0")


async def test_of_a_storm_of_reloads_the_newest_files_win(tmp_path: Path) -> None:
    write(tmp_path, "one")
    async with daemon(tmp_path) as process:
        await says(process, "started")
        for number in range(30):
            write(tmp_path, f"title {number}")
            os.kill(process.pid, signal.SIGHUP)
            await asyncio.sleep(0.005)
        write(tmp_path, "the last")
        os.kill(process.pid, signal.SIGHUP)
        rows = open_state_readers(tmp_path / "state")
        async with asyncio.timeout(30):
            while True:
                await says(process, "reloaded")
                newest = max(rows.epochs(), key=lambda epoch: epoch[2])[0]
                if b"the last" in (rows.epoch(newest) or b""):
                    break
        os.kill(process.pid, signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0


async def test_an_edge_that_fails_costs_no_other_edge_its_effects() -> None:
    outlet = Outlet(asyncio.get_running_loop())
    taken: list[int] = []

    def faulty(entry: Entry, _: Effects) -> None:
        raise ValueError(f"entry {entry.seq} is too much for this edge")

    outlet.connect(faulty, lambda entry, _: taken.append(entry.seq))
    for seq in (1, 2):
        outlet(Entry(seq=seq, at=0.0, payload=Tick()), Effects(due=[WorkDue(channel="mail")]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert taken == [1, 2]


@pytest.mark.parametrize("text", ["", " \n"], ids=["empty", "blank"])
def test_an_empty_token_is_refused_because_everybody_has_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(ConfigError, match="is empty; write a long random text"):
        _token_in(tmp_path / "token")


def test_a_root_that_is_not_there_is_said_with_the_exit_code_of_a_faulty_configuration(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    command = [sys.executable, "-m", "cemd", "run", "--root", str(missing)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == EXIT_CONFIG
    assert ended.stderr.startswith(f"{missing}: cannot be entered (No such file or directory); name the folder")


def test_a_token_file_that_is_not_there_is_said_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"token: .* cannot be read \(No such file or directory\)"):
        _token_in(tmp_path / "token")


def ended(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cemd", "run", "--root", str(root), "--state", str(root / "state"), "--port", "0"]
    return subprocess.run([*command, "--no-prober"], capture_output=True, text=True, check=False, timeout=60)


def test_a_state_that_is_in_use_may_be_tried_again_and_a_damaged_one_may_not(tmp_path: Path) -> None:
    write(tmp_path, "Example")
    held = lock_directory(tmp_path / "state")
    busy = ended(tmp_path)
    os.close(held)
    assert (busy.returncode, "another cemd has this state directory open" in busy.stderr) == (EXIT_STORE_LATER, True)
    (tmp_path / "state/samples.db").write_bytes(b"no database at all, " * 500)
    damaged = ended(tmp_path)
    assert (damaged.returncode, "the file is damaged" in damaged.stderr) == (EXIT_STORE, True)
