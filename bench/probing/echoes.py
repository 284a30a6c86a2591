"""The case icmp: bursts of echoes beside fping."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from cemd.config.probes import Probe
from cemd.kit.parent import end_with_starter

from .harness import cpu_seconds, prober, probes_of, program


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
    said = subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=end_with_starter).stderr
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
