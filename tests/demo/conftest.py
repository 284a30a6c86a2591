"""DemoTelco on free ports of loopback, and a client for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest_asyncio
from cemd.demo.telco import Telco


@pytest_asyncio.fixture
async def telco(tmp_path: Path) -> AsyncIterator[Telco]:
    telco = Telco(tmp_path, seed=7)
    try:
        await telco.start()
        running = asyncio.create_task(telco.run(), name="telco under test")
        try:
            yield telco
        finally:
            running.cancel()
            await asyncio.wait({running})
    finally:
        await telco.close()


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield session
