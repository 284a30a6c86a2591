"""Probing: the prober's whole path, from the schedule to the batch on the socket, beside its peers, per CPU second.

Run: python -m bench.probing http|tls|dns|tcp|icmp|latency|all [--seconds 6] [--json]; exit 1 when a goal is missed.

A real prober process gets a probe set over its socket and owes the bench every measurement, as it owes them to a
daemon; what counts is the CPU time of that process over the measurements that arrived. The peer works on the same
targets at the same pace, in turn with it: Debian's blackbox_exporter through its /probe page (its process), aiodns in a
process of its own, fping. Needs nginx, named, fping and prometheus-blackbox-exporter; a case whose programs are missing
says so and is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
from cemd.config.probes import Probe
from cemd.config.targets import Targets
from cemd.model.quality import Outcome
from cemd.monitor import wire

HOSTS = tuple(f"127.0.0.{number}" for number in range(1, 17))
SEARCH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
GOALS = {"http": 6.0, "tls": 1.4, "dns": 3.5, "tcp": 8.0, "icmp": 1.35}
_EVERYWHERE = Targets(loopback=True).model_dump_json().encode()
_AGENT = """
import sys
from pathlib import Path
from cemd.daemon.agent import run_agent
sys.exit(run_agent(Path(sys.argv[1]), Path(sys.argv[2]), log_json=True))
"""
_AIODNS = """
import asyncio, sys, time
import aiodns
async def main(port, names, count, pace):
    resolver = aiodns.DNSResolver(nameservers=["127.0.0.1"], udp_port=port, timeout=5)
    gate = asyncio.Semaphore(50)
    async def one(number):
        async with gate:
            begun = time.perf_counter()
            answer = await resolver.query_dns(f"h{number % names}.lab.test", "A")
            assert answer and time.perf_counter() > begun
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(one(number) for number in range(200)))
    cpu, begun, tasks = time.process_time(), loop.time(), []
    for number in range(count):
        if (early := begun + number / pace - loop.time()) > 0:
            await asyncio.sleep(early)
        tasks.append(asyncio.ensure_future(one(number)))
    await asyncio.gather(*tasks)
    print(count / (time.process_time() - cpu))
asyncio.run(main(*map(int, sys.argv[1:])))
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
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
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


@contextlib.contextmanager
def web(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """nginx with a plain and a TLS port: (plain, tls, file with its certificate)."""
    plain, tls = free_port(), free_port()
    names = "subjectAltName=" + ",".join(f"IP:{host}" for host in HOSTS)
    files = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    command = [program("openssl"), "req", "-x509", *curve, "-days", "90", "-subj", "/CN=localhost", *files]
    subprocess.run([*command, "-addext", names], check=True, capture_output=True)
    listen = "".join(f"listen {host}:{plain} backlog=8192; listen {host}:{tls} ssl backlog=8192; " for host in HOSTS)
    paths = "".join(
        f"{word}_temp_path {folder}/{word}; " for word in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.err;"
        "events { worker_connections 16384; multi_accept on; }"
        f"http {{ access_log off; {paths} ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;"
        "ssl_session_cache off; ssl_session_tickets off; ssl_protocols TLSv1.2 TLSv1.3;"
        f"server {{ {listen} location / {{ default_type text/plain; "
        'return 200 "ok service=portal status=UP\\n"; } } }'
    )
    with running(program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), port=plain):
        yield plain, tls, folder / "cert.pem"


@contextlib.contextmanager
def blackbox(folder: Path, ca_file: Path) -> Iterator[tuple[int, int]]:
    """Debian's blackbox_exporter: (its port, its pid)."""
    port = free_port()
    (folder / "blackbox.yml").write_text(
        "modules:\n"
        "  plain: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4}}\n"
        "  tls: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4, "
        f"tls_config: {{ca_file: {ca_file}}}}}}}\n"
        "  tcp: {prober: tcp, timeout: 5s, tcp: {preferred_ip_protocol: ip4}}\n"
    )
    command = (program("prometheus-blackbox-exporter"), f"--config.file={folder}/blackbox.yml")
    listen = f"--web.listen-address=127.0.0.1:{port}"
    with running(*command, listen, "--log.level=error", port=port, GOMAXPROCS="1") as pid:
        yield port, pid


