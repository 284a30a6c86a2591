"""When to look at sockets: one bell for all of them, and rests between looks: a wake-up costs more than a datagram.

The bell rings once when the first of them is ready, and is silent from then on: somebody looks again after each rest
until one went by in which nothing came. Whoever looks for reasons of his own meanwhile puts the end of the rest off.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from math import inf

REST_SECONDS = 0.005
"""So long nobody looks after something came, unless for another reason."""
_ONCE = select.EPOLLIN | select.EPOLLONESHOT


class Watch:
    """Made and used inside one running loop; `look` is called when it is time to, and calls `ready`."""

    def __init__(self, look: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._look = look
        self._epoll = select.epoll()
        """All sockets."""
        self._bell = select.epoll()
        self._bell.register(self._epoll.fileno(), _ONCE)
        self._loop.add_reader(self._bell.fileno(), self._ring)
        self._rest: asyncio.TimerHandle | None = None
        """While there is one the bell is silent."""
        self.looked_at = -inf
        """When `ready` was last asked, time of the loop."""

    def add(self, fileno: int) -> None:
        """One more socket; it leaves by being closed.

        Raises:
            OSError: no more can be watched.
        """
        self._epoll.register(fileno, select.EPOLLIN)

    def ready(self) -> list[tuple[int, int]]:
        """Sockets that have something, with epoll's word on what."""
        self.looked_at = self._loop.time()
        found = self._epoll.poll(0)
        if found and self._rest is not None:
            self._rest.cancel()
            self._begin_rest()
        return found

    def close(self) -> None:
        """Looks no more."""
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._bell.fileno())
        self._bell.close()
        self._epoll.close()

    def _begin_rest(self) -> None:
        self._rest = self._loop.call_later(REST_SECONDS, self._rested)

    def _ring(self) -> None:
        self._bell.poll(0, 1)  # takes the ring: it is silent from now on
        self._begin_rest()
        self._look()

    def _rested(self) -> None:
        over = self._rest
        self._look()
        if self._rest is over:  # nothing came
            self._rest = None
            self._bell.modify(self._epoll.fileno(), _ONCE)
