"""What the prober lends its kinds: names, the HTTP engine, the janitor, a log. Nothing of the daemon."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from cemd.config.targets import Targets
from cemd.kit.clock import Clock, SystemClock
from cemd.monitor.probes.engines.curl import CurlEngine
from cemd.monitor.probes.engines.datagrams import Datagrams
from cemd.monitor.probes.engines.errands import Engine
from cemd.monitor.probes.engines.handshake import Handshakes
from cemd.monitor.probes.engines.janitor import Janitor
from cemd.monitor.probes.engines.names import Names
from cemd.monitor.probes.engines.stream_batches import Streams
from cemd.monitor.probes.engines.trust import Trust
from cemd.monitor.probes.engines.waits import RestingWaits, Waits
from cemd.monitor.probes.engines.web import WebEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Shared by all kinds of one prober; closed by it."""

    names: Names
    web: WebEngine
    curl: CurlEngine
    janitor: Janitor
    trust: Trust
    handshakes: Handshakes
    datagrams: Datagrams
    waits: Waits
    resting: RestingWaits
    streams: Streams
    clock: Clock
    log: Any

    def engines(self) -> dict[str, Engine]:
        """Those that run errands, by the names that errands call them by."""
        return {"datagrams": self.datagrams, "streams": self.streams}

    async def aclose(self) -> None:
        await self.janitor.aclose()
        await self.curl.aclose()
        self.datagrams.close()
        await self.names.aclose()
        self.waits.close()
        self.resting.close()


def make_tools(
    *,
    state: Path | None = None,
    clock: Clock | None = None,
    nameservers: list[str] | None = None,
    targets: Targets | None = None,
) -> Tools:
    """Tools on the running loop. `targets` as in the settings, until others come; `nameservers` only for tests."""
    times = clock or SystemClock()
    log = structlog.get_logger("cemd.monitor")
    names = Names(nameservers, targets)
    waits, resting = Waits(), RestingWaits()
    handshakes, curl = Handshakes(), CurlEngine(times.now)
    web = WebEngine(names, curl, handshakes, waits, resting)
    return Tools(
        names=names,
        web=web,
        curl=curl,
        janitor=Janitor(state, web, clock=times, log=log),
        trust=Trust(),
        handshakes=handshakes,
        datagrams=Datagrams(names, log),
        waits=waits,
        resting=resting,
        streams=Streams(names, (waits, resting), log),
        clock=times,
        log=log,
    )
