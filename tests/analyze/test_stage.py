"""What comes in may be absurd; the stage stays whole."""

from __future__ import annotations

import numpy as np
import pytest
from cemd.analyze.stage import AnalyzeState, handle, series_columns
from cemd.config.configuration import Configuration
from cemd.config.topology import Topology
from cemd.model.entry import Batch, Entry, SeriesAdded
from cemd.model.identity import series_id
from cemd.model.measurement import Series, SeriesKey


@pytest.mark.parametrize("absurd", [1e308, -1e308, 1e25])
def test_a_value_beyond_single_precision_spoils_no_baseline(absurd: float) -> None:
    state, topology = AnalyzeState(), Topology(Configuration())
    number = series_id("web|requests", 0)
    series = Series(id=number, key=SeriesKey(probe="web", metric="requests"), source="http:test")
    handle(state, Entry(seq=1, at=0.0, payload=SeriesAdded(series=(series,))), topology)
    values = [10.0 + place % 3 for place in range(400)]
    values[200] = absurd
    for place, value in enumerate(values):
        at = 10.0 * (place + 1)
        batch = Batch(
            source="http:test",
            number=0,
            series=np.array([number], np.int64),
            at=np.array([at]),
            value=np.array([value]),
            outcome=np.zeros(1, np.uint8),
        )
        handle(state, Entry(seq=place + 2, at=at, payload=batch), topology)
    seen = series_columns(state, topology)
    assert np.isfinite(seen.low[0])
    assert np.isfinite(seen.high[0])


@pytest.mark.parametrize(
    ("metric", "offset", "floor"),
    [
        ("loss_ratio", 0.0, 0.0),
        ("answer_seconds", 0.0, 0.0),
        ("offset_seconds", 0.0, -np.inf),  # a clock may be ahead
        ("signal_dbm", 0.0, -np.inf),
        ("credit_count", -40.0, -np.inf),  # its name says a count, its values say otherwise
    ],
)
def test_no_band_reaches_below_what_the_unit_allows(metric: str, offset: float, floor: float) -> None:
    state, topology = AnalyzeState(), Topology(Configuration())
    number = series_id(f"web|{metric}", 0)
    series = Series(id=number, key=SeriesKey(probe="web", metric=metric), source="http:test")
    handle(state, Entry(seq=1, at=0.0, payload=SeriesAdded(series=(series,))), topology)
    for place in range(400):
        at = 10.0 * (place + 1)
        batch = Batch(
            source="http:test",
            number=0,
            series=np.array([number], np.int64),
            at=np.array([at]),
            value=np.array([offset + (0.0, 0.1, 9.0)[place % 3]]),
            outcome=np.zeros(1, np.uint8),
        )
        handle(state, Entry(seq=place + 2, at=at, payload=batch), topology)
    seen = series_columns(state, topology)
    assert (seen.low[0] < 0) == (floor < 0)
    assert seen.low[0] <= seen.expected[0] <= seen.high[0]
