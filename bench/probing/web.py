"""Cases of one connection a probe: http, tls, tcp and the latency that the prober adds, beside blackbox_exporter.

A prober that mostly sleeps pays for its wake-ups, one that is busy for its probes; an operator's is busy. So each side
is measured where it takes about half of a processor, which is where cemd's sheds load. Beside it stand our figure at
the peer's pace, where we sleep most of the time, and the peer's where it hardly sleeps and a probe costs it least.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from cemd.config.probes import Probe

from .harness import (
    cpu_seconds,
    free_port,
    medians,
    own_rate,
    percentile,
    prober,
    probes_of,
    program,
    ratios_of,
    running,
)

HOSTS = tuple(f"127.0.{number // 250}.{number % 250 + 1}" for number in range(500))
"""So many that none of them runs short of ports: a port is taken for a minute after each connection, and the search for
a free one gets dear long before there is none, which no prober with real targets meets."""
TLS_HOSTS = HOSTS[:16]
"""Those that the certificate names: one with five hundred names would be most of the handshake."""


@contextlib.contextmanager
def web(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """nginx with a plain and a TLS port: (plain, tls, file with its certificate)."""
    plain, tls = free_port(), free_port()
    names = "subjectAltName=" + ",".join(f"IP:{host}" for host in TLS_HOSTS)
    files = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    command = [program("openssl"), "req", "-x509", *curve, "-days", "90", "-subj", "/CN=localhost", *files]
    subprocess.run([*command, "-addext", names], check=True, capture_output=True)
    listen = "".join(f"listen {host}:{plain} backlog=8192; " for host in HOSTS)
    listen += "".join(f"listen {host}:{tls} ssl backlog=8192; " for host in TLS_HOSTS)
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


def fetch_all(port: int, paths: list[str], per_second: float) -> list[bytes]:
    """The answers of an HTTP server to many requests at an even pace, each on a new connection.

    HTTP/1.0, so that no answer comes in chunks, whose borders could fall into the words that are looked for.
    """
    poll, answers = select.epoll(), []
    open_: dict[int, tuple[socket.socket, bytearray]] = {}
    begun, sent = time.monotonic(), 0
    while sent < len(paths) or open_:
        while sent < len(paths) and time.monotonic() >= begun + sent / per_second:
            door = socket.create_connection(("127.0.0.1", port))
            door.send(f"GET {paths[sent]} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
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


def blackbox_rate(port: int, pid: int, module: str, targets: list[str], per_second: float) -> dict[str, float]:
    """Probes per CPU second of blackbox_exporter's process, asked at this pace, and its load in percent."""
    paths = [f"/probe?module={module}&target={target}" for target in targets]
    fetch_all(port, paths[:200], per_second)
    cpu, begun = cpu_seconds(pid), time.monotonic()
    answers = fetch_all(port, paths, per_second)
    spent, wall = cpu_seconds(pid) - cpu, time.monotonic() - begun
    failed = [answer for answer in answers if b"probe_success 1" not in answer]
    if len(failed) > len(answers) // 100:
        raise RuntimeError(f"blackbox_exporter failed on {len(failed)} targets that live: {failed[0]!r}")
    return {"per_cpu_second": (len(answers) - len(failed)) / spent, "cpu_percent": 100 * spent / wall}


EVERY_SECONDS = 8.0
TCP_PACES = (8_000, 1_400, 3_000)
HTTP_PACES = (5_000, 850, 2_000)
TLS_PACES = (600, 400, 900)
"""Probes a second of ours and of the peer, at which each takes half of a processor, and of the peer near all of one."""


def busy_case(
    folder: Path, seconds: float, rounds: int, kind: str, paces: tuple[int, int, int], *, tls: bool = False
) -> dict[str, Any]:
    """Both sides at half of a processor, ours at the peer's pace, and the peer near all of a processor."""
    own_pace, peer_pace, full_pace = paces
    with web(folder) as (plain, secure, ca_file), blackbox(folder, ca_file) as (port, pid):
        module, port_there = ("tls", secure) if tls else ("plain" if kind == "http" else "tcp", plain)
        where = {"plain": f"http://{{}}:{port_there}/", "tls": f"https://{{}}:{port_there}/"}.get(
            module, f"{{}}:{port_there}"
        )
        hosts = TLS_HOSTS if tls else HOSTS

        def peers(pace: int) -> dict[str, float]:
            targets = [where.format(hosts[number % len(hosts)]) for number in range(int(seconds * pace))]
            return blackbox_rate(port, pid, module, targets, pace)

        def ours(pace: int) -> dict[str, float]:
            whom = [hosts[number % len(hosts)] for number in range(int(pace * EVERY_SECONDS))]
            params: list[dict[str, Any]] = [{"host": host, "port": plain} for host in whom]
            if kind == "http":
                more = {"ca_file": str(ca_file)} if tls else {}
                params = [{"url": where.format(host), **more} for host in whom]
            return asyncio.run(own_rate(folder, probes_of(kind, params, EVERY_SECONDS), seconds))

        theirs, full, busy, idle = [], [], [], []
        for _ in range(rounds):
            theirs.append(peers(peer_pace))
            full.append(peers(full_pace))
            busy.append(ours(own_pace))
            idle.append(ours(peer_pace))
    ratios = ratios_of(busy, theirs)
    return {
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "ratio_at_the_peers_pace": statistics.median(ratios_of(idle, theirs)),
        "ratio_to_the_peer_at_full_load": statistics.median(ratios_of(busy, full)),
        "own": medians(busy),
        "own_at_the_peers_pace": medians(idle),
        "peer": medians(theirs),
        "peer_at_full_load": medians(full),
    }


def http_case(folder: Path, seconds: float, rounds: int, *, tls: bool) -> dict[str, Any]:
    return busy_case(folder, seconds, rounds, "http", TLS_PACES if tls else HTTP_PACES, tls=tls)


def tcp_case(folder: Path, seconds: float, rounds: int) -> dict[str, Any]:
    return busy_case(folder, seconds, rounds, "tcp", TCP_PACES)


def latency_case(folder: Path, seconds: float, rounds: int) -> dict[str, Any]:
    """What the prober adds at 200 a second over a blocking socket on the same server: median and 99th, milliseconds."""
    with web(folder) as (plain, _, _):
        probes = probes_of("http", [{"url": f"http://{HOSTS[n % len(HOSTS)]}:{plain}/"} for n in range(600)], 3.0)
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
            door.connect((HOSTS[number % len(HOSTS)], port))
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
