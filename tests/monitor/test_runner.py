"""The runner: runs without a task each, gives up evenly when it is at its cap, and leaves nothing behind at its end."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
import structlog
from cemd.config.probes import Probe
from cemd.kit.clock import Clock, ManualClock, SystemClock
from cemd.model.identity import stable_hash
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Attempt, Cancel, Done, Missed, ProbeParams, Reason, Result, Values
from cemd.monitor.probes.engines.errands import AnyErrand, Landed
from cemd.monitor.roster import Post, plan_of
from cemd.monitor.runner import Runner

from tests.monitor.virtual import lived
from tests.turns import turns_beside

OK = Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=Values(("response_seconds",), (0.5,)), seconds=0.5)


class Kind:
    """Answers as a function says; `launch` only where `quick`."""

    word: ClassVar[str] = "fake"
    Params: ClassVar[type[ProbeParams]] = ProbeParams
    metrics: ClassVar[frozenset[str] | None] = None
    target = group = "fake"

    def __init__(self, answer: Callable[[], Result]) -> None:
        self.answer = answer

    async def run(self, _attempt: Attempt) -> Result:
        return self.answer()


class Quick(Kind):
    def launch(self, _deadline: float, done: Done) -> Cancel | None:
        done(self.answer())
        return lambda: None


class Hanging(Kind):
    """Never answers; counts who gave it up."""

    given_up = 0

    def launch(self, _deadline: float, _done: Done) -> Cancel | None:
        def cancel() -> None:
            Hanging.given_up += 1

        return cancel


class Stuck(Kind):
    """Waits in a task for what never comes, and takes its time to clean up."""

    async def run(self, _attempt: Attempt) -> Result:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
        return self.answer()


class Book:
    """What the runner told, by probe."""

    def __init__(self, clock: Clock | None = None, *, run_seconds: float | None = None, **more: Any) -> None:
        """`run_seconds`: what a run takes of the processor; None: what it does take."""
        if run_seconds is not None:
            more["busy_seconds"] = lambda: self.made().total() * run_seconds
        self.results: dict[str, list[Result]] = {}
        self.not_run: Counter[tuple[str, Reason]] = Counter()
        log = structlog.get_logger("test")
        self.runner = Runner(self._take, self._skip, clock or SystemClock(), log, alive=lambda: None, **more)

    def _take(self, post: Post, _at: float, result: Result) -> None:
        self.results.setdefault(post.probe.name, []).append(result)

    def _skip(self, post: Post, _at: float, why: Reason) -> None:
        self.not_run[post.probe.name, why] += 1

    def made(self) -> Counter[str]:
        """Results by probe."""
        return Counter({name: len(results) for name, results in self.results.items()})

    async def work(self, seconds: float, *posts: Post) -> None:
        stopping = asyncio.Event()
        running = asyncio.create_task(self.runner.run(stopping))
        await self.runner.take(by_uid(posts), kind_at_once=10_000)
        await asyncio.sleep(seconds)
        stopping.set()
        await running


def by_uid(posts: Sequence[Post]) -> dict[str, Post]:
    return {one.probe.identity(): one for one in posts}


def post(name: str, kind: Kind, *, every: float = 0.2, **more: Any) -> Post:
    fields = {"name": name, "kind": "tcp", "service": "s", "every_seconds": every, "timeout_seconds": every / 2, **more}
    return Post(Probe.model_validate(fields), kind, {})


@pytest.mark.parametrize("make", [Kind, Quick], ids=["task", "launch"])
async def test_results_of_both_ways_are_complete(make: type[Kind]) -> None:
    book = Book()
    await book.work(0.7, post("a", make(lambda: OK)))
    first = book.results["a"][0]
    assert [one.metric for one in first.readings] == ["success", "duration_seconds", "response_seconds"]
    assert [one.value for one in first.readings] == [1.0, 0.5, 0.5]


@pytest.mark.parametrize("make", [Kind, Quick], ids=["task", "launch"])
async def test_whatever_a_kind_raises_is_a_result_and_its_next_run_comes(make: type[Kind]) -> None:
    raised = [Missed(Reason.REFUSED, "no."), ZeroDivisionError("ours")]

    def answer() -> Result:
        if raised:
            raise raised.pop(0)
        return OK

    book = Book()
    await book.work(1.5, post("a", make(answer)))
    found = [(one.outcome, one.reason) for one in book.results["a"][:3]]
    assert found[0] == (Outcome.FAILED, Reason.REFUSED)
    assert found[1] == (Outcome.BLIND, Reason.INTERNAL)
    assert found[2] == (Outcome.OK, Reason.ANSWERED)


async def test_end_gives_up_what_runs_and_tells_nobody() -> None:
    Hanging.given_up = 0
    book = Book()
    await book.work(0.5, *(post(f"h{number}", Hanging(lambda: OK)) for number in range(5)))
    assert Hanging.given_up == 5
    assert book.results == {}
    assert book.runner.counters()["running"] == 0.0


RUN_SECONDS = 0.008
"""What a run takes of the processor: at most 125 are made in a second, so 62.5 are begun."""


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
def test_runs_beyond_half_of_the_capacity_are_given_up_and_moments_of_truth_are_not(together: bool) -> None:
    """170 runs a second are due, 20 of them moments of truth."""

    async def life(clock: ManualClock) -> None:
        kind = (Errands if together else Quick)(lambda: OK)
        ordinary = [post(f"o{number}", kind) for number in range(30)]
        important = [post(f"m{number}", kind, moment_of_truth=True) for number in range(4)]
        book = Book(clock, run_seconds=RUN_SECONDS, engines={"clerk": Clerk()})
        working = asyncio.create_task(book.work(25.0, *ordinary, *important))
        await asyncio.sleep(5.0)  # it finds out
        made, given_up = book.made(), book.not_run.copy()
        await working
        made, given_up = book.made() - made, book.not_run - given_up
        counters = book.runner.counters()
        assert counters["cap_runs_per_second"] == pytest.approx(62.5, rel=0.02)
        assert made.total() == pytest.approx(20 * 62.5, rel=0.03)
        assert counters["shed_moments_of_truth"] == 0.0
        assert min(made[one.probe.name] for one in important) >= 99
        assert {why for _, why in given_up} == {Reason.SHED}
        evenly = [given_up[one.probe.name, Reason.SHED] for one in ordinary]
        assert min(evenly) > 0.5 * max(evenly), "everybody gives up some"
        assert min(made[one.probe.name] for one in ordinary) > 10
        assert counters["shed_runs"] == book.not_run.total()
        assert counters["running"] == 0.0

    lived(life)


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
def test_run_that_somebody_asks_for_is_made_be_the_prober_at_its_cap(together: bool) -> None:
    async def life(clock: ManualClock) -> None:
        kind = (Errands if together else Quick)(lambda: OK)
        book = Book(clock, run_seconds=RUN_SECONDS, engines={"clerk": Clerk()})
        rare = post("rare", kind, every=3600.0)
        crowd = [post(f"o{number}", kind) for number in range(34)]
        working = asyncio.create_task(book.work(25.0, rare, *crowd))
        await asyncio.sleep(5.0)
        assert book.not_run.total() > 0
        begun = book.made()["rare"]
        for asked in range(1, 31):
            book.runner.recheck(rare.probe.identity())
            await asyncio.sleep(0.5)
            assert book.made()["rare"] == begun + asked
        await working

    lived(life)


def test_prober_that_falls_behind_gives_up_ordinary_runs_and_no_moments_of_truth() -> None:
    """Somebody else has the processor: the thread spends none of its time, and yet comes too late."""

    async def life(clock: ManualClock) -> None:
        stalls = [1.3]

        def answer() -> Result:
            if stalls:
                clock.advance(stalls.pop())
            return OK

        ordinary = [post(f"o{number}", Quick(answer)) for number in range(30)]
        important = [post(f"m{number}", Quick(lambda: OK), moment_of_truth=True) for number in range(4)]
        book = Book(clock, busy_seconds=lambda: 0.0)
        await book.work(3.5, *ordinary, *important)
        counters = book.runner.counters()
        assert counters["shed_runs"] > 10
        assert counters["shed_moments_of_truth"] == 0.0
        assert min(len(book.results[one.probe.name]) for one in ordinary) > 3

    lived(life)


async def test_probe_outside_its_window_is_blind_and_not_silent() -> None:
    days = {"days": (), "zone": "UTC"}
    book = Book()
    await book.work(0.7, post("a", Quick(lambda: OK), active=days), post("b", Quick(lambda: OK)))
    assert book.not_run["a", Reason.NOT_ACTIVE] >= 2
    assert "a" not in book.results
    assert book.results["b"]
    assert book.runner.counters()["not_active_runs"] >= 2.0


class Paper(AnyErrand):
    __slots__ = ()

    by: ClassVar[str] = "clerk"


class Errands(Kind):
    """Its runs begin with others of the same moment."""

    def errand(self) -> AnyErrand:
        return Paper(self, "192.0.2.1")


class Clerk:
    """An engine that writes down when each run was to begin and began, and ends it a little later."""

    def __init__(self) -> None:
        self.landing: Any = None
        self.begun: dict[int, list[float]] = {}
        self.batches: list[int] = []
        self._open: list[tuple[AnyErrand, int]] = []

    def begin(self, errands: Sequence[Any], slots: Sequence[int], now: float, at: float) -> None:
        self.batches.append(len(slots))
        for errand, slot in zip(errands, slots, strict=True):
            self.begun.setdefault(slot, []).append(now)
            self._open.append((errand, slot))
        assert at > 1e9

    def collect(self) -> bool:
        landed = Landed()
        for errand, slot in self._open:
            landed.slots.append(slot)
            landed.errands.append(errand)
            landed.at.append(0.0)
            landed.values.append((1.0, 0.5, 0.5))
        self._open.clear()
        if landed.slots:
            self.landing.landed(landed)
        return bool(landed.slots)

    glance = collect

    def give_up(self) -> list[int]:
        given_up = [slot for _, slot in self._open]
        self._open.clear()
        return given_up


def errands(count: int) -> list[Post]:
    """Posts in the order of their slots, which is that in which they come due."""
    made = [post(f"e{number}", Errands(lambda: OK), every=0.4) for number in range(count)]
    return sorted(made, key=lambda one: stable_hash(one.probe.identity()))


async def test_many_light_runs_begin_each_at_its_time_and_one_by_one_in_their_order() -> None:
    clerk, posts = Clerk(), errands(400)
    book = Book(engines={"clerk": clerk})
    wall = time.time() - time.monotonic()
    await book.work(1.5, *posts)
    for slot, times in clerk.begun.items():
        plan = plan_of(posts[slot])
        for began in times:
            early = -(began + wall - plan.phase()) % plan.every_seconds
            assert early < 0.0014 or early > 0.05, "no run begins before its time, but by the rounding of the turns"
    assert len(clerk.begun) == 400
    assert not book.runner.counters()["running"]


async def test_new_set_while_runs_wait_for_their_time_loses_none_of_those_that_stay() -> None:
    clerk, posts = Clerk(), errands(400)
    book = Book(engines={"clerk": clerk})
    stopping = asyncio.Event()
    running = asyncio.create_task(book.runner.run(stopping))
    for turn in range(20):
        await book.runner.take(by_uid(posts[: 400 - 20 * (turn % 2)]), kind_at_once=10_000)
        await asyncio.sleep(0.03)
    await book.runner.take(by_uid(posts[:380]), kind_at_once=10_000)
    before = {slot: len(times) for slot, times in clerk.begun.items()}
    await asyncio.sleep(0.9)
    stopping.set()
    await running
    assert all(len(clerk.begun[slot]) > before.get(slot, 0) for slot in range(380))
    assert not book.runner.counters()["running"]


async def test_large_set_is_put_to_work_while_the_loop_turns_and_what_stays_is_begun_as_planned() -> None:
    clerk, stay = Clerk(), errands(300)
    book, wall = Book(engines={"clerk": clerk}), time.time() - time.monotonic()
    stopping = asyncio.Event()
    running = asyncio.create_task(book.runner.run(stopping))
    await book.runner.take(by_uid(stay), kind_at_once=10_000)
    await asyncio.sleep(0.5)
    with turns_beside() as turns:
        for number in range(4):
            come = [post(f"come{number}-{place}", Hanging(lambda: OK), every=3600.0) for place in range(5_000)]
            await book.runner.take(by_uid([*stay, *come]), kind_at_once=10_000)
    assert turns.count > 20
    await asyncio.sleep(0.5)
    stopping.set()
    await running
    lost = 0
    for slot, one in enumerate(stay):
        seen = {int((began + wall - plan_of(one).phase() + 0.1) // 0.4) for began in clerk.begun[slot]}
        lost += max(seen) - min(seen) + 1 - len(seen)
    counters = book.runner.counters()
    counted = sum(counters.get(f"skipped_{why}", 0.0) for why in ("late", "missed", "still_running"))
    assert lost <= counted + counters["shed_runs"], "on a calm machine nothing is lost at all"


async def test_new_probes_lie_in_the_order_in_which_they_come_due_and_others_stay_where_they_are() -> None:
    book = Book()
    first = [post(f"f{number}", Quick(lambda: OK), every=30.0) for number in range(40)]
    more = [post(f"m{number}", Quick(lambda: OK), every=30.0) for number in range(400)]
    await book.runner.take(by_uid(first), kind_at_once=10)
    before = list(book.runner._schedule.uids())
    await book.runner.take(by_uid([*more, *first]), kind_at_once=10)
    after = list(book.runner._schedule.uids())
    assert after[:40] == before == sorted(before, key=stable_hash)
    assert after[40:] == sorted(after[40:], key=stable_hash)
    assert set(after) == set(by_uid([*first, *more]))


def test_end_begins_nothing_more_however_many_would_be_due_meanwhile() -> None:
    async def life(clock: ManualClock) -> None:
        book, stopping = Book(clock, run_seconds=0.0), asyncio.Event()
        running = asyncio.create_task(book.runner.run(stopping))
        await book.runner.take(by_uid([post(f"s{number}", Stuck(lambda: OK)) for number in range(60)]), kind_at_once=60)
        await asyncio.sleep(1.0)
        assert book.made(), "they are timed out and come again"
        stopping.set()
        async with asyncio.timeout(0.1):
            await running
        assert not book.runner.counters()["running"]

    lived(life)


async def test_what_left_the_set_is_let_go_without_a_look_for_circles() -> None:
    book, posts = Book(engines={"clerk": Clerk()}), errands(3)
    await book.runner.take(by_uid(posts), kind_at_once=10_000)
    kinds = [weakref.ref(one.kind) for one in posts]
    gc.disable()
    try:
        again = post("e1", Errands(lambda: OK), every=0.4)
        await book.runner.take(by_uid([posts[0], again]), kind_at_once=10_000)
        del posts[1:]
        assert [kind() is None for kind in kinds] == [False, True, True], "of the changed one and of the one that left"
    finally:
        gc.enable()


async def test_loop_that_was_stuck_begins_what_it_had_let_in_or_says_that_it_was_too_late() -> None:
    clerk, posts = Clerk(), errands(400)
    book = Book(engines={"clerk": clerk})
    stopping = asyncio.Event()
    running = asyncio.create_task(book.runner.run(stopping))
    await book.runner.take(by_uid(posts), kind_at_once=10_000)
    await asyncio.sleep(0.5)
    time.sleep(0.35)  # noqa: ASYNC251 -- the loop stands still, longer than half an interval
    stuck_until = time.monotonic()
    await asyncio.sleep(0.2)
    stopping.set()
    await running
    skipped = book.runner.counters().get("skipped_late", 0.0)
    assert skipped >= sum(book.not_run.values()) > 0
    assert sum(times[-1] >= stuck_until for times in clerk.begun.values()) > 0
