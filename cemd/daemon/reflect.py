"""The process of `cemd reflect`: logs and signals around a `Reflector`; SIGTERM and Ctrl-C end it quietly."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import structlog

from cemd.errors import CemdError
from cemd.kit.logs import set_up_logs
from cemd.kit.sdnotify import patient_notifier
from cemd.kit.secrets import read_secret_text
from cemd.monitor.reflector import Network, Reflector

TOLD_SECONDS = 15.0
"""How often the manager hears that it lives, and the log what was answered and what was not, if anything was."""


def run_reflector(
    host: str, port: int, *, stateful: bool, key_file: Path | None, allow: tuple[Network, ...], log_json: bool | None
) -> int:
    """Answers test packets until it is told to stop; returns the exit code.

    Raises:
        CemdError: the key cannot be read, or the port cannot be had.
    """
    set_up_logs(json_lines=not sys.stderr.isatty() if log_json is None else log_json)
    try:
        key = read_secret_text(str(key_file)).encode() if key_file is not None else None
    except (OSError, UnicodeDecodeError) as exc:
        raise CemdError(
            f"{key_file}: the key cannot be read ({type(exc).__name__}); name a file that cemd may read."
        ) from exc
    reflector = Reflector(host=host, port=port, stateful=stateful, key=key, allow=allow)
    asyncio.run(_run(reflector, host, port))
    return 0


async def _run(reflector: Reflector, host: str, port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stopping.set)
    log = structlog.get_logger("cemd.monitor")
    try:
        reflector.open()
    except OSError as exc:
        words = f"cannot answer on {host} port {port} ({exc.strerror or exc}); choose another port or address."
        raise CemdError(words) from exc
    log.info("reflector.open", host=host, port=reflector.port)
    manager = patient_notifier(log)
    manager.ready(f"port {reflector.port}")
    told: dict[str, int] = {}
    try:
        while not stopping.is_set():
            manager.watchdog()
            try:
                async with asyncio.timeout(TOLD_SECONDS):
                    await stopping.wait()
            except TimeoutError:
                pass  # time to tell
            if told != reflector.counters:
                told = dict(reflector.counters)
                log.info("reflector.totals", **told)
    finally:
        manager.stopping()
        reflector.close()
