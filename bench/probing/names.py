"""The case dns: plain questions to bind9 beside aiodns (c-ares).

The peer that the ratio is of asks as a prober does that has a task a question and a limit on how many are in flight;
`lean` are fifty tasks that ask one question after the other, which nobody can schedule, but which costs less.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .harness import beside, free_port, peer_rates, probes_of, program, running

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


def dns_case(folder: Path, seconds: float, rounds: int, pace: float) -> dict[str, Any]:
    names, every = 1_000, 5.0
    with name_server(folder, names) as port:
        asked = [f"h{number % names}.lab.test" for number in range(int(pace * every))]
        params = [{"server": "127.0.0.1", "port": port, "name": name} for name in asked]
        told = (str(port), str(names))
        found = beside(folder, probes_of("dns", params, every), seconds, rounds, _AIODNS, *told)
        lean = [peer_rates(_LEAN, told, int(10_000 * seconds), 0.0)[0] for _ in range(rounds)]
        return {**found, "lean_peer_per_cpu_second": statistics.median(lean)}
