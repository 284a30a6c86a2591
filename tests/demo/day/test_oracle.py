"""The oracle keeps to the policy: whom it tells is whom cemd could have told."""

from __future__ import annotations

import numpy as np
from cemd.config.rules import Cap
from cemd.daemon.kinds import kinds
from cemd.demo.day.oracle import Oracle, Told
from cemd.demo.files import shipped_root
from cemd.demo.world.reading import SCENARIOS, read_scenario
from cemd.demo.world.world import World

DAY = 86_400.0


def test_whoever_heard_of_a_fault_and_its_end_has_used_two_of_the_cap() -> None:
    oracle = Oracle(World(read_scenario(SCENARIOS / "small.yaml"), shipped_root() / "rules", kinds(), seed=1))
    earlier, later = oracle.world.events[:2]
    policy = oracle.policy(later)
    assert policy is not None
    at = np.full(oracle.world.people.count, np.inf)
    at[[1, 2]] = [earlier.begin + 300.0, -1.0]  # 1 was told, 2 waited for the morning in vain
    oracle.told[earlier.number] = Told(earlier.begin + 300.0, at)
    capped = policy.model_copy(update={"caps": [Cap(most=3, window_seconds=DAY)]})
    numbers = np.arange(3, dtype=np.uint32)
    assert oracle.capped(later, capped, later.begin, numbers).tolist() == [False, True, False]
    wide = policy.model_copy(update={"caps": [Cap(most=4, window_seconds=DAY)]})
    assert not oracle.capped(later, wide, later.begin, numbers).any()
    assert not oracle.capped(later, capped, later.begin + 2 * DAY, numbers).any()
