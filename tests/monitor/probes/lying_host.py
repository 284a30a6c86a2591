"""A host behind a TUN device that answers echoes by a list: lost, doubled, swapped, each held for a known time.

Run in a network namespace of its own (`unshare -n`), it measures itself with the `icmp` kind and prints what was true
and what was seen. Truth is the time from the packet's coming out of the device to its answer's going in.
"""

from __future__ import annotations

import asyncio
import fcntl
import heapq
import json
import os
import random
import select
import statistics
import struct
import subprocess
import sys
import time

from cemd.config.targets import Targets
from cemd.monitor.probes.icmp import checksum
from cemd.monitor.protocols.packets import jitter_seconds

from tests.monitor import peers

NOT_PERMITTED = 77
_PACKETS = 200
_TUNSETIFF = 0x400454CA
_TUN_WITHOUT_HEADER = 0x1001


class Host:
    """Holds packet `n` for `plan[n]` milliseconds; an empty entry loses it, a second number answers again."""

    def __init__(self, device: int, plan: list[list[float]]) -> None:
        self.device = device
        self.plan = plan
        self.held: dict[int, float] = {}
        self.order: list[int] = []
        self.doubled = 0

    def serve(self, until: int) -> None:
        """Answers until the other side closes the pipe `until`."""
        waiting: list[tuple[float, int, bytes, float, bool]] = []
        while True:
            due = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 1.0
            ready, _, _ = select.select([self.device, until], [], [], max(0.0, due - 0.0005))
            if self.device in ready:
                self._take(waiting, os.read(self.device, 2048))
            elif until in ready:
                return
            while waiting and waiting[0][0] <= time.monotonic():
                self._answer(*heapq.heappop(waiting)[1:])

    def _take(self, waiting: list[tuple[float, int, bytes, float, bool]], packet: bytes) -> None:
        came = time.monotonic()
        if packet[0] >> 4 == 4 and packet[9] == 1 and packet[20] == 8:
            number = int.from_bytes(packet[26:28], "big")
            for place, hold in enumerate(self.plan[number]):
                heapq.heappush(waiting, (came + hold / 1000, number, packet, came, place > 0))

    def _answer(self, number: int, packet: bytes, came: float, again: bool) -> None:
        answer = _reply(packet)
        held = time.monotonic() - came
        os.write(self.device, answer)
        if again:
            self.doubled += 1
        else:
            self.held[number] = held
            self.order.append(number)


def _reply(packet: bytes) -> bytes:
    header = bytearray(packet[:20])
    header[12:16], header[16:20] = header[16:20], header[12:16]
    body = bytearray(packet[20:])
    body[0], body[2:4] = 0, b"\0\0"
    body[2:4] = checksum(bytes(body)).to_bytes(2, "big")
    return bytes(header + body)


def _plan() -> list[list[float]]:
    chance = random.Random(4)
    plan: list[list[float]] = []
    for number in range(_PACKETS):
        hold = 3.0 + 2.0 * chance.random()
        if number % 10 == 3:
            plan.append([])
        elif number % 25 == 7:
            plan.append([hold, hold + 4.0])
        elif number % 20 == 11:
            plan.append([hold + 15.0])  # the next, 10 ms behind, overtakes it
        else:
            plan.append([hold])
    return plan


def _device() -> int:
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", b"lie0", _TUN_WITHOUT_HEADER))
    for words in (["addr", "add", "198.18.0.1/24", "dev", "lie0"], ["link", "set", "lie0", "up"]):
        subprocess.run(["ip", *words], check=True, timeout=10)
    return device


async def _measure() -> dict[str, float]:
    async with peers.tools(targets=Targets()) as tools:
        params = {"target": "198.18.0.2", "packets": _PACKETS, "gap_seconds": 0.01, "wait_seconds": 0.5}
        result = await peers.look(tools, "icmp", params, seconds=20.0)
    if not result.readings:
        sys.exit(f"{result.reason}: {result.detail}")
    return {reading.metric: reading.value for reading in result.readings}


def main() -> None:
    try:
        device = _device()
    except (OSError, subprocess.CalledProcessError) as exc:
        sys.stderr.write(f"{exc}\n")
        sys.exit(NOT_PERMITTED)
    ours, theirs = os.pipe()
    if os.fork() == 0:  # a process of its own, so that host and prober do not wait for one interpreter lock
        os.close(ours)
        os.write(theirs, json.dumps(asyncio.run(_measure())).encode())
        os._exit(0)
    os.close(theirs)
    host = Host(device, _plan())
    host.serve(ours)
    seen = json.loads(os.read(ours, 65_536))
    held = [host.held[number] for number in sorted(host.held)]
    truth = {
        "lost": _PACKETS - len(held),
        "answered": len(held),
        "doubled": host.doubled,
        "swapped": sum(number < max(host.order[:place], default=-1) for place, number in enumerate(host.order)),
        "median_seconds": statistics.median_low(held),
        "jitter_seconds": jitter_seconds(held),
    }
    print(json.dumps({"truth": truth, "seen": seen}))


if __name__ == "__main__":
    main()
