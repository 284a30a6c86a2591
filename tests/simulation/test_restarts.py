"""A run with random restarts decides the same as the run without."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec
from cemd.loop.core import Core
from cemd.model.effect import Effects
from cemd.model.entry import ClockStepped, Entry, Payload, decode_group
from cemd.simulation.fakes import Killed, Trouble
from cemd.simulation.plan import Plan, names
from cemd.simulation.remembered import remembered, state_of
from cemd.simulation.run import START_MONOTONIC, Simulation
from cemd.simulation.surroundings import Build
from cemd.simulation.world import World
from cemd.store.memory import MemoryStore
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulation.scenes import scene

Group = tuple[float, Sequence[Payload]]
Restarts = Sequence[tuple[float, int]]


@cache
def lived(seed: int, days: float, build: Build) -> tuple[Group, ...]:
    """What a life brought, in the groups in which it came: its faults, people and transports, and nobody who dies."""
    plan = Plan(seed=seed, days=days)
    faults = [name for name, _ in build(plan, START_MONOTONIC).faults()]
    people = [one for one in names(plan, []) if one.partition(".")[0] in ("command", "contact", "reload")]
    only = (*faults, *people, "lies", "disorder")
    life = Simulation(msgspec.structs.replace(plan, only=only), build=build)
    report = life.run()
    assert report.broken is None
    assert report.starts == 1
    assert report.incidents > 0
    return tuple(_came(decode_group(group.blob)) for group in life.book.groups)


def _came(entries: Sequence[Entry]) -> Group:
    return entries[0].at, [one.payload for one in entries if not isinstance(one.payload, ClockStepped)]


class Run:
    """Drives the groups through cores that may be restarted at any seam."""

    def __init__(self) -> None:
        self.trouble = Trouble(kept=lambda _: None)
        self.store = MemoryStore(self.trouble)
        self.restarts = 0
        self.core = self._born(0.0)

    def _born(self, at: float) -> Core:
        core = Core(self.store.store(), self._outlet)
        core.recover(wall=at)
        return core

    def _outlet(self, entry: Entry, effects: Effects) -> None:
        del entry, effects
        self.trouble.seam("outlet")

    def _restart(self, at: float) -> None:
        self.restarts += 1
        self.trouble.kill_in = None
        self.store.restart()
        self.core = self._born(at)

    def live(self, groups: Sequence[Group], restarts: dict[int, int], snapshots: set[int]) -> dict[str, object]:
        """`restarts`: by group, how many seams are passed before the process dies."""
        for place, (at, payloads) in enumerate(groups):
            if place in snapshots:
                self.core.save_snapshot()
            self.trouble.kill_in = restarts.get(place)
            before = self.store.log.last_seq()
            try:
                self.core.process(payloads, wall=at, monotonic=at)
            except Killed:
                self._restart(at)
                if self.store.log.last_seq() == before:  # not logged, hence never acknowledged: it is sent again
                    self.core.process(payloads, wall=at, monotonic=at)
            if self.trouble.kill_in is not None:  # it outlived its group: now, between two
                self._restart(at)
        return {**state_of(self.core), **remembered(self.store)}


@cache
def undisturbed(seed: int, days: float, build: Build) -> dict[str, object]:
    return Run().live(lived(seed, days, build), {}, set())


def differences(seed: int, days: float, build: Build, restarts: Restarts, saved: Sequence[float]) -> list[str]:
    groups = lived(seed, days, build)
    at = {int(share * len(groups)): seams for share, seams in restarts}
    run = Run()
    found = run.live(groups, at, {int(share * len(groups)) for share in saved})
    assert run.restarts == len(at)
    expected = undisturbed(seed, days, build)
    return [name for name in sorted({*expected, *found}) if expected.get(name) != found.get(name)]


shares = st.floats(0.001, 0.999)


@settings(max_examples=3, deadline=None, derandomize=True)
@given(
    seed=st.sampled_from((2,)),
    restarts=st.lists(st.tuples(shares, st.integers(0, 12)), min_size=3, max_size=12),
    saved=st.lists(shares, max_size=4),
)
def test_random_restarts_decide_the_same(seed: int, restarts: Restarts, saved: Sequence[float]) -> None:
    assert differences(seed, 0.12, World.of, restarts, saved) == []


def test_restarts_in_a_whole_scenario_decide_the_same() -> None:
    restarts = [(place / 20.0, place % 9) for place in range(1, 20)]
    assert differences(2, 0.15, scene(), restarts, [0.33, 0.66]) == []
