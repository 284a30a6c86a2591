"""Shift: the mean of the last samples against the mean of the last half day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from cemd.analyze.columns import Array, Field
from cemd.analyze.detectors.base import Family, Sight, follow, rate

FAST, SLOW = 1 / 8, 1 / 150
"""Rates of the two means: forty minutes and half a day of five minutes."""


class Shift:
    """Difference of a fast and a slow running mean, in units of how far they usually differ.

    Range: any number, 0 where the means agree; large either way is bad: the level moved and stayed. Speaks from the
    second sample. Cost: some fifteen passes over the series of a round, 24 bytes a series.

    >>> from cemd.analyze.detectors.deep import try_out
    >>> try_out(Shift, [9, 11] * 100 + [14] * 8)  # the fast mean went from 10 to 12.6
    7.7

    Source: S. W. Roberts, "Control chart tests based on geometric moving averages", Technometrics 1 (1959).
    """

    word: ClassVar[str] = "shift"
    says: ClassVar[str] = "a moved level"
    family: ClassVar[Family] = Family.LEVEL
    ordinary: ClassVar[float] = 3.9
    fields: ClassVar[Mapping[str, Field]] = {
        "shift_fast": Field("<f8"),
        "shift_slow": Field("<f8"),
        "shift_square": Field("<f8"),
    }

    def measure(self, sight: Sight) -> Array:
        held, kept = sight.held, sight.kept
        kept["shift_fast"] = follow(held["shift_fast"], sight.value, rate(sight.count, FAST))
        kept["shift"] = kept["shift_fast"] - held["shift_slow"]
        size: Array = kept["shift"] / np.sqrt(held["shift_square"] + np.square(sight.floor))
        return size

    def learn(self, sight: Sight) -> None:
        held, kept = sight.held, sight.kept
        held["shift_fast"] = kept["shift_fast"]
        held["shift_slow"] = follow(held["shift_slow"], sight.value, rate(sight.count, SLOW))
        held["shift_square"] = follow(held["shift_square"], np.square(kept["shift"]), rate(sight.count, 1 / 1000))
