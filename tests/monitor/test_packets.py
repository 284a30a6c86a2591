"""Arithmetic on streams of packets, against published vectors and against truth known beforehand."""

from __future__ import annotations

import doctest

import pytest
from cemd.monitor.protocols import packets
from cemd.monitor.protocols.packets import (
    Stream,
    burst_ratio,
    delay_variations,
    excess_delays,
    figures,
    jitter_seconds,
    loss_ratio,
    loss_runs,
    quantile,
    reordered,
)
from hypothesis import given
from hypothesis import strategies as st


def test_examples_of_the_docstrings() -> None:
    assert doctest.testmod(packets).failed == 0


@pytest.mark.parametrize(("count", "jitter"), [(2, 0.3125), (3, 0.79296875), (4, 1.555908), (5, 2.083664)])
def test_jitter_is_that_of_rfc_3550(count: int, jitter: float) -> None:
    assert jitter_seconds([0.0, 5.0, -3.0, 10.0, 0.0][:count]) == pytest.approx(jitter, abs=5e-7)


def test_variations_are_those_of_rfc_3393_and_rfc_5481() -> None:
    delays = [20.0, 25.0, 17.0, 30.0, 20.0]
    assert delay_variations(dict(enumerate(delays))) == [5.0, -8.0, 13.0, -10.0]
    assert excess_delays(delays) == [3.0, 8.0, 0.0, 13.0, 3.0]


def test_pair_with_a_lost_packet_has_no_variation() -> None:
    assert delay_variations({0: 1.0, 2: 5.0, 3: 6.0}) == [1.0]


def stream(sent: int, arrivals: list[tuple[int, float]], *, wait: float = 1.0) -> dict[str, float]:
    made = Stream(wait, sent=sent)
    for sequence, seconds in arrivals:
        made.arrived(sequence, seconds)
    return figures(made, "round_trip")


def test_loss_order_and_doubles_are_counted() -> None:
    values = stream(5, [(0, 0.010), (2, 0.011), (1, 0.030), (1, 0.031), (3, 5.0), (77, 0.01), (-1, 0.01)])
    assert values["loss_ratio"] == pytest.approx(0.4)
    assert values["sent_count"] == 5.0
    assert values["round_trip_seconds"] == pytest.approx(0.017)
    assert values["round_trip_min_seconds"] == 0.010
    assert values["round_trip_median_seconds"] == 0.011
    assert values["round_trip_p95_seconds"] == values["round_trip_max_seconds"] == 0.030
    assert values["reordered_ratio"] == pytest.approx(1 / 3)
    assert values["duplicate_count"] == 1.0
    assert values["delay_variation_mean_seconds"] == pytest.approx((0.020 + 0.019) / 2)
    assert values["delay_variation_p95_seconds"] == pytest.approx(0.020)


def test_nothing_back_is_all_lost_and_no_delay() -> None:
    assert stream(3, []) == {"loss_ratio": 1.0, "sent_count": 3.0, "duplicate_count": 0.0}
    assert stream(0, [])["loss_ratio"] == 1.0


@pytest.mark.parametrize(("sent", "received"), [(0, 0), (3, 4)])
def test_impossible_share_is_refused(sent: int, received: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        loss_ratio(sent, received)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.floats(0.001, 1))
def test_quantile_is_a_delay_that_the_share_does_not_exceed(delays: list[float], share: float) -> None:
    found = quantile(delays, share)
    assert found in delays
    assert sum(delay <= found for delay in delays) >= share * len(delays) - 1e-6


@given(
    st.integers(1, 60).flatmap(
        lambda sent: st.tuples(st.just(sent), st.permutations(range(sent)), st.integers(0, sent))
    )
)
def test_every_packet_is_received_or_in_a_run_of_loss(case: tuple[int, list[int], int]) -> None:
    sent, order, kept = case
    came = order[:kept]
    runs = loss_runs(came, sent)
    assert sum(runs) + len(came) == sent
    assert 0 <= reordered(came) < max(1, len(came))
    assert burst_ratio(runs, sent) >= 1.0


def test_losses_in_bursts_are_told_from_losses_by_chance() -> None:
    assert burst_ratio([1] * 10, 100) == pytest.approx(1.0)
    assert burst_ratio([5, 5], 100) == pytest.approx(5 * 0.9)
