"""`cemd simulate`: many seeds over several processes; a broken promise is printed with the seed that replays it."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import msgspec

from cemd.errors import CemdError
from cemd.simulation.run import SimulationReport, simulate

SUMMED = ("entries", "starts", "refusals", "reloads", "faults", "incidents", "told", "overs", "alerts", "told_wrongly")


WAIT_SECONDS = 10.0
"""Nobody waits longer than this without a word of progress."""


def run_simulation(*, seeds: str, days: float, processes: int | None, as_json: bool) -> int:
    """Lives through the seeds; returns the exit code: 1 when any promise was broken.

    Args:
        seeds: "A-B", both included, or one number.
        days: Simulated days per seed.
        processes: How many seeds at once; None: one per processor.
        as_json: One JSON object per seed on a line, then one that sums up; else words for people.

    Raises:
        CemdError: `seeds` is not understood.
    """
    first, last = _range_of(seeds)
    reports = []
    for report in _reports(range(first, last + 1), days, processes or os.cpu_count() or 1):
        reports.append(report)
        print(_json(report) if as_json else _words(report), flush=True)
    broken = [report for report in reports if report.broken is not None]
    if as_json:
        print(_json(_summary(reports)))
    else:
        print(_closing(reports, days))
    return 1 if broken else 0


def _range_of(seeds: str) -> tuple[int, int]:
    first, _, last = seeds.partition("-")
    try:
        numbers = int(first), int(last or first)
    except ValueError:
        raise CemdError(f"--seeds {seeds!r} is not understood; write A-B with two numbers, or one number.") from None
    if numbers[0] > numbers[1]:
        raise CemdError(f"--seeds {seeds!r} ends before it begins; write the smaller number first.")
    return numbers


def _reports(seeds: range, days: float, processes: int) -> Iterator[SimulationReport]:
    """Reports in the order of the seeds."""
    if processes == 1 or len(seeds) == 1:
        yield from (watched(seed, days) for seed in seeds)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(seeds)), mp_context=context) as pool:
        yield from pool.map(watched, seeds, [days] * len(seeds))


def watched(seed: int, days: float) -> SimulationReport:
    """One life that says every ten seconds how far it is: to those who wait, not in the report."""
    told = time.monotonic()

    def watch(lived: float, entries: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= WAIT_SECONDS:
            told = now
            where = f"day {lived:.1f} of {days:g}" if lived <= days else "after its last day: everything has to end"
            print(f"  seed {seed}: {where}, {entries} entries", file=sys.stderr, flush=True)

    return simulate(seed, days, watch=watch)


def _summary(reports: list[SimulationReport]) -> dict[str, object]:
    return {
        "seeds": len(reports),
        "broken": [report.seed for report in reports if report.broken is not None],
        "kills": sum(sum(report.kills.values()) for report in reports),
        "cpu_seconds": round(sum(report.cpu_seconds for report in reports), 1),
        **{name: sum(getattr(report, name) for report in reports) for name in SUMMED},
    }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _words(report: SimulationReport) -> str:
    if report.broken is None:
        return (
            f"seed {report.seed}: kept. {report.entries} entries, {report.starts} starts, "
            f"{report.incidents} incidents, {report.told} told, {report.overs} ends, {report.cpu_seconds:.1f} s"
        )
    broken = report.broken
    lines = [
        f"seed {report.seed}: BROKEN {broken.promise} at entry {broken.seq}: {broken.detail}",
        *(f"    {line}" for line in broken.trace[-30:]),
        f"  again: cemd simulate --seeds {report.seed} --days {report.days:g}",
    ]
    return "\n".join(lines)


def _closing(reports: list[SimulationReport], days: float) -> str:
    total = _summary(reports)
    broken = [report for report in reports if report.broken is not None]
    verdict = f"{len(broken)} of them broke a promise" if broken else "nothing broken"
    return (
        f"{len(reports)} seeds x {days:g} days: {verdict}. {total['entries']} entries, {total['starts']} starts, "
        f"{total['kills']} kills at a seam, {total['refusals']} refusals of a full disk, "
        f"{total['told']} customers told, {total['overs']} ends, {total['cpu_seconds']} s of processor time."
    )
