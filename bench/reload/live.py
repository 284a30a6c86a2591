"""A whole daemon is reloaded by SIGHUP: what held its loop and core, when the prober ran the new set, what was lost.

`cemd run` and `cemd agent` are real processes (two, as under systemd), each under a watched loop. Half of the probes
are `dns`, half `udp`, each to an address of its own, so the peer sees every run by itself. A tenth of the set changes:
of 21 probes one has another parameter, one of 41 goes, and as many come. Every planned run of a probe that
stays must have come to the peer.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cemd.kit.parent import end_with_starter
from cemd.model.identity import stable_hash
from numpy.typing import NDArray
from tests.scenario.long_run.world import address_of

from bench.reload.files import probe_of, write_catalogue, write_probes, write_rules
from bench.reload.peers import Asked, running_peer

GOAL_HOLD_MS = 10.0
GOAL_USUAL = 1.5
"""What one turn of a loop may take of the processor: so much, or so many times the longest turn before the reload, in
which pages of metrics are written."""
GOAL_WITHIN = 0.1
"""Of what a process is held that reads the files itself."""
LATE_SECONDS = 0.25
"""A run that begins so much after its time is called late."""
START_SECONDS = 600.0
ROUND_METRICS = 4
"""Every so many looks at the daemon one is at /metrics, the others at /healthz."""
LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How much, how often."""

    probes: int
    indicators: int
    every_seconds: float
    quiet_seconds: float


class Words:
    """The log of a process: when each event was said first since `forget`, wall clock."""

    def __init__(self, process: subprocess.Popen[str], echo: bool) -> None:
        self.said: dict[str, float] = {}
        self.last: dict[str, dict[str, Any]] = {}
        self._process, self._echo = process, echo
        self._heard = threading.Condition()
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if self._echo and "configuration_changed" not in line:
                print(line[:300], end="", file=sys.stderr, flush=True)
            with contextlib.suppress(ValueError), self._heard:
                word = json.loads(line)
                self.said.setdefault(word["event"], time.time())
                self.last[word["event"]] = word
                self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()

    def wait(self, event: str) -> float:
        """When it was said."""
        with self._heard:
            if (
                not self._heard.wait_for(
                    lambda: event in self.said or self._ended or "reload_refused" in self.said, START_SECONDS
                )
                or event not in self.said
            ):
                raise SystemExit(f"{event} was not said; last were {list(self.last)[-5:]}")
            return self.said[event]

    def forget(self) -> None:
        with self._heard:
            self.said.clear()


@dataclass(slots=True)
class Visitor:
    """Somebody who asks the daemon for its health and its metrics all the time."""

    port: int
    answers: list[tuple[float, float, int]] = field(default_factory=list)
    """(wall clock, seconds, status); status 0: no answer."""
    stopping: threading.Event = field(default_factory=threading.Event)

    def visit(self) -> None:
        number = 0
        while not self.stopping.wait(LOOK_SECONDS):
            number += 1
            at = time.time()
            link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                link.request("GET", "/healthz" if number % ROUND_METRICS else "/metrics")
                answer = link.getresponse()
                answer.read()
                status = answer.status
            except OSError:
                status = 0
            finally:
                link.close()
            self.answers.append((at, time.time() - at, status))


def entry(number: int, shape: Shape, ports: Mapping[str, int], word: str) -> dict[str, Any]:
    """A probe as its file gives it."""
    kind = "dns" if number % 2 else "udp"
    host: dict[str, Any] = {"port": ports[kind], "resend_seconds": shape.every_seconds}
    if kind == "dns":
        host |= {"server": address_of(number), "name": f"{word}.test"}
    else:
        host |= {"host": address_of(number), "send": word}
    return probe_of(number, kind, shape.every_seconds, 4, host)


def sets(
    shape: Shape, ports: Mapping[str, int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], NDArray[np.bool_]]:
    """The set before, the set after, and which numbers stay as they are."""
    one_by_one = np.arange(shape.probes)
    gone, altered = one_by_one % 41 == 7, one_by_one % 21 == 3
    before = [entry(number, shape, ports, "hello") for number in range(shape.probes)]
    after = [
        entry(number, shape, ports, "news" if altered[number] else "hello")
        for number in range(shape.probes)
        if not gone[number]
    ]
    come = range(shape.probes, shape.probes + int(gone.sum()))
    after += [entry(number, shape, ports, "hello") for number in come]
    return before, after, ~(gone | altered)


