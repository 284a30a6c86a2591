"""`cemd simulate`: many seeds over several processes; a broken promise is shrunk, and printed with what replays it."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import msgspec

from cemd.config.params import Kinds
from cemd.demo.world.reading import read_scenario
from cemd.errors import CemdError
from cemd.simulation.journal import Journal
from cemd.simulation.lives import Scene
from cemd.simulation.outcome import SimulationReport
from cemd.simulation.plan import Plan, names
from cemd.simulation.run import START_MONOTONIC, Simulation
from cemd.simulation.shrink import Shrinking
from cemd.simulation.surroundings import Build
from cemd.simulation.world import World

SUMMED = (
    "entries", "starts", "refusals", "reloads", "faults", "contacts", "incidents", "communications", "told", "overs",
    "alerts", "told_wrongly",
)  # fmt: skip
TRACE_LINES = 30
WAIT_SECONDS = 10.0
"""Nobody waits longer than this without a word of progress."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the command was asked for.

    `seeds`: "A-B", both included, or one number. `scenario` None: the small bare operator. `only`, `until` and
    `customers` as in a plan. `jobs`: how many seeds at once; None: one per processor. `journal`: file to which each
    life is added as it ends; what is in it is not lived again. `shrink_lives`: how many lives may be spent on making
    one failing life smaller.
    """

    seeds: str
    days: float = 2.0
    scenario: Path | None = None
    rules: Path = Path("rules")
    until: float | None = None
    customers: int | None = None
    only: str | None = None
    jobs: int | None = None
    journal: Path | None = None
    shrink_lives: int = 60
    as_json: bool = False


def run_simulation(wanted: Wanted, kinds: Kinds) -> int:
    """Lives through the seeds; returns the exit code: 1 when any promise was broken.

    Raises:
        CemdError: `seeds` is not understood, or a plan is given for more than one of them.
        ConfigError: the scenario is impossible, or the rules do not fit it.
    """
    build: Build = World.of
    if wanted.scenario is not None:
        build = Scene(read_scenario(wanted.scenario, kinds.probe_params), wanted.rules, kinds)
    plans = _plans(wanted)
    build(plans[0], START_MONOTONIC)  # an impossible world is said before any process is started
    journal = Journal(wanted.journal)
    reports = journal.lived(plans)
    known = {report.plan for report in reports}
    if known:
        print(f"{len(known)} of {len(plans)} lives are in {wanted.journal} already.", file=sys.stderr, flush=True)
    for report in _reports([plan for plan in plans if plan not in known], build, wanted.jobs or os.cpu_count() or 1):
        reports.append(report)
        journal.add(report)
        _print(_json(report) if wanted.as_json else _words(report, wanted))
        if report.broken is not None and wanted.only is None and wanted.shrink_lives:
            _shrink(report, build, wanted)
    _print(_json(_summary(reports)) if wanted.as_json else _closing(reports, wanted.days))
    return 1 if any(report.broken for report in reports) else 0


def _plans(wanted: Wanted) -> list[Plan]:
    first, last = _range_of(wanted.seeds)
    if first != last and (wanted.only is not None or wanted.until is not None):
        raise CemdError("--only and --until tell of one life; name one seed with --seeds.")
    only = None
    if wanted.only is not None:
        only = tuple(name for name in wanted.only.split(",") if name and name != "none")
    return [
        Plan(seed=seed, days=wanted.days, until=wanted.until, customers=wanted.customers, only=only)
        for seed in range(first, last + 1)
    ]


def _range_of(seeds: str) -> tuple[int, int]:
    first, _, last = seeds.partition("-")
    try:
        numbers = int(first), int(last or first)
    except ValueError:
        raise CemdError(f"--seeds {seeds!r} is not understood; write A-B with two numbers, or one number.") from None
    if numbers[0] > numbers[1]:
        raise CemdError(f"--seeds {seeds!r} ends before it begins; write the smaller number first.")
    return numbers


def live(plan: Plan, build: Build) -> SimulationReport:
    """One life that says every ten seconds how far it is: to those who wait, not in the report."""
    told = time.monotonic()
    days = plan.length_seconds / 86_400.0

    def watch(lived: float, entries: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= WAIT_SECONDS:
            told = now
            where = f"day {lived:.1f} of {days:g}" if lived <= days else "after its last day: everything has to end"
            print(f"  seed {plan.seed}: {where}, {entries} entries", file=sys.stderr, flush=True)

    return Simulation(plan, build=build, watch=watch).run()


def _reports(plans: Sequence[Plan], build: Build, jobs: int) -> Iterator[SimulationReport]:
    """Reports as the lives end; one job: in the order of the seeds."""
    if jobs == 1 or len(plans) < 2:
        yield from (live(plan, build) for plan in plans)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(plans)), mp_context=context) as pool:
        for done in as_completed([pool.submit(live, plan, build) for plan in plans]):
            yield done.result()


def _shrink(report: SimulationReport, build: Build, wanted: Wanted) -> None:
    """Prints the smallest plan found that breaks the same promise, and the command that lives it again."""
    world = build(report.plan, START_MONOTONIC)
    search = Shrinking(report, partial(live, build=build), most_lives=wanted.shrink_lives)
    found = search.run(names(report.plan, world.faults()), world.customer_count)
    again = _again(found.plan, wanted)
    if wanted.as_json:
        _print(_json({"seed": report.seed, "shrunk": found, "lives": search.lives, "again": again}))
    else:
        _print(f"  shrunk in {search.lives} lives to {_size(found)}; it breaks {search.promise}:")
        _print("\n".join(f"    {line}" for line in (found.broken.trace[-TRACE_LINES:] if found.broken else ())))
        _print(f"  again: {again}")


def _size(report: SimulationReport) -> str:
    plan = report.plan
    left = "everything" if plan.only is None else f"{len(plan.only)} mishaps, habits and faults"
    return f"{plan.length_seconds / 86_400.0:g} days, {plan.customers or 'all'} customers, {left}"


def _again(plan: Plan, wanted: Wanted) -> str:
    where = "--bare " if wanted.scenario is None else f"--scenario {wanted.scenario} --rules {wanted.rules} "
    return f"cemd simulate {where}{plan.options()}"


def _summary(reports: list[SimulationReport]) -> dict[str, object]:
    return {
        "seeds": len(reports),
        "days": sum(report.plan.length_seconds for report in reports) / 86_400.0,
        "broken": sorted(report.seed for report in reports if report.broken is not None),
        "kills": sum(sum(report.kills.values()) for report in reports),
        "cpu_seconds": round(sum(report.cpu_seconds for report in reports), 1),
        **{name: sum(getattr(report, name) for report in reports) for name in SUMMED},
    }


def _print(line: str) -> None:
    print(line, flush=True)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _words(report: SimulationReport, wanted: Wanted) -> str:
    if report.broken is None:
        return (
            f"seed {report.seed}: kept. {report.entries} entries, {report.starts} starts, "
            f"{report.incidents} incidents, {report.told} told, {report.overs} ends, {report.cpu_seconds:.1f} s"
        )
    broken = report.broken
    lines = [
        f"seed {report.seed}: BROKEN {broken.promise} at entry {broken.seq}: {broken.detail}",
        *(f"    {line}" for line in broken.trace[-TRACE_LINES:]),
        f"  again: {_again(report.plan, wanted)}",
    ]
    return "\n".join(lines)


def _closing(reports: list[SimulationReport], days: float) -> str:
    total = _summary(reports)
    broken = [report for report in reports if report.broken is not None]
    verdict = f"{len(broken)} of them broke a promise" if broken else "nothing broken"
    return (
        f"{len(reports)} seeds x {days:g} days: {verdict}. {total['entries']} entries, {total['starts']} starts, "
        f"{total['kills']} kills at a seam, {total['refusals']} refusals of a full disk, {total['reloads']} reloads, "
        f"{total['faults']} faults and traps, {total['contacts']} contacts, {total['incidents']} incidents, "
        f"{total['told']} customers told ({total['told_wrongly']} wrongly), {total['overs']} ends, "
        f"{total['cpu_seconds']} s of processor time."
    )
