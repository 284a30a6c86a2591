"""HTTP POST for channels: a pool of connections, and the instant at which a request begins to leave.

A request that waits for a connection, or whose connection does not come about, brought nothing out: only what aiohttp
began to write may have arrived. The time-out holds for the connection, and again for the answer.
"""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import urlsplit

import aiohttp

from cemd.errors import ChannelError
from cemd.report.channels.attempt import Attempt

KEPT_SECONDS = 4.0
"""So long an idle connection is kept: less than the five seconds after which common servers close theirs."""


class Poster:
    """Owned by one channel; redirects are not followed."""

    def __init__(self, *, name: str, timeout_seconds: float, connections: int) -> None:
        self._name = name
        self._timeout = aiohttp.ClientTimeout(total=None, connect=timeout_seconds, sock_read=timeout_seconds)
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: dict[str, str], attempt: Attempt) -> int:
        """The status of the answer.

        Raises:
            ChannelError: unknown when the request had begun to leave.
        """
        try:
            async with self._opened().post(
                url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=attempt
            ) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            fact = "gave no answer" if attempt.begun else "cannot be reached"
            host = urlsplit(url).netloc.rpartition("@")[2]
            words = f"channel {self._name!r}: {host} {fact} ({type(exc).__name__})."
            raise ChannelError(words, permanent=False, unknown=attempt.begun) from exc

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_leaves)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEPT_SECONDS),
                timeout=self._timeout,
                trace_configs=[trace],
                trust_env=False,
            )
        return self._session


async def _leaves(_: object, context: SimpleNamespace, __: object) -> None:
    """Called by aiohttp with the connection in hand, before the first byte is written."""
    attempt: Attempt = context.trace_request_ctx
    attempt.begins()
