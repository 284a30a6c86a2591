"""The prober's own process: logs and signals around `Prober`; SIGTERM and Ctrl-C end it quietly."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from pathlib import Path

import structlog

from cemd.errors import ProbeUnavailable
from cemd.kit.logs import set_up_logs
from cemd.kit.parent import end_with_parent
from cemd.kit.sdnotify import patient_notifier
from cemd.monitor.prober import Prober

_COLLECT_AFTER = 5_000
"""Objects made and not yet gone before the collector looks for circles. Runs make and drop hundreds at a time and none
of their circles outlives them; Python's 700 let it look so often that it took a twelfth of a TLS probe. With more, one
look holds the loop longer: 20,000 take some ten milliseconds."""
_THEN_AGAIN_AFTER, _ALL_AFTER = 3, 33
"""What is left over is looked at again after so many looks, and all that is not settled after so many of those again.
That it is 3 instead of Python's 10 costs nothing, for each is looked at once more either way, but it is at most 20,000
at a time: the sockets that stay for some seconds are as many."""


def run_agent(socket: Path, state: Path, *, log_json: bool | None, vantage: str = "home") -> int:
    """Runs a prober until it is told to stop; returns the exit code."""
    set_up_logs(json_lines=not sys.stderr.isatty() if log_json is None else log_json)
    end_with_parent()
    gc.set_threshold(_COLLECT_AFTER, _THEN_AGAIN_AFTER, _ALL_AFTER)
    try:
        asyncio.run(_run(socket, state, vantage))
    except ProbeUnavailable as exc:
        print(f"cemd agent: {exc}", file=sys.stderr)
        return 1
    return 0


async def _run(socket: Path, state: Path, vantage: str) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stopping.set)
    log = structlog.get_logger("cemd.monitor")
    prober = Prober(socket=socket, state=state, log=log, vantage=vantage, notifier=patient_notifier(log))
    await prober.run(stopping)
