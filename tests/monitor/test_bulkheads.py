"""Walls: many runs that come at once are counted as they would be one by one."""

from __future__ import annotations

import numpy as np
from cemd.monitor.bulkheads import Bulkheads
from hypothesis import given, settings
from hypothesis import strategies as st

GROUPS = [("tcp", "a", False), ("tcp", "b", False), ("dns", "a", True), ("dns", "b", False)]


def walls() -> tuple[Bulkheads, list[int]]:
    made = Bulkheads(kind_at_once=6, group_at_once=3, most_at_once=9)
    return made, [made.group(kind, group, light=light) for kind, group, light in GROUPS]


@given(st.lists(st.tuples(st.lists(st.integers(0, 3), max_size=12), st.integers(0, 12)), max_size=6))
def test_runs_that_come_and_go_together_find_the_places_that_they_would_find_singly(
    moments: list[tuple[list[int], int]],
) -> None:
    (together, groups), (singly, same) = walls(), walls()
    inside: list[int] = []
    for come, go in moments:
        entered = together.enter_each([groups[place] for place in come])
        assert entered == [singly.enter(same[place]) is None for place in come]
        inside += [place for place, fits in zip(come, entered, strict=True) if fits]
        leave, inside = inside[:go], inside[go:]
        together.leave_few([groups[place] for place in leave])
        for place in leave:
            singly.leave(same[place], hung=False)
        assert together.running() == singly.running() == len(inside)


@settings(max_examples=60)
@given(st.lists(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=6), max_size=8))
def test_many_runs_pass_the_walls_together_exactly_when_each_would_pass_alone(
    rounds: list[list[tuple[int, int]]],
) -> None:
    def walls() -> Bulkheads:
        return Bulkheads(kind_at_once=6, group_at_once=3, most_at_once=9)

    together, singly = walls(), walls()
    for kinds in rounds:
        groups = [together.group(f"k{kind}", f"g{group}") for kind, group in kinds]
        assert groups == [singly.group(f"k{kind}", f"g{group}") for kind, group in kinds]
        entered = [group for group in groups if singly.enter(group, hung=False) is None]
        if together.enter_all(np.array(groups, dtype=np.intp)):
            assert entered == groups
        else:
            assert len(entered) < len(groups)
            for group in entered:
                singly.leave(group, hung=False)
        assert together.running() == singly.running()
