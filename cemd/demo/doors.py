"""Ports on loopback that can be shut and opened again without losing their number.

A socket that is bound but does not listen keeps the number while the door is shut, so that whoever knocks is refused at
once, as by a host whose process died; nobody else can be given the port meanwhile.
"""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


class Port:
    """One reserved TCP port; `listener` gives a fresh socket for whoever opens the door."""

    def __init__(self, number: int = 0) -> None:
        self._keeper = self._bound(number)
        self.number: int = self._keeper.getsockname()[1]

    def listener(self) -> socket.socket:
        """A second socket on the same port; the caller listens on it and closes it."""
        return self._bound(self.number)

    def close(self) -> None:
        self._keeper.close()

    def _bound(self, number: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind((HOST, number))
            bound.setblocking(False)
        except OSError:
            bound.close()
            raise
        return bound
