"""The case dns: plain questions to bind9 beside aiodns (c-ares).

The peer that the ratio is of asks as a prober does that has a task a question and a limit on how many are in flight;
`lean` are fifty tasks that ask one question after the other, which nobody can schedule, but which costs less.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from .harness import Paces, beside, peer_rates, program, running

_AIODNS = """
import asyncio, sys, time
import aiodns
port, names, count, pace = *map(int, sys.argv[1:4]), float(sys.argv[4])
async def main():
    resolver = aiodns.DNSResolver(nameservers=["127.0.0.1"], udp_port=port, timeout=5)
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(50)
    async def one(number):
        async with gate:
            at = time.perf_counter()
            answer = await resolver.query_dns(f"h{number % names}.lab.test", "A")
            assert answer and time.perf_counter() > at
    await asyncio.gather(*(one(number) for number in range(200)))
    cpu, begun, asked = time.process_time(), loop.time(), []
    for number in range(count):
        if pace and (early := begun + number / pace - loop.time()) > 0:
            await asyncio.sleep(early)
        asked.append(asyncio.ensure_future(one(number)))
    await asyncio.gather(*asked)
    print(count / (time.process_time() - cpu), count / (loop.time() - begun))
asyncio.run(main())
"""

_LEAN = """
import asyncio, sys, time
import aiodns
port, names, count = map(int, sys.argv[1:4])
async def main():
    resolver = aiodns.DNSResolver(nameservers=["127.0.0.1"], udp_port=port, timeout=5)
    loop, numbers = asyncio.get_running_loop(), iter(range(count))
    async def one():
        for number in numbers:
            at = time.perf_counter()
            answer = await resolver.query_dns(f"h{number % names}.lab.test", "A")
            assert answer and time.perf_counter() > at
    cpu, begun = time.process_time(), loop.time()
    await asyncio.gather(*(one() for _ in range(50)))
    print(count / (time.process_time() - cpu), count / (loop.time() - begun))
asyncio.run(main())
"""


PROBES = 50_000
PACES = Paces(busy=32_000, idle=10_000, peer=10_000)
PORTS = 8
"""Ports of the name server, each as one server to cemd: of one it has at most 140 answers outstanding, so that what
leaves at once fits into the server's buffer, and at half of a processor it asks for more."""


@contextlib.contextmanager
def name_server(folder: Path, names: int) -> Iterator[list[int]]:
    """bind9 that is authoritative for lab.test: its ports."""
    ports = _free_ports(PORTS)
    listen = "".join(f"listen-on port {port} {{ 127.0.0.1; }}; " for port in ports)
    (folder / "named.conf").write_text(
        f'options {{ directory "{folder}"; {listen} listen-on-v6 {{ none; }};'
        f'pid-file none; session-keyfile "{folder}/key"; recursion no; dnssec-validation no; }}; controls {{ }};'
        f'zone "lab.test" {{ type primary; file "{folder}/zone"; }};'
    )
    hosts = "".join(f"h{number} IN A 127.0.{number // 250}.{number % 250}\n" for number in range(names))
    (folder / "zone").write_text(f"$TTL 60\n@ IN SOA ns a 1 60 60 60 60\n@ IN NS ns\nns IN A 127.0.0.1\n{hosts}")
    with running(program("named"), "-g", "-n", "1", "-c", str(folder / "named.conf"), port=ports[-1]):
        yield ports


def _free_ports(count: int) -> list[int]:
    """Ports that nobody has, by TCP or by datagram."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            door = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            twin = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):
                twin.bind(door.getsockname())
                ports.append(door.getsockname()[1])
    return ports


def dns_case(folder: Path, seconds: float, rounds: int, pace: float | None) -> dict[str, Any]:
    names = 1_000
    with name_server(folder, names) as ports:
        params: list[dict[str, Any]] = [
            {"server": "127.0.0.1", "port": ports[number % PORTS], "name": f"h{number % names}.lab.test"}
            for number in range(PROBES)
        ]
        told = (str(ports[0]), str(names))
        paces = PACES if pace is None else replace(PACES, busy=pace)
        found = beside(folder, "dns", params, paces, seconds, rounds, _AIODNS, *told)
        lean = [peer_rates(_LEAN, told, int(10_000 * seconds), 0.0)["per_cpu_second"] for _ in range(rounds)]
        return {**found, "lean_peer_per_cpu_second": statistics.median(lean)}
