"""Does the stated rate come true? What the clusters of all series together did says, and the limits follow.

How rare a peak of evidence is, each series says by its own past (`episodes`), as if peaks had an exponential tail. Some
tails are lighter, some heavier, and young series know little. So it is counted, for clusters of evidence as they close,
how many went beyond the level that their own series had named for `OFTEN` times the stated rate, and how many should
have. Their ratio corrects how rare an alarm must be, for all series whose clusters are alike: a class is half a
doubling of the mean peak. One series has such a cluster once a quarter, a thousand have some every hour.

Alarms themselves are not counted, for those may be true; what goes beyond the lower level is mostly chance. A storm
raises many at once: in an hour a class counts at most `BURST` times what should be. The correction is bounded, so that
nothing goes deaf, and fades in weeks. Sums are whole numbers and enter at ticks, so nothing depends on how batches were
cut.

Source: Gibbs and Candès 2021, adaptive conformal inference under distribution shift: the realised rate is steered to
the stated one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cemd.analyze.columns import Array, number

OFTEN = number(8.0)
"""How many times more often than alarms the counted level is exceeded."""
CLASSES = 24
LOWEST = 2 * 127 - 8
"""Exponent and first bit of the mantissa of a mean peak of 1/16 bit: the first class."""
SETTLED = number(8.0)
"""Clusters that a series must have seen before it is counted."""
PRIOR = 8.0
"""Clusters beyond the level, as should be, that a class starts with; so much it leans on what all classes show."""
LEAST, MOST = 0.05, 3.0
"""Bounds of the correction: limits that know little are far too high; but an operator whose series are truly unwell
must not be told ten times less."""
HOUR_SECONDS = 3600.0
FADES = 1.0 - 1.0 / (24.0 * 28.0)
"""An hour; what was counted four weeks ago weighs 0.37."""
BURST, FREE = 2.0, 2.0
ONE = number(1.0)
FINE = 2.0**20
"""Expectations are counted in millionths: whole numbers add up to the same in any order."""


class Realised:
    """Counts by class, and `correction`: how many times as rare as stated the limits of a class must be."""

    def __init__(self) -> None:
        self.correction: Array = np.ones(CLASSES, np.float32)
        self._judged_at = -np.inf
        self._beyond: Array = np.zeros(CLASSES, np.int64)  # since then
        self._due: Array = np.zeros(CLASSES, np.int64)
        self._counted: Array = np.zeros((2, CLASSES))  # beyond, due; fading

    def of(self, excess: Array) -> Array:
        """float32: the correction for series with these mean peaks."""
        found: Array = self.correction[class_of(excess)]
        return found

    def count(self, excess: Array, beyond: Array, clusters: Array) -> None:
        """Clusters that closed: mean peak of their series, whether this one went beyond the counted level, and of how
        many clusters one should alarm."""
        own = class_of(excess)
        due = (np.minimum(OFTEN / clusters, ONE) * np.float32(FINE)).astype(np.int64)
        self._beyond += np.bincount(own[beyond], minlength=CLASSES)
        self._due += np.bincount(own, due, CLASSES).astype(np.int64)  # whole numbers stay whole far beyond these

    def judge(self, at: float) -> None:
        """Once an hour: what was counted enters the correction."""
        if at < self._judged_at + HOUR_SECONDS:
            return
        self._judged_at = at
        due = self._due / FINE
        beyond = np.minimum(self._beyond, BURST * due + FREE)
        self._counted *= FADES
        self._counted += [beyond, due]
        self._beyond[:], self._due[:] = 0, 0
        total = self._counted.sum(axis=1) + PRIOR
        leaning = np.array([PRIOR * total[0] / total[1], PRIOR])[:, None]
        ratio = (self._counted + leaning)[0] / (self._counted + leaning)[1]
        self.correction[:] = np.clip(ratio, LEAST, MOST)

    def dump(self) -> dict[str, bytes]:
        held = np.concatenate([[self._judged_at], self._counted.reshape(-1)])
        return {
            "realised": held.tobytes(),
            "realised_new": np.concatenate([self._beyond, self._due]).tobytes(),
            "realised_correction": self.correction.tobytes(),
        }

    def load(self, dumped: Mapping[str, Any]) -> None:
        """A snapshot of before there was a correction has none: it begins anew."""
        if "realised" not in dumped:
            return
        held = np.frombuffer(dumped["realised"], np.float64)
        self._judged_at, self._counted = float(held[0]), held[1:].reshape(2, CLASSES).copy()
        self._beyond, self._due = np.frombuffer(dumped["realised_new"], np.int64).reshape(2, CLASSES).copy()
        self.correction = np.frombuffer(dumped["realised_correction"], np.float32).copy()


def class_of(excess: Array) -> Array:
    """Number of the class of these mean peaks, in bits of evidence, by exponent and first bit of the mantissa."""
    bits = np.ascontiguousarray(excess, np.float32).view(np.int32)
    number: Array = np.minimum(np.maximum((bits >> 22) - LOWEST, 0), CLASSES - 1)
    return number
