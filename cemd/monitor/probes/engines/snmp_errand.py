"""SNMP's quick way as errands: a prepared GET of v2c on a line that all agents of one version of IP share."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import lru_cache
from operator import mul
from typing import TypeAlias

from cemd.monitor.probes.base import Kind
from cemd.monitor.probes.engines.datagram_errand import Errand, Found
from cemd.monitor.probes.engines.datagrams import Datagrams
from cemd.monitor.probes.engines.lines import Line, Shared
from cemd.monitor.probes.engines.sockets import Place, SocketParams, family_of
from cemd.monitor.protocols.ber import Oid
from cemd.monitor.protocols.snmp_get import Get, Heads
from cemd.monitor.protocols.snmp_layout import Numbers


class Wish:
    """What is asked of an agent and what becomes of its numbers; probes that ask the same share one."""

    __slots__ = ("get", "metrics", "plain")

    def __init__(self, community: bytes, names: tuple[Oid, ...], metrics: tuple[str, ...], scales: Scales) -> None:
        self.get = Get(community, names)
        self.metrics = ("response_seconds", *metrics)
        self.plain = scales
        """What each number is multiplied by where it is a reading as it is; None where there is more to it."""


Scales: TypeAlias = tuple[float, ...] | None
wish = lru_cache(maxsize=4096)(Wish)
"""The one of these arguments."""


class Asking(Errand):
    """`judge` is asked about each answer that is more than plain numbers."""

    __slots__ = ("_judge", "_wish", "ending", "metrics")

    def __init__(self, kind: Kind, line: Line, place: Place, resend: float, wanted: Wish, judge: Judge) -> None:
        super().__init__(kind, line, place[0], resend, wanted.get.message, place)
        self._wish, self.metrics, self._judge = wanted, wanted.metrics, judge
        self.ending: Callable[[], object] | None = None
        """What ends that which the answer has begun."""

    def take(self, data: bytes, seconds: float, began: float) -> Found:
        wanted = self._wish
        found = wanted.get.numbers(data)
        if found is not None and wanted.plain is not None:
            return tuple(map(mul, found[1], wanted.plain))
        return self._judge(self, found, data, seconds, began)

    def give_up(self) -> None:
        if self.ending is not None:
            self.ending()


Judge: TypeAlias = Callable[[Asking, Numbers | None, bytes, float, float], Found]


def line_for(datagrams: Datagrams, way: SocketParams, address: str) -> Line:
    """What agents with addresses like this one share."""
    family = family_of(address)
    key = ("snmp", family, way.source_address, way.vrf, way.dscp)
    return datagrams.line(key, lambda: Shared(way, family, datagrams.long_keys, Heads().key_of))


@lru_cache(maxsize=4096)
def place_as_heard(address: str, port: int) -> Place:
    """Where an agent is, written as the system writes the sender of what it hears; one object for all who ask it."""
    family = family_of(address)
    plain = socket.inet_ntop(family, socket.inet_pton(family, address))
    return (plain, port) if family == socket.AF_INET else (plain, port, 0, 0)
