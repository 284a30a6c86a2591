"""Schedule: fifty thousand probes on time, beside a task for each of them, in the same run.

Run: python -m bench.schedule [--probes 50000] [--every 10] [--seconds 5] [--rounds 3] [--json]; exit 1 when a goal is
missed.

Every side runs alone in a process of its own, in turn. The peer is what one writes first with asyncio: a task for each
probe that sleeps until it is due; its probe does nothing but note how late it is. Ours is the prober's own runner (its
schedule, bulkheads, pressure, one timer) with a kind that answers at once, so it does more for each run. CPU is of one
processor and compared a start, since a peer that is too busy starts fewer; memory is what the process grew by; lateness
is how far a start is from its planned time, before or after.
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
from pathlib import Path
from typing import Any

import numpy as np
from cemd.kit.parent import end_with_starter


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Meter:
    """What one window cost, and how late its starts were."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.begun, self.cpu = time.perf_counter(), time.process_time()

    def cut(self) -> dict[str, float]:
        cpu, wall = time.process_time() - self.cpu, time.perf_counter() - self.begun
        late = np.abs(self.late) * 1000
        self.late.clear()
        self.begun, self.cpu = time.perf_counter(), time.process_time()
        return {
            "cpu_percent": 100 * cpu / wall,
            "per_second": len(late) / wall,
            "late_p50_ms": float(np.percentile(late, 50)),
            "late_p99_ms": float(np.percentile(late, 99)),
        }


async def a_task_each(probes: int, every: float, meter: Meter, _names: object) -> list[Any]:
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


async def our_runner(probes: int, every: float, meter: Meter, names: list[tuple[str, str]]) -> list[Any]:
    import structlog
    from cemd.config.probes import Probe
    from cemd.kit.clock import SystemClock
    from cemd.model.quality import Outcome
    from cemd.monitor.plans import Plan
    from cemd.monitor.probes.base import Cancel, Done, ProbeParams, Reason, Result, Values
    from cemd.monitor.roster import Post
    from cemd.monitor.runner import Runner

    answered = Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=Values((), ()), seconds=1e-6)

    class AtOnce:
        word, Params, target, group = "at-once", ProbeParams, "nowhere", "nowhere"

        async def run(self, _attempt: object) -> Result:
            return answered

        def launch(self, _deadline: float, done: Done) -> Cancel | None:
            done(answered)
            return _nothing

    class Timed(Runner):
        def _begin(self, slot: int, planned: float) -> None:
            meter.late.append(self.clock.monotonic() - planned)
            super()._begin(slot, planned)

    probe = Probe(name="p", kind="tcp", service="s", every_seconds=every, timeout_seconds=every / 2)
    post = Post(probe, AtOnce(), {})  # type: ignore[arg-type]
    runner = Timed(_nothing, _nothing, SystemClock(), structlog.get_logger(), alive=_nothing)
    plans = (Plan(uid=uid, every_seconds=every, kind="at-once", group=group) for uid, group in names)
    schedule = runner._schedule  # noqa: SLF001 -- fifty thousand posts are no part of the schedule
    schedule.make_room(probes)
    for plan in plans:
        schedule.put(plan, None, time.monotonic())
    runner._posts, runner._errands = [post] * probes, [None] * probes  # noqa: SLF001
    runner._by, runner._moments = bytearray(probes), bytearray(probes)  # noqa: SLF001
    return [asyncio.create_task(runner.run(asyncio.Event())), runner]


def _nothing(*_: object) -> None:
    pass


async def side(kind: str, probes: int, every: float, seconds: float, rounds: int) -> None:
    if kind == "runner":
        import cemd.monitor.runner  # noqa: F401 -- the modules are no part of what a probe costs
    groups = [f"host{n}" for n in range(5_000)]
    names = [(f"probe-{n}", groups[n % 5_000]) for n in range(probes)]  # a probe has its name anyhow
    gc.collect()
    before, meter = resident_bytes(), Meter()
    kept = await {"tasks": a_task_each, "runner": our_runner}[kind](probes, every, meter, names)
    await asyncio.sleep(2.5)
    grown = resident_bytes() - before
    meter.cut()
    windows = []
    for _ in range(rounds):
        await asyncio.sleep(seconds)
        windows.append(meter.cut())
    found = {key: statistics.median(window[key] for window in windows) for key in windows[0]}
    if kind == "runner":
        found["skipped"] = float(
            sum(value for name, value in kept[1].counters().items() if name.startswith("skipped_"))
        )
    print(json.dumps({**found, "mebibytes": grown / 2**20}))
    os._exit(0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=int, default=50_000)
    parser.add_argument("--every", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["tasks", "runner"])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.side:
        asyncio.run(side(given.side, given.probes, given.every, given.seconds, given.rounds))
    found: dict[str, dict[str, float]] = {}
    for word in ("tasks", "runner"):
        shape = [f"--{name}={getattr(given, name)}" for name in ("probes", "every", "seconds", "rounds")]
        command = [sys.executable, "-m", "bench.schedule", "--side", word, *shape]
        found[word] = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=end_with_starter).stdout
        )
    ours, peer = found["runner"], found["tasks"]
    ratios = {
        "cpu": (ours["cpu_percent"] / ours["per_second"]) / (peer["cpu_percent"] / peer["per_second"]),
        "memory": ours["mebibytes"] / peer["mebibytes"],
        "late_p99_ms": ours["late_p99_ms"],
        "skipped": ours["skipped"],
    }
    print(json.dumps({**found, "ratios": ratios}) if given.json else f"{found}\n{ratios}")
    return int(ratios["cpu"] > 0.5 or ratios["memory"] > 1 / 20 or ratios["late_p99_ms"] > 1.3 or ratios["skipped"] > 0)


if __name__ == "__main__":
    sys.exit(main())
