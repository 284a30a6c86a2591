"""The chart as a pure function: well-formed whatever it is given, honest about gaps and failures."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from cemd.web.chart import BOTTOM, HEIGHT, TOP, Chart, describe, draw, nice_ticks, thinned, time_ticks
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.scene import NOW

SVG = "{http://www.w3.org/2000/svg}"
VIENNA = ZoneInfo("Europe/Vienna")


def chart(values: list[float], **more: Any) -> Chart:
    at = NOW - 600 + 10.0 * np.arange(len(values))
    usual: dict[str, Any] = {
        "title": "p round_trip_seconds", "metric": "round_trip_seconds", "zone": VIENNA,
        "since": NOW - 600, "until": NOW,
        "at": at, "value": np.array(values, np.float64), "outcome": np.zeros(len(values), np.uint8),
    }  # fmt: skip
    return Chart(**{**usual, **more})


def shapes(text: str, kind: str) -> list[ElementTree.Element]:
    return [one for one in ElementTree.fromstring(text).iter() if one.get("class") == kind]  # noqa: S314 -- our own text


@settings(max_examples=60)
@given(
    st.lists(st.floats(), max_size=30),
    st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])),
    st.one_of(st.none(), st.floats(-1e9, 1e9)),
)
def test_any_values_and_names_make_well_formed_svg(values: list[float], title: str, threshold: float | None) -> None:
    text = draw(chart(values, title=title, threshold=threshold))
    assert ElementTree.fromstring(text).tag == f"{SVG}svg"  # noqa: S314 -- our own text
    assert all("nan" not in str(one.get("d")) for one in ElementTree.fromstring(text).iter())  # noqa: S314 -- our own text


def test_hostile_names_stay_text() -> None:
    text = draw(chart([1.0], title='"><script>alert(1)</script>'))
    assert "<script" not in text


def test_the_line_breaks_where_values_are_missing_and_where_the_gap_is_long() -> None:
    (line,) = shapes(draw(chart([1, 1, float("nan"), 1, 1])), "chart-line")
    assert str(line.get("d")).count("M") == 2
    at = NOW - 600 + np.array([0, 10, 20, 300, 310.0])
    (line,) = shapes(draw(chart([1, 1, 1, 1, 1], at=at)), "chart-line")
    assert str(line.get("d")).count("M") == 2


def test_failures_are_marked_and_blindness_looks_different() -> None:
    text = draw(chart([1, 0, 0, 1], outcome=np.array([0, 1, 2, 3], np.uint8)))
    assert len(shapes(text, "chart-failed")) == 2
    assert len(shapes(text, "chart-blind")) == 1


def test_the_band_before_its_first_record_is_fainter() -> None:
    band = np.array([[NOW - 300, 1.0, 0.5, 1.5], [NOW - 10, 1.0, 0.4, 1.6]])
    text = draw(chart([1.0] * 60, band=band))
    (before,), (recorded,) = shapes(text, "chart-band-before"), shapes(text, "chart-band")
    assert float(str(before.get("fill-opacity"))) < float(str(recorded.get("fill-opacity")))


@pytest.mark.parametrize(
    ("values", "metric", "threshold", "words"),
    [
        ([1, 1, 0, 1], "success", 0.9, "objective 90 % of the attempts"),
        ([1, 1, 1, 1], "success", 0.98, "objective 98 % of the attempts"),
        ([0.02, 0.07], "round_trip_seconds", 0.06, "objective 60 ms"),
        ([0.02, 0.07], "round_trip_seconds", 0.4, "objective 400 ms"),
    ],
)
def test_the_objective_is_a_line_within_the_picture_that_says_its_value(
    values: list[float], metric: str, threshold: float, words: str
) -> None:
    text = draw(chart(values, metric=metric, threshold=threshold))
    (line,), (label,) = shapes(text, "chart-threshold"), shapes(text, "chart-label chart-threshold-label")
    assert TOP <= float(str(line.get("d")).split()[1].partition("H")[0]) <= HEIGHT - BOTTOM
    assert TOP <= float(str(label.get("y"))) <= HEIGHT - BOTTOM
    assert label.text == words


def test_no_samples_is_said() -> None:
    assert "no samples in this span" in draw(chart([]))
    assert describe(chart([])) == "p round_trip_seconds: no values in this span."
    assert describe(chart([0.01, 0.02])) == "p round_trip_seconds: 2 samples between 10 ms and 20 ms, last 20 ms."


def test_time_ticks_stand_at_round_local_times_and_name_a_new_day() -> None:
    noon = 1_795_302_000.0  # 2026-11-22 00:00 in Vienna
    ticks = time_ticks(noon - 3600, noon + 3600, VIENNA)
    words = [word for _, word in ticks]
    assert "22 Nov 00:00" in words
    assert all(at % 900 == 0 for at, _ in ticks)


@pytest.mark.parametrize("width", [240, 390, 1500])
def test_a_chart_has_the_size_that_was_asked_for_and_words_that_do_not_collide(width: int) -> None:
    text = draw(chart([0.5] * 60, width=width, height=200))
    assert f'viewBox="0 0 {width} 200"' in text
    labels = [one for one in shapes(text, "chart-label") if one.get("text-anchor") == "middle"]
    places = sorted(float(str(one.get("x"))) for one in labels)
    assert all(right - left >= 70 for left, right in pairwise(places))
    assert all(float(str(one.get("x"))) <= width for one in shapes(text, "chart-label"))


def test_success_is_told_in_per_cent() -> None:
    text = draw(chart([1, 0, 1], metric="success"))
    assert "100 %" in text
    assert "last 100 %" in describe(chart([0, 1], metric="success"))


def test_ticks_are_round_and_span_the_values() -> None:
    assert nice_ticks(0, 0.93 * 5) == [0, 1, 2, 3, 4, 5]
    assert nice_ticks(-3, 3)[0] <= -3
    assert nice_ticks(5, 5)


def test_thinning_keeps_the_extremes() -> None:
    values = np.sin(np.arange(100_000) / 777.0)
    values[54_321] = 50.0
    kept = thinned(np.arange(100_000.0), values, 500)
    assert len(kept) <= 500
    assert 54_321 in kept
    assert (np.diff(kept) > 0).all()
