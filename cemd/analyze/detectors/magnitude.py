"""Magnitude: the plain distance from the long-run mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from cemd.analyze.columns import Array, Field
from cemd.analyze.detectors.base import Family, Sight


class Magnitude:
    """z of the long-run mean and standard deviation (the last two weeks of five minutes).

    Range: any number, 0 as always; -6 is six deviations below. Large either way is bad. Speaks from the second sample.
    Cost: one subtraction and one division; state is shared with the other kinds.

    >>> from cemd.analyze.detectors.deep import try_out
    >>> try_out(Magnitude, [8, 12] * 50 + [16])  # mean 10, deviation 2
    3.0

    Source: W. A. Shewhart, "Economic Control of Quality of Manufactured Product" (1931).
    """

    word: ClassVar[str] = "magnitude"
    says: ClassVar[str] = "its size"
    family: ClassVar[Family] = Family.SIZE
    ordinary: ClassVar[float] = 3.5
    fields: ClassVar[Mapping[str, Field]] = {}

    def measure(self, sight: Sight) -> Array:
        z: Array = (sight.value - sight.mean) / np.sqrt(np.square(sight.deviation) + np.square(sight.floor))
        return z

    def learn(self, sight: Sight) -> None:
        """Mean and deviation are everybody's: `deep` keeps them."""
