"""Sockets that wait without a task each: one epoll behind the loop, and deadlines in a wheel of coarse ticks.

A task, a future and a reader of the loop cost more than the connection that they wait for. Here a socket is one entry
of an epoll of ours, whose descriptor is the one reader that the loop knows; a socket that is closed leaves it by
itself. Deadlines are kept to a fiftieth of a second, early rather than late. Events are taken out in small portions, so
that handshakes of TLS, which cost half a millisecond each, do not hold up the rest of the loop.

A wake-up of the loop costs more than what most events ask for. Once events come thick and fast, `RestingWaits` looks
only now and then, and whenever somebody who is awake anyway asks it to, and finds several at each look: for those who
read from the kernel when something happened, not from the moment at which they were told.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

from cemd.monitor.probes.engines.stamps import SO_TIMESTAMPNS

TICKS_PER_SECOND = 50
_PORTION: Final = 16
_TURN_SECONDS: Final = 0.004
"""So long sockets are served, in whole portions, before others of the loop have their turn."""
REST_SECONDS: Final = 0.003
"""So long nobody looks at most."""
BUSY_SECONDS: Final = 0.001
"""Rings that come closer than this to each other, in the mean of the last few, are answered by rests."""
_MEMORY: Final = 1 / 16


class Waiting(Protocol):
    """Something that waits for a socket."""

    def ready(self, events: int) -> None:
        """The socket is ready, or has failed (EPOLLERR, EPOLLHUP)."""

    def late(self) -> None:
        """The deadline is near; it is forgotten by then."""


class Fresh(Protocol):
    """Something that may be ready by the next look, and is not waited for before."""

    def met(self) -> None:
        """A look comes: is it ready? If not, it is to wait from now on."""


class Waits:
    """Made and used inside one running loop."""

    def __init__(self) -> None:
        self.served: Callable[[], None] | None = None
        """Called after each look that found something."""
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._of: dict[int, Waiting] = {}
        self._again: list[Waiting] = []
        self._wheel: dict[int, dict[int, Waiting]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._listen()

    def add(self, number: int, waiting: Waiting, events: int, deadline: float) -> int:
        """Waits for a descriptor until a time of the loop; answers the tick, which `remove` wants back.

        Raises:
            OSError: the system lets no more be watched.
        """
        self._epoll.register(number, events)
        self._of[number] = waiting
        tick = int(deadline * TICKS_PER_SECOND)
        spoke = self._wheel.get(tick)
        if spoke is None:
            spoke = self._wheel[tick] = {}
            self._arm(tick)
        spoke[number] = waiting
        return tick

    def meet(self, fresh: Fresh) -> bool:
        """Has the next look, which comes soon, ask whether it is ready; False: here it must wait."""
        del fresh
        return False

    def remove(self, number: int, tick: int) -> None:
        """Forgets it; its socket must be closed at once, which takes it out of the epoll too."""
        self._of.pop(number, None)
        spoke = self._wheel.get(tick)
        if spoke is not None:
            spoke.pop(number, None)

    def soon(self, waiting: Waiting) -> None:
        """Tells it again that it is ready, after others of the loop had their turn: an edge comes but once."""
        if not self._again:
            self._loop.call_soon(self.look)
        self._again.append(waiting)

    def prompt(self) -> None:
        """Has the next event told at once; here each is."""

    def close(self) -> None:
        """Ends it; nobody is told."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    @property
    def busy(self) -> bool:
        """Whether anybody waits."""
        return bool(self._of or self._again)

    def look(self) -> bool:
        """Tells whose sockets are ready; whether there were any. The loop does so by itself."""
        if self._epoll.closed:
            return False
        found = bool(self._serve())
        if found and self.served is not None:
            self.served()
        return found

    def _listen(self) -> None:
        self._loop.add_reader(self._epoll.fileno(), self.look)

    def _serve(self) -> int:
        """As many as time allows."""
        again, self._again = self._again, []
        for waiting in again:
            waiting.ready(select.EPOLLIN)
        began, served = 0.0, len(again)
        while True:
            portion = self._epoll.poll(0, _PORTION)
            for number, events in portion:
                found = self._of.get(number)
                if found is not None:
                    found.ready(events)
            served += len(portion)
            if len(portion) < _PORTION:
                return served
            began = began or monotonic()
            if monotonic() - began > _TURN_SECONDS:
                return served

    def _arm(self, tick: int) -> None:
        at = tick / TICKS_PER_SECOND
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._turn)

    def _turn(self) -> None:
        """Tells those whose tick has come; what has come in time is taken before. An empty spoke is cheaper to keep
        until then than to look for."""
        self._timer = None
        self.look()
        now = int(self._loop.time() * TICKS_PER_SECOND)
        for tick in sorted(tick for tick in self._wheel if tick <= now):
            for number, waiting in self._wheel.pop(tick).items():
                if self._of.get(number) is waiting:
                    waiting.late()
        if self._wheel:
            self._arm(min(self._wheel))


