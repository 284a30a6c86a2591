"""Nearest: the distance from the most similar value around this time on any earlier day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from cemd.analyze.columns import Array, Field
from cemd.analyze.detectors.base import Family, Sight


class Nearest:
    """Distance from the nearest value within two slots of this time on the last 21 days: weekends, holidays and late
    nightly jobs are no news as soon as there was one like it.

    Range: any number, 0 where it was there before; the sign says on which side of the median. Large is bad: no day was
    ever like this. Says nothing before two earlier days are known. Cost: 105 distances a sample, shared with `novelty`.

    >>> from cemd.analyze.detectors.deep import try_out
    >>> day = [10.0, 14.0] * 144
    >>> try_out(Nearest, day * 4 + [20.0]), try_out(Nearest, day * 4 + [14.0])  # 14 stood in the slot beside it
    (30.0, 0.0)

    Source: V. Chandola et al., "Anomaly detection: a survey", ACM Computing Surveys 41 (2009), section 5.
    """

    word: ClassVar[str] = "nearest"
    says: ClassVar[str] = "that no earlier day had such a value at this time"
    family: ClassVar[Family] = Family.TIME_OF_DAY
    ordinary: ClassVar[float] = 7.9
    fields: ClassVar[Mapping[str, Field]] = {}

    def measure(self, sight: Sight) -> Array:
        near = sight.near
        by_day = near[:, :, 0]
        for slot in range(1, near.shape[2]):
            by_day = np.fmin(by_day, near[:, :, slot])
        best = np.fmin.reduce(by_day, axis=1).astype(np.float64)
        scale = 0.1 * sight.deviation + sight.usual_spread + sight.floor
        size: Array = np.where(sight.has_days, np.where(sight.value < sight.typical, -best, best) / scale, np.nan)
        return size

    def learn(self, sight: Sight) -> None:
        """The ring of values is everybody's: `history` keeps it."""
