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


def test_a_clock_that_was_put_back_while_nobody_ran_is_an_entry_and_time_goes_on() -> None:
    order = Order(7, 1_000.0)
    entries = stamped(order, wall=400.0, monotonic=5.0)
    assert [entry.payload for entry in entries] == [ClockStepped(seconds=-600.0), Tick()]
    assert {entry.at for entry in entries} == {1_000.0}
    assert [entry.at for entry in stamped(order, wall=410.0, monotonic=15.0)] == [1_005.0]


def test_a_start_while_core_time_is_known_to_be_ahead_is_no_new_step() -> None:
    order = Order(7, 1_000.0, ahead_seconds=600.0)
    assert [entry.payload for entry in stamped(order, wall=400.0, monotonic=5.0)] == [Tick()]


def test_a_rest_brings_the_clock_nearer_to_core_time_and_that_is_known() -> None:
    order = Order(7, 1_000.0, ahead_seconds=600.0)
    assert stamped(order, wall=900.0, monotonic=5.0)[0].payload == ClockStepped(seconds=500.0)
    order = Order(7, 1_000.0, ahead_seconds=600.0)
    (said, _) = stamped(order, wall=1_150.0, monotonic=5.0)
    assert (said.at, said.payload) == (1_150.0, ClockStepped(seconds=450.0)), "even, though it was not known to be yet"
    order = Order(7, 1_000.0, ahead_seconds=600.0)
    assert [entry.payload for entry in stamped(order, wall=5_000.0, monotonic=5.0)] == [Tick()]


def test_core_time_goes_at_half_speed_however_far_apart_entries_are() -> None:
    order = Order(0, 0.0)
    stamped(order, wall=1_000.0, monotonic=0.0)
    stamped(order, wall=900.0, monotonic=0.0)
    assert stamped(order, wall=1_010.0, monotonic=110.0)[-1].at == 1_055.0, "halfway; even at 1,100"