@contextlib.contextmanager
def running(root: Path, name: str, *command: str, echo: bool) -> Iterator[tuple[subprocess.Popen[str], Words]]:
    """A command of cemd under a watched loop; its book is written at the end."""
    whole = [sys.executable, "-m", "bench.reload.watched", str(root / f"{name}.npz"), *command]
    process = subprocess.Popen(whole, stderr=subprocess.PIPE, text=True, preexec_fn=end_with_starter)
    try:
        yield process, Words(process, echo)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()


def live(shape: Shape, *, echo: bool = False) -> dict[str, Any]:
    """Makes it, and answers the figures."""
    with tempfile.TemporaryDirectory(prefix="cemd-reload-") as folder, running_peer() as asked:
        root = Path(folder)
        before, after, stays = sets(shape, asked.ports)
        port = _free_port()
        settings = {
            "targets": {"loopback": True},
            "intake": {"max_series": 2_000_000},
            "retention": {"log_lines_per_second": 100_000},
            "listen": {"port": port},
        }
        (root / "config").mkdir()
        (root / "config/cemd.yaml").write_text(json.dumps(settings))
        write_catalogue(root)
        write_rules(root, shape.indicators)
        write_probes(root, before)
        daemon = ("run", "--root", str(root), "--state", str(root / "state"), "--no-prober", "--log-json")
        agent = ("agent", "--socket", str(root / "state/prober.sock"), "--state", str(root / "agent"), "--log-json")
        with running(root, "daemon", *daemon, echo=echo) as (process, words):
            words.wait("started")
            with running(root, "agent", *agent, echo=echo) as (prober, prober_words):
                words.wait("intake.probes_taken")
                marks = _reload(root, process, prober, words, prober_words, asked, port, shape, after)
        found = figures(root, marks, stays, shape)
        return {**found, **_ratios(found, _within(root))}


def _within(root: Path) -> dict[str, float]:
    """The baseline, in the same run."""
    command = [sys.executable, "-m", "bench.reload.within", str(root)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=end_with_starter).stdout
    return {f"within_{name}": value for name, value in json.loads(said).items()}


def _ratios(found: Mapping[str, Any], within: Mapping[str, float]) -> dict[str, float]:
    return {
        **within,
        "ratio_turn_cpu": found["daemon_reload_turn_cpu_ms"] / within["within_turn_cpu_ms"],
        "ratio_late": found["daemon_reload_late_own_ms"] / within["within_late_own_ms"],
    }


def missed(found: Mapping[str, Any]) -> list[str]:
    """What is not as it should be; lateness that others of the machine cause is told, and is no fault."""
    faults = []
    if found["lost_runs"]:
        faults.append(f"{found['lost_runs']} planned runs came to no peer.")
    if found["reload_visits_not_ok"]:
        faults.append(f"{found['reload_visits_not_ok']} of {found['reload_visits']} visits found the daemon not well.")
    if found["ratio_turn_cpu"] > GOAL_WITHIN:
        faults.append(f"the loop was held {found['ratio_turn_cpu']:.2f} of what it is where the process reads itself.")
    for name in ("daemon", "agent"):
        held, usual = found[f"{name}_reload_turn_cpu_ms"], found[f"{name}_quiet_turn_cpu_ms"]
        if held > max(GOAL_HOLD_MS, GOAL_USUAL * usual):
            faults.append(f"a turn of the {name}'s loop took {held:.1f} ms of the processor ({usual:.1f} usually).")
    return faults