@contextlib.contextmanager
def name_server(folder: Path, names: int) -> Iterator[int]:
    """bind9 that is authoritative for lab.test."""
    port = free_port()
    (folder / "named.conf").write_text(
        f'options {{ directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};'
        f'pid-file none; session-keyfile "{folder}/key"; recursion no; dnssec-validation no; }}; controls {{ }};'
        f'zone "lab.test" {{ type primary; file "{folder}/zone"; }};'
    )
    hosts = "".join(f"h{number} IN A 127.0.{number // 250}.{number % 250}\n" for number in range(names))
    (folder / "zone").write_text(f"$TTL 60\n@ IN SOA ns a 1 60 60 60 60\n@ IN NS ns\nns IN A 127.0.0.1\n{hosts}")
    with running(program("named"), "-g", "-n", "1", "-c", str(folder / "named.conf"), port=port):
        yield port


def fetch_all(port: int, paths: list[str], per_second: float) -> list[bytes]:
    """The answers of an HTTP server to many requests at an even pace, each on a new connection."""
    poll, answers = select.epoll(), []
    open_: dict[int, tuple[socket.socket, bytearray]] = {}
    begun, sent = time.monotonic(), 0
    while sent < len(paths) or open_:
        while sent < len(paths) and time.monotonic() >= begun + sent / per_second:
            door = socket.create_connection(("127.0.0.1", port))
            door.send(f"GET {paths[sent]} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            poll.register(door, select.EPOLLIN)
            open_[door.fileno()] = (door, bytearray())
            sent += 1
        for number, _ in poll.poll(0.001):
            door, taken = open_[number]
            if chunk := door.recv(65_536):
                taken += chunk
                continue
            answers.append(bytes(taken))
            del open_[number]
            door.close()
    return answers


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

    def take(self, frame: wire.Measured) -> None:
        series, _, value, outcome = wire.columns(frame)
        for place, number in enumerate(series.tolist()):
            metric = self.declared[number].metric
            if metric == "success":
                self.outcomes[Outcome(int(outcome[place])).name.lower()] += 1
                self.began.set()
            if metric in self.keep:
                self.values.setdefault(metric, []).append(float(value[place]))


@contextlib.asynccontextmanager
async def prober(folder: Path, probes: list[Probe], *, at_once: int = 4000) -> AsyncIterator[tuple[int, Owed]]:
    """A prober process at work on these probes: (its pid, what it delivered so far)."""
    owed = Owed()
    links: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            links.add(task)
        document = msgspec.json.encode([probe.model_dump(mode="json") for probe in probes])
        writer.write(wire.encode(wire.Probes(epoch="bench", probes=document, at_once=at_once, targets=_EVERYWHERE)))
        with contextlib.suppress(asyncio.CancelledError):
            while (frame := await wire.read_from_prober(reader)) is not None:
                match frame:
                    case wire.Declare():
                        owed.declared += frame.keys
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
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
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


async def own_rate(folder: Path, probes: list[Probe], seconds: float) -> dict[str, float]:
    """Measurements per CPU second of the prober's process once it is at speed."""
    async with prober(folder, probes) as (pid, owed):
        await asyncio.wait_for(owed.began.wait(), 60)
        await asyncio.sleep(probes[0].every_seconds + 1)  # every series has its name by then
        before, cpu, begun = Counter(owed.outcomes), cpu_seconds(pid), time.monotonic()
        await asyncio.sleep(seconds)
        spent, wall = cpu_seconds(pid) - cpu, time.monotonic() - begun
        runs = owed.outcomes - before
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


def blackbox_rate(port: int, pid: int, module: str, targets: list[str], per_second: float) -> float:
    """Probes per CPU second of blackbox_exporter's process, asked at the pace at which the prober works."""
    paths = [f"/probe?module={module}&target={target}" for target in targets]
    fetch_all(port, paths[:200], per_second)
    cpu = cpu_seconds(pid)
    answers = fetch_all(port, paths, per_second)
    failed = [answer for answer in answers if b"probe_success 1" not in answer]
    if len(failed) > len(answers) // 100:
        raise RuntimeError(f"blackbox_exporter failed on {len(failed)} targets that live: {failed[0]!r}")
    return (len(answers) - len(failed)) / (cpu_seconds(pid) - cpu)


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
        "own": {key: statistics.median(one[key] for one in ours) for key in ours[0]},
        "peer_per_cpu_second": statistics.median(theirs),
    }


