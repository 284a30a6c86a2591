"""Whether the stated rate comes true: what clusters of all series together did corrects the limits of those alike."""

from __future__ import annotations

import numpy as np
import pytest
from cemd.analyze.columns import Array
from cemd.analyze.realised import LEAST, MOST, OFTEN, Realised, class_of

HOUR = 3600.0
RARE = 800.0
"""Of so many clusters one should alarm; of 100, one should go beyond the counted level."""


def one_hour(realised: Realised, number: int, excess: float, clusters: int, beyond: int) -> None:
    went = np.arange(clusters) < beyond
    realised.count(np.full(clusters, excess, np.float32), went, np.full(clusters, RARE, np.float32))
    realised.judge(number * HOUR)


def after(hours: int, share: float, excess: float = 1.5) -> Array:
    """The correction after hours in which so many times the due clusters went beyond."""
    realised, rng = Realised(), np.random.default_rng(3)
    for number in range(hours):
        one_hour(realised, number, excess, 400, int(rng.binomial(400, share * float(OFTEN) / RARE)))
    return realised.of(np.array([excess], np.float32))


def test_nothing_is_corrected_before_something_was_counted() -> None:
    assert Realised().of(np.array([0.1, 2.0, 50.0], np.float32)).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0, 1.4])
def test_what_comes_true_corrects_how_rare_an_alarm_must_be(share: float) -> None:
    assert after(24 * 14, share)[0] == pytest.approx(share, rel=0.15)


def test_the_correction_is_bounded() -> None:
    assert after(24 * 60, 0.0)[0] == pytest.approx(LEAST)
    assert after(24 * 14, 50.0)[0] <= MOST


def test_a_storm_of_some_hours_is_no_new_rate() -> None:
    realised = Realised()
    for number in range(24 * 14):
        one_hour(realised, number, 1.5, 400, 4)
    for number in range(24 * 14, 24 * 14 + 6):
        one_hour(realised, number, 1.5, 400, 390)
    assert realised.of(np.array([1.5], np.float32))[0] < 1.1


def test_classes_are_corrected_apart_and_a_new_one_leans_on_the_others() -> None:
    realised = Realised()
    for number in range(24 * 14):
        one_hour(realised, number, 1.5, 400, 2)
        one_hour(realised, number, 6.0, 400, 4)
    light, heavy, unseen = realised.of(np.array([1.5, 6.0, 0.7], np.float32)).tolist()
    assert (light, heavy) == (pytest.approx(0.5, rel=0.1), pytest.approx(1.0, rel=0.1))
    assert light < unseen < heavy


def test_a_class_is_half_a_doubling() -> None:
    numbers = class_of(np.array([1.0, 1.4, 1.5, 2.0, 3.0, 4.0, 1e-9, 1e9], np.float32))
    assert np.diff(numbers[:6]).tolist() == [0, 1, 1, 1, 1]
    assert (numbers[6], numbers[7]) == (0, 23)


def test_neither_cuts_nor_a_restart_change_a_bit() -> None:
    rng = np.random.default_rng(5)
    excess, clusters = rng.lognormal(0, 1, 500).astype(np.float32), rng.uniform(5, 2000, 500).astype(np.float32)
    beyond = rng.random(500) < 0.02
    whole, cut = Realised(), Realised()
    whole.count(excess, beyond, clusters)
    cut.count(excess[300:], beyond[300:], clusters[300:])
    again = Realised()
    again.load(cut.dump())
    again.count(excess[:300], beyond[:300], clusters[:300])
    for one in (whole, again):
        one.judge(HOUR)
    assert whole.dump() == again.dump()
