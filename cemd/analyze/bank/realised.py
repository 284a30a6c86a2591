"""Does the stated rate come true? What the clusters of all series together did says, and the limits follow.

How rare a peak of evidence is, each series says by its own past (`episodes`), as if peaks had an exponential tail. Some
tails are lighter, some heavier, and young series know little. So it is counted, for clusters of evidence as they close,
how many went beyond the level that their own series had named for `OFTEN` times the stated rate, and how many should
have. Their ratio corrects how rare an alarm must be, for all series that are alike (the caller says what makes them so,
by number of class), and from then on the counted level is the corrected one: where it comes true as often as it should,
the alarm is only `OFTEN` times rarer, whatever the tail does before. One series has such a cluster twice a year, a
thousand have one or two a day.

Classes have several sides (mean peak, tail, age). A class that has counted little leans on all that share its first
sides, those on all that share one side less, and in the end on all.

Alarms themselves are not counted, for those may be true; what goes beyond the lower level is mostly chance. A storm
raises many at once: in an hour a class counts at most `BURST` times what should be. The correction is bounded, so that
nothing goes deaf, and fades in weeks. Sums are whole numbers and enter at ticks, so nothing depends on how batches were
cut.

Source: Gibbs and Candès 2021, adaptive conformal inference under distribution shift: the realised rate is steered to
the stated one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cemd.analyze.columns import Array, number

OFTEN = number(4.0)
"""How many times more often than alarms the counted level is exceeded: nearer to the alarm less is guessed of the tail
between, and less is counted."""
ZERO_DOUBLINGS = 2 * 127
"""Exponent and first bit of the mantissa of 1 in single precision."""
PRIOR = 8.0
"""Clusters beyond the level, as should be, that a class starts with; so much it leans on what more classes show."""
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
    """Counts by class, and `correction`: how many times as rare as stated the limits of a class must be.

    Args:
        sides: How many classes there are by each side. The number of a class counts through the last side first.
    """

    def __init__(self, *sides: int) -> None:
        self.sides = sides
        size = math.prod(sides)
        self.correction: Array = np.ones(size, np.float32)
        self._judged_at = -np.inf
        self._beyond: Array = np.zeros(size, np.int64)  # since then
        self._due: Array = np.zeros(size, np.int64)
        self._counted: Array = np.zeros((2, size))  # beyond, due; fading

    def of(self, number: Array) -> Array:
        """float32: the correction for series of these classes."""
        found: Array = self.correction[number]
        return found

    def count(self, number: Array, beyond: Array, clusters: Array) -> None:
        """Clusters that closed: class of their series, whether this one went beyond the counted level, and of how many
        clusters, corrected, one should alarm."""
        size = len(self.correction)
        due = (np.minimum(OFTEN / clusters, ONE) * np.float32(FINE)).astype(np.int64)
        self._beyond += np.bincount(number[beyond], minlength=size)
        self._due += np.bincount(number, due, size).astype(np.int64)  # whole numbers stay whole far beyond these

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
        leaning = np.ones(1)
        for known in range(len(self.sides) + 1):
            alike = self._counted.reshape(2, math.prod(self.sides[:known]), -1).sum(axis=2)
            if known:
                leaning = leaning.repeat(self.sides[known - 1])
            leaning = (alike[0] + PRIOR * leaning) / (alike[1] + PRIOR)
        self.correction[:] = np.clip(leaning, LEAST, MOST)

    def dump(self) -> dict[str, bytes]:
        held = np.concatenate([[self._judged_at], self._counted.reshape(-1)])
        return {
            "realised": held.tobytes(),
            "realised_new": np.concatenate([self._beyond, self._due]).tobytes(),
            "realised_correction": self.correction.tobytes(),
        }

    def load(self, dumped: Mapping[str, Any]) -> None:
        """A snapshot of before there was a correction has none, an older one has other classes: it begins anew."""
        correction = np.frombuffer(dumped.get("realised_correction", b""), np.float32)
        if len(correction) != len(self.correction):
            return
        held = np.frombuffer(dumped["realised"], np.float64)
        self._judged_at, self._counted = float(held[0]), held[1:].reshape(2, -1).copy()
        self._beyond, self._due = np.frombuffer(dumped["realised_new"], np.int64).reshape(2, -1).copy()
        self.correction = correction.copy()


def half_doublings(x: Array, least: int, classes: int) -> Array:
    """int32: number of the class of these numbers: half a doubling each, by exponent and first bit of the mantissa. The
    first begins `least` of them from 1 and holds all that is smaller, the last all that is larger."""
    bits = x.astype(np.float32, copy=False).view(np.int32)
    number: Array = bits >> 22
    number -= ZERO_DOUBLINGS + least
    np.maximum(number, 0, out=number)
    return np.minimum(number, classes - 1, out=number)
