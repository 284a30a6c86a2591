"""Every stage of the loop is timed, one that fails is not, and who is not watched decides the same."""

from __future__ import annotations

import pytest
from cemd.daemon.stopwatch import BOUNDS, Stopwatch
from cemd.errors import StoreError
from cemd.kit.clock import ManualClock
from cemd.loop.core import Core
from cemd.loop.stages import Stage
from cemd.model.entry import Tick
from cemd.store.base import Moment
from cemd.store.memory import MemoryStore

START = 1_700_000_000.0


def test_each_stage_is_timed_for_each_entry_and_the_log_once_for_a_group() -> None:
    stopwatch = Stopwatch(ManualClock(now=START))
    core = Core(MemoryStore().store(), lambda _entry, _effects: None, stopwatch)
    core.start(version="test", wall=START, monotonic=0.0)
    core.process([Tick(), Tick(), Tick()], wall=START + 10, monotonic=10.0)
    done = {stage: sum(taken.counts) for stage, taken in stopwatch.taken.items()}
    assert done[Stage.LOG] == 2
    assert done[Stage.ANALYZE] == done[Stage.IMPROVE] == done[Stage.REPORT] == 4
    assert {taken.last_at for stage, taken in stopwatch.taken.items() if done[stage]} == {START}


def test_a_log_that_refuses_is_no_success() -> None:
    refuses = False

    def faults(operation: str, moment: Moment) -> None:
        if refuses and (operation, moment) == ("log.append", Moment.WITHIN):
            raise StoreError("samples.db: the disk is full; free some space.")

    stopwatch = Stopwatch(ManualClock(now=START))
    core = Core(MemoryStore(faults).store(), lambda _entry, _effects: None, stopwatch)
    core.start(version="test", wall=START, monotonic=0.0)
    refuses = True
    before = sum(stopwatch.taken[Stage.LOG].counts)
    with pytest.raises(StoreError):
        core.process([Tick()], wall=START + 10, monotonic=10.0)
    assert sum(stopwatch.taken[Stage.LOG].counts) == before


def test_time_falls_into_the_bucket_whose_bound_it_does_not_exceed() -> None:
    clock = ManualClock(now=START)
    stopwatch = Stopwatch(clock)
    for seconds in (0.0, BOUNDS[-1] * 2):
        stopwatch(None)
        clock.advance(seconds)
        stopwatch(Stage.IMPROVE)
    taken = stopwatch.taken[Stage.IMPROVE]
    assert (taken.counts[0], taken.counts[-1], sum(taken.counts)) == (1, 1, 2)
    assert taken.seconds == pytest.approx(BOUNDS[-1] * 2)
