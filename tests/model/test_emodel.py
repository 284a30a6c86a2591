"""The E-model against its published anchor, the tables of its annexes, and the shape that it must have."""

from __future__ import annotations

import doctest

import pytest
from cemd.model import emodel
from cemd.model.emodel import (
    Codec,
    DelayClass,
    delay_class,
    good_or_better_ratio,
    mos_of,
    poor_or_worse_ratio,
    r_factor,
    y1541_class,
)
from hypothesis import given
from hypothesis import strategies as st

G711, G711_PLC, G729A, G723, EFR = (
    Codec(0, 4.3),
    Codec(0, 25.1),
    Codec(11, 19.0),
    Codec(15, 16.1),
    Codec(5, 10.0),
)


def test_examples_of_the_docstrings() -> None:
    assert doctest.testmod(emodel).failed == 0


def test_defaults_give_the_published_rating_and_score() -> None:
    rating = r_factor(0.0, G711)
    assert rating == pytest.approx(93.2062, abs=5e-5)
    assert mos_of(rating) == pytest.approx(4.4094, abs=5e-5)


@pytest.mark.parametrize(
    ("milliseconds", "rating", "score"),
    [
        (0, 93.21, 4.409),
        (50, 91.76, 4.380),
        (100, 90.66, 4.355),
        (150, 89.54, 4.328),
        (177.3, 88.05, 4.288),
        (200, 85.80, 4.223),
        (250, 79.18, 3.993),
        (300, 72.67, 3.719),
        (400, 62.25, 3.216),
        (500, 54.80, 2.828),
    ],
)
def test_delay_costs_what_the_full_model_says(milliseconds: float, rating: float, score: float) -> None:
    found = r_factor(milliseconds / 1000, G711)
    assert found == pytest.approx(rating, abs=0.006)
    assert mos_of(found) == pytest.approx(score, abs=0.0006)


@pytest.mark.parametrize(
    ("codec", "ratings"),
    [
        (G711, (93.21, 75.28, 63.05, 42.13, 26.77)),
        (G711_PLC, (93.21, 89.57, 86.20, 77.43, 66.14)),
        (G729A, (82.21, 78.01, 74.21, 64.71, 53.24)),
        (G723, (78.21, 73.53, 69.37, 59.25, 47.55)),
        (EFR, (88.21, 80.02, 73.21, 58.21, 43.21)),
    ],
    ids=["g711", "g711-plc", "g729a", "g723.1", "gsm-efr"],
)
def test_loss_costs_what_the_codec_is_robust_against(codec: Codec, ratings: tuple[float, ...]) -> None:
    found = [r_factor(0.0, codec, loss_ratio=percent / 100) for percent in (0, 1, 2, 5, 10)]
    assert found == pytest.approx(ratings, abs=0.006)


@pytest.mark.parametrize(
    ("rating", "score", "good", "poor"),
    [
        (90, 4.339, 0.970, 0.0025),
        (80, 4.024, 0.894, 0.0144),
        (70, 3.597, 0.734, 0.0591),
        (60, 3.100, 0.500, 0.1743),
        (50, 2.575, 0.266, 0.3773),
        (0, 1.0, 0.0, 1.0),
        (100, 4.5, 1.0, 0.0),
    ],
)
def test_annex_b(rating: float, score: float, good: float, poor: float) -> None:
    assert mos_of(rating) == pytest.approx(score, abs=0.0006)
    assert good_or_better_ratio(rating) == pytest.approx(good, abs=0.01)
    assert poor_or_worse_ratio(rating) == pytest.approx(poor, abs=0.01)


@given(st.floats(-50, 150))
def test_score_is_between_one_and_four_and_a_half(rating: float) -> None:
    assert 1.0 <= mos_of(rating) <= 4.5


@given(st.floats(0, 2), st.floats(0, 1), st.floats(1, 20))
def test_more_loss_is_never_better(delay: float, loss: float, bursts: float) -> None:
    clean, lossy = (r_factor(delay, G711_PLC, loss_ratio=ratio, burst_ratio=bursts) for ratio in (0.0, loss))
    assert lossy <= clean


@pytest.mark.parametrize("given", [{"delay_seconds": -0.1}, {"loss_ratio": 1.1}, {"burst_ratio": 0.5}])
def test_impossible_figures_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        r_factor(given.pop("delay_seconds", 0.0), G711, **given)


@pytest.mark.parametrize(
    ("delay", "variation", "loss", "found"),
    [
        (0.080, 0.030, 5e-4, 0),
        (0.150, 0.040, 5e-4, 1),
        (0.090, 0.070, 5e-4, 2),
        (0.350, 0.080, 9e-4, 3),
        (0.700, 0.200, 9e-4, 4),
        (0.010, 0.001, 2e-3, 5),
        (1.500, 0.200, 0.0, 5),
        (0.080, 0.030, 5e-6, 0),
    ],
)
def test_classes_of_y1541(delay: float, variation: float, loss: float, found: int) -> None:
    assert y1541_class(delay, variation, loss, packets=10_000) == found
    assert y1541_class(delay, variation, loss, packets=100) is None, "too few packets to say anything of 1e-3"


@pytest.mark.parametrize(
    ("seconds", "found"),
    [(0.15, DelayClass.FINE), (0.2, DelayClass.NOTICED), (0.4, DelayClass.NOTICED), (0.41, DelayClass.UNACCEPTABLE)],
)
def test_classes_of_g114(seconds: float, found: DelayClass) -> None:
    assert delay_class(seconds) is found
