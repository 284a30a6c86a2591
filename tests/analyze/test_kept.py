"""What is shown of indicators is made anew where it changed, and nowhere else."""

from __future__ import annotations

import numpy as np
from cemd.analyze import stage
from cemd.analyze.columns import Columns
from cemd.analyze.indicators.instances import FIELDS
from cemd.analyze.indicators.kept import Kept
from cemd.analyze.views import analyze_view

from tests.analyze.world import World, series


def test_only_what_changed_is_made_anew() -> None:
    columns, kept, made = Columns(FIELDS), Kept[tuple[int, float]](), []
    columns.add(4)

    def make(number: int) -> tuple[int, float]:
        made.append(number)
        return number, float(columns["samples"][number])

    assert kept.all(columns, "series", make) == ((0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0))
    made.clear()
    columns["samples"][2] = 5.0
    columns["value"][3] = 0.25
    assert kept.all(columns, "series", make) == ((0, 0.0), (1, 0.0), (2, 5.0), (3, 0.0))
    assert made == [2, 3], "values that are unknown still are no change"
    made.clear()
    columns["value"][3] = np.nan
    columns["quality"][0] = 1
    kept.all(columns, "series", make)
    assert made == [0, 3]


def test_other_series_behind_them_make_all_of_them_anew() -> None:
    columns, kept, made = Columns(FIELDS), Kept[int](), []
    columns.add(2)

    def make(number: int) -> int:
        made.append(number)
        return number

    for looked_at in ("some", "some", "more"):
        kept.all(columns, looked_at, make)
    assert made == [0, 1, 0, 1]
    columns.add(1)
    kept.all(columns, "more", make)
    assert made[4:] == [0, 1, 2]


def test_a_view_that_was_looked_at_all_the_while_is_the_one_that_a_start_gives() -> None:
    world = World()
    for round_ in range(4):
        world.run(100.0, success=0.0 if round_ == 2 else 1.0, delay=0.1 + 0.3 * round_)
        seen = stage.view(world.state, world.topology)
    world.add([series(7, "core-ping", "success")])
    world.samples((world.series["core-ping", "success"], 1.0))
    world.tick(2.0)
    seen = stage.view(world.state, world.topology)
    assert {len(one.series) for one in seen.indicators} == {1}
    world.restart()
    state = world.state
    anew = analyze_view(world.topology, state.table, state.indicators, state.findings, state.vantages)
    assert anew.indicators == seen.indicators
    assert anew.services == seen.services
