"""The static thresholds tell by hand, and keep to the policy as whoever writes by hand must."""

from __future__ import annotations

import numpy as np
from cemd.config.rules import Cap
from cemd.daemon.kinds import kinds
from cemd.demo.day.baseline import Baseline, Seen
from cemd.demo.files import shipped_root
from cemd.demo.world.reading import SCENARIOS, read_scenario
from cemd.demo.world.world import World
from cemd.store.memory import MemorySeries

DAY = 86_400.0


def test_what_was_told_by_hand_and_its_end_count_against_the_cap() -> None:
    world = World(read_scenario(SCENARIOS / "small.yaml"), shipped_root() / "rules", kinds(), seed=1)
    world.begin(MemorySeries())
    baseline = Baseline(world, Seen(world))
    policy = world.configuration.policies[0].model_copy(update={"caps": [Cap(most=4, window_seconds=DAY)]})
    numbers, at = np.arange(3, dtype=np.uint32), world.start
    baseline.look(at)
    baseline.tell("radio", np.array([1, 2]))
    assert not baseline.capped(policy, at, numbers).any(), "one notice, its end, and two more"
    baseline.tell("billing", np.array([2]))
    assert baseline.capped(policy, at, numbers).tolist() == [False, False, True]
    assert not baseline.capped(policy.model_copy(update={"caps": []}), at, numbers).any()
    assert not baseline.capped(policy, at + 2 * DAY, numbers[:2]).any(), "an end that is owed counts whenever it comes"
