"""One port of one host: what most kinds measure, by which names it goes, and where its packets go."""

from __future__ import annotations

from cemd.monitor.probes.base import Host, Way
from cemd.monitor.probes.engines.sockets import SocketParams


class HostParams(SocketParams):
    """A host that is gone to."""

    host: Host
    """Name or address."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        return ((("host",), self.host),)


class OnePort:
    """Base of kinds that measure one port: its series and its bulkhead are called by host and port."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    @property
    def target(self) -> str:
        return f"{self._host}:{self._port}"

    @property
    def group(self) -> str:
        return self.target
