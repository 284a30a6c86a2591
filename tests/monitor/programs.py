"""Programs of the system that tests start on free ports of loopback, and end by their process id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator

from cemd.kit.parent import end_with_starter


def free_udp_port() -> int:
    """A port of loopback that nobody uses, neither for datagrams nor for streams."""
    with socket.create_server(("127.0.0.1", 0)) as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        port: int = stream.getsockname()[1]
        try:
            door.bind(("127.0.0.1", port))
        except OSError:
            return free_udp_port()
        return port


@contextlib.asynccontextmanager
async def started(program_path: str, *arguments: str, env: dict[str, str] | None = None) -> AsyncIterator[None]:
    """A program for as long as the block lasts; it and its children end with the block, by the id of their group."""
    process = await asyncio.create_subprocess_exec(
        program_path,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        start_new_session=True,
        preexec_fn=end_with_starter,
    )
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):  # some tidy up after their children only when asked
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 2.0)
