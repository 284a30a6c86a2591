"""The agenda gives every slot its time, in order, whatever was planned, asked for and forgotten in between."""

from __future__ import annotations

from cemd.monitor.agenda import Agenda
from hypothesis import given, settings
from hypothesis import strategies as st


def due(agenda: Agenda, now: float) -> list[tuple[float, int, bool]]:
    """(time, slot, whether it is the regular time) of all that is due, earliest first."""
    times, slots = agenda.pop(now)
    assert times == sorted(times)
    regular = [(at, slot, True) for at, slot in zip(times, slots, strict=True)]
    return sorted(regular + [(at, slot, False) for at, slot in agenda.pop_asked(now)])


def test_slots_come_in_the_order_of_their_times_and_again_after_their_intervals() -> None:
    agenda = Agenda()
    for slot, at in enumerate((7.0, 3.0, 500.0, 3.1)):
        agenda.plan(slot, at, 100.0)
    assert agenda.next_at() == 3.0
    assert due(agenda, 10.0) == [(3.0, 1, True), (3.1, 3, True), (7.0, 0, True)]
    assert agenda.next_at() == 103.0
    assert due(agenda, 104.0) == [(103.0, 1, True), (103.1, 3, True)]
    assert [agenda.planned(slot) for slot in range(4)] == [107.0, 203.0, 500.0, 203.1]


def test_what_is_asked_for_comes_beside_the_regular_time() -> None:
    agenda = Agenda()
    agenda.plan(0, 5.0, 10.0)
    agenda.ask(0, 2.0)
    assert due(agenda, 2.0) == [(2.0, 0, False)]
    assert agenda.next_at() == 5.0


def test_empty_agenda_has_nothing_next() -> None:
    agenda = Agenda()
    assert agenda.next_at() is None
    agenda.plan(3, 1.0, 10.0)
    agenda.ask(3, 0.5)
    agenda.forget(3)
    assert agenda.next_at() is None
    assert due(agenda, 100.0) == []


def test_times_that_went_by_with_their_whole_interval_come_once_and_the_others_are_counted() -> None:
    agenda = Agenda()
    agenda.plan(0, 1.0, 0.125)
    agenda.plan(1, 1.5, 10.0)
    assert due(agenda, 1.0) == [(1.0, 0, True)]
    assert agenda.take_missed() == 0
    assert due(agenda, 31.625) == [(1.125, 0, True), (1.5, 1, True)]
    assert agenda.take_missed() == 244 + 3
    assert agenda.next_at() == 31.75
    assert agenda.planned(1) == 41.5


class Listed:
    """The same as a plain list that is sorted each time."""

    def __init__(self) -> None:
        self.planned: dict[int, tuple[int, int]] = {}
        self.asked: list[tuple[int, int]] = []
        self.missed = 0

    def due(self, now: int) -> list[tuple[float, int, bool]]:
        found = [(float(at), slot, True) for slot, (at, _) in self.planned.items() if at <= now]
        for _, slot, _ in found:
            at, every = self.planned[slot]
            self.missed += (now - at) // every
            self.planned[slot] = (at + ((now - at) // every + 1) * every, every)
        asked = [(float(at), slot, False) for at, slot in self.asked if at <= now]
        self.asked = [entry for entry in self.asked if entry[0] > now]
        return sorted(found + asked)

    def next_at(self) -> int | None:
        return min([at for at, _ in self.planned.values()] + [at for at, _ in self.asked], default=None)


_EVENTS = st.lists(
    st.tuples(st.sampled_from("paftttkk"), st.integers(0, 200), st.integers(0, 300), st.integers(1, 400)), max_size=80
)


@settings(max_examples=120)
@given(_EVENTS)
def test_same_answers_as_a_plain_list_sorted_each_time(events: list[tuple[str, int, int, int]]) -> None:
    """Times are whole hundredths of a second here, doubled by powers of two so that none is rounded."""
    agenda, plain, now = Agenda(), Listed(), 0
    unit = 2.0**-7
    for what, slot, later, every in events:
        at = now + later
        match what:
            case "p":
                agenda.plan(slot, at * unit, every * unit)
                plain.planned[slot] = (at, every)
            case "a" if slot in plain.planned:
                agenda.ask(slot, at * unit)
                plain.asked.append((at, slot))
            case "f" if slot in plain.planned:
                agenda.forget(slot)
                del plain.planned[slot]
                plain.asked = [entry for entry in plain.asked if entry[1] != slot]
            case "k":  # what is light is let in ahead: every second slot
                times, slots = agenda.ahead((now + later) * unit, slot)
                assert times == sorted(times)
                takes = [other for other in slots if other % 2]
                stays = [(one, other) for one, other in zip(times, slots, strict=True) if not other % 2]
                agenda.take_ahead(len(slots), [one for one, _ in stays], [other for _, other in stays])
                for one, other in zip(times, slots, strict=True):
                    assert plain.planned[other][0] * unit == one
                for other in takes:
                    first, its = plain.planned[other]
                    plain.planned[other] = (first + its, its)
            case "t":
                now = at
                assert sorted(due(agenda, now * unit)) == [(one * unit, *more) for one, *more in plain.due(now)]
                assert agenda.take_missed() == plain.missed
                plain.missed = 0
        assert [agenda.planned(slot) for slot in plain.planned] == [at * unit for at, _ in plain.planned.values()]
        assert agenda.next_at() == (None if (following := plain.next_at()) is None else following * unit)


def test_what_is_near_is_seen_in_order_and_stays_until_it_is_taken() -> None:
    agenda = Agenda()
    for slot, at in enumerate((3.0, 3.2, 3.1, 9.0)):
        agenda.plan(slot, at, 100.0)
    assert due(agenda, 3.0) == [(3.0, 0, True)]
    assert agenda.ahead(3.15, 10) == ([3.1], [2])
    assert agenda.ahead(4.0, 1) == ([3.1], [2])
    assert agenda.ahead(4.0, 10) == ([3.1, 3.2], [2, 1])
    agenda.take_ahead(2, [3.2], [1])
    assert agenda.planned(2) == 103.1
    assert agenda.ahead(4.0, 10) == ([3.2], [1])
    agenda.plan(1, 13.1, 100.0)
    assert agenda.ahead(4.0, 10) == ([], [])
    assert due(agenda, 20.0) == [(9.0, 3, True), (13.1, 1, True)]


def test_what_is_far_ahead_and_planned_first_keeps_nothing_nearer_from_being_let_in_ahead() -> None:
    agenda = Agenda()
    agenda.plan(0, 40.0, 100.0)
    assert agenda.next_at() == 40.0
    for slot in range(1, 1_001):
        agenda.plan(slot, 40.0 - slot / 50, 100.0)
        if slot % 100 == 0:
            assert agenda.next_at() == 40.0 - slot / 50
    assert len(agenda._soon) < 30, "those that come first are in a slice, not in a heap that each turn works on"
    times, slots = agenda.ahead(20.2, 256)
    assert slots == list(range(1_000, 989, -1))
    assert times == sorted(times)
    assert [slot for at in (20.1, 30.0, 41.0) for slot in agenda.pop(at)[1]] == list(range(1_000, -1, -1))
    assert agenda.next_at() == 120.0
