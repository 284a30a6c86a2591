"""The long run itself: probe sets, reloads, a daemon that goes away, pressure, and the end; what is to be compared."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cemd.model.quality import Outcome

from .daemon import Daemon, Prober, running_prober
from .peers import Peers
from .verdict import NOT_RUN, Seen, Span, lateness
from .world import ANSWERS, LIGHT, Pace, probes_of, role_of

AWAY_SECONDS = 5.0
PRESSED = 10_000
"""So many probes, of kinds that cost little, are driven hard in the last phase."""
PRESSURE_SECONDS = 15.0
OVER_THE_CAP = 2.0
QUICKEST_SECONDS = 0.2
UNKNOWN_CAP = 5_000.0
"""Runs a second; a prober that was never busy enough has not measured its cap yet."""
LOADING_SECONDS = 300.0
DRAIN_SECONDS = 120.0


@dataclass(slots=True)
class Run:
    """A long run in progress."""

    peers: Peers
    daemon: Daemon
    prober: Prober
    usual: Pace
    spans: list[Span] = field(default_factory=list)
    begun: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Of each probe at work: its interval, and since when it surely has it."""
    epochs: int = 0

    async def load(self, numbers: Iterable[int], paces: dict[int, Pace] | None = None) -> None:
        """Puts a set to work, and notes of each probe until and from when its interval is sure."""
        numbers, paces = sorted(numbers), paces or {}
        probes = probes_of(numbers, paces, self.usual, self.peers.ports)
        self.epochs += 1
        epoch, asked = f"e{self.epochs}", time.time()
        if self.epochs == 1:
            await self.daemon.come(epoch, probes)
        else:
            self.daemon.hand_out(epoch, probes)
        taken = await self.daemon.words.epoch(epoch, seconds=LOADING_SECONDS)
        wanted = {number: paces.get(number, self.usual).every_seconds for number in numbers}
        for number, (every, since) in list(self.begun.items()):
            if wanted.get(number) != every:
                self.spans.append(Span(number, every, since, asked))
                del self.begun[number]
        self.begun.update({number: (every, taken) for number, every in wanted.items() if number not in self.begun})
        self.say(f"epoch {epoch}: {len(numbers)} probes at work after {taken - asked:.1f} s")

    async def rest(self, seconds: float) -> None:
        """Lets time pass, and says now and then how things are."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 60.0))
            if not self.prober.alive():
                raise RuntimeError("the prober has ended; see its log.")
            counters = self.daemon.look()
            self.say(
                f"{len(self.daemon.ledger.records())} records, {counters.get('running', 0):.0f} running, "
                f"{self.prober.cpu_seconds():.0f} CPU s, {self.prober.resident_mebibytes():.0f} MiB, "
                f"{self.prober.descriptors()} descriptors"
            )

    async def away(self) -> None:
        """The daemon goes and comes back; the prober goes on measuring."""
        numbers = sorted(self.begun)
        probes = probes_of(numbers, {}, self.usual, self.peers.ports)
        await self.daemon.go()
        await asyncio.sleep(AWAY_SECONDS)
        await self.daemon.come(f"e{self.epochs}", probes)
        self.say(f"the daemon is back after {AWAY_SECONDS:.0f} s")

    async def press(self) -> None:
        """Asks of the prober twice what it may do at its cap, and more until it gives runs up."""
        able = [number for number in sorted(self.begun) if _is_light(number)][:PRESSED]
        cap = self.daemon.look().get("cap_runs_per_second", UNKNOWN_CAP)
        every, before = round(len(able) / (OVER_THE_CAP * cap), 2), self.daemon.look()["shed_runs"]
        while True:
            if every < QUICKEST_SECONDS:
                raise SystemExit(f"{len(able)} probes are too few to press this prober; add --no-pressure.")
            await self.load(self.begun, dict.fromkeys(able, Pace(every, every / 2)))
            self.say(f"{len(able)} probes every {every} s; the cap was {cap:.0f} runs a second")
            await self.rest(PRESSURE_SECONDS)
            if self.daemon.look()["shed_runs"] > before:
                return
            every /= 2

    async def drain(self) -> None:
        """Nothing new begins; waits until what ran is over and all of it is here."""
        await self.load([])
        before, end = -1, time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < end:
            await asyncio.sleep(2.0)
            counters, records = self.daemon.look(), len(self.daemon.ledger.records())
            if not counters["running"] and not counters["unacknowledged_batches"] and records == before:
                return
            before = records
        self.say("what ran did not come to an end")

    def say(self, words: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def _is_light(number: int) -> bool:
    role = role_of(number)
    return role.kind in LIGHT and role.manner == ANSWERS


async def long_run(peers: Peers, folder: Path, *, minutes: float, probes: int, usual: Pace, pressure: bool) -> Seen:
    """Makes it and answers all that is to be compared."""
    daemon = Daemon(folder / "prober.sock")
    async with running_prober(folder / "prober.sock", folder) as prober:
        run = Run(peers, daemon, prober, usual)
        rest = max(1.0, (minutes * 60 - (PRESSURE_SECONDS if pressure else 0) - AWAY_SECONDS) / 4)
        first = range(probes)
        await run.load(first)
        await run.rest(rest)
        await run.load(range(probes // 10, probes + probes // 10))
        await run.rest(rest)
        await run.away()
        await run.rest(rest)
        await run.load(first)
        await run.rest(rest)
        if pressure:
            await run.press()
        await run.drain()
        report = peers.report()
        counters = dict(daemon.look())
        counters["cpu_seconds"] = prober.cpu_seconds()
        counters["blind_otherwise"] = counters.get("runs_blind", 0.0) - sum(counters.get(name, 0.0) for name in NOT_RUN)
        await daemon.go()
    records = daemon.ledger.records()
    return Seen(
        peers=report.counts,
        dropped=report.dropped,
        records=records,
        counters=counters,
        spans=run.spans,
        pressed=pressure,
    )


def figures(seen: Seen) -> dict[str, float]:
    """What was done, and what it cost."""
    outcomes = {one.name.lower(): float(np.count_nonzero(seen.records.outcome == one)) for one in Outcome}
    said = {
        name: value for name, value in seen.counters.items() if name.startswith(("skipped_", "shed_", "cap_", "blind_"))
    }
    looked = len(seen.records) - outcomes["blind"]
    cost = {
        "cpu_us_a_run": seen.counters["cpu_seconds"] / max(1.0, looked) * 1e6,
        "peers_counted": float(seen.peers.sum()),
    }
    return {"records": float(len(seen.records)), **outcomes, **said, **cost, **lateness(seen.spans, seen.records)}
