"""Order: seq grows by one, core time never goes back, a stepped clock is said."""

from __future__ import annotations

import itertools

from cemd.loop.order import STEP_SECONDS, Order
from cemd.model.entry import ClockStepped, Entry, Tick
from hypothesis import given
from hypothesis import strategies as st


def stamped(order: Order, wall: float, monotonic: float, payloads: int = 1) -> list[Entry]:
    entries = order.stamp([Tick()] * payloads, wall=wall, monotonic=monotonic)
    order.accept(entries, wall=wall, monotonic=monotonic)
    return entries


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e5)), min_size=1, max_size=50))
def test_core_time_never_goes_back_and_seq_has_no_gap(moves: list[tuple[float, float]]) -> None:
    order = Order(seq=7, at=1_000.0)
    wall, monotonic, entries = 1_000.0, 0.0, []
    for jump, passed in moves:
        monotonic += passed
        wall += passed + jump
        entries += stamped(order, wall, monotonic)
    assert [entry.seq for entry in entries] == list(range(8, 8 + len(entries)))
    assert all(one.at <= other.at for one, other in itertools.pairwise(entries))


def test_a_jump_of_the_wall_clock_becomes_an_entry_before_the_payload() -> None:
    order = Order(0, 0.0)
    stamped(order, wall=100.0, monotonic=0.0)
    entries = stamped(order, wall=3_701.0, monotonic=1.0)
    assert [type(entry.payload) for entry in entries] == [ClockStepped, Tick]
    assert entries[0].payload == ClockStepped(seconds=3_600.0)
    assert entries[0].at == 3_701.0


def test_after_a_jump_back_time_goes_on_at_half_speed_until_even() -> None:
    order = Order(0, 0.0)
    stamped(order, wall=1_000.0, monotonic=0.0)
    assert stamped(order, wall=900.0, monotonic=0.0)[-1].at == 1_000.0
    assert stamped(order, wall=910.0, monotonic=10.0)[-1].at == 1_005.0
    assert stamped(order, wall=1_100.0, monotonic=200.0)[-1].at == 1_100.0


def test_slewing_is_no_step() -> None:
    order = Order(0, 0.0)
    stamped(order, wall=100.0, monotonic=0.0)
    assert len(stamped(order, wall=101.0 + STEP_SECONDS / 2, monotonic=1.0)) == 1


def test_a_group_that_was_not_logged_leaves_no_gap() -> None:
    order = Order(0, 0.0)
    lost = order.stamp([Tick(), Tick()], wall=1.0, monotonic=0.0)
    kept = stamped(order, wall=2.0, monotonic=1.0)
    assert lost[0].seq == kept[0].seq == 1
