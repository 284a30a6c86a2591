"""The case dns: plain questions to bind9 beside aiodns (c-ares), at the same pace."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .harness import compare, free_port, own_rate, probes_of, program, running

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
