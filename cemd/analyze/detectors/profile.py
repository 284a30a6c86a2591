"""Profile: the distance from the median of this time of day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from cemd.analyze.columns import Array, Field
from cemd.analyze.detectors.base import Family, Sight


class Profile:
    """Distance from the median of the last 14 days at this time, half in units of their own spread, half of the usual
    distance at any time.

    Range: any number, 0 as on other days; large either way is bad. Says nothing before two earlier days are known.
    Cost: two sorts of 14 numbers a series (shared with other kinds) and some five passes.

    >>> from cemd.analyze.detectors.deep import try_out
    >>> day = [10.0] * 144 + [30.0] * 144
    >>> values = [value + n % 5 for n, value in enumerate(day * 8)]  # 0 to 4 more, differently each day
    >>> try_out(Profile, [*values, 32.0])  # at a time of tens: 12 is usual, give or take 1
    16.9

    Source: W. S. Cleveland et al., "STL: a seasonal-trend decomposition procedure", Journal of Official Statistics 6
    (1990), with a median in place of the smoother.
    """

    word: ClassVar[str] = "profile"
    says: ClassVar[str] = "its distance from the usual at this time of day"
    family: ClassVar[Family] = Family.TIME_OF_DAY
    ordinary: ClassVar[float] = 13.0
    fields: ClassVar[Mapping[str, Field]] = {}

    def measure(self, sight: Sight) -> Array:
        scale = 0.5 * sight.residual + 0.5 * sight.usual_spread + sight.floor
        size: Array = np.where(sight.has_days & sight.knows_residual, (sight.value - sight.typical) / scale, np.nan)
        return size

    def learn(self, sight: Sight) -> None:
        """The usual distance is everybody's: `deep` keeps it."""
