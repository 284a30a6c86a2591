"""The outlook: whether this vantage point can see at all. Blind is not down.

It stands between the runner and the record. What succeeded passes at once. What failed in a way that a broken way out
would look like waits for the next look at the references, some milliseconds as a rule: when all of them are out of
reach too, or were while the run lasted, the run is blind. Results of one probe keep their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from cemd.config.probes import Probe
from cemd.config.vantage import Reference, WayOut
from cemd.kit.logs import SaidOnce
from cemd.model.quality import Outcome
from cemd.monitor.probes import hosts
from cemd.monitor.probes.attempts import measure
from cemd.monitor.probes.base import Attempt, Blind, Missed, Reason, Result
from cemd.monitor.probes.engines.errands import Landed
from cemd.monitor.probes.engines.sockets import SocketParams, connect
from cemd.monitor.probes.icmp import Icmp, IcmpParams
from cemd.monitor.probes.tools import Tools
from cemd.monitor.roster import Deliver, DeliverGood, Post, one_by_one

ANSWERED_ALL_THE_SAME = frozenset(
    {
        Reason.REFUSED,
        Reason.PROTOCOL_BROKEN,
        Reason.STATUS_UNEXPECTED,
        Reason.ANSWER_UNEXPECTED,
        Reason.ANSWER_TOO_LARGE,
        Reason.CERTIFICATE_INVALID,
        Reason.NOT_AUTHENTICATED,
    }
)
"""Failures in which the target did answer: no broken way out looks like them."""
NOT_THE_WAY = frozenset({Reason.NO_RESOURCES, Reason.NOT_PERMITTED, Reason.TARGET_NOT_ALLOWED})
"""Why a look itself was not possible: it says nothing about the way out."""
MOST_HELD = 100_000
"""Results that may wait; beyond it they are recorded as they are, and counted."""

Look = Callable[[], Awaitable[Mapping[str, bool | None]]]
"""One look: name of each part to whether it was seen; None where this host may not look."""


@dataclass(frozen=True, slots=True)
class _Held:
    post: Post
    at: float
    began: float
    result: Result


class Outlook:
    """Made inside the running loop; `run` looks, `take` takes results on their way to the record."""

    def __init__(self, tools: Tools, deliver: Deliver, log: Any, deliver_good: DeliverGood | None = None) -> None:
        self._tools = tools
        self._deliver = deliver
        self._deliver_good = deliver_good or one_by_one(deliver)
        self._log = log
        self._said = SaidOnce(log)
        self._loop = asyncio.get_running_loop()
        self._way_out = WayOut()
        self._lost_at = -inf
        """End of the newest look that saw no reference."""
        self._held: deque[_Held] = deque()
        self._waiting: dict[str, int] = {}
        self._wanted = asyncio.Event()
        self._parts: Mapping[str, bool | None] = {}
        self._blind_total = 0
        self._unjudged_total = 0

    def watch(self, way_out: WayOut) -> None:
        """What is looked at from now on."""
        if way_out != self._way_out:
            self._way_out = way_out
            self._lost_at = -inf
            self._wanted.set()

    def take(self, post: Post, at: float, result: Result) -> None:
        """A result, of a run that began at `at` (wall clock) and ends now."""
        suspect = self._watches() and _suspect(result)
        uid = post.probe.identity() if suspect or self._waiting else ""
        if not suspect and uid not in self._waiting:
            self._deliver(post, at, result)
            return
        if len(self._held) >= MOST_HELD:
            self._unjudged_total += 1
            self._deliver(post, at, result)
            return
        self._held.append(_Held(post, at, self._loop.time() - result.seconds, result))
        self._waiting[uid] = self._waiting.get(uid, 0) + 1
        self._wanted.set()

    def take_good(self, landed: Landed) -> None:
        """Runs that went well, as columns; those of a probe that waits wait too."""
        if not self._waiting:
            self._deliver_good(landed)
            return
        for post, at, result in landed.results():
            self.take(post, at, result)

    def counters(self) -> dict[str, float]:
        """Totals since the prober began, and what is seen now: 1, or 0 where it is out of reach."""
        seen = {f"way_out_{name}": float(one) for name, one in self._parts.items() if one is not None}
        totals = {"way_out_blind_runs": float(self._blind_total), "way_out_unjudged_runs": float(self._unjudged_total)}
        return {**seen, **totals}

    async def run(self) -> None:
        """Looks every few seconds, and at once when a result waits; until it is cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._way_out.every_seconds if self._watches() else None):
                    await self._wanted.wait()
            self._wanted.clear()
            await self.look()

    async def look(self, look: Look | None = None) -> None:
        """One look, and what waited for it goes on. `look` only where a test brings its own eyes."""
        waiting = len(self._held)  # they stay held while it looks: a look that is cancelled loses nothing
        if self._watches():
            self._parts = await (look or self._look)()
            self._tell(lost=not self._is_open())
        for _ in range(waiting):
            self._pass_on(self._held.popleft())

    def _watches(self) -> bool:
        return bool(self._way_out.references)

    def _is_open(self) -> bool:
        """False only when every reference was looked for and none was seen."""
        return not all(seen is False for name, seen in self._parts.items() if name.startswith("reference_"))

    def _tell(self, *, lost: bool) -> None:
        if not lost:
            self._said.back("way out", "prober.sees_again")
        else:
            self._lost_at = self._loop.time()
            seen = {name: one for name, one in self._parts.items() if not name.startswith("reference_")}
            self._said.gone("way out", "prober.is_blind", remedy="look at this host's own network", **seen)

    def _pass_on(self, held: _Held) -> None:
        uid = held.post.probe.identity()
        self._waiting[uid] -= 1
        if not self._waiting[uid]:
            del self._waiting[uid]
        result = held.result
        if self._lost_at >= held.began and _suspect(result) and not _at_home(held.post.probe):
            self._blind_total += 1
            words = "every reference of this vantage point was out of reach as well"
            detail = f"{result.detail.rstrip('.')}; {words}." if result.detail else f"{words.capitalize()}."
            result = Result(outcome=Outcome.BLIND, reason=Reason.WAY_OUT_LOST, detail=detail, seconds=result.seconds)
        self._deliver(held.post, held.at, result)

    async def _look(self) -> Mapping[str, bool | None]:
        names = [f"reference_{number}" for number in range(1, len(self._way_out.references) + 1)]
        looks = [self._reference(one) for one in self._way_out.references]
        if (gateway := _gateway(self._way_out.gateway)) is not None:
            names.append("gateway")
            looks.append(self._echo(gateway))
        if self._way_out.resolver_name is not None:
            names.append("resolver")
            looks.append(self._name(self._way_out.resolver_name))
        return dict(zip(names, await asyncio.gather(*looks), strict=True))

    async def _reference(self, reference: Reference) -> bool | None:
        """True when the far end answers a connection, be it with a refusal."""
        seconds = self._way_out.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                address = await self._tools.names.address(reference.host, seconds)
                (await connect(SocketParams(), address, reference.port)).close()
        except Missed as missed:
            return missed.reason is Reason.REFUSED
        except Blind as blind:
            return None if blind.reason in NOT_THE_WAY else False
        except TimeoutError:
            return False
        return True

    async def _name(self, name: str) -> bool | None:
        try:
            await self._tools.names.address(name, self._way_out.timeout_seconds)
        except Missed:
            return True  # a no is an answer
        except Blind as blind:
            return None if blind.reason in NOT_THE_WAY else False
        return True

    async def _echo(self, gateway: str) -> bool | None:
        seconds = self._way_out.timeout_seconds
        kind = Icmp(IcmpParams(target=gateway, packets=1, wait_seconds=seconds), self._tools)
        attempt = Attempt(probe="gateway", deadline=self._loop.time() + seconds, run="way-out", log=self._log)
        outcome = (await measure(kind, attempt)).outcome
        return None if outcome is Outcome.BLIND else outcome is Outcome.OK


def _suspect(result: Result) -> bool:
    """True for a failure that a broken way out would look like."""
    return result.outcome in (Outcome.FAILED, Outcome.TIMED_OUT) and result.reason not in ANSWERED_ALL_THE_SAME


def _at_home(probe: Probe) -> bool:
    """True for a target on this machine: no way out leads there."""
    found = [host for _, host in hosts(probe.kind, probe.params)]
    return bool(found) and all(host == "localhost" or host.startswith("127.") or host == "::1" for host in found)


def _gateway(wanted: str | None) -> str | None:
    return default_gateway() if wanted == "auto" else wanted


def default_gateway(routes: Path = Path("/proc/net/route")) -> str | None:
    """Address of the first router of the default route over IPv4; None where there is none."""
    try:
        lines = routes.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if len(fields) > 3 and fields[1] == "00000000" and int(fields[3], 16) & 2:
            return socket.inet_ntoa(int(fields[2], 16).to_bytes(4, "little"))
    return None
