"""kill -9 of daemon or prober in the middle of the story, a new start, and nothing promised is broken.

A handful of kills here; `python -m tests.scenario.hundred_kills` makes a hundred.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenario.killing import Killing, problems_of
from tests.scenario.world import open_world


@pytest.mark.parametrize("seed", [1])
async def test_kills_at_random_moments_break_no_promise(seed: int, tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        outcome = await Killing(world, seed=seed, kills=6).run()
    assert len(outcome.kills) >= 3, outcome.kills
    assert problems_of(outcome) == [], outcome.kills
