"""Whether a channel works: said once when it turns, not at every message."""

from __future__ import annotations

from typing import Any

from cemd.errors import ChannelError


class Health:
    """Of one channel."""

    def __init__(self, channel: str, log: Any) -> None:
        self._channel = channel
        self._log = log
        self._broken = False

    def fails(self, exc: ChannelError) -> None:
        if not self._broken:
            self._broken = True
            self._log.warning("channel.failed", channel=self._channel, error=str(exc))

    def works(self) -> None:
        if self._broken:
            self._broken = False
            self._log.info("channel.works_again", channel=self._channel)

    def fault(self, exc: Exception) -> None:
        """A bug of the kind: it stays in its room."""
        self._log.error("channel.fault", channel=self._channel, error=type(exc).__name__)
