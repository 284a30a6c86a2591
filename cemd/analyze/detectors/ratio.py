"""Ratio: how many times as much, or as little, as usual at this time of day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from cemd.analyze.columns import Array, Field
from cemd.analyze.detectors.base import Family, Sight


class Ratio:
    """Logarithm of the sample over the median of this time of day; both lifted a little, so that two values near zero
    are not a ratio of their noise.

    Range: any number, 0 as usual, 0.7 twice, -0.7 half as much; large either way is bad: a drop to nothing is as loud
    as a rise. Says nothing before two earlier days are known. Cost: two logarithms a sample; no state of its own.

    >>> from cemd.analyze.detectors.deep import try_out
    >>> try_out(Ratio, [100.0] * 288 * 3 + [25.0])  # a quarter of the usual: log(25 / 100)
    -1.4

    Source: L. Törnqvist et al., "How should relative changes be measured?", The American Statistician 39 (1985).
    """

    word: ClassVar[str] = "ratio"
    says: ClassVar[str] = "its ratio to the usual at this time of day"
    family: ClassVar[Family] = Family.TIME_OF_DAY
    ordinary: ClassVar[float] = 1.3
    fields: ClassVar[Mapping[str, Field]] = {}

    def measure(self, sight: Sight) -> Array:
        usual = sight.typical + (sight.raw - sight.value)
        lift = 0.3 * sight.residual + 0.02 * sight.deviation + sight.floor
        ratio = (np.abs(sight.raw) + lift) / (np.abs(usual) + lift)
        size: Array = np.where(sight.has_days & sight.knows_residual, np.log(ratio), np.nan)
        return size

    def learn(self, sight: Sight) -> None:
        """Nothing of its own."""
