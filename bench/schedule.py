"""Schedule: fifty thousand probes on time, beside a task for each of them, in the same run.

Run: python -m bench.schedule [--probes 50000] [--every 10] [--seconds 5] [--rounds 3] [--json]; exit 1 when a goal is
missed.

Every side runs alone in a process of its own, in turn. The peer is what one writes first with asyncio: a task for each
probe that sleeps until it is due; its probe does nothing but note how late it is. Ours is the prober's own runner (its
schedule, bulkheads, pressure, one timer) with probes that answer at once, so it does more for each run. Once they are
of a kind that is *launched* one by one, as icmp and tls are, once *errands* that an engine begins together and hands
back as columns, as tcp, http, dns, snmp and ntp are; the goals hold for both. Probes stand in the order of their
phases, as a new set does in the prober. CPU is of one processor and compared a start, since a busy peer starts
fewer; memory is what the process grew by; lateness is how far a start is from its planned time, before or after.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time
from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from cemd.kit.parent import end_with_starter
from cemd.model.identity import stable_hash
from numpy.typing import NDArray


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Meter:
    """What each window cost, and how late its starts were. Lateness is worked out in the end: on the loop of what is
    measured it would make others late."""

    def __init__(self, probes: int, every: float) -> None:
        self.late = array("d")
        """Of a task each: how late it was."""
        self.together: list[tuple[float, float, array[int]]] = []
        """Starts of ours: when the first and the last of them began, and their slots."""
        self.names = [f"probe-{number}" for number in range(probes)]
        self.names.sort(key=stable_hash)
        self.offset = 0.0
        """The wall clock minus the monotonic one, which phases are tied to."""
        self._every = every
        self._phases = np.array([stable_hash(name) for name in self.names]) / 2.0**64 * every
        self._windows: list[tuple[float, float, array[float], list[tuple[float, float, array[int]]]]] = []
        self.cut()

    def started(self, first: float, slots: Iterable[int]) -> None:
        """Starts of ours, between `first` and now."""
        self.together.append((first, time.monotonic(), array("i", slots)))

    def cut(self) -> None:
        """A window begins; what was before the first is told nowhere."""
        self._windows.append((time.perf_counter(), time.process_time(), self.late, self.together))
        self.late, self.together = array("d"), []

    def windows(self) -> list[dict[str, float]]:
        """Those that have been cut off, but for what was before the first cut."""
        found = []
        for (begun, cpu, _, _), (ended, spent, late, together) in pairwise(self._windows):
            off = [np.abs(np.frombuffer(late))] if late else []
            for first, last, slots in together:
                off.append(np.maximum(self._off(first, slots), self._off(last, slots)))
            all_off = np.concatenate(off) * 1000
            found.append(
                {
                    "cpu_percent": 100 * (spent - cpu) / (ended - begun),
                    "per_second": len(all_off) / (ended - begun),
                    "late_p50_ms": float(np.percentile(all_off, 50)),
                    "late_p99_ms": float(np.percentile(all_off, 99)),
                }
            )
        return found[1:]

    def _off(self, at: float, slots: array[int]) -> NDArray[np.float64]:
        half = self._every / 2
        places = np.frombuffer(slots, dtype=np.int32)
        return np.abs((at + self.offset - self._phases[places] + half) % self._every - half)


async def a_task_each(probes: int, every: float, meter: Meter) -> list[Any]:
    loop = asyncio.get_running_loop()
    chance = random.Random(5)
    start = loop.time() + 1.5

    async def one(phase: float) -> None:
        due = start + phase
        while True:
            await asyncio.sleep(due - loop.time())
            meter.late.append(loop.time() - due)
            due += every

    return [asyncio.create_task(one(chance.random() * every)) for _ in range(probes)]


async def our_runner(probes: int, every: float, meter: Meter, *, errands: bool) -> list[Any]:
    import structlog
    from cemd.config.probes import Probe
    from cemd.kit.clock import SystemClock
    from cemd.model.quality import Outcome
    from cemd.monitor.plans import Plan
    from cemd.monitor.probes.base import Cancel, Done, ProbeParams, Reason, Result, Values
    from cemd.monitor.probes.engines.errands import AnyErrand, Landed, Landing
    from cemd.monitor.roster import Post
    from cemd.monitor.runner import Runner
    from cemd.monitor.runs import Runs

    answered = Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=Values((), ()), seconds=1e-6)

    class AtOnce:
        word, Params, target, group = "at-once", ProbeParams, "nowhere", "nowhere"

        async def run(self, _attempt: object) -> Result:
            return answered

        def launch(self, _deadline: float, done: Done) -> Cancel | None:
            done(answered)
            return _nothing

    class Timed(Runs):
        def _begin_each(self, due: Sequence[tuple[int, float]], wall_offset: float) -> None:
            first = time.monotonic()
            super()._begin_each(due, wall_offset)
            meter.started(first, (slot for slot, _ in due))

    class Errand(AnyErrand):
        __slots__ = ()
        by, metrics = "at-once", ()

    class Engine:
        landing: Landing | None = None

        def begin(self, errands: Sequence[Any], slots: Sequence[int], _now: float, at: float) -> None:
            first, landed = time.monotonic(), Landed()
            landed.slots += slots
            landed.errands += errands
            landed.at += [at] * len(slots)
            landed.values += [(1.0, 1e-6)] * len(slots)
            assert self.landing is not None
            self.landing.landed(landed)
            meter.started(first, slots)

        def collect(self) -> bool:
            return False

        def glance(self) -> None:
            pass

        def give_up(self) -> list[int]:
            return []

    probe = Probe(name="p", kind="tcp", service="s", every_seconds=every, timeout_seconds=every / 2)
    post = Post(probe, AtOnce(), {})  # type: ignore[arg-type]
    engines = {"at-once": Engine()} if errands else {}
    alone = {"deliver_good": _nothing, "engines": engines}
    runner = Runner(_nothing, _nothing, SystemClock(), structlog.get_logger(), alive=_nothing, **alone)  # type: ignore[arg-type]
    schedule, lineup = runner._schedule, runner._lineup  # noqa: SLF001 -- fifty thousand posts are no part of the schedule
    meter.offset = schedule._offset  # noqa: SLF001
    schedule.make_room(probes)
    for name in meter.names:
        group = GROUPS[int(name.partition("-")[2]) % len(GROUPS)]
        plan = Plan(uid=name, every_seconds=every, kind="at-once", group=group, light=errands)
        schedule.put(plan, None, time.monotonic())
    runner._runs.__class__ = Timed  # noqa: SLF001
    lineup.posts, lineup.errands = [post] * probes, [Errand(post.kind, "nowhere") if errands else None] * probes
    lineup.by, lineup.moments = bytearray([errands]) * probes, bytearray(probes)
    return [asyncio.create_task(runner.run(asyncio.Event())), runner]


def _nothing(*_: object) -> None:
    pass


def load_code() -> None:
    """Modules, and the parts of numpy's code that runs touch, are no part of what a probe costs."""
    import cemd.monitor.runner  # noqa: F401
    from cemd.monitor.bulkheads import Bulkheads

    walls = Bulkheads(kind_at_once=1_000, group_at_once=1_000, most_at_once=1_000)
    groups = np.full(100, walls.group("at-once", "nowhere"))
    walls.enter_all(groups)
    walls.leave_all(groups)


