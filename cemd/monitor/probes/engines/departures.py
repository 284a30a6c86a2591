"""What leaves for one place at one moment, many datagrams a call: the system cuts a block of bytes into them.

A datagram costs three times as much on its way through the system's layers as it does to make, and a block (UDP_SEGMENT
of Linux) goes that way once. Another machine sees datagrams like any others. All of a block are of one size, but for
the last, which may be shorter; they share one stamp of when they left, so a block is no longer than what the system
cuts in some microseconds. Where the system, or the way out of it, cannot do so, each datagram leaves by itself.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from typing import Final

from cemd.monitor.probes.engines.sockets import Place

TOGETHER: Final = 16
"""Datagrams in a block, at most."""
MOST_BYTES: Final = 1_200
"""Longer ones leave by themselves: what exceeds the way's packets cannot be part of a block."""
CANNOT: Final = frozenset({errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.EOPNOTSUPP, errno.ENOPROTOOPT})
"""What the system says where it cannot send blocks; nothing of the block has left then."""
_UDP_SEGMENT: Final = 103
_SIZES: Final = [[(socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("@H", size))] for size in range(MOST_BYTES + 1)]
"""What is said beside a block, by the size of its datagrams."""


def cut(sizes: Sequence[int]) -> list[list[int]]:
    """Datagrams of these sizes as blocks: for each the places of its datagrams, in the order in which they leave."""
    blocks: list[list[int]] = []
    closed = True
    for place in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
        if closed:
            blocks.append([])
        blocks[-1].append(place)
        closed = sizes[place] < sizes[blocks[-1][0]] or sizes[place] > MOST_BYTES
    return blocks


def send_block(door: socket.socket, block: bytes, size: int, place: Place | None) -> None:
    """Sends datagrams of this size, and what is left over as the last; `place` by a socket that is not connected.

    Raises:
        OSError: nothing has left: the buffer is full, something is told of what left before, or the system cannot.
    """
    if place is None:
        door.sendmsg((block,), _SIZES[size])
    else:
        door.sendmsg((block,), _SIZES[size], 0, place)
