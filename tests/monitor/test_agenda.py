"""The agenda gives every slot its time, in order, whatever was planned, asked for and forgotten in between."""

from __future__ import annotations

from collections import Counter

from cemd.monitor.agenda import Agenda
from hypothesis import given, settings
from hypothesis import strategies as st


def due(agenda: Agenda, now: float) -> list[tuple[float, int, bool]]:
    """(time, slot, whether it is the regular time) of all that is due, earliest first."""
    times, slots = agenda.pop(now)
    assert times == sorted(times)
    regular = [(at, slot, True) for at, slot in zip(times, slots, strict=True)]
    return sorted(regular + [(at, slot, False) for at, slot in agenda.pop_asked(now)])


def test_slots_come_in_the_order_of_their_times() -> None:
    agenda = Agenda()
    for slot, at in enumerate((7.0, 3.0, 500.0, 3.1)):
        agenda.plan(slot, at)
    assert agenda.next_at() == 3.0
    assert due(agenda, 10.0) == [(3.0, 1, True), (3.1, 3, True), (7.0, 0, True)]
    assert agenda.next_at() == 500.0


def test_what_is_asked_for_comes_beside_the_regular_time() -> None:
    agenda = Agenda()
    agenda.plan(0, 5.0)
    agenda.ask(0, 2.0)
    assert due(agenda, 2.0) == [(2.0, 0, False)]
    assert agenda.next_at() == 5.0


def test_empty_agenda_has_nothing_next() -> None:
    agenda = Agenda()
    assert agenda.next_at() is None
    agenda.plan(3, 1.0)
    agenda.ask(3, 0.5)
    agenda.forget(3)
    assert agenda.next_at() is None
    assert due(agenda, 100.0) == []


@settings(max_examples=80)
@given(
    st.lists(
        st.tuples(st.sampled_from("paft"), st.integers(0, 200), st.floats(0.0, 3.0, allow_subnormal=False)), max_size=80
    )
)
def test_same_answers_as_a_plain_list_sorted_each_time(events: list[tuple[str, int, float]]) -> None:
    agenda, now = Agenda(), 0.0
    planned: dict[int, float] = {}
    asked: Counter[tuple[float, int]] = Counter()
    for what, slot, seconds in events:
        if what == "p":
            planned[slot] = now + seconds
            agenda.plan(slot, now + seconds)
        elif what == "a" and slot in planned:
            asked[now + seconds, slot] += 1
            agenda.ask(slot, now + seconds)
        elif what == "f":
            planned.pop(slot, None)
            asked = Counter({key: count for key, count in asked.items() if key[1] != slot})
            if slot in range(201):
                agenda.plan(slot, now + 9.0)
                agenda.forget(slot)
        else:
            now += seconds
            wanted = [(at, other, True) for other, at in planned.items() if at <= now]
            wanted += [(at, other, False) for (at, other), count in asked.items() for _ in range(count) if at <= now]
            found = due(agenda, now)
            assert [at for at, _, _ in found] == sorted(at for at, _, _ in found)
            assert sorted(found) == sorted(wanted)
            for at, other, regular in found:
                if regular:
                    del planned[other]
                else:
                    asked[at, other] = 0
        times = [*planned.values(), *(at for (at, _), count in asked.items() if count)]
        assert agenda.next_at() == (min(times) if times else None)


ALL = b"\1" * 9


def test_what_is_near_is_seen_in_order_and_stays_until_it_is_planned_anew() -> None:
    agenda = Agenda()
    for slot, at in enumerate((3.0, 3.2, 3.1, 9.0)):
        agenda.plan(slot, at)
    assert due(agenda, 3.0) == [(3.0, 0, True)]
    assert agenda.near(3.15, 10, ALL) == ([3.1], [2])
    assert agenda.near(4.0, 10, ALL) == ([3.1, 3.2], [2, 1])
    assert agenda.near(4.0, 1, ALL) == ([3.1], [2])
    assert agenda.near(4.0, 10, b"\1\1\0\1") == ([3.2], [1])
    agenda.plan(2, 13.1)
    assert agenda.near(4.0, 10, ALL) == ([3.2], [1])
    assert due(agenda, 20.0) == [(3.2, 1, True), (9.0, 3, True), (13.1, 2, True)]


def test_what_is_far_ahead_and_planned_first_keeps_nothing_nearer_from_being_let_in_ahead() -> None:
    agenda = Agenda()
    agenda.plan(0, 40.0)
    assert agenda.next_at() == 40.0
    for slot in range(1, 1_001):
        agenda.plan(slot, 40.0 - slot / 50)
        if slot % 100 == 0:
            assert agenda.next_at() == 40.0 - slot / 50
    assert len(agenda._soon) < 30, "those that come first are in a slice, not in a heap that each turn works on"
    times, slots = agenda.near(20.2, 256, [1] * 1_001)
    assert slots == list(range(1_000, 989, -1))
    assert times == sorted(times)
    assert [slot for at in (20.1, 30.0, 41.0) for slot in agenda.pop(at)[1]] == list(range(1_000, -1, -1))
    assert agenda.next_at() is None
