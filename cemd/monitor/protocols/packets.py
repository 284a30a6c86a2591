"""What a stream of numbered packets went through: loss, delay, variation, order, doubles. Pure; the same for all kinds.

A kind says what it sent and what came back when; everything below is arithmetic with a source. Delays may be one-way or
round trips: the formulas are the same, and the kind's metric says which it was. A packet that did not come back within
its time is lost, and its delay is undefined: it is in no mean and no quantile (RFC 2681, RFC 7680).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(slots=True)
class Stream:
    """What came back of what was sent. Sequence numbers count from 0 in the order of sending."""

    wait_seconds: float
    """A packet that came later than this is lost."""
    sent: int = 0
    delays: dict[int, float] = field(default_factory=dict)
    """Seconds, by sequence number, in the order of arrival."""
    duplicates: int = 0
    late: int = 0
    """Came, but not within their time."""

    def arrived(self, sequence: int, seconds: float) -> None:
        """Takes one arrival; what was never sent is none of ours."""
        if not 0 <= sequence < self.sent:
            return
        if sequence in self.delays:
            self.duplicates += 1
        elif 0.0 <= seconds <= self.wait_seconds:
            self.delays[sequence] = seconds
        else:
            self.late += 1

    def in_order(self) -> list[float]:
        """Delays in the order of sending."""
        return [self.delays[sequence] for sequence in sorted(self.delays)]

    @property
    def lost(self) -> int:
        return self.sent - len(self.delays)


def loss_ratio(sent: int, received: int) -> float:
    """Share of packets that did not come back in time: 0.0 none to 1.0 all.

    Raises:
        ValueError: `sent` is below 1, or `received` exceeds `sent`.

    Source: RFC 7680, one-way loss, applied to whatever was sent.
    """
    if sent < 1 or received > sent:
        raise ValueError(f"{received} of {sent} packets is no share")
    return (sent - received) / sent


def quantile(delays: Sequence[float], share: float) -> float:
    """The smallest delay that at least `share` of them do not exceed (nearest rank); of at least one delay.

    >>> quantile([0.03, 0.01, 0.02, 0.04], 0.5)
    0.02
    """
    ranked = sorted(delays)
    place = -(-round(share * 1e9) * len(ranked) // 1_000_000_000)
    return ranked[max(0, place - 1)]


def jitter_seconds(delays: Iterable[float]) -> float:
    """Interarrival jitter of delays in the order of sending, `J += (|D| - J) / 16`.

    Source: RFC 3550, section 6.4.1. The difference of transit times is the same for round trips.

    >>> round(jitter_seconds([0.0, 0.005, -0.003, 0.010, 0.0]) * 1000, 6)
    2.083664
    """
    jitter = 0.0
    for before, after in pairwise(delays):
        jitter += (abs(after - before) - jitter) / 16
    return jitter


def delay_variations(delays: dict[int, float]) -> list[float]:
    """Differences of delay between packets that were sent one after the other; a pair with a lost packet has none.

    Source: RFC 3393, IPDV with the selection of adjacent packets.

    >>> [round(one, 3) for one in delay_variations({0: 0.020, 1: 0.025, 2: 0.017, 3: 0.030, 4: 0.020})]
    [0.005, -0.008, 0.013, -0.01]
    """
    return [after - delays[sequence - 1] for sequence, after in sorted(delays.items()) if sequence - 1 in delays]


def excess_delays(delays: Sequence[float]) -> list[float]:
    """How much later than the quickest each came.

    Source: RFC 5481, PDV; ITU-T Y.1541 means this form by IPDV.

    >>> [round(one, 3) for one in excess_delays([0.020, 0.025, 0.017, 0.030, 0.020])]
    [0.003, 0.008, 0.0, 0.013, 0.003]
    """
    least = min(delays, default=0.0)
    return [delay - least for delay in delays]


def reordered(arrivals: Iterable[int]) -> int:
    """How many came after one that was sent later.

    Source: RFC 4737, section 3: reordered is what arrives with a number below the next expected.

    >>> reordered([0, 2, 1, 3, 5, 4])
    2
    """
    count, highest = 0, -1
    for sequence in arrivals:
        count += sequence < highest
        highest = max(highest, sequence)
    return count


def loss_runs(received: Iterable[int], sent: int) -> list[int]:
    """Lengths of unbroken runs of lost packets, in the order of sending.

    >>> loss_runs([0, 3, 4], 6)
    [2, 1]
    """
    here = set(received)
    runs, run = [], 0
    for sequence in range(sent):
        if sequence not in here:
            run += 1
        elif run:
            runs.append(run)
            run = 0
    return [*runs, run] if run else runs


def burst_ratio(runs: Sequence[int], sent: int) -> float:
    """Mean length of observed loss runs over that of losses that come by chance at the same rate; 1.0 without loss.

    Source: ITU-T G.107, BurstR.
    """
    lost = sum(runs)
    if not lost or lost == sent:
        return 1.0
    by_chance = 1.0 / (1.0 - lost / sent)
    return max(1.0, lost / len(runs) / by_chance)


def figure_names(delay: str) -> frozenset[str]:
    """Everything that `figures` may say."""
    ranked = (f"{delay}_{word}_seconds" for word in ("min", "median", "p95", "p99", "max"))
    variation = ("jitter_seconds", "delay_variation_p95_seconds", "delay_variation_mean_seconds")
    counts = ("loss_ratio", "sent_count", "duplicate_count", "reordered_ratio")
    return frozenset((*counts, f"{delay}_seconds", *ranked, *variation))


def figures(stream: Stream, delay: str) -> dict[str, float]:
    """What every packet kind says of a stream; `delay` begins the names of the delays (`round_trip`, `one_way`)."""
    values = {
        "loss_ratio": loss_ratio(stream.sent, len(stream.delays)) if stream.sent else 1.0,
        "sent_count": float(stream.sent),
        "duplicate_count": float(stream.duplicates),
    }
    if not stream.delays:
        return values
    trips = stream.in_order()
    ranked = sorted(trips)
    values |= {
        f"{delay}_seconds": sum(trips) / len(trips),
        f"{delay}_min_seconds": ranked[0],
        f"{delay}_median_seconds": quantile(ranked, 0.5),
        f"{delay}_p95_seconds": quantile(ranked, 0.95),
        f"{delay}_p99_seconds": quantile(ranked, 0.99),
        f"{delay}_max_seconds": ranked[-1],
        "reordered_ratio": reordered(stream.delays) / len(trips),
    }
    if len(trips) > 1:
        values["jitter_seconds"] = jitter_seconds(trips)
        values["delay_variation_p95_seconds"] = quantile(excess_delays(trips), 0.95)
    if pairs := delay_variations(stream.delays):
        values["delay_variation_mean_seconds"] = sum(map(abs, pairs)) / len(pairs)
    return values
