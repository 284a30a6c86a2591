"""The prober as a child of the daemon: started, watched, started again with growing pauses, ended with its group."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from cemd.kit.parent import environment

log = structlog.get_logger("cemd.monitor")

PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Before each new start in a row; a prober that lived for a minute starts the row anew."""
LIVED_WELL_SECONDS = 60.0
GRACE_SECONDS = 5.0


class ProberProcess:
    """One child process that runs the schedule."""

    def __init__(self, socket: Path, state: Path, *, vantage: str, log_json: bool | None = None) -> None:
        self.starts = 0
        self._command: Sequence[str] = (
            *(sys.executable, "-m", "cemd", "agent"),
            *("--socket", str(socket), "--state", str(state), "--vantage", vantage),
            *(() if log_json is None else ("--log-json" if log_json else "--log-text",)),
        )
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def run(self) -> None:
        """Keeps a prober alive until cancelled; then ends it and everything that it started."""
        failures = 0
        try:
            while True:
                lived = await self._live_once()
                failures = 0 if lived > LIVED_WELL_SECONDS else min(failures + 1, len(PAUSES_SECONDS))
                await asyncio.sleep(PAUSES_SECONDS[max(failures - 1, 0)])
        finally:
            await self._end()

    async def _live_once(self) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.starts += 1
        self._process = await asyncio.create_subprocess_exec(*self._command, env=environment(), start_new_session=True)
        code = await self._process.wait()
        self._kill_group(signal.SIGKILL)
        log.warning("prober_ended", code=code, after_seconds=round(loop.time() - began, 1))
        return loop.time() - began

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._kill_group(signal.SIGTERM)
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await process.wait()
        except TimeoutError:
            self._kill_group(signal.SIGKILL)
            await process.wait()

    def _kill_group(self, what: signal.Signals) -> None:
        if self._process is not None:
            try:
                os.killpg(self._process.pid, what)
            except ProcessLookupError:
                pass  # it and its children are gone already
