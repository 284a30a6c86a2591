"""Windows against plain numpy over the samples that they should hold."""

from __future__ import annotations

import numpy as np
import pytest
from cemd.analyze.indicators.windows import BUCKETS, KEEP, Windows
from cemd.config.rules import Summary
from numpy.typing import NDArray

T0 = 1_780_000_000.0
PLAIN = {
    Summary.RATIO: np.mean,
    Summary.MEAN: np.mean,
    Summary.MIN: np.min,
    Summary.MAX: np.max,
    Summary.SUM: np.sum,
    Summary.LAST: lambda held: held[-1],
    Summary.P50: lambda held: np.percentile(held, 50),
    Summary.P95: lambda held: np.percentile(held, 95),
    Summary.P99: lambda held: np.percentile(held, 99),
}


@pytest.mark.parametrize("summary", Summary)
def test_a_window_is_what_numpy_says_of_its_samples(summary: Summary) -> None:
    rng = np.random.default_rng(2)
    windows = Windows()
    windows.open([(summary, 300.0)])
    at = T0 + np.arange(400) * 7.0
    value = rng.normal(5, 2, 400)
    windows.add(np.zeros(400, np.intp), at, value)
    now = float(at[-1])
    got, count = windows.evaluate(np.array([0]), now)
    width = 300.0 / BUCKETS
    since = now - 310.0 if summary in (Summary.P50, Summary.P95, Summary.P99) else (now // width - BUCKETS) * width
    held = value[at > since] if since == now - 310.0 else value[at >= since]
    assert got[0] == pytest.approx(PLAIN[summary](held), rel=1e-9)  # type: ignore[operator]
    assert abs(count[0] - len(held)) <= 1


def test_p95_of_many_samples_is_right_to_two_points_of_rank() -> None:
    rng = np.random.default_rng(3)
    windows = Windows()
    windows.open([(Summary.P95, 300.0)])
    for tick in range(60):
        at = T0 + tick * 10 + np.sort(rng.random(1000)) * 10
        windows.add(np.zeros(1000, np.intp), at, rng.exponential(1.0, 1000))
        got, _ = windows.evaluate(np.array([0]), T0 + tick * 10 + 10)
    rank = 1 - np.exp(-got[0])
    assert abs(rank - 0.95) < 0.03
    assert (windows.rings["at"][0] > T0 + 290).sum() > KEEP / 8


def test_an_empty_window_is_unknown_and_old_samples_leave() -> None:
    windows = Windows()
    windows.open([(Summary.MEAN, 60.0), (Summary.P95, 60.0)])
    windows.add(np.array([0, 1]), np.full(2, T0), np.ones(2))
    assert windows.evaluate(np.arange(2), T0 + 50)[0].tolist() == [1.0, 1.0]
    assert np.isnan(windows.evaluate(np.arange(2), T0 + 70)[0]).all()


def test_nothing_is_due_when_nothing_changed() -> None:
    windows = Windows()
    windows.open([(Summary.MEAN, 300.0)])
    windows.add(np.array([0]), np.array([T0]), np.ones(1))
    assert len(windows.due(T0)) == 1
    assert len(windows.due(T0 + 1.0)) == 0
    assert len(windows.due(T0 + 11.0)) == 1


def test_a_window_is_parted_at_an_instant_and_what_lies_across_it_is_neither() -> None:
    windows = Windows()
    windows.open([(Summary.MEAN, 300.0)])  # buckets of ten seconds
    at = np.array([100.0, 112.0, 121.0, 133.0])
    windows.add(np.zeros(4, np.intp), at, np.array([1.0, 2.0, 4.0, 8.0]))
    assert windows.parted(0, 115.0, 140.0) == ((1.0, 1.0), (2.0, 12.0))
    assert windows.parted(0, 115.0, 435.0) == ((0.0, 0.0), (1.0, 8.0)), "what has left the window is gone"


class LookedAtInEveryBucket(Windows):
    """Every window is due in every new bucket, whether anything came or left or not."""

    def due(self, now: float) -> NDArray[np.intp]:
        number = np.floor(now / self.columns["width"]).astype(np.int64)
        due = np.flatnonzero(self.columns["dirty"] | (number != self.columns["seen_number"]))
        self.columns["dirty"][due] = False
        self.columns["seen_number"][due] = number[due]
        return due


@pytest.mark.parametrize("seed", range(6))
def test_a_window_that_is_not_due_would_say_what_it_said(seed: int) -> None:
    """Samples late and in bursts (some rings thin out, some grow sparse), forgotten ones, a restart."""
    rng = np.random.default_rng(seed)
    kinds = [(summary, seconds) for summary in Summary for seconds in (35.0, 300.0, 1000.0 / 3.0, 2000.0)]
    lazy, eager = Windows(), LookedAtInEveryBucket()
    answers = [np.full((2, len(kinds)), np.nan) for _ in range(2)]
    looks, now = [0, 0], T0
    for one in (lazy, eager):
        one.open(kinds)
    for tick in range(500):
        now += float(rng.choice([1.0, 7.3, 10.0, 60.0]))
        size = int(rng.choice([0, 0, 1, 5, 40])) if tick % 90 else 40 * KEEP
        window, at = rng.integers(0, len(kinds), size), now - rng.exponential(8.0, size)
        if tick < 250 or tick > 300:  # else the feed is silent, and everything leaves
            for one in (lazy, eager):
                one.add(window, at, np.round(at * 7.0) % 11.0)
        if tick % 71 == 70:
            for one in (lazy, eager):
                one.forget(np.array([tick % len(kinds)]), np.array([now - 20.0]))
        if tick == 333:
            saved, lazy = lazy.dump(), Windows()
            lazy.load(saved)
        for place, one in enumerate((lazy, eager)):
            due = one.due(now)
            looks[place] += len(due)
            with np.errstate(invalid="ignore"):  # where thinning left a ring nothing of its window
                answers[place][:, due] = one.evaluate(due, now)
        np.testing.assert_array_equal(answers[0], answers[1])
        assert lazy.dump() == eager.dump()
    assert looks[0] < looks[1]
