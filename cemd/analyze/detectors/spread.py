"""Spread: whether the series became restless, or still."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from cemd.analyze.columns import Array, Field
from cemd.analyze.detectors.base import PACE, Family, Sight, follow, rate

FAST = 1 / 8
EARLY = 10
"""Samples before it speaks."""
LIFT = 0.02
"""Share of the usual step below which steps count as none."""


class Spread:
    """Logarithm of the size of the last steps over that of usual ones.

    Range: any number, 0 as always, 0.7 twice as restless, -4 a value that is stuck; large either way is bad. Speaks
    after ten samples. Cost: some fifteen passes over the series of a round and a logarithm, 16 bytes a series.

    >>> from cemd.analyze.detectors.deep import try_out
    >>> try_out(Spread, [9, 11] * 100 + [7, 13] * 8)  # steps of 5 by now, as a rule of 2
    0.9

    Source: J. F. MacGregor, T. J. Harris, "The exponentially weighted moving variance", Journal of Quality Technology
    25 (1993), on steps in place of squares.
    """

    word: ClassVar[str] = "spread"
    says: ClassVar[str] = "its restlessness"
    family: ClassVar[Family] = Family.STEP
    ordinary: ClassVar[float] = 1.7
    fields: ClassVar[Mapping[str, Field]] = {"spread_fast": Field("<f8"), "spread_usual": Field("<f8")}

    def measure(self, sight: Sight) -> Array:
        held, kept = sight.held, sight.kept
        kept["spread"] = np.abs(sight.step)
        fast = kept["spread_fast"] = follow(held["spread_fast"], kept["spread"], rate(sight.count, FAST))
        lift = LIFT * held["spread_usual"] + sight.floor
        ratio = (fast + lift) / (held["spread_usual"] + lift)
        size: Array = np.where(sight.count > EARLY, np.log(ratio), np.nan)
        return size

    def learn(self, sight: Sight) -> None:
        held, kept = sight.held, sight.kept
        held["spread_fast"] = kept["spread_fast"]
        held["spread_usual"] = follow(held["spread_usual"], kept["spread"], rate(sight.count, PACE))
