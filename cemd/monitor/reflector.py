"""The far end of `stamp` and `voice`: answers test packets (RFC 8762, RFC 5357 TWAMP-Light) with two stamps of its own.

Stateful: answers are numbered a session (sender's address, port and SSID), so that a sender can tell which direction
lost a packet. What is no test packet, is not signed with the key, or comes from where nobody should, is counted and not
answered; a packet from a reflector's own port neither, since two of them would answer each other for ever. An answer is
as long as its question, or 44 octets: of no use to amplify.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any, TypeAlias

from cemd.monitor.probes.engines.clock_state import ClockState, clock_state
from cemd.monitor.probes.engines.stamps import SO_TIMESTAMPNS, kernel_stamp
from cemd.monitor.protocols.stamp_packets import (
    AUTHENTICATED_BYTES,
    LEAST_SENT_BYTES,
    PLAIN_BYTES,
    ErrorEstimate,
    Sent,
    answer_packet,
    read_sent,
)

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_SESSIONS = 10_000
"""Sessions that are numbered at once; beyond them the one that was silent longest begins anew."""
SESSION_SECONDS = 900.0
"""A session that was silent for this long is over (REFWAIT of RFC 5357)."""
STATE_SECONDS = 16.0
"""How long a look at the clock's state holds."""
_ANCILLARY_BYTES = 256
_IP_RECVTTL = 12  # of Linux; `socket` has no name for it
_MOST_AT_ONCE = 64


@dataclass(slots=True)
class _Numbered:
    next: int
    at: float


class Reflector:
    """Answers on one UDP port. `allow` empty: everybody; `most_per_second` bounds what one address can make it send."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        stateful: bool = True,
        key: bytes | None = None,
        allow: tuple[Network, ...] = (),
        most_per_second: int = 2_000,
    ) -> None:
        self._host = host
        self._port = port
        self._stateful = stateful
        self._key = key
        self._allow = allow
        self._most = most_per_second
        self._sessions: OrderedDict[tuple[Any, int], _Numbered] = OrderedDict()
        self._known: dict[str, bool] = {}
        self._second = 0
        self._spent: Counter[str] = Counter()
        self._state: tuple[float, int] = (-STATE_SECONDS, 0)
        self._door: socket.socket | None = None
        self.counters: Counter[str] = Counter()
        """`answered`, and what was not: `malformed`, `not_signed` with our key, `not_allowed`, `too_many`,
        `unsendable`."""

    @property
    def port(self) -> int:
        """The port that it listens on, once it does."""
        assert self._door is not None  # noqa: S101 -- asked after `open`
        port: int = self._door.getsockname()[1]
        return port

    def open(self) -> None:
        """Begins to answer, on the running loop.

        Raises:
            OSError: the port cannot be had.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        door = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            door.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            door.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)  # of IPv6 sockets too: `::` answers IPv4 as well
            if family == socket.AF_INET6:
                door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            door.bind((self._host, self._port))
        except BaseException:
            door.close()
            raise
        self._door = door
        asyncio.get_running_loop().add_reader(door.fileno(), self._receive, door)

    def close(self) -> None:
        """Ends it."""
        if self._door is not None:
            asyncio.get_running_loop().remove_reader(self._door.fileno())
            self._door.close()
            self._door = None

    def _receive(self, door: socket.socket) -> None:
        for _ in range(_MOST_AT_ONCE):  # then the loop has its turn
            try:
                data, ancillary, _, sender = door.recvmsg(65_535, _ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self.counters["unsendable"] += 1  # what a router says about an earlier answer
                continue
            self._answer(door, data, ancillary, sender)

    def _answer(self, door: socket.socket, data: bytes, ancillary: list[tuple[int, int, bytes]], sender: Any) -> None:
        why, sent = self._judged(data, sender)
        if sent is None:
            self.counters[why] += 1
            return
        received = kernel_stamp(ancillary) or time.time_ns()
        least = PLAIN_BYTES if self._key is None else AUTHENTICATED_BYTES
        answer = answer_packet(
            sent,
            sequence=self._number(sender, sent),
            received_ns=received,
            now_ns=time.time_ns(),
            error=self._error(),
            ttl=_ttl(ancillary),
            rest=data[least:],
            key=self._key,
        )
        try:
            door.sendto(answer, sender)
        except OSError:
            self.counters["unsendable"] += 1
            return
        self.counters["answered"] += 1

    def _judged(self, data: bytes, sender: Any) -> tuple[str, Sent | None]:
        """("", packet), or (why not, None)."""
        if sender[1] in {862, self.port} or not self._is_allowed(sender[0]):
            return "not_allowed", None
        if not self._has_budget(sender[0]):
            return "too_many", None
        why = "malformed" if self._key is None or len(data) < LEAST_SENT_BYTES else "not_signed"
        return why, read_sent(data, self._key)

    def _is_allowed(self, address: str) -> bool:
        if not self._allow:
            return True
        if address not in self._known:
            if len(self._known) >= MOST_SESSIONS:
                self._known.clear()
            self._known[address] = _is_within(address, self._allow)
        return self._known[address]

    def _has_budget(self, address: str) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._spent = second, Counter()
        self._spent[address] += 1
        return self._spent[address] <= self._most

    def _number(self, sender: Any, sent: Sent) -> int:
        if not self._stateful:
            return sent.sequence
        now = time.monotonic()
        key = (sender[:2], sent.session)
        numbered = self._sessions.pop(key, None)
        if numbered is None or now - numbered.at > SESSION_SECONDS:
            numbered = _Numbered(0, now)
        number = numbered.next
        self._sessions[key] = _Numbered(number + 1 & 0xFFFFFFFF, now)
        if len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return number

    def _error(self) -> int:
        looked_at, error = self._state
        if time.monotonic() - looked_at >= STATE_SECONDS:
            state: ClockState = clock_state()
            error = ErrorEstimate(state.synchronised, state.error_seconds).packed()
            self._state = (time.monotonic(), error)
        return error


def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found  # as a socket of both versions names it
    return any(found.version == network.version and found in network for network in networks)


def _ttl(ancillary: list[tuple[int, int, bytes]]) -> int:
    """TTL or hop limit of what came; 255 where the kernel does not say, as the RFC has it."""
    for level, kind, value in ancillary:
        if (level, kind) in {(socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)}:
            return int.from_bytes(value[:4], "little") & 0xFF
    return 255