class RestingWaits(Waits):
    """The same for those whose times the kernel tells."""

    def __init__(self, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self._busy_seconds = busy_seconds
        self._bell = select.epoll()
        """Rings while a socket is ready; silent during a rest."""
        self._rest: asyncio.TimerHandle | None = None
        self._rang_at = 0.0
        self._gap = 1.0
        """Seconds between the last rings, smoothed."""
        self._found = self._hurried = False
        """Whether a look of this rest found something; whether the next event must be told at once."""
        self._stamper = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        """Keeps the kernel stamping: it would begin and end with each short-lived socket that asks for it."""
        self._stamper.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._fresh: list[Fresh] = []
        self._meeting: asyncio.TimerHandle | None = None
        """When those are asked at the latest."""
        super().__init__()

    def close(self) -> None:
        for timer in (self._rest, self._meeting):
            if timer is not None:
                timer.cancel()
        self._loop.remove_reader(self._bell.fileno())
        self._bell.close()
        self._stamper.close()
        super().close()

    def _listen(self) -> None:
        self._bell.register(self._epoll.fileno(), select.EPOLLIN)
        self._loop.add_reader(self._bell.fileno(), self._ring)

    @property
    def rests(self) -> bool:
        """Whether nobody is woken at the moment when a socket becomes ready."""
        return self._rest is not None

    @property
    def busy(self) -> bool:
        return bool(self._fresh or self._of or self._again)

    def meet(self, fresh: Fresh) -> bool:
        if self._meeting is None:
            self._meeting = self._loop.call_later(REST_SECONDS, self.look)
        self._fresh.append(fresh)
        return True

    def look(self) -> bool:
        found = super().look()
        self._found = self._found or found
        return found

    def prompt(self) -> None:
        """Has the next event told at once, be it during a rest."""
        self._hurried = True
        if self._rest is not None:
            self._end_rest()

    def _serve(self) -> int:
        met = self._ask_fresh() if self._fresh else 0
        return met + super()._serve() if self._of or self._again else met

    def _ask_fresh(self) -> int:
        """Asks as many as time allows; the others are asked after others of the loop had their turn."""
        fresh, self._fresh = self._fresh, []
        if self._meeting is not None:
            self._meeting.cancel()
            self._meeting = None
        began = monotonic()
        for place in range(0, len(fresh), _PORTION):
            if place and monotonic() - began > _TURN_SECONDS:
                self._fresh = fresh[place:] + self._fresh
                self._meeting = self._loop.call_later(0, self.look)
                return place
            for one in fresh[place : place + _PORTION]:
                one.met()
        return len(fresh)

    def _ring(self) -> None:
        self._hurried = False
        self.look()
        now = monotonic()
        self._gap += (min(now - self._rang_at, 0.1) - self._gap) * _MEMORY
        self._rang_at = now
        if self._gap < self._busy_seconds and not self._hurried:
            self._bell.modify(self._epoll.fileno(), 0)
            self._found = False
            self._rest = self._loop.call_later(REST_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self.look()
        if self._rest is None:
            return  # somebody is in a hurry
        if self._found:
            self._found = False
            self._rest = self._loop.call_later(REST_SECONDS, self._look_again)
        else:
            self._end_rest()

    def _end_rest(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        self._rang_at = monotonic()
        self._bell.modify(self._epoll.fileno(), select.EPOLLIN)
