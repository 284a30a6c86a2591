"""The sequencer: answers when logged, ticks by itself, refuses at the door, waits out a full disk, tells of a bug."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
import structlog
from cemd.errors import Refused, StoreError
from cemd.loop.core import Core
from cemd.loop.sequencer import Rhythm, Sequencer
from cemd.model.entry import Batch, ClockStepped, Command, CommandKind, Started, Tick, decode_group
from cemd.store.base import Faults, Moment, no_faults
from cemd.store.memory import MemoryStore


def batch(samples: int, number: int = 0) -> Batch:
    column = np.zeros(samples)
    return Batch(
        source="http:test",
        number=number,
        series=column.astype(np.int64),
        at=column,
        value=column,
        outcome=column.astype(np.uint8),
    )


class Room:
    """A sequencer over a store in memory."""

    def __init__(self, faults: Faults, after_tick: Callable[[Core], None], most: int) -> None:
        self.memory = MemoryStore(faults)
        self.core = Core(self.memory.store(), lambda _entry, _effects: None)
        self.core.recover(wall=time.time())
        self.failures: list[BaseException] = []
        self.ticked = asyncio.Event()
        loop = asyncio.get_running_loop()

        def tick(core: Core) -> None:
            after_tick(core)
            loop.call_soon_threadsafe(self.ticked.set)

        self.sequencer = Sequencer(
            self.core,
            Rhythm(tick_seconds=0.02, snapshot_seconds=3600.0, max_pending_samples=most),
            loop=loop,
            after_tick=tick,
            failed=self.failures.append,
        )


@asynccontextmanager
async def room(
    faults: Faults = no_faults, after_tick: Callable[[Core], None] = lambda _: None, most: int = 1000
) -> AsyncIterator[Room]:
    made = Room(faults, after_tick, most)
    made.sequencer.start()
    made.sequencer.post(Started(version="test"))
    try:
        yield made
    finally:
        await made.sequencer.stop()


async def test_submitting_answers_with_the_seq_of_an_entry_that_is_in_the_log() -> None:
    async with room() as here:
        seqs = await asyncio.gather(*(here.sequencer.submit(batch(1)) for _ in range(20)))
        assert sorted(seqs) == list(seqs)
        assert len(set(seqs)) == 20
        assert here.memory.log.last_seq() >= max(seqs)


async def test_time_passes_without_anybody_asking() -> None:
    async with room() as here:
        async with asyncio.timeout(30):
            await here.ticked.wait()
        assert here.sequencer.ticks >= 1


async def test_more_than_may_wait_is_refused_at_the_door_and_commands_are_not() -> None:
    held = threading.Event()
    blocked = threading.Event()

    def hold(_: Core) -> None:
        blocked.set()
        held.wait(5)

    async with room(after_tick=hold, most=10) as here:
        await asyncio.to_thread(blocked.wait, 5)
        first = asyncio.ensure_future(here.sequencer.submit(batch(8)))
        await asyncio.sleep(0)
        with pytest.raises(Refused):
            await here.sequencer.submit(batch(8))
        command = asyncio.ensure_future(here.sequencer.submit(Command(kind=CommandKind.KILL, actor="test")))
        await asyncio.sleep(0)
        held.set()
        assert await command > await first


async def test_a_full_disk_acknowledges_nothing_and_loses_nothing() -> None:
    full = threading.Event()

    def disk(operation: str, moment: Moment) -> None:
        if full.is_set() and operation == "log.append" and moment is Moment.BEFORE:
            raise StoreError("samples.db: the disk is full; make room.")

    async with room(disk) as here:
        await here.sequencer.submit(batch(1))
        full.set()
        waiting = asyncio.ensure_future(here.sequencer.submit(Command(kind=CommandKind.KILL, actor="test")))
        async with asyncio.timeout(30):
            while not here.sequencer.trouble:
                await asyncio.sleep(0)
        assert not waiting.done()
        with pytest.raises(Refused):
            await here.sequencer.submit(batch(1))
        full.clear()
        assert await waiting > 0
    assert here.core.state.report.sending.killed


async def test_a_bug_in_the_core_ends_it_and_is_told() -> None:
    def bug(_: Core) -> None:
        raise ZeroDivisionError("a bug")

    async with room(after_tick=bug) as here:
        async with asyncio.timeout(30):
            while not here.failures:
                await asyncio.sleep(0)
        assert isinstance(here.failures[0], ZeroDivisionError)


async def test_a_stop_finishes_what_was_taken_and_saves_a_snapshot() -> None:
    async with room() as here:
        seq = await here.sequencer.submit(batch(3))
    saved, _ = here.memory.snapshots.load()
    assert saved >= seq
    with pytest.raises(Refused):
        await here.sequencer.submit(batch(1))


async def test_a_clock_that_was_put_back_while_nobody_ran_is_logged_said_and_counted() -> None:
    async with room() as made:
        later = time.time() + 3600.0
        memory, before = made.memory, Core(made.memory.store(), lambda _entry, _effects: None)
    before.recover(wall=later)
    before.process([Tick()], wall=later, monotonic=0.0)
    core = Core(memory.store(), lambda _entry, _effects: None)
    core.recover(wall=time.time())
    ticked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tick(_: Core) -> None:
        loop.call_soon_threadsafe(ticked.set)

    failures: list[BaseException] = []
    sequencer = Sequencer(
        core,
        Rhythm(tick_seconds=0.02, snapshot_seconds=3600.0, max_pending_samples=1000),
        loop=loop,
        after_tick=tick,
        failed=failures.append,
    )
    sequencer.post(Started(version="test"))
    with structlog.testing.capture_logs() as lines:
        sequencer.start()
        await asyncio.wait_for(ticked.wait(), 30)
        await sequencer.stop()
    (line,) = [line for line in lines if line["event"] == "clock_stepped"]
    assert line["while_down"]
    assert -3601.0 < line["seconds"] < -3590.0
    assert sequencer.clock_steps == 1
    assert failures == []
    entries = [entry for group in memory.log.read(0) for entry in decode_group(group.blob)]
    assert sum(isinstance(entry.payload, ClockStepped) for entry in entries) == 1
    assert core.state.at >= later
