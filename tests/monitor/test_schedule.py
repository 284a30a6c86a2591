"""The schedule in virtual time: phases that last, late runs skipped, bulkheads that hold, failures looked at again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from cemd.monitor.bulkheads import LIGHT_TIMES
from cemd.monitor.plans import Plan, Skip
from cemd.monitor.schedule import Schedule as BySlots
from hypothesis import given, settings
from hypothesis import strategies as st


class Slots(BySlots):
    """A schedule that is given a whole set at once."""

    def load(self, plans: Iterable[Plan], now: float, *, kind_at_once: int | None = None) -> list[int]:
        plans = list(plans)
        self.make_room(len(plans), kind_at_once=kind_at_once)
        before = {uid: slot for slot, uid in enumerate(self.uids()) if uid}
        slots = [self.put(plan, before.pop(plan.uid, None), now) for plan in plans]
        for slot in before.values():
            self.retire(slot)
        return slots


class Schedule(Slots):
    """A schedule that is spoken to by uid, as tests read best."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.uid: dict[int, str] = {}
        self.begun: dict[str, int] = {}

    def load(self, plans: Iterable[Plan], now: float, **given: Any) -> list[int]:
        plans = list(plans)
        slots = list(super().load(plans, now, **given))
        self.uid.update((slot, plan.uid) for slot, plan in zip(slots, plans, strict=True))
        return slots

    def started(self, now: float) -> list[str]:
        started = {self.uid[slot]: slot for slot in self.turn(now).slots}
        self.begun.update(started)
        return list(started)

    def over(self, uid: str, now: float, *, failed: bool = False, hung: bool = False) -> None:
        self.finished(self.begun[uid], now, failed=failed, hung=hung)


def plan(uid: str, every: float = 10.0, kind: str = "tcp", group: str = "") -> Plan:
    return Plan(uid=uid, every_seconds=every, kind=kind, group=group or uid)


def walk(schedule: Schedule, now: float, seconds: float, *, failed: bool = False) -> list[tuple[float, str]]:
    """Lets virtual time pass; every run takes no time. (when, who) of all runs."""
    runs = []
    end = now + seconds
    while (at := schedule.next_at()) is not None and at <= end:
        now = max(now, at)
        for uid in schedule.started(now):
            runs.append((now, uid))
            schedule.over(uid, now, failed=failed)
    return runs


def test_each_probe_runs_once_an_interval_at_its_phase() -> None:
    schedule = Schedule(wall_offset=0.0)
    schedule.load([plan("a"), plan("b", 5.0)], 1000.0)
    runs = walk(schedule, 1000.0, 100.0)
    assert Counter(uid for _, uid in runs) == {"a": 10, "b": 20}
    for at, uid in runs:
        every = 10.0 if uid == "a" else 5.0
        assert at % every == pytest.approx(plan(uid, every).phase(), abs=1e-6)


def test_phase_survives_a_restart_at_another_monotonic_time() -> None:
    wall = 1_700_000_000.0
    before = Schedule(wall_offset=wall - 50.0)
    before.load([plan("a")], 50.0)
    after = Schedule(wall_offset=wall + 123.4 - 7.0)
    after.load([plan("a")], 7.0)
    first, second = before.next_at(), after.next_at()
    assert first is not None
    assert second is not None
    gap = (second + wall + 123.4 - 7.0) - (first + wall - 50.0)
    assert gap / 10.0 == pytest.approx(round(gap / 10.0), abs=1e-6)


def test_reload_keeps_the_next_run_of_what_did_not_change() -> None:
    schedule = Schedule(wall_offset=0.0)
    schedule.load([plan("a")], 0.0)
    planned = schedule.next_at()
    schedule.load([plan("a"), plan("b", 86_400.0)], 0.5)
    assert schedule.next_at() == planned


def test_runs_are_spread_over_the_interval() -> None:
    schedule = Schedule(wall_offset=0.0)
    schedule.load([plan(f"p{number}", 60.0) for number in range(600)], 0.0)
    per_second = Counter(int(at) for at, _ in walk(schedule, 0.0, 59.99))
    assert max(per_second.values()) < 30


def test_host_that_slept_skips_what_it_missed_and_counts_it() -> None:
    schedule = Schedule(wall_offset=0.0)
    schedule.load([plan("a")], 0.0)
    first = schedule.next_at()
    assert first is not None
    turn = schedule.turn(first + 1006.0)
    assert turn.slots == []
    assert turn.skipped == [(0, Skip.LATE)]
    assert schedule.skipped_total[Skip.LATE] == 1
    after = schedule.next_at()
    assert after is not None
    assert first + 1006.0 < after <= first + 1016.0
    assert (after - first) % 10.0 == pytest.approx(0.0, abs=1e-6) or (after - first) % 10.0 == pytest.approx(10.0)


