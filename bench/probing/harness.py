"""A prober process at work for a bench that owes it an acknowledgement for every measurement; both sides' figures."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from cemd.config.probes import Probe
from cemd.config.targets import Targets
from cemd.kit.parent import end_with_starter
from cemd.model.measurement import SeriesKey
from cemd.model.quality import Outcome
from cemd.monitor import wire
from numpy.typing import NDArray

SEARCH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
_PIECE = 500
_EVERYWHERE = Targets(loopback=True).model_dump_json().encode()
_AGENT = """
import sys
from pathlib import Path
from cemd.daemon.agent import run_agent
sys.exit(run_agent(Path(sys.argv[1]), Path(sys.argv[2]), log_json=True))
"""


def program(name: str) -> str:
    """Path of a program; ends the case where it is missing."""
    found = shutil.which(name, path=SEARCH)
    if found is None:
        raise LookupError(f"{name} is not installed")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port: int = door.getsockname()[1]
        return port


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process, with a grain of 10 ms."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(*command: str, port: int | None = None, **environment: str) -> Iterator[int]:
    """Starts a program, waits until it listens, ends it by its own id."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
        preexec_fn=end_with_starter,
    )
    try:
        end = time.monotonic() + 15
        while port is not None and time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(slots=True)
class Owed:
    """What a prober delivered: values by metric, outcomes of runs, when each batch came."""

    declared: list[Any] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    values: dict[str, list[float]] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    keep: frozenset[str] = frozenset()
    reasons: Counter[str] = field(default_factory=Counter)

    runs: list[tuple[NDArray[np.float64], NDArray[np.uint8]]] = field(default_factory=list)
    """Of each batch, when its runs began by the wall clock, and their outcomes."""
    is_run: bytearray = field(default_factory=bytearray)
    """Whether a series counts runs."""

    def declare(self, keys: tuple[SeriesKey, ...]) -> None:
        self.declared += keys
        self.is_run += bytes(key.metric == "success" for key in keys)

    def take(self, frame: wire.Measured) -> None:
        series, at, value, outcome = wire.columns(frame)
        runs = np.frombuffer(self.is_run, dtype=bool)[series]
        self.runs.append((at[runs], outcome[runs]))
        self.outcomes += named(outcome[runs])
        if self.outcomes:
            self.began.set()
        for place, number in enumerate(series.tolist() if self.keep else ()):
            metric = self.declared[number].metric
            if metric in self.keep:
                self.values.setdefault(metric, []).append(float(value[place]))

    def newest(self) -> float:
        """When the last run that came began."""
        return max((float(at.max()) for at, _ in self.runs[-1:] if len(at)), default=0.0)

    def between(self, first: float, last: float) -> Counter[str]:
        """Outcomes of the runs that began between two times of the wall clock."""
        found: Counter[str] = Counter()
        for at, outcome in self.runs:
            found += named(outcome[(at >= first) & (at < last)])
        return found


def named(outcomes: NDArray[np.uint8]) -> Counter[str]:
    counts = np.bincount(outcomes, minlength=4).tolist()
    return Counter({Outcome(number).name.lower(): count for number, count in enumerate(counts) if count})


def frames_of(probes: list[Probe], at_once: int) -> Iterator[wire.ProbesPart | wire.Probes]:
    """A probe set in pieces, as a daemon sends it."""
    starts = range(0, len(probes), _PIECE)
    for place, start in enumerate(starts):
        piece = msgspec.json.encode([probe.model_dump(mode="json") for probe in probes[start : start + _PIECE]])
        if start == starts[-1]:
            yield wire.Probes(epoch="bench", parts=place, probes=piece, at_once=at_once, targets=_EVERYWHERE)
        else:
            yield wire.ProbesPart(epoch="bench", place=place, probes=piece)


@contextlib.asynccontextmanager
async def prober(folder: Path, probes: list[Probe], *, at_once: int = 4000) -> AsyncIterator[tuple[int, Owed]]:
    """A prober process at work on these probes: (its pid, what it delivered so far)."""
    owed = Owed()
    links: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            links.add(task)
        for piece in frames_of(probes, at_once):
            writer.write(wire.encode(piece))
        with contextlib.suppress(asyncio.CancelledError):
            while (frame := await wire.read_from_prober(reader)) is not None:
                match frame:
                    case wire.Declare():
                        owed.declare(frame.keys)
                    case wire.Measured():
                        owed.take(frame)
                        writer.write(wire.encode(wire.Ack(number=frame.number)))
                    case wire.Attempts():
                        owed.reasons.update(note.reason for note in frame.attempts if note.outcome != "ok")
                    case wire.Progress():
                        owed.counters = frame.counters
        writer.close()

    path = folder / "prober.sock"
    server = await asyncio.start_unix_server(serve, str(path))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _AGENT, str(path), str(folder / "state"), env={**os.environ, "CI": ""},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, preexec_fn=end_with_starter,
    )  # fmt: skip
    try:
        yield process.pid, owed
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
        server.close()
        for task in links:
            task.cancel()


def probes_of(kind: str, params: list[dict[str, Any]], every: float) -> list[Probe]:
    return [
        Probe(name=f"p{place}", kind=kind, service="s", every_seconds=every, timeout_seconds=every / 2, params=one)
        for place, one in enumerate(params)
    ]


