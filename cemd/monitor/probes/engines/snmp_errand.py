"""SNMP's quick way as errands: a prepared GET of v2c on a line that all agents of one version of IP share."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import mul
from typing import TypeAlias

from cemd.monitor.probes.base import IpVersion, Kind
from cemd.monitor.probes.engines.datagram_errand import Aim, Errand, Found
from cemd.monitor.probes.engines.datagrams import Datagrams
from cemd.monitor.probes.engines.lines import Destination, Shared, place_as_heard
from cemd.monitor.probes.engines.sockets import SocketParams, family_of
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

    __slots__ = ("_judge", "_wish", "metrics")

    def __init__(
        self, kind: Kind, host: str, version: IpVersion, aim: Aim, resend: float, wanted: Wish, judge: Judge
    ) -> None:
        super().__init__(kind, host, version, aim, resend, wanted.get.message)
        self._wish, self.metrics, self._judge = wanted, wanted.metrics, judge

    def take(self, data: bytes, seconds: float, began: float, sent_ns: int) -> Found:
        del sent_ns
        wanted = self._wish
        found = wanted.get.numbers(data)
        if found is not None and wanted.plain is not None:
            return tuple(map(mul, found[1], wanted.plain))
        return self._judge(self, found, data, seconds, began)


Judge: TypeAlias = Callable[[Asking, Numbers | None, bytes, float, float], Found]


def aim_at(datagrams: Datagrams, way: SocketParams, port: int) -> Aim:
    """What leads to agents: those with addresses of one version of IP share a line."""

    def aim(address: str) -> Destination:
        family = family_of(address)
        key = ("snmp", family, way.source_address, way.vrf, way.dscp)
        line = datagrams.line(key, lambda: Shared(way, family, datagrams.long_keys, Heads().key_of))
        return line.to(place_as_heard(address, port))

    return aim
