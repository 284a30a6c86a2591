"""One DemoTelco, one scratch copy of the shipped files, and the ordinary daemon, which may be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from cemd.config.yaml import parse
from cemd.demo.files import write_copy
from cemd.demo.house import TelcoProcess, ask_command_line, end, free_port, start_daemon
from cemd.demo.population import Person, people, write_csv
from cemd.demo.sinks import Mail, read_mails
from cemd.demo.story import Api
from cemd.demo.verdict import Subjects


class World:
    """Everything of a scenario that runs. `daemon` changes with every new start."""

    def __init__(self, root: Path, telco: TelcoProcess, client: aiohttp.ClientSession) -> None:
        self.root = root
        self.telco = telco
        self.client = client
        self.everybody: list[Person] = list(people(2_000, seed=3))
        self.port = free_port(0)
        self.page = f"http://127.0.0.1:{self.port}/"
        self.api = Api(client, self.page)
        self.daemon: Process
        self.starts = 0

    async def start_daemon(self) -> None:
        self.starts += 1
        self.daemon = await start_daemon(self.root, self.port)

    async def wait_ready(self, within_seconds: float = 60.0) -> None:
        """Until the daemon works and knows its customers."""
        await self.until(self._is_ready, "the daemon is ready", within_seconds)

    async def _is_ready(self) -> bool:
        assert self.daemon.returncode is None, f"the daemon ended:\n{self.log_end()}"
        if not await self.api.is_ready():
            return False
        return bool((await self.api.document("overview")).get("customers") == len(self.everybody))

    async def until(self, condition: Callable[[], Awaitable[object]], what: str, within_seconds: float) -> None:
        """Waits for something to become true.

        Raises:
            AssertionError: it did not in time.
        """
        try:
            async with asyncio.timeout(within_seconds):
                while not await condition():
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"not within {within_seconds:g} s: {what}\n{self.log_end()}") from None

    def log_end(self) -> str:
        return "\n".join((self.root / "daemon.log").read_text(errors="replace").splitlines()[-15:])

    def mails(self) -> list[Mail]:
        return read_mails(self.root / "sink" / "mail")

    def subjects(self) -> Subjects:
        tree: Any = parse((self.root / "rules/report/customers.yaml").read_bytes(), "customers.yaml").tree
        return Subjects(tree["policies"])

    async def incidents(self) -> list[Mapping[str, Any]]:
        """Those that were not taken in by another one when the common cause was seen."""
        return [one for one in await self.api.items("incidents") if one["state"] != "cancelled"]

    async def communication_state(self) -> str:
        """State of the newest communication, "" while there is none."""
        found = await self.api.items("communications")
        return str(max(found, key=lambda one: one["opened_at"]["epoch"])["state"]) if found else ""

    async def notices(self) -> Mapping[str, Mapping[str, int]]:
        """Notices by phase and state, summed over all communications, as `cemd notices` counts them."""
        total: dict[str, dict[str, int]] = {}
        for one in await ask_command_line(self.root, "notices"):
            for phase, states in one["notices"].items():
                for state, count in states.items():
                    by_state = total.setdefault(phase, {})
                    by_state[state] = by_state.get(state, 0) + count
        return total

    def prober_pids(self) -> list[int]:
        """Processes that are probers of this world's daemon, whoever is their parent now."""
        return [pid for pid in _pids_with(str(self.root)) if b"agent" in _words_of(pid)]

    def kill_daemon(self) -> None:
        """kill -9, without a word."""
        if self.daemon.returncode is None:
            self.daemon.send_signal(signal.SIGKILL)

    def kill_prober(self) -> None:
        for pid in self.prober_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def open_world(root: Path) -> AsyncIterator[World]:
    """A world whose daemon is not started yet; everything that it started ends with it."""
    sink = root / "sink"
    sink.mkdir()
    telco = await TelcoProcess.start(sink, seed=3)
    async with contextlib.AsyncExitStack() as owned:
        owned.push_async_callback(telco.stop)
        client = await owned.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
        world = World(root, telco, client)
        write_copy(root, telco.ports)
        write_csv(root / "customers.csv", world.everybody)
        try:
            yield world
        finally:
            if world.starts:
                await end(world.daemon)
            world.kill_prober()


def _pids_with(word: str) -> list[int]:
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [pid for pid in pids if any(word.encode() in part for part in _words_of(pid)) and pid != os.getpid()]


def _words_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []  # it ended just now