def test_hanging_group_delays_nobody_else() -> None:
    schedule = Schedule(wall_offset=0.0, group_at_once=2)
    hanging = [plan(f"h{number}", group="dead-host") for number in range(5)]
    schedule.load([*hanging, plan("other")], 0.0)
    started = [uid for at in range(11) for uid in schedule.started(float(at))]
    assert "other" in started
    assert len([uid for uid in started if uid.startswith("h")]) == 2
    turn = schedule.turn(18.0)
    assert {why for _, why in turn.skipped} <= {Skip.BULKHEAD, Skip.STILL_RUNNING, Skip.LATE}
    assert schedule.skipped_total[Skip.BULKHEAD] >= 1


def test_targets_that_hang_take_no_place_from_those_that_live() -> None:
    schedule = Schedule(wall_offset=0.0, kind_at_once=40, most_at_once=40)
    dead = {f"dead{number}" for number in range(60)}
    live = {f"live{number}" for number in range(60)}
    schedule.load([plan(uid) for uid in sorted(dead | live)], 0.0)
    ends: list[tuple[float, str]] = []
    runs: Counter[str] = Counter()
    for step in range(1, 6001):
        now = step * 0.01
        for uid in [uid for at, uid in ends if at <= now]:
            schedule.over(uid, now, failed=uid in dead, hung=uid in dead)
        ends = [end for end in ends if end[0] > now]
        for uid in schedule.started(now):
            ends.append((now + (5.0 if uid in dead else 0.02), uid))
            if now > 20.0:
                runs[uid] += 1
    assert {runs[uid] for uid in live} == {4}
    assert schedule.skipped_total[Skip.BULKHEAD] > 0


def test_who_waits_too_long_is_given_up_and_counted_even_when_no_place_gets_free() -> None:
    schedule = Schedule(wall_offset=0.0, kind_at_once=1)
    schedule.load([plan("a", 1000.0), plan("b", 1000.0)], 0.0)
    for uid in ("a", "b"):
        schedule.recheck(uid, 1.0)
    assert len(schedule.started(1.0)) == 1
    assert schedule.turn(5.9).skipped == []
    assert [why for _, why in schedule.turn(6.6).skipped] == [Skip.BULKHEAD]


@pytest.mark.parametrize("probes", [1, 100], ids=["few", "many"])
def test_intervals_that_passed_while_nobody_looked_are_counted(probes: int) -> None:
    schedule = Schedule(wall_offset=0.0)
    schedule.load([plan(f"p{number}") for number in range(probes)], 1000.0)
    walk(schedule, 1000.0, 10.0)
    turn = schedule.turn(1055.0)
    assert len(turn.skipped) + len(turn.slots) == probes
    assert schedule.skipped_total[Skip.MISSED] + probes == sum(
        (1055.0 - one.phase()) // 10.0 - (1010.0 - one.phase()) // 10.0
        for one in (plan(f"p{number}") for number in range(probes))
    )


def test_slots_are_kept_through_a_reload_and_given_on_only_when_their_run_is_over() -> None:
    schedule = Schedule(wall_offset=0.0)
    first, second = schedule.load([plan("a"), plan("b")], 0.0)
    schedule.recheck("a", 0.0)
    assert schedule.started(0.0) == ["a"]
    assert schedule.load([plan("b"), plan("c")], 1.0) == [second, 2]
    schedule.finished(first, 2.0, failed=False)
    assert schedule.load([plan("b"), plan("c"), plan("d")], 3.0) == [second, 2, first]
    assert schedule.running() == 0


def test_run_that_waits_when_its_probe_leaves_is_counted() -> None:
    schedule = Schedule(wall_offset=0.0, kind_at_once=1)
    schedule.load([plan("a", 1000.0), plan("b", 1000.0)], 0.0)
    for uid in ("a", "b"):
        schedule.recheck(uid, 1.0)
    [running] = schedule.started(1.0)
    schedule.load([plan(running, 1000.0)], 1.5)
    assert schedule.skipped_total == {Skip.LEFT: 1}
    schedule.over(running, 2.0)
    assert schedule.started(2.0) == []


def test_slot_that_gets_free_goes_to_who_waited() -> None:
    schedule = Schedule(wall_offset=0.0, kind_at_once=1)
    schedule.load([plan("a", 1000.0), plan("b", 1000.0)], 0.0)
    for uid in ("a", "b"):
        schedule.recheck(uid, 1.0)
    [first] = schedule.started(1.0)
    assert schedule.started(1.5) == []
    schedule.over(first, 2.0)
    [second] = schedule.started(2.0)
    assert {first, second} == {"a", "b"}
    assert schedule.running() == 1


