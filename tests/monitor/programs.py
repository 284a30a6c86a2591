"""Programs of the system that tests start on free ports of loopback, and end by their process id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def started(program_path: str, *arguments: str, env: dict[str, str] | None = None) -> AsyncIterator[None]:
    """A program for as long as the block lasts; ended by its process id."""
    process = await asyncio.create_subprocess_exec(
        program_path,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
