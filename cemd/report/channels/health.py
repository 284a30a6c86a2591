"""Whether a channel works: said once when it turns, not at every message, and known as long as it lasts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cemd.errors import ChannelError
from cemd.kit.clock import Clock
from cemd.model.identity import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """A channel by which the last message did not leave: `why` of the newest, `since` when none has left."""

    channel: str
    why: str
    since: Instant


class Health:
    """Of one channel. `failing` is None while its last message left, and before the first."""

    def __init__(self, channel: str, log: Any, clock: Clock) -> None:
        self._channel = channel
        self._log = log
        self._clock = clock
        self.failing: Failing | None = None

    def fails(self, exc: ChannelError) -> None:
        if self.failing is None:
            self._log.warning("channel.failed", channel=self._channel, error=str(exc))
        self._note(str(exc))

    def works(self) -> None:
        if self.failing is not None:
            self.failing = None
            self._log.info("channel.works_again", channel=self._channel)

    def fault(self, exc: Exception) -> None:
        """A bug of the kind: it stays in its room."""
        self._log.error("channel.fault", channel=self._channel, error=type(exc).__name__)
        self._note(f"channel {self._channel!r}: a fault of cemd ({type(exc).__name__}), of which the log tells more.")

    def _note(self, why: str) -> None:
        before = self.failing or Failing(channel=self._channel, why=why, since=self._clock.now())
        self.failing = replace(before, why=why)
