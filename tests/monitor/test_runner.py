"""The runner: runs without a task each, gives up evenly when it is at its cap, and leaves nothing behind at its end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import structlog
from cemd.config.probes import Probe
from cemd.kit.clock import SystemClock
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Attempt, Cancel, Done, Missed, ProbeParams, Reason, Result, Values
from cemd.monitor.roster import Post
from cemd.monitor.runner import Runner

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


class Book:
    """What the runner told, by probe."""

    def __init__(self, **more: Any) -> None:
        self.results: dict[str, list[Result]] = {}
        self.not_run: Counter[tuple[str, Reason]] = Counter()
        log = structlog.get_logger("test")
        self.runner = Runner(self._take, self._skip, SystemClock(), log, alive=lambda: None, **more)

    def _take(self, post: Post, _at: float, result: Result) -> None:
        self.results.setdefault(post.probe.name, []).append(result)

    def _skip(self, post: Post, _at: float, why: Reason) -> None:
        self.not_run[post.probe.name, why] += 1

    async def work(self, seconds: float, *posts: Post) -> None:
        stopping = asyncio.Event()
        running = asyncio.create_task(self.runner.run(stopping))
        self.runner.take(posts, kind_at_once=10_000)
        await asyncio.sleep(seconds)
        stopping.set()
        await running


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


async def test_runs_beyond_half_of_the_capacity_are_given_up_and_moments_of_truth_are_not() -> None:
    runs = 0

    def answer() -> Result:
        nonlocal runs
        runs += 1
        return OK

    def busy() -> float:
        return runs * 0.008  # a run takes eight milliseconds of the processor: 125 a second at most, so 62 are begun

    ordinary = [post(f"o{number}", Quick(answer)) for number in range(30)]
    important = [post(f"m{number}", Quick(answer), moment_of_truth=True) for number in range(4)]
    book = Book(busy_seconds=busy)
    await book.work(4.5, *ordinary, *important)
    counters = book.runner.counters()
    assert counters["shed_runs"] > 50
    assert counters["shed_moments_of_truth"] == 0.0
    assert 30 < counters["cap_runs_per_second"] < 90
    assert {why for _, why in book.not_run} == {Reason.SHED}
    assert len({name for name, _ in book.not_run}) > 25  # evenly: everybody gives up some
    assert min(len(book.results[one.probe.name]) for one in ordinary) > 3


async def test_prober_that_falls_behind_gives_up_ordinary_runs_and_no_moments_of_truth() -> None:
    """Somebody else has the processor: the thread spends none of its time, and yet comes too late."""
    stalls = [1.3]

    def answer() -> Result:
        if stalls:
            time.sleep(stalls.pop())
        return OK

    ordinary = [post(f"o{number}", Quick(answer)) for number in range(30)]
    important = [post(f"m{number}", Quick(lambda: OK), moment_of_truth=True) for number in range(4)]
    book = Book(busy_seconds=lambda: 0.0)
    await book.work(3.5, *ordinary, *important)
    counters = book.runner.counters()
    assert counters["shed_runs"] > 10
    assert counters["shed_moments_of_truth"] == 0.0
    assert min(len(book.results[one.probe.name]) for one in ordinary) > 3


async def test_probe_outside_its_window_is_blind_and_not_silent() -> None:
    days = {"days": (), "zone": "UTC"}
    book = Book()
    await book.work(0.7, post("a", Quick(lambda: OK), active=days), post("b", Quick(lambda: OK)))
    assert book.not_run["a", Reason.NOT_ACTIVE] >= 2
    assert "a" not in book.results
    assert book.results["b"]
    assert book.runner.counters()["not_active_runs"] >= 2.0
