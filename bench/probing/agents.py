"""The cases snmp and snmp10: GETs of one and of ten values of v2c from snmpd, beside gufo-snmp (Rust)."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from .harness import Paces, beside, program, running

ADDRESSES = tuple(f"127.0.0.{number}" for number in range(1, 17))
NAMES = ("1.3.6.1.2.1.1.3.0", *(f"1.3.6.1.2.1.11.{number}.0" for number in (1, 2, 3, 4, 5, 6, 8, 9, 10)))
CASES = {
    1: (25_000, Paces(busy=30_000, idle=5_000, peer=7_000)),
    10: (10_000, Paces(busy=22_000, idle=2_000, peer=8_000)),
}
"""By how many values: probes, and their paces."""
_GUFO = """
import asyncio, sys, time
from gufo.snmp.aio import SnmpSession
port, names, count, pace = int(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3]), float(sys.argv[4])
async def main():
    loop, begun, numbers, spent = asyncio.get_running_loop(), [0.0], iter(range(count)), 0.0
    async def one(place):
        async with SnmpSession(addr=f"127.0.0.{place % 16 + 1}", port=port, community="public", timeout=5) as session:
            for number in numbers:
                if pace and (early := begun[0] + number / pace - loop.time()) > 0:
                    await asyncio.sleep(early)
                at = time.perf_counter()
                answer = await (session.get_many(names) if len(names) > 1 else session.get(names[0]))
                assert answer is not None and time.perf_counter() > at
    cpu, begun[0] = time.process_time(), loop.time()
    await asyncio.gather(*(one(place) for place in range(50)))
    spent = time.process_time() - cpu
    print(count / spent, count / (loop.time() - begun[0]))
asyncio.run(main())
"""


@contextlib.contextmanager
def agent(folder: Path) -> Iterator[int]:
    """snmpd on sixteen addresses of loopback: their port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
    places = ",".join(f"udp:{address}:{port}" for address in ADDRESSES)
    (folder / "snmpd.conf").write_text(f"agentaddress {places}\nrocommunity public 127.0.0.0/8\n")
    command = (program("snmpd"), "-f", "-Lo", "-I", "-smux", "-C", "-c", str(folder / "snmpd.conf"))
    with running(*command, SNMP_PERSISTENT_DIR=str(folder)):
        time.sleep(2)
        yield port


def snmp_case(folder: Path, seconds: float, rounds: int, pace: float | None, *, names: int) -> dict[str, Any]:
    probes, paces = CASES[names]
    with agent(folder) as port:
        values = [{"oid": name, "metric": f"v{place}"} for place, name in enumerate(NAMES[:names])]
        params: list[dict[str, Any]] = [
            {"host": ADDRESSES[number % len(ADDRESSES)], "port": port, "values": values} for number in range(probes)
        ]
        paces = paces if pace is None else replace(paces, busy=pace)
        told = (str(port), ",".join(NAMES[:names]))
        return beside(folder, "snmp", params, paces, seconds, rounds, _GUFO, *told)
