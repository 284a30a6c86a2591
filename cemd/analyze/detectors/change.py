"""Change: the step from the sample before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from cemd.analyze.columns import Array, Field
from cemd.analyze.detectors.base import Family, Sight, follow, rate


class Change:
    """Step from the sample before, in units of the usual step.

    Range: any number, 0 no step; large either way is bad. Speaks from the third sample. Cost: some ten passes over the
    series of a round, 8 bytes a series.

    >>> from cemd.analyze.detectors.deep import try_out
    >>> try_out(Change, [10, 12] * 100 + [24])  # from 12 to 24; as a rule 2
    6.0

    Source: J. von Neumann et al., "The mean square successive difference", Annals of Mathematical Statistics 12 (1941).
    """

    word: ClassVar[str] = "change"
    says: ClassVar[str] = "a sudden step"
    family: ClassVar[Family] = Family.STEP
    ordinary: ClassVar[float] = 3.1
    fields: ClassVar[Mapping[str, Field]] = {"change_square": Field("<f8")}

    def measure(self, sight: Sight) -> Array:
        size: Array = sight.step / np.sqrt(sight.held["change_square"] + np.square(sight.floor))
        return size

    def learn(self, sight: Sight) -> None:
        square = sight.held["change_square"]
        sight.held["change_square"] = follow(square, np.square(sight.step), rate(sight.count, 1 / 1000))
