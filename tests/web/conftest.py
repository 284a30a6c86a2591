"""A server with the rich scene, on a free port of loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from cemd.web.server import WebServer

from tests.web.scene import SceneHouse, rich_views


@pytest.fixture
def house() -> SceneHouse:
    return SceneHouse(rich_views())


@pytest.fixture
async def server(house: SceneHouse) -> AsyncIterator[WebServer]:
    server = WebServer(house, port=0)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(server: WebServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url, timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session
