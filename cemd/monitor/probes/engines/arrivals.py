"""What came in on a socket, many datagrams a call: `recvmmsg` of Linux (64 bits), into memory that is laid out once.

Python's own calls take one datagram at a time, and each makes a buffer for the longest one and the sender's address as
text: twice the price of what is done here, from eight datagrams on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from functools import lru_cache
from typing import Final

import numpy as np

from cemd.monitor.probes.engines.sockets import Place
from cemd.monitor.probes.engines.stamps import SO_TIMESTAMPNS

AT_ONCE: Final = 128
"""Datagrams a call."""
_MOST_BYTES: Final = 65_535
_STRIDE: Final = _MOST_BYTES + 1 + 192
"""From one datagram's place to the next: by whole pages all would want the same few lines of the processor's cache."""
_SENDER_BYTES: Final = 28
"""Of `sockaddr_in6`, the longest."""
_CONTROL: Final = struct.Struct("@8xqqq32x")
"""Of the first control message the level and type as one word, and what the kernel's stamp would be."""
_CONTROL_BYTES: Final = _CONTROL.size
_STAMPED: Final = socket.SOL_SOCKET | SO_TIMESTAMPNS << 32
"""Level and type of a control message that is the kernel's stamp, as the second word of eight bytes."""


class _Piece(ctypes.Structure):
    """`struct iovec`."""

    _fields_ = (("base", ctypes.c_void_p), ("bytes", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """`struct mmsghdr`, with the fields of its `struct msghdr`."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_bytes", ctypes.c_uint32),
        ("pieces", ctypes.c_void_p),
        ("piece_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_bytes", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("_", ctypes.c_int),
        ("bytes", ctypes.c_uint32),
    )


_HEADER_BYTES: Final = ctypes.sizeof(_Header)
_recvmmsg = ctypes.CDLL(None, use_errno=True).recvmmsg
_recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)


class Arrivals:
    """Memory for one call, used for every socket in turn; after `take` the columns hold what it took."""

    def __init__(self) -> None:
        self._data = np.zeros(AT_ONCE * _STRIDE, dtype=np.uint8)
        self._senders = np.zeros((AT_ONCE, _SENDER_BYTES), dtype=np.uint8)
        control = np.zeros((AT_ONCE, _CONTROL_BYTES // 8), dtype=np.int64)
        self._pieces = np.zeros(AT_ONCE, dtype=np.dtype(_Piece))
        self._headers = headers = np.zeros(AT_ONCE, dtype=np.dtype(_Header))
        places = np.arange(AT_ONCE)
        self._pieces["base"], self._pieces["bytes"] = self._data.ctypes.data + places * _STRIDE, _MOST_BYTES
        headers["name"] = self._senders.ctypes.data + places * _SENDER_BYTES
        headers["pieces"], headers["piece_count"] = self._pieces.ctypes.data + places * self._pieces.itemsize, 1
        headers["control"] = control.ctypes.data + places * _CONTROL_BYTES
        headers["name_bytes"], headers["control_bytes"] = _SENDER_BYTES, _CONTROL_BYTES
        self._address = headers.ctypes.data
        self._name_bytes, self._bytes = headers["name_bytes"], headers["bytes"]
        self._header, self._control = headers.view(np.uint8).data, control.data.cast("B")
        self._as_made, self._nothing = self._header.tobytes(), bytes(len(self._control))
        """What the system finds there at each call; it writes over it."""
        self._view = self._data.data
        self._starts = [place * _STRIDE for place in range(AT_ONCE)]
        self._count = 0

    def take(self, fileno: int) -> int:
        """Takes what waits at a socket that never blocks, and answers how much that was; less than `AT_ONCE`: that is
        all, or an error comes next.

        Raises:
            OSError: what the system has to say of something that was sent before; with nothing taken.
        """
        header, control = self._count * _HEADER_BYTES, self._count * _CONTROL_BYTES
        self._header[:header] = self._as_made[:header]
        self._control[:control] = self._nothing[:control]  # a stamp that stays must not look like a later datagram's
        count: int = _recvmmsg(fileno, self._address, AT_ONCE, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number not in (errno.EAGAIN, errno.EINTR):
                raise OSError(number, os.strerror(number))
            count = 0
        self._count = count
        return count

    def data(self) -> list[bytes]:
        """What was taken."""
        view = self._view
        return [
            view[start : start + size].tobytes()
            for start, size in zip(self._starts, self._bytes[: self._count].tolist(), strict=False)
        ]

    def stamps(self) -> list[int]:
        """When the kernel received each, nanoseconds of the wall clock; 0 where it does not say."""
        words = _CONTROL.iter_unpack(self._control[: self._count * _CONTROL_BYTES])
        return [seconds * 1_000_000_000 + part if kind == _STAMPED else 0 for kind, seconds, part in words]

    def senders(self) -> list[bytes]:
        """Where each came from, as `sender_of` writes it."""
        whole = self._senders[: self._count].tobytes()
        sizes = self._name_bytes[: self._count].tolist()
        starts = range(0, len(whole), _SENDER_BYTES)
        return [whole[start : start + size] for start, size in zip(starts, sizes, strict=True)]


@lru_cache(maxsize=4096)
def sender_of(place: Place) -> bytes:
    """A place as the system writes the sender of what came from there: `sockaddr_in` or `sockaddr_in6`."""
    port = place[1].to_bytes(2, "big")
    if len(place) == 2:
        packed = socket.inet_pton(socket.AF_INET, place[0])
        return int(socket.AF_INET).to_bytes(2, "little") + port + packed + bytes(8)
    packed = socket.inet_pton(socket.AF_INET6, place[0])
    flow, zone = place[2].to_bytes(4, "big"), place[3].to_bytes(4, "little")
    return int(socket.AF_INET6).to_bytes(2, "little") + port + flow + packed + zone
