"""river as oracle: what is worked out for many series at once agrees with what river works out for one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cemd.analyze.bank.bank import Bank
from cemd.analyze.indicators.windows import Windows
from cemd.config.rules import Detector, Summary
from hypothesis import given, settings
from hypothesis import strategies as st

WIDTH = 300.0
T0 = 1_780_000_000.0 // WIDTH * WIDTH
FINITE = st.floats(-1e6, 1e6, allow_nan=False)


def rivers(summary: Summary) -> Any:
    """river's statistic of the same meaning."""
    from river import stats

    made: dict[Summary, Any] = {
        Summary.MEAN: stats.Mean,
        Summary.RATIO: stats.Mean,
        Summary.SUM: stats.Sum,
        Summary.MIN: stats.Min,
        Summary.MAX: stats.Max,
    }
    return made[summary]()


@settings(max_examples=25)
@given(values=st.lists(FINITE, min_size=1, max_size=60), seed=st.integers(0, 2**32))
def test_windows_agree_with_river_on_what_lies_in_them(values: list[float], seed: int) -> None:
    summaries = [Summary.MEAN, Summary.SUM, Summary.MIN, Summary.MAX]
    windows = Windows()
    numbers = np.array(windows.open([(one, WIDTH) for one in summaries]), np.intp)
    at = T0 + np.sort(np.random.default_rng(seed).uniform(0, WIDTH, len(values)))
    oracles = [rivers(one) for one in summaries]
    for when, value in zip(at.tolist(), values, strict=True):
        windows.add(numbers, np.full(len(numbers), when), np.full(len(numbers), value))
        for oracle in oracles:
            oracle.update(value)
    found, counts = windows.evaluate(numbers, T0 + WIDTH)
    largest = max(map(abs, values))
    assert found == pytest.approx([oracle.get() for oracle in oracles], rel=1e-9, abs=1e-9 * largest * len(values))
    assert (counts == len(values)).all()


def test_quantiles_of_windows_agree_with_rivers_rolling_ones() -> None:
    from river import stats

    values = np.random.default_rng(1).lognormal(0, 1, 200)
    windows = Windows()
    numbers = np.array(windows.open([(one, WIDTH) for one in (Summary.P50, Summary.P95)]), np.intp)
    made: Any = stats.RollingQuantile
    oracles = [made(share, window_size=200) for share in (0.5, 0.95)]
    for place, value in enumerate(values.tolist()):
        windows.add(numbers, np.full(2, T0 + place), np.full(2, value))
        for oracle in oracles:
            oracle.update(value)
    found, _ = windows.evaluate(numbers, T0 + 200)
    assert found == pytest.approx([oracle.get() for oracle in oracles], rel=0.02)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_level_and_band_of_the_bank_agree_with_river(kind: str) -> None:
    """The level is a mean of the recent past; the band is as wide as 1 in 2,000 samples of the own past were far."""
    from river import stats

    series, ticks = 32, 4000
    rng = np.random.default_rng(2)
    values = rng.normal(50, 3, (ticks, series)) if kind == "normal" else rng.uniform(40, 60, (ticks, series))
    middle = float(values.mean())
    bank, rows = Bank(), np.arange(series)
    bank.add(np.zeros(series, np.bool_))
    made: tuple[Any, ...] = (stats.EWMean, stats.Quantile)
    means = [made[0](fading_factor=0.05) for _ in rows]
    far = made[1](0.9995)
    for tick, value in enumerate(values):
        at = np.full(series, T0 + 10.0 * tick)
        bank.observe(rows, at, value, np.zeros(series, np.uint8), Detector())
        for mean, one in zip(means, value.tolist(), strict=True):
            far.update(abs(one - middle))
            mean.update(one)
    band = bank.band(rows, T0 + 10.0 * ticks, 60)
    spread = float(values.std())
    assert np.abs(band.expected - np.array([mean.get() for mean in means])).mean() < 0.5 * spread
    half = float(np.median((band.high - band.low) / 2))
    assert 0.65 * far.get() < half < 2.2 * far.get()  # it begins as wide as that of a normal distribution