GROUPS = [f"host{number}" for number in range(5_000)]


async def side(kind: str, probes: int, every: float, seconds: float, rounds: int) -> None:
    if kind != "tasks":
        load_code()
    meter = Meter(probes, every)  # a probe has its name anyhow
    gc.collect()
    before = resident_bytes()
    if kind == "tasks":
        kept = await a_task_each(probes, every, meter)
    else:
        kept = await our_runner(probes, every, meter, errands=kind == "errands")
    await asyncio.sleep(2.5)
    grown = resident_bytes() - before
    meter.cut()
    for _ in range(rounds):
        await asyncio.sleep(seconds)
        meter.cut()
    windows = meter.windows()
    found = {key: statistics.median(window[key] for window in windows) for key in windows[0]}
    if kind != "tasks":
        found["skipped"] = float(
            sum(value for name, value in kept[1].counters().items() if name.startswith("skipped_"))
        )
    print(json.dumps({**found, "mebibytes": grown / 2**20}))
    os._exit(0)


SIDES = ("tasks", "launched", "errands")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=int, default=50_000)
    parser.add_argument("--every", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.side:
        asyncio.run(side(given.side, given.probes, given.every, given.seconds, given.rounds))
    found: dict[str, dict[str, float]] = {}
    for word in SIDES:
        shape = [f"--{name}={getattr(given, name)}" for name in ("probes", "every", "seconds", "rounds")]
        command = [sys.executable, "-m", "bench.schedule", "--side", word, *shape]
        found[word] = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=end_with_starter).stdout
        )
    ratios = {word: beside(found[word], found["tasks"]) for word in SIDES[1:]}
    print(json.dumps({**found, "ratios": ratios}) if given.json else f"{found}\n{ratios}")
    return int(any(missed(one) for one in ratios.values()))


def beside(ours: dict[str, float], peer: dict[str, float]) -> dict[str, float]:
    """One of ours beside the peer."""
    return {
        "cpu": (ours["cpu_percent"] / ours["per_second"]) / (peer["cpu_percent"] / peer["per_second"]),
        "memory": ours["mebibytes"] / peer["mebibytes"],
        "late_p99_ms": ours["late_p99_ms"],
        "skipped": ours["skipped"],
    }


def missed(ratios: dict[str, float]) -> bool:
    return ratios["cpu"] > 0.5 or ratios["memory"] > 1 / 20 or ratios["late_p99_ms"] > 1.3 or ratios["skipped"] > 0


if __name__ == "__main__":
    sys.exit(main())