def http_case(folder: Path, seconds: float, rounds: int, *, tls: bool) -> dict[str, Any]:
    count, every = (1_200, 8.0) if tls else (8_000, 8.0)
    with web(folder) as (plain, secure, ca_file), blackbox(folder, ca_file) as (port, pid):
        where = f"https://{{}}:{secure}/" if tls else f"http://{{}}:{plain}/"
        more = {"ca_file": str(ca_file)} if tls else {}
        probes = probes_of("http", [{"url": where.format(HOSTS[n % 16]), **more} for n in range(count)], every)
        targets = [where.format(HOSTS[n % 16]) for n in range(1_000 if tls else 3_000)]
        return compare(
            rounds,
            lambda: asyncio.run(own_rate(folder, probes, seconds)),
            lambda: blackbox_rate(port, pid, "tls" if tls else "plain", targets, count / every),
        )


def dns_case(folder: Path, seconds: float, rounds: int) -> dict[str, Any]:
    names, count, every = 1_000, 20_000, 5.0
    with name_server(folder, names) as port:
        params = [{"server": "127.0.0.1", "port": port, "name": f"h{n % names}.lab.test"} for n in range(count)]
        probes = probes_of("dns", params, every)

        def aiodns_rate() -> float:
            command = [
                sys.executable,
                "-c",
                _AIODNS,
                str(port),
                str(names),
                str(int(seconds * count / every)),
                str(int(count / every)),
            ]
            return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

        return compare(rounds, lambda: asyncio.run(own_rate(folder, probes, seconds)), aiodns_rate)


def tcp_case(folder: Path, seconds: float, rounds: int) -> dict[str, Any]:
    count, every = 32_000, 8.0
    with web(folder) as (plain, _, ca_file), blackbox(folder, ca_file) as (port, pid):
        probes = probes_of("tcp", [{"host": HOSTS[n % len(HOSTS)], "port": plain} for n in range(count)], every)
        targets = [f"{HOSTS[n % len(HOSTS)]}:{plain}" for n in range(3_000)]
        return compare(
            rounds,
            lambda: asyncio.run(own_rate(folder, probes, seconds)),
            lambda: blackbox_rate(port, pid, "tcp", targets, count / every),
        )


