"""A short long run, reloads in the middle of hanging runs, and a verdict that is not deceived."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cemd.model.quality import Outcome

from tests.scenario.long_run.daemon import Daemon, Records, running_prober
from tests.scenario.long_run.peers import Peers, running_peers
from tests.scenario.long_run.run import Run, long_run
from tests.scenario.long_run.verdict import Seen, Span, faults, planned_runs
from tests.scenario.long_run.world import ANSWERS, HANGS, MIX, MOST, Pace, address_of, number_of, role_of

HANGING = [number for number in range(100) if role_of(number).manner == HANGS]


@pytest.fixture
def peers() -> Iterator[Peers]:
    with running_peers() as made:
        yield made


async def test_every_kind_is_counted_and_books_agree_to_the_last_attempt(peers: Peers, tmp_path: Path) -> None:
    seen = await long_run(peers, tmp_path, minutes=0.2, probes=200, usual=Pace(3.0, 1.0), pressure=False)
    assert faults(seen) == []
    assert len(seen.records) > 300
    kinds = {role_of(number).kind for number in np.flatnonzero(seen.peers).tolist()}
    assert kinds >= MIX.keys() - {"icmp"}  # which a host may forbid
    for number in HANGING:
        mine = seen.records.outcome[seen.records.probe == number]
        assert set(mine.tolist()) == {Outcome.TIMED_OUT}


async def test_reload_while_targets_hang_loses_no_run_and_counts_none_twice(peers: Peers, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "s")
    async with running_prober(tmp_path / "s", tmp_path) as prober:
        run = Run(peers, daemon, prober, Pace(4.0, 1.9))
        await run.load(HANGING)
        for _ in range(3):
            await until(lambda: daemon.look().get("running", 0.0) >= len(HANGING) / 4)
            await run.load(HANGING[::2])  # those that left are still under way
            await run.load(HANGING, {number: Pace(4.5, 1.9) for number in HANGING[1::4]})  # some are back as they were
            await run.rest(2.5)
        await run.drain()
        report = peers.report()
        counters = dict(daemon.look())
        await daemon.go()
    records = daemon.ledger.records()
    assert len(records) >= 3 * len(HANGING) / 4
    found = faults(
        Seen(peers=report.counts, dropped=0, records=records, counters=counters, spans=run.spans, pressed=False)
    )
    assert found == []


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.05)


# The verdict.

SPAN = Span(number=7, every_seconds=10.0, begin=1_000.0, end=1_100.0)


def honest() -> Seen:
    """A probe that ran as planned, was blind once by the walls, and a moment of truth beside it."""
    at = np.sort(np.concatenate([planned_runs(SPAN) + 0.001, [1_005.0]]))
    outcome = np.zeros(len(at), dtype=np.uint8)
    outcome[3] = Outcome.BLIND
    counts = np.zeros(MOST, dtype=np.int64)
    counts[7] = len(at) - 1
    return Seen(
        peers=counts,
        dropped=0,
        records=Records(np.full(len(at), 7), at, outcome),
        counters={"runs_ok": len(at) - 1.0, "runs_blind": 1.0, "skipped_bulkhead_full": 1.0},
        spans=[SPAN],
        pressed=False,
    )


def without(records: Records, row: int) -> Records:
    return Records(np.delete(records.probe, row), np.delete(records.at, row), np.delete(records.outcome, row))


def with_count(seen: Seen, by: int) -> Seen:
    counts = seen.peers.copy()
    counts[7] += by
    return replace(seen, peers=counts)


LIES: dict[str, tuple[Callable[[Seen], Seen], str]] = {
    "attempt without a record": (lambda seen: with_count(seen, 1), "its peer counted"),
    "record without an attempt": (lambda seen: with_count(seen, -1), "its peer counted"),
    "counter of the prober": (lambda seen: replace(seen, counters={**seen.counters, "runs_ok": 3.0}), "arrived"),
    "skip that nobody recorded": (
        lambda seen: replace(seen, counters={**seen.counters, "skipped_late": 1.0}),
        "only 1 records are blind",
    ),
    "sample given up": (lambda seen: replace(seen, counters={**seen.counters, "shed_samples": 2.0}), "on their way"),
    "planned run that is not there": (lambda seen: replace(seen, records=without(seen.records, 5)), "no record"),
    "moment of truth given up": (
        lambda seen: replace(seen, counters={**seen.counters, "shed_moments_of_truth": 1.0}),
        "moments of truth were given up",
    ),
    "pressure that moved nothing": (lambda seen: replace(seen, pressed=True), "gave up nothing"),
}


def test_honest_books_have_no_fault() -> None:
    assert faults(honest()) == []


@pytest.mark.parametrize("lie", LIES)
def test_every_lie_is_found(lie: str) -> None:
    told, words = LIES[lie]
    assert any(words in fault for fault in faults(told(honest())))


def test_every_probe_has_an_address_of_its_own_and_thirty_in_a_hundred_hang() -> None:
    numbers = range(0, MOST, 97)
    assert [number_of(bytes(map(int, address_of(number).split(".")))) for number in numbers] == list(numbers)
    assert len(HANGING) == 30
    assert {role_of(number).kind for number in range(100) if role_of(number).manner == ANSWERS} == MIX.keys()
