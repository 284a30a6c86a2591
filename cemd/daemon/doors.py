"""What the web may see and ask: the daemon's side of `cemd.web.house.House`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from cemd.daemon.evidence import Evidence
from cemd.daemon.explain import asked_runs, explain
from cemd.daemon.mending import Mending
from cemd.daemon.published import Published
from cemd.errors import ConfigError, Fault, StoreError
from cemd.improve.records import AskedRun
from cemd.loop.sequencer import Sequencer
from cemd.model.entry import Command
from cemd.model.identity import Instant, SeriesId
from cemd.model.measurement import Attempt, Samples
from cemd.model.view import Views
from cemd.monitor.intake import ProberServer, Push
from cemd.store.base import Store
from cemd.web.house import PushAnswer, RunAsked, ToMend, WhoRuns

HUNG_TICKS = 15
"""So many ticks without progress of the core: it hangs, and the process should be started anew."""
RUNS_SHOWN = 10
DECIDED_SECONDS = 3.0
"""So long who asked for a run waits at most for the decision, which takes a moment as a rule."""
HUNG_SECONDS = 60.0
"""But never sooner than this: a large snapshot or a long replay is no hang."""


class Doors:
    """Read by the event loop only; holds nothing that the house does not own."""

    def __init__(
        self,
        *,
        operator: str,
        zone: str,
        registry: CollectorRegistry,
        sequencer: Sequencer,
        published: Published,
        store: Store,
        push: Push,
        prober: ProberServer,
        evidence: Evidence,
        refused_customers: Callable[[], str],
        mending: Mending,
        token_file: Path | None,
    ) -> None:
        self.operator = operator
        self.zone = zone
        self.registry = registry
        self._sequencer = sequencer
        self._published = published
        self._store = store
        self._push = push
        self._prober = prober
        self._evidence = evidence
        self._refused_customers = refused_customers
        self._mending = mending
        self._token = _token_in(token_file) if token_file is not None else None

    def views(self) -> Views | None:
        return self._published.views

    def alive(self) -> bool:
        patience = max(HUNG_SECONDS, HUNG_TICKS * self._sequencer.rhythm.tick_seconds)
        return time.monotonic() - self._sequencer.last_tick_monotonic < patience

    def ready(self) -> list[str]:
        reasons = []
        if self._published.views is None:
            reasons.append("no tick has been made yet; wait a moment.")
        if self._sequencer.trouble:
            reasons.append(f"the store does not write ({self._sequencer.trouble})")
        if self._prober.stalled():
            reasons.append("no prober has told of progress for a while; is `cemd agent` running?")
        if refused := self._refused_customers():
            reasons.append(refused)
        return reasons

    def to_mend(self) -> tuple[ToMend, ...]:
        return self._mending.all()

    def token(self) -> bytes | None:
        return self._token

    async def failures(self, probe: str) -> tuple[Attempt, ...]:
        return await self._evidence.of(probe)

    async def who_runs(self, name: str) -> WhoRuns | None:
        probe = await asyncio.to_thread(self._prober.probe_called, name)
        if probe is None:
            return None
        probers, active = self._prober.probers_of(probe), self._prober.is_active(probe)
        return WhoRuns(probe=probe.identity(), probers=probers, active=active)

    async def runs_asked(self, probe: str) -> tuple[RunAsked, ...]:
        try:
            rows = await asyncio.to_thread(self._runs_asked)
        except StoreError:
            return ()
        its = [run for run in rows if run.probe == probe]
        newest = sorted(its, key=lambda run: run.seq, reverse=True)[:RUNS_SHOWN]
        return tuple(RunAsked(at=run.at, actor=run.actor, note=run.note, reason=run.reason) for run in newest)

    async def run_refused(self, seq: int) -> str:
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(DECIDED_SECONDS):
                while True:
                    for run in await asyncio.to_thread(self._runs_asked):
                        if run.seq == seq:
                            return run.reason
                    await asyncio.sleep(0.02)
        return ""

    def _runs_asked(self) -> list[AskedRun]:
        return asked_runs(self._store.state)

    async def command(self, command: Command) -> int:
        return await self._sequencer.submit(command)

    async def history(self, series: SeriesId, since: Instant, until: Instant) -> Samples:
        return await asyncio.to_thread(self._store.samples.history, series, since, until)

    async def explain(self, record: str) -> dict[str, Any] | None:
        try:
            return await asyncio.to_thread(explain, self._store.state, record)
        except StoreError as exc:
            return {"id": record, "error": str(exc)}

    def push_refused(self, source: str, *, given: bool) -> None:
        self._push.refuse_token(source, given=given)

    async def push(self, source: str, body: bytes) -> PushAnswer:
        answer = await self._push.accept(source, body)
        return PushAnswer(
            status=answer.status,
            accepted=answer.accepted,
            refused=answer.refused,
            unjudged=answer.unjudged,
            message=answer.message,
        )


def _token_in(file: Path) -> bytes:
    """The token; never an empty one, which everybody would have.

    Raises:
        ConfigError: the file cannot be read, or is empty.
    """
    try:
        token = file.read_bytes().strip()
    except OSError as exc:
        fact = f"the token of listen.push_token_file cannot be read ({exc.strerror})"
        raise ConfigError([Fault(str(file), 0, 0, fact, "make it a file that the user of cemd may read")]) from exc
    if not token:
        fault = Fault(str(file), 0, 0, "the token of listen.push_token_file is empty", "write a long random text")
        raise ConfigError([fault])
    return token