def icmp_case(folder: Path, seconds: float, rounds: int) -> dict[str, Any]:
    """Echoes per CPU second: bursts of a hundred in batches of eight, beside fping with as many to as many addresses.

    The ratio is that at the same pace. At full speed fping sends without listening, which is cheaper, and makes its own
    round trips several times as long: that is told beside it, with the round trips that each saw in microseconds.
    """
    count, packets, every = 600, 100, 6.0
    hosts = [f"127.9.{number // 200}.{number % 200 + 1}" for number in range(count)]
    params = [{"target": host, "packets": packets, "batch": 8, "gap_seconds": 0.005} for host in hosts]
    probes, pace = probes_of("icmp", params, every), 1000 * every / (count * packets)
    ours, paced, fast = [], [], []
    for _ in range(rounds):
        paced.append(fping_rate(hosts, packets, pace))
        fast.append(fping_rate(hosts, packets, 0.0))
        ours.append(asyncio.run(own_echoes(folder, probes, seconds)))
    ratios = [mine["per_cpu_second"] / rate for mine, (rate, _) in zip(ours, paced, strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "own": {key: statistics.median(one[key] for one in ours) for key in ours[0]},
        "peer_per_cpu_second": statistics.median(rate for rate, _ in paced),
        "peer_round_trip_us": statistics.median(trip for _, trip in paced),
        "peer_at_full_speed_per_cpu_second": statistics.median(rate for rate, _ in fast),
        "peer_at_full_speed_round_trip_us": statistics.median(trip for _, trip in fast),
    }


def fping_rate(hosts: list[str], packets: int, pace_ms: float) -> tuple[float, float]:
    """(echoes per CPU second, median over the addresses of their mean round trip in microseconds)."""
    before = os.times()
    period = max(20.0, pace_ms * len(hosts))
    command = [program("fping"), "-q", "-c", str(packets), "-p", f"{period:g}", "-i", f"{pace_ms:g}", *hosts]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    means = [float(line.rpartition("=")[2].split("/")[1]) * 1000 for line in said.splitlines() if "min/avg/max" in line]
    return len(means) * packets / spent, statistics.median(means)


async def own_echoes(folder: Path, probes: list[Probe], seconds: float) -> dict[str, float]:
    """Echoes that came back per CPU second of the prober's process, and the median of the bursts' median round trip."""
    async with prober(folder, probes) as (pid, owed):
        await asyncio.wait_for(owed.began.wait(), 60)
        await asyncio.sleep(probes[0].every_seconds + 1)
        owed.keep = frozenset({"sent_count", "loss_ratio", "round_trip_median_seconds"})
        cpu, before = cpu_seconds(pid), Counter(owed.outcomes)
        await asyncio.sleep(seconds)
        spent, runs = cpu_seconds(pid) - cpu, owed.outcomes - before
    sent, loss = owed.values["sent_count"], owed.values["loss_ratio"]
    lost = sum(count * share for count, share in zip(sent, loss, strict=False))
    return {
        "per_cpu_second": (sum(sent) - lost) / spent,
        "round_trip_us": 1e6 * statistics.median(owed.values["round_trip_median_seconds"]),
        "lost": lost,
        "not_ok": float(runs.total() - runs["ok"]),
    }


def latency_case(folder: Path, seconds: float, rounds: int) -> dict[str, Any]:
    """What the prober adds at 200 a second over a blocking socket on the same server: median and 99th, milliseconds."""
    with web(folder) as (plain, _, _):
        probes = probes_of("http", [{"url": f"http://{HOSTS[n % 16]}:{plain}/"} for n in range(600)], 3.0)
        added50, added99 = [], []
        for _ in range(rounds):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as beside:  # both in the same seconds
                asked = beside.submit(blocking, plain, 200, seconds + 6)
                own = asyncio.run(own_seconds(folder, probes, seconds))
                bare = asked.result()
            added50.append((statistics.median(own) - statistics.median(bare)) * 1000)
            added99.append((percentile(own, 99) - percentile(bare, 99)) * 1000)
    return {"added_p50_ms": statistics.median(added50), "added_p99_ms": statistics.median(added99)}


def blocking(port: int, rate: int, seconds: float) -> list[float]:
    request, taken = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []
    for number in range(int(rate * seconds)):
        begun = time.perf_counter()
        with socket.socket() as door:
            door.connect((HOSTS[number % 16], port))
            door.send(request)
            door.recv(65_536)
            taken.append(time.perf_counter() - begun)
        time.sleep(max(0.0, 1 / rate - (time.perf_counter() - begun)))
    return taken


async def own_seconds(folder: Path, probes: list[Probe], seconds: float) -> list[float]:
    async with prober(folder, probes) as (_, owed):
        await asyncio.wait_for(owed.began.wait(), 60)
        await asyncio.sleep(2)
        owed.keep = frozenset({"response_seconds"})
        await asyncio.sleep(seconds)
    return owed.values["response_seconds"]


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part / 100 * len(values)))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=["http", "tls", "dns", "tcp", "icmp", "latency", "all"])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    cases: dict[str, Callable[[Path], dict[str, Any]]] = {
        "http": lambda folder: http_case(folder, given.seconds, given.rounds, tls=False),
        "tls": lambda folder: http_case(folder, given.seconds, given.rounds, tls=True),
        "dns": lambda folder: dns_case(folder, given.seconds, given.rounds),
        "tcp": lambda folder: tcp_case(folder, given.seconds, given.rounds),
        "icmp": lambda folder: icmp_case(folder, given.seconds, given.rounds),
        "latency": lambda folder: latency_case(folder, given.seconds, given.rounds),
    }
    found: dict[str, Any] = {}
    for word, case in cases.items():
        if given.case in {word, "all"}:
            with tempfile.TemporaryDirectory(prefix="cemd-bench-") as folder:
                try:
                    found[word] = case(Path(folder))
                except LookupError as exc:
                    print(f"{word}: left out: {exc}.", file=sys.stderr)
                    continue
            if not given.json:
                print(f"{word}: {json.dumps(found[word], default=float)}", flush=True)
    if given.json:
        print(json.dumps(found))
    return int(any(missed(word, case) for word, case in found.items()))


def missed(word: str, case: dict[str, Any]) -> bool:
    if word == "latency":
        return bool(case["added_p50_ms"] > 0.15 or case["added_p99_ms"] > 0.5)
    return bool(case["ratio"] < GOALS[word] or case["own"]["not_ok"])


if __name__ == "__main__":
    sys.exit(main())
