"""Local: the distance from the level of the last two hours, in units of how restless the series is now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from cemd.analyze.columns import Array, Field
from cemd.analyze.detectors.base import Family, Sight, follow, rate

LEVEL = 1 / 24
"""Rate of the level: two hours of five minutes."""
RECENT, LONG = 1 / 50, 1 / 1000
RECENT_SHARE = 0.7
"""Share of the last hours in the scale; the rest is long-run, so that a calm hour makes no alarm of a ripple."""


class Local:
    """Distance from the running level over a spread that is mostly that of the last four hours.

    Range: any number, 0 at the level; large either way is bad. Speaks from the second sample. Cost: some fifteen passes
    over the series of a round, 24 bytes a series.

    >>> from cemd.analyze.detectors.deep import try_out
    >>> try_out(Local, [9, 11] * 100 + [16])  # level 10, distances 1
    5.8

    Source: R. F. Engle, "Autoregressive conditional heteroscedasticity", Econometrica 50 (1982), with exponential
    weights in place of the fit.
    """

    word: ClassVar[str] = "local"
    says: ClassVar[str] = "its distance from the last hours"
    family: ClassVar[Family] = Family.STEP
    ordinary: ClassVar[float] = 2.9
    fields: ClassVar[Mapping[str, Field]] = {
        "local_level": Field("<f8"),
        "local_recent": Field("<f8"),
        "local_long": Field("<f8"),
    }

    def measure(self, sight: Sight) -> Array:
        held = sight.held
        distance = sight.kept["local"] = sight.value - held["local_level"]
        square = RECENT_SHARE * held["local_recent"] + (1.0 - RECENT_SHARE) * held["local_long"]
        size: Array = distance / np.sqrt(square + np.square(sight.floor))
        return size

    def learn(self, sight: Sight) -> None:
        held, distance = sight.held, sight.kept["local"]
        square = np.square(distance)
        held["local_level"] = held["local_level"] + rate(sight.count, LEVEL) * distance
        held["local_recent"] = follow(held["local_recent"], square, rate(sight.count, RECENT))
        held["local_long"] = follow(held["local_long"], square, rate(sight.count, LONG))
