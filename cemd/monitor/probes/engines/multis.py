"""libcurl's multi handles behind one epoll, which is one reader of the event loop: no thread, no reader a probe.

pycurl's own `AsyncCurlMulti` adds and removes a reader of the loop for every socket, which costs as much as the
transfer; `perform` with `select` is as quick as this but ends at 1,024 descriptors and looks at all transfers each
time. So sockets live in an epoll of ours, libcurl is told of each that is ready, and only the epoll's descriptor is
known to the loop. libcurl keeps one parsed set of trust anchors a multi handle, hence one multi for each trust set.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial

import pycurl

Over = Callable[[int, str], None]
"""Told the error number of libcurl (0: none) and its words, when a transfer is over."""

_AT_ONCE = 16
"""Sockets served before others of the loop have their turn: a TLS handshake takes half a millisecond of computing."""
_MOST_MULTIS = 64


class Multis:
    """Made and used inside one running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._loop.add_reader(self._epoll.fileno(), self._ready)
        self._multis: dict[Hashable, _Multi] = {}
        self._of_socket: dict[int, _Multi] = {}

    def start(self, trust: Hashable, curl: pycurl.Curl, over: Over) -> Callable[[], bool]:
        """Begins a prepared transfer; `over` may be called before this returns. Answers what gives it up, after which
        `over` is not called; that answers whether there was anything to give up."""
        multi = self._multis.get(trust) or self._make(trust)
        multi.transfers[curl] = over
        multi.handle.add_handle(curl)
        multi.act(pycurl.SOCKET_TIMEOUT, 0)
        multi.settle()
        return partial(multi.give_up, curl)

    def close(self) -> None:
        """Gives up what runs; nobody is told."""
        for multi in self._multis.values():
            multi.close()
        self._multis.clear()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _make(self, trust: Hashable) -> _Multi:
        if len(self._multis) >= _MOST_MULTIS:
            for old in [old for old, multi in self._multis.items() if not multi.transfers]:
                self._multis.pop(old).close()
        multi = self._multis[trust] = _Multi(self._loop, self._epoll, self._of_socket)
        return multi

    def _ready(self) -> None:
        touched = []
        for number, events in self._epoll.poll(0, _AT_ONCE):
            multi = self._of_socket.get(number)
            if multi is None:  # closed by libcurl just now, or something else holds it open
                with contextlib.suppress(OSError):
                    self._epoll.unregister(number)
                continue
            multi.act(number, _selected(events))
            if multi not in touched:
                touched.append(multi)
        for multi in touched:
            multi.settle()


def _selected(events: int) -> int:
    """What libcurl wants to hear of a socket that is ready."""
    broken = pycurl.CSELECT_ERR | pycurl.CSELECT_IN if events & (select.EPOLLERR | select.EPOLLHUP) else 0
    return int(
        (events & select.EPOLLIN and pycurl.CSELECT_IN) | (events & select.EPOLLOUT and pycurl.CSELECT_OUT) | broken
    )


class _Multi:
    """One multi handle, its transfers and its timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, epoll: select.epoll, of_socket: dict[int, _Multi]) -> None:
        self._loop, self._epoll, self._of_socket = loop, epoll, of_socket
        self._wanted: deque[int] = deque(maxlen=1)
        """Milliseconds of the last timer that libcurl asked for; filled without a frame of Python."""
        self._due_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.transfers: dict[pycurl.Curl, Over] = {}
        self.handle = pycurl.CurlMulti()
        self.handle.setopt(pycurl.M_SOCKETFUNCTION, self._socket)
        self.handle.setopt(pycurl.M_TIMERFUNCTION, self._wanted.append)

    def act(self, number: int, events: int) -> None:
        """Has libcurl look at a socket, or at its timers."""
        self.handle.socket_action(number, events)

    def settle(self) -> None:
        """Tells of the transfers that are over, and arms the timer that libcurl wants."""
        while True:
            waiting, good, bad = self.handle.info_read()
            if not waiting and not good and not bad:
                break
            for curl in good:
                self._over(curl, 0, "")
            for curl, number, words in bad:
                self._over(curl, number, words)
            if not waiting:
                break
        if self._wanted and (milliseconds := self._wanted.pop()) >= 0:
            self._arm(self._loop.time() + milliseconds / 1000)

    def _arm(self, due: float) -> None:
        """A timer that is too early finds nothing to do and is set anew: cheaper than a new one for each transfer."""
        self._due_at = due
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._timed)

    def give_up(self, curl: pycurl.Curl) -> bool:
        if self.transfers.pop(curl, None) is None:
            return False
        self.handle.remove_handle(curl)
        return True

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for curl in list(self.transfers):
            self.give_up(curl)
        self.handle.close()

    def _over(self, curl: pycurl.Curl, number: int, words: str) -> None:
        over = self.transfers.pop(curl, None)
        self.handle.remove_handle(curl)
        if over is not None:
            over(number, words)

    def _timed(self) -> None:
        self._timer = None
        if self._due_at > self._loop.time():
            self._arm(self._due_at)
            return
        self.act(pycurl.SOCKET_TIMEOUT, 0)
        self.settle()

    def _socket(self, what: int, number: int, _multi: object, _data: object) -> None:
        """Keeps the epoll as libcurl wants it. A socket that is closed leaves an epoll by itself."""
        if what == pycurl.POLL_REMOVE:
            self._of_socket.pop(number, None)
            return
        events = (what & 1 and select.EPOLLIN) | (what & 2 and select.EPOLLOUT)
        if number in self._of_socket:
            self._epoll.modify(number, events)
            return
        self._of_socket[number] = self
        try:
            self._epoll.register(number, events)
        except FileExistsError:
            self._epoll.modify(number, events)