def test_first_failures_are_looked_at_again_quickly_and_only_those() -> None:
    schedule = Schedule(wall_offset=0.0)
    schedule.load([plan("a", 60.0)], 0.0)
    runs = walk(schedule, 0.0, 240.0, failed=True)
    assert len(runs) == 4 + 2
    quick = [after[0] - before[0] for before, after in pairwise(runs)][:2]
    assert quick == pytest.approx([5.0, 5.0])


def test_recheck_runs_at_once_coalesces_and_keeps_the_phase() -> None:
    schedule = Schedule(wall_offset=0.0)
    schedule.load([plan("a", 1000.0)], 0.0)
    regular = schedule.next_at()
    assert regular is not None
    assert regular > 2.0
    assert schedule.recheck("nobody", 1.0) is None
    schedule.recheck("a", 1.0)
    assert schedule.started(1.0) == ["a"]
    schedule.recheck("a", 1.1)
    schedule.recheck("a", 1.2)
    assert schedule.started(1.2) == []
    schedule.over("a", 1.3, failed=False)
    assert schedule.started(1.3) == ["a"]
    schedule.over("a", 1.4, failed=False)
    assert schedule.started(1.5) == []
    assert schedule.next_at() == regular


@pytest.mark.parametrize("together", [False, True])
def test_whoever_is_to_run_once_more_is_worth_a_turn_at_its_end(together: bool) -> None:
    schedule = Schedule(wall_offset=0.0)
    schedule.load([plan("a", 1000.0)], 0.0)
    for asked, worth in ((True, True), (False, False)):
        schedule.recheck("a", 1.0)
        assert schedule.started(1.0) == ["a"]
        if asked:
            schedule.recheck("a", 1.1)
        slot = schedule.begun["a"]
        ended = schedule.finished_well([slot], 1.2) if together else schedule.finished(slot, 1.2, failed=False)
        assert ended is worth
        if worth:
            assert schedule.started(1.3) == ["a"]
            schedule.over("a", 1.4, failed=False)


def test_probe_that_left_while_running_frees_its_slot() -> None:
    schedule = Schedule(wall_offset=0.0, kind_at_once=1)
    schedule.load([plan("a", 1000.0)], 0.0)
    schedule.recheck("a", 0.0)
    assert schedule.started(0.0)
    schedule.load([plan("b", 1000.0)], 1.0)
    schedule.over("a", 2.0, failed=True)
    assert schedule.running() == 0
    schedule.recheck("b", 3.0)
    assert schedule.started(3.0) == ["b"]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("tdfrlw"), st.integers(0, 7), st.floats(0.0, 8.0)), max_size=60))
def test_no_order_of_events_runs_a_probe_twice_at_once_or_breaks_a_bulkhead(
    events: list[tuple[str, int, float]],
) -> None:
    schedule = Schedule(wall_offset=3.0, kind_at_once=4, group_at_once=2)
    every = [plan(f"p{number}", 2.0 + number, group=f"g{number % 3}") for number in range(8)]
    schedule.load(every, 0.0)
    now = 0.0
    running: set[str] = set()
    for what, number, seconds in events:
        uid = f"p{number}"
        now += seconds
        if what == "r":
            schedule.recheck(uid, now)
        elif what == "l":
            schedule.load(every[number:], now)
        elif what == "w":
            slots = np.array([schedule.begun[other] for other in sorted(running)], dtype=np.intp)
            schedule.finished_well(slots, now)
            running.clear()
        elif uid in running:
            running.discard(uid)
            schedule.over(uid, now, failed=what == "f")
        for uid in schedule.started(now):
            assert uid not in running
            running.add(uid)
        assert schedule.running() == len(running) <= 4


def test_light_runs_find_more_places_at_one_target_and_take_none_from_others() -> None:
    schedule = Slots(wall_offset=0.0, group_at_once=2)
    plans = [
        Plan(uid=f"{word}{number}", every_seconds=60.0, kind="dns", group="a", light=word == "light")
        for word in ("light", "heavy")
        for number in range(20)
    ]
    slots = schedule.load(plans, 0.0)
    for plan in plans:
        schedule.recheck(plan.uid, 0.0)
    started = set(map(int, schedule.turn(0.0).slots))
    assert len(started & set(slots[:20])) == 2 * LIGHT_TIMES
    assert len(started & set(slots[20:])) == 2


