"""One try to send a message: its deadline, and whether the message may have left.

Waiting for a connection, connecting and signing in bring nothing out, however long they take: what is cut off there is
tried again. Only from the moment at which a channel says `begins` may the message have left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cemd.errors import ChannelError

GRACE_SECONDS = 1.0
"""What a channel gets beyond its own deadlines before it is cut off."""
STEPS_BEFORE = 3
"""Steps, each with a time-out of its own, that a channel may need before it submits: an idle connection that turns out
to be dead, another one, and the envelope on it."""


def _nothing() -> None:
    """Nobody wants to know."""


class Attempt:
    """Handed to the channel with the message. `begins` is called when it may leave from now on."""

    def __init__(self, seconds: float, *, name: str, begins: Callable[[], None] = _nothing) -> None:
        self._seconds = seconds
        self._name = name
        self._begins = begins
        self._deadline: asyncio.Timeout | None = None
        self.begun = False

    def begins(self) -> None:
        """Said by the channel, on the event loop, just before what may bring the message out; from now on the answer
        has the whole time-out, however long it took to come here."""
        self.begun = True
        self._begins()
        if self._deadline is not None:
            self._deadline.reschedule(self._after(self._seconds))

    async def run(self, sending: Awaitable[None]) -> None:
        """Runs the sending that was given this attempt.

        Raises:
            ChannelError: the channel's own, or that of the missed deadline; unknown when the submission had begun.
        """
        try:
            async with asyncio.timeout_at(self._after(STEPS_BEFORE * self._seconds)) as self._deadline:
                await sending
        except TimeoutError as exc:
            fact = "no answer" if self.begun else "cannot be reached"
            words = f"channel {self._name!r}: {fact} within {self._seconds:g} s; look at its server."
            raise ChannelError(words, permanent=False, unknown=self.begun) from exc

    def _after(self, seconds: float) -> float:
        return asyncio.get_running_loop().time() + seconds + GRACE_SECONDS
