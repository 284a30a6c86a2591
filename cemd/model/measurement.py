"""Measurements travel as columns; a series is named once and is a number from then on."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from cemd.model.identity import Instant, SeriesId

SUCCESS = "success"
"""Every probe has this metric: 1.0 where the attempt was ok, 0.0 where it failed or timed out, absent when blind."""
SUCCEEDS = (SUCCESS, "success_ratio")
"""How metrics end that say how much succeeds."""
PROBER = "prober:"
"""Before the name of a vantage point: the source of what its prober measures."""

_NEVER_NEGATIVE = ("_seconds", "_ratio", "_bytes", "_count", "_total", "_percent", "_per_second")
_SIGNED = frozenset(
    {"offset", "remaining", "skew", "drift", "difference", "delta", "change", "expiry", "left", "until"}
)
"""Words in a metric's name: it goes below zero although its unit is a duration, say."""


def is_never_negative(metric: str) -> bool:
    """True when the unit in a metric's name has no values below zero.

    >>> is_never_negative("round_trip_seconds"), is_never_negative("offset_seconds"), is_never_negative("signal_dbm")
    (True, False, False)
    """
    return metric == SUCCESS or (metric.endswith(_NEVER_NEGATIVE) and not _SIGNED.intersection(metric.split("_")))


def prober_at(source: str) -> str:
    """The vantage point whose prober is this source; "" for what is pushed.

    >>> prober_at("prober:home"), prober_at("mqtt")
    ('home', '')
    """
    return source.removeprefix(PROBER) if source.startswith(PROBER) else ""


class SeriesKey(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """What a series measures, in words. `labels` is sorted by name; no address of a customer may stand in it."""

    probe: str  # uid of the probe, or of the source for pushed data
    metric: str  # with its unit in the name: round_trip_seconds, loss_ratio, success
    vantage: str = "home"
    target: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    def identity(self) -> str:
        """One text that tells this series from every other one; the partition is hashed from the probe's uid alone,
        so that all series of a probe live together."""
        labels = ",".join(f"{name}={value}" for name, value in self.labels)
        return f"{self.probe}|{self.target}|{self.vantage}|{self.metric}|{labels}"


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """A series that has its number."""

    id: SeriesId
    key: SeriesKey
    source: str  # who may add to it: "prober:home", "mqtt", "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Columns of equal length n: `series` int64[n] (series ids), `at` float64[n] (measured time, s), `value` float64[n]
    (NaN where there is none), `outcome` uint8[n]."""

    series: NDArray[np.int64]
    at: NDArray[np.float64]
    value: NDArray[np.float64]
    outcome: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.series)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of one probe, as the prober keeps it for evidence: never on the hot path of the core."""

    probe: str
    at: Instant
    seconds: float
    outcome: str
    reason: str = ""
    detail: str = ""
    values: dict[str, float] = field(default_factory=dict)
    vantage: str = ""
    """From where it was made; "": kept by a version that did not say."""