async def at_ease(owed: Owed, *, seconds: float = 3.0, longest: float = 60.0) -> None:
    """Waits until no run was given up for so long: a prober that makes the first series of very many probes is at its
    cap for a while."""
    end = time.monotonic() + longest
    since, shed = time.monotonic(), -1.0
    while time.monotonic() < min(end, since + seconds):
        await asyncio.sleep(0.1)
        if owed.counters.get("shed_runs", 0.0) != shed:
            since, shed = time.monotonic(), owed.counters.get("shed_runs", 0.0)


async def own_rate(folder: Path, probes: list[Probe], seconds: float) -> dict[str, float]:
    """Measurements per CPU second of the prober's process once it is at speed."""
    async with prober(folder, probes) as (pid, owed):
        await asyncio.wait_for(owed.began.wait(), 180)
        await asyncio.sleep(probes[0].every_seconds + 1)  # every series has its name by then
        await at_ease(owed)
        owed.reasons.clear()  # what was given up while series were made is no part of what is measured
        cpu, begun = cpu_seconds(pid), time.time()
        await asyncio.sleep(seconds)
        spent, wall = cpu_seconds(pid) - cpu, time.time() - begun
        await asyncio.sleep(probes[0].timeout_seconds)
        for _ in range(600):
            if owed.newest() > begun + wall + probes[0].timeout_seconds / 2:
                break  # all that began before is here
            await asyncio.sleep(0.1)
        runs = owed.between(begun, begun + wall)
        skipped = sum(value for name, value in owed.counters.items() if name.startswith("skipped_"))
    if owed.reasons:
        print(f"not ok: {dict(owed.reasons)}", file=sys.stderr)
    return {
        "per_cpu_second": runs["ok"] / spent,
        "per_second": runs["ok"] / wall,
        "cpu_percent": 100 * spent / wall,
        "not_ok": float(runs.total() - runs["ok"]),
        "skipped": skipped,
        "latest_start_ms": 1000 * owed.counters.get("latest_start_seconds", 0.0),
    }


def compare(rounds: int, own: Callable[[], dict[str, float]], peer: Callable[[], float]) -> dict[str, Any]:
    """Both sides in turn; medians, and the median of the rounds' ratios."""
    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(peer())
        ours.append(own())
    ratios = [mine["per_cpu_second"] / its for mine, its in zip(ours, theirs, strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "own": medians(ours),
        "peer_per_cpu_second": statistics.median(theirs),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Paces:
    """Runs a second of one case."""

    busy: float
    """Ours where it takes about half of a processor, which is where it begins to shed."""
    idle: float
    """Ours where it mostly sleeps."""
    peer: float
    """The peer's where it takes about half of a processor."""


def beside(
    folder: Path, kind: str, params: list[dict[str, Any]], paces: Paces, seconds: float, rounds: int, peer: str,
    *arguments: str,
) -> dict[str, Any]:  # fmt: skip
    """Own measurements beside a peer's program, which is told its arguments, how many to make and how many a second.

    `ratio`, which the goal is held against: ours at half of a processor to the peer at its full speed (pace 0), which
    is when it costs least a piece. Beside it `ratio_both_at_half` of a processor, as connections are compared;
    `ratio_idle`: ours mostly asleep to the peer at its full speed; `ratio_both_idle`: to the peer at that pace.
    """
    busy: list[dict[str, float]] = []
    idle: list[dict[str, float]] = []
    fast, half, paced = [], [], []
    for _ in range(rounds):
        fast.append(peer_rates(peer, arguments, int(10_000 * seconds), 0.0))
        half.append(peer_rates(peer, arguments, int(paces.peer * seconds), paces.peer))
        paced.append(peer_rates(peer, arguments, int(paces.idle * seconds), paces.idle))
        for pace, ours in ((paces.busy, busy), (paces.idle, idle)):
            ours.append(asyncio.run(own_rate(folder, probes_of(kind, params, len(params) / pace), seconds)))
    ratios = ratios_of(busy, fast)
    return {
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "ratio_both_at_half": statistics.median(ratios_of(busy, half)),
        "ratio_idle": statistics.median(ratios_of(idle, fast)),
        "ratio_both_idle": statistics.median(ratios_of(idle, paced)),
        "own": medians(busy),
        "own_idle": medians(idle),
        "peer": medians(fast),
        "peer_at_half": medians(half),
        "peer_at_our_idle_pace": medians(paced),
    }


def ratios_of(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> list[float]:
    """Ours to theirs by round, per CPU second."""
    return [mine["per_cpu_second"] / its["per_cpu_second"] for mine, its in zip(ours, theirs, strict=True)]


def peer_rates(peer: str, arguments: Sequence[str], count: int, per_second: float) -> dict[str, float]:
    """What a peer's program made per CPU second and per second, of so many at such a pace (0: its full speed), and its
    load in percent."""
    command = [sys.executable, "-c", peer, *arguments, str(count), str(per_second)]
    said = subprocess.run(
        command, check=True, capture_output=True, text=True, preexec_fn=end_with_starter
    ).stdout.split()
    per_cpu_second, wall = float(said[0]), float(said[1])
    return {"per_cpu_second": per_cpu_second, "per_second": wall, "cpu_percent": 100 * wall / per_cpu_second}


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure the median over the rounds."""
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part / 100 * len(values)))]
