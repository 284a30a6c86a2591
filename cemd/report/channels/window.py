"""How many notices one channel has in hand: as many as it gets rid of in a second or two, and no more.

What is in hand is committed in flight. A daemon that is killed does not know of these what left, and of class `service`
none is sent again: every notice that only waited in the window is then a customer who hears nothing. A slow mail server
must therefore not be handed what it takes half a minute to accept, and a quick one must never wait for us. So the
window is found, not set: a notice that soon began to leave lets one more in (it doubles with every turn), one that
waited too long takes one out. Only the wait for the channel counts, not how long the channel or our own commits take:
on a busy machine these are slow, and more in hand is then what keeps the pace.
"""

from __future__ import annotations

SMALLEST = 20
"""Never fewer: asking costs a commit, which is worth some notices."""
LARGEST = 2_000
QUICK_SECONDS = 1.0
SLOW_SECONDS = 2.0
"""Between the two the window stays as it is."""


class Window:
    """The most notices in hand. `per_second` is the pace that the channel is given; the limit is four seconds of it."""

    def __init__(self, per_second: float) -> None:
        self._limit = max(SMALLEST, min(LARGEST, int(per_second * 4)))
        self.size = SMALLEST

    def waited(self, seconds: float) -> None:
        """A notice began to leave, so long after it was taken in hand."""
        if seconds < QUICK_SECONDS:
            self.size = min(self._limit, self.size + 1)
        elif seconds > SLOW_SECONDS:
            self.size = max(SMALLEST, self.size - 1)