def _reload(
    root: Path, process: subprocess.Popen[str], prober: subprocess.Popen[str], words: Words, prober_words: Words,
    asked: Asked, port: int, shape: Shape, after: list[dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    time.sleep(shape.every_seconds + 5)  # every series has its name, and reading the first set is over
    visitor = Visitor(port)
    visiting = threading.Thread(target=visitor.visit, daemon=True)
    visiting.start()
    quiet = time.time()
    time.sleep(shape.quiet_seconds)
    write_probes(root / "next", after)
    for file in (root / "next/probes").iterdir():
        file.rename(root / "probes" / file.name)
    words.forget()
    prober_words.forget()
    cpu = [_cpu_seconds(one.pid) for one in (process, prober)]
    hup = time.time()
    process.send_signal(signal.SIGHUP)
    reloaded = words.wait("reloaded")
    taken = words.wait("intake.probes_taken")
    spent = [_cpu_seconds(one.pid) - first for one, first in zip((process, prober), cpu, strict=True)]
    time.sleep(shape.every_seconds + 6)
    over = time.time()
    visitor.stopping.set()
    visiting.join()
    memory = [_resident_mebibytes(one.pid) for one in (process, prober)]
    return {
        "quiet": quiet, "hup": hup, "reloaded": reloaded, "taken": taken, "over": over, "asked": asked.report(),
        "visits": visitor.answers, "cpu": spent, "memory": memory,
    }  # fmt: skip


def figures(root: Path, marks: Mapping[str, Any], stays: NDArray[np.bool_], shape: Shape) -> dict[str, Any]:
    """What the marks and books say; seconds and milliseconds are in the names."""
    hup, taken = marks["hup"], marks["taken"]
    found: dict[str, Any] = {
        "reloaded_seconds": marks["reloaded"] - hup,
        "taken_seconds": taken - hup,
        "daemon_cpu_seconds": marks["cpu"][0],
        "prober_cpu_seconds": marks["cpu"][1],
        "daemon_mebibytes": marks["memory"][0],
        "prober_mebibytes": marks["memory"][1],
    }
    spans = {"quiet": (marks["quiet"], hup), "reload": (hup, taken + 2.0)}
    for name in ("daemon", "agent"):
        with np.load(root / f"{name}.npz") as book:
            for span, bounds in spans.items():
                found |= {f"{name}_{span}_{what}": value for what, value in _holds(book, bounds).items()}
    found |= _runs(marks, stays, shape)
    for span, (first, last) in spans.items():
        visits = [one for one in marks["visits"] if first <= one[0] < last]
        found[f"{span}_visits"] = len(visits)
        found[f"{span}_visits_unanswered"] = sum(status == 0 for _, _, status in visits)
        found[f"{span}_visits_not_ok"] = sum(status != 200 for _, _, status in visits)
        found[f"{span}_visit_longest_ms"] = 1000 * max((seconds for _, seconds, _ in visits), default=0.0)
    return found


def _holds(book: Any, bounds: tuple[float, float]) -> dict[str, float]:
    def longest(what: str, column: int) -> float:
        rows = book[what]
        rows = rows[(rows[:, 0] >= bounds[0]) & (rows[:, 0] < bounds[1])]
        return 1000 * float(rows[:, column].max(initial=0.0))

    return {
        "late_ms": longest("late", 1),
        "late_own_ms": longest("late", 2),
        "turn_cpu_ms": longest("turn", 2),
        "gc_ms": longest("gc", 1),
        "core_ms": longest("core", 1),
        "core_cpu_ms": longest("core", 2),
    }


def _runs(marks: Mapping[str, Any], stays: NDArray[np.bool_], shape: Shape) -> dict[str, float]:
    """Planned runs of those that stay, from the quiet time to the end, against what the peer saw."""
    numbers, at = marks["asked"]
    kept = (numbers >= 0) & (numbers < shape.probes)
    numbers, at = numbers[kept], at[kept]
    kept = stays[numbers]
    numbers, at = numbers[kept], at[kept]
    every = shape.every_seconds
    phases = np.array([stable_hash(f"probe-{number:05}") / 2.0**64 * every for number in range(shape.probes)])
    turn = np.floor((at - phases[numbers] + every / 4) / every).astype(np.int64)
    late = at - phases[numbers] - turn * every
    first, last = marks["quiet"], marks["over"] - 6.0
    planned = 0
    missing = 0
    seen = set(zip(numbers.tolist(), turn.tolist(), strict=True))
    for number in np.flatnonzero(stays).tolist():
        k = int(np.ceil((first - phases[number]) / every))
        while phases[number] + k * every < last:
            planned += 1
            missing += (number, k) not in seen
            k += 1
    inside = (at >= marks["hup"]) & (at < marks["taken"] + 2.0)
    quiet = (at >= first) & (at < marks["hup"])
    return {
        "planned_runs": planned,
        "lost_runs": missing,
        "late_runs_quiet": int((late[quiet] > LATE_SECONDS).sum()),
        "late_runs_reload": int((late[inside] > LATE_SECONDS).sum()),
        "latest_run_quiet_ms": 1000 * float(late[quiet].max(initial=0.0)),
        "latest_run_reload_ms": 1000 * float(late[inside].max(initial=0.0)),
        "p99_late_quiet_ms": 1000 * float(np.percentile(late[quiet], 99)),
        "p99_late_reload_ms": 1000 * float(np.percentile(late[inside], 99)),
    }


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _resident_mebibytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])