def test_whoever_hung_but_once_goes_before_those_that_hang_again_and_again() -> None:
    """Those that hang for good ask for more places than such may have; one that lives hung once and waits with them."""
    schedule = Schedule(wall_offset=0.0, kind_at_once=6)
    dead = [f"dead{number}" for number in range(6)]
    schedule.load([plan(uid, 1000.0) for uid in (*dead, "live")], 0.0)

    def ask(now: float, *uids: str) -> list[str]:
        for uid in uids:
            schedule.recheck(uid, now)
        return schedule.started(now)

    for now in (0.0, 100.0):
        begun = ask(now, *dead)
        while begun:
            for uid in begun:
                schedule.over(uid, now, failed=True, hung=True)
            begun = schedule.started(now)
    assert ask(200.0, "live") == ["live"]
    schedule.over("live", 200.0, failed=True, hung=True)
    assert ask(300.0, *dead) == dead[:3], "half of the places"
    assert ask(300.0, "live") == []
    schedule.over("dead0", 300.0, failed=True, hung=True)
    assert schedule.started(300.0) == ["live"]
    schedule.over("live", 300.0)
    assert schedule.started(300.0) == ["dead3"]


def let_in(schedule: Slots, now: float, seconds: float) -> list[tuple[int, float]]:
    """(slot, due) of what a turn lets in before it is due."""
    turn = schedule.turn(now, until=now + seconds)
    return list(zip(turn.ahead, turn.due, strict=True))


def light(count: int, every: float = 10.0) -> list[Plan]:
    return [Plan(uid=f"l{n}", every_seconds=every, kind="dns", group=f"g{n}", light=True) for n in range(count)]


def test_light_runs_due_soon_are_let_in_together_each_once_and_no_heavy_one_with_them() -> None:
    schedule = Slots(wall_offset=0.0)
    heavy = [plan(f"h{number}") for number in range(500)]
    slots = schedule.load([*light(2000), *heavy], 1000.0)
    runs: Counter[int] = Counter()
    now, ahead = 1000.0, 0
    while now < 1020.05:
        turn = schedule.turn(now, until=now + 0.1)
        assert all(now < due <= now + 0.1 for due in turn.due)
        assert turn.due == sorted(turn.due)
        assert set(turn.ahead) <= set(slots[:2000])
        ahead += len(turn.ahead)
        runs.update(turn.slots + turn.ahead)
        for slot in turn.slots + turn.ahead:
            schedule.finished(slot, now, failed=False)
        now += 0.1
    assert set(runs) == set(slots)
    assert set(runs.values()) <= {2, 3}, "two intervals, and what was let in for the third"
    assert ahead > 3000
    assert not schedule.skipped_total


def test_little_is_left_for_its_time_and_so_is_all_while_somebody_waits() -> None:
    few = Slots(wall_offset=0.0)
    few.load(light(3, every=0.5), 0.0)
    assert let_in(few, 0.0, 0.2) == []
    full = Slots(wall_offset=0.0, most_at_once=1)
    full.load(light(2000), 0.0)
    full.recheck("l0", 0.0)
    full.recheck("l1", 0.0)
    assert let_in(full, 0.0, 0.2) == []
    assert full.crowded()


def test_what_finds_no_place_ahead_comes_when_it_is_due() -> None:
    schedule = Slots(wall_offset=0.0, kind_at_once=12)
    slots = schedule.load(light(2000), 0.0)
    schedule.turn(0.0)
    early = let_in(schedule, 0.0, 0.2)
    assert len(early) == 12
    for slot, due in early:
        schedule.finished(slot, due, failed=False)
    later: list[int] = []
    for now in np.arange(0.0, 10.0, 0.01).tolist():
        turn = schedule.turn(now)
        later += turn.slots
        for slot in turn.slots:
            schedule.finished(slot, now, failed=False)
    assert not {slot for slot, _ in early} & set(later)
    assert len(later) == len(set(later))
    assert len(slots) - 12 - len(later) <= 3, "those of the last moment"


def test_run_that_was_let_in_and_not_begun_is_offered_anew_and_skipped_when_it_is_too_late() -> None:
    schedule = Slots(wall_offset=0.0)
    schedule.load(light(2000, every=1.0), 0.0)
    early = let_in(schedule, 0.0, 0.03)
    now = early[len(early) // 2][1] + 0.5
    schedule.return_unbegun(early, now)
    assert schedule.running() == 0
    turn = schedule.turn(now)
    in_time = [slot for slot, due in early if now - due <= 0.5]
    late = [(slot, Skip.LATE) for slot, due in early if now - due > 0.5]
    assert turn.slots[: len(in_time)] == in_time
    assert turn.skipped[: len(late)] == late
    assert min(len(in_time), len(late)) > 5


def test_run_that_was_let_in_is_counted_when_its_probe_leaves_before_it_is_due() -> None:
    schedule = Slots(wall_offset=0.0)
    schedule.load(light(2000), 0.0)
    early = let_in(schedule, 0.0, 0.2)
    schedule.return_unbegun(early, 0.0)
    schedule.load(light(1000), 0.0)
    stay = [slot for slot, _ in early if slot < 1000]
    assert schedule.turn(0.0).slots == stay
    assert schedule.skipped_total == {Skip.LEFT: len(early) - len(stay)}
    assert len(stay) > 5
