"""The two processes of the demo: DemoTelco, and the ordinary daemon. Both end with the demo, whatever ends it.

They are started in sessions of their own, so that Ctrl-C at the terminal reaches only the demo, which then ends them
in order; the kernel tells them when the demo dies without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import msgspec

from cemd.demo.conditions import Fault
from cemd.errors import CemdError
from cemd.kit.parent import end_with_starter

START_SECONDS = 30.0
STOP_SECONDS = 25.0
"""A little more than the daemon's own grace."""


def free_port(wanted: int) -> int:
    """The port that was wanted if nobody has it, else any free one of loopback."""
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", wanted))
        return int(probe.getsockname()[1])
    return free_port(0)


def how_to_call() -> str:
    """The words that start this cemd at the terminal where it was started."""
    own = Path(sys.executable).with_name("cemd")
    found = shutil.which("cemd")
    if not own.exists() or (found is not None and Path(found).exists() and Path(found).samefile(own)):
        return "cemd"
    near = os.path.relpath(own)
    return str(own) if near.startswith("..") else near


async def end(process: Process, *, within_seconds: float = STOP_SECONDS) -> int:
    """Asks a process to stop, and ends it when it does not; returns its exit code."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(within_seconds):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return process.returncode or 0


class TelcoProcess:
    """DemoTelco, started with a folder for what it receives; its truth comes back over its output."""

    def __init__(self, process: Process, ports: dict[str, int]) -> None:
        self._process = process
        self.ports = ports

    @staticmethod
    async def start(folder: Path, *, seed: int) -> TelcoProcess:
        """Starts it and waits for its ports.

        Raises:
            CemdError: it did not come up.
        """
        with (folder.parent / "telco.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "cemd.demo.telco", "--folder", str(folder), "--seed", str(seed)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_starter,
            )
        telco = TelcoProcess(process, {})
        try:
            telco.ports = (await telco._answer())["ports"]
        except BaseException:
            await end(process)
            raise
        return telco

    async def begin(self, fault: Fault) -> float:
        """Breaks something; returns when it really was broken."""
        return float((await self._order({"begin": msgspec.to_builtins(fault)}))["at"])

    async def end_fault(self, fault: Fault) -> float:
        """Mends it; returns when it really was mended."""
        return float((await self._order({"end": fault.name}))["at"])

    async def stop(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()  # the end of its input ends it
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            await end(self._process, within_seconds=2)

    async def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        if self._process.stdin is None:
            raise CemdError("DemoTelco has no input; start the demo again.")
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        if self._process.stdout is None:
            raise CemdError("DemoTelco has no output; start the demo again.")
        async with asyncio.timeout(START_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise CemdError("DemoTelco ended by itself; its last words follow.")
        answer: dict[str, Any] = json.loads(line)
        return answer


async def start_daemon(root: Path, port: int) -> Process:
    """The ordinary daemon on the files below `root`; its words go to `daemon.log`."""
    environment = {name: text for name, text in os.environ.items() if name not in ("NOTIFY_SOCKET", "STATE_DIRECTORY")}
    with (root / "daemon.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cemd", "run", "--root", str(root), "--port", str(port), "--log-json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=end_with_starter,
        )


async def ask_command_line(root: Path, *words: str) -> Any:
    """What a command of cemd answers in JSON about the state below `root`.

    Raises:
        CemdError: it fails, or answers something else.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cemd", *words, "--root", str(root), "--json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            answer, _ = await process.communicate()
    finally:
        await end(process, within_seconds=1)
    try:
        return json.loads(answer)
    except ValueError as exc:
        raise CemdError(f"`cemd {' '.join(words)}` answers {answer[:200].decode(errors='replace')!r}.") from exc
