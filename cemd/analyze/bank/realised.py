"""Does the stated rate come true? What the clusters of all series together did says, and the limits follow.

How rare a peak of evidence is, each series says by its own past (`episodes`), as if peaks had an exponential tail. Some
tails are lighter, some heavier, and young series know little. So it is counted, for clusters of evidence as they close,
how many went beyond the level that their own series had named for `OFTEN` times the stated rate, and how many should
have. Their ratio corrects how rare an alarm must be, for all series that are alike (the caller says what makes them so,
by number of class), and from then on the counted level is the corrected one. One series has such a cluster twice a
year, a thousand have one or two a day.

What is left is the tail from there to the alarm. So alarms are counted as well, and correct the limit beside the other,
by less: some are true. Bounded narrowly upward, they cannot make others deaf.

Classes have several sides (mean peak, season, tail, age). A class that has counted little leans on all that share its
first sides, those on all that share one side less, and in the end on all.

A storm raises many at once: in an hour a class, and all of them together, count at most `BURST` times what should be.
Both corrections are bounded, so that nothing goes deaf, and fade in weeks. Sums are whole numbers and enter at ticks,
so nothing depends on how batches were cut.

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
LEAST_OF_ALARMS, MOST_OF_ALARMS = 0.25, 2.0
"""Bounds of what alarms themselves say of the tail beyond the counted level: some are true, and must not make others
more than twice as rare."""
HOUR_SECONDS = 3600.0
FADES = 1.0 - 1.0 / (24.0 * 28.0)
"""An hour; what was counted four weeks ago weighs 0.37."""
BURST, FREE = 2.0, 2.0
ONE = number(1.0)
FINE = 2.0**20
"""Expectations are counted in millionths: whole numbers add up to the same in any order."""


class Realised:
    """Counts by class, and what follows of them: how many times as rare as stated the counted level of a class must be,
    and how many times as rare as that says its alarms.

    Args:
        sides: How many classes there are by each side. The number of a class counts through the last side first.
    """

    def __init__(self, *sides: int) -> None:
        self.sides = sides
        size = math.prod(sides)
        self.correction: Array = np.ones((2, size), np.float32)  # of the counted level, of alarms
        self._judged_at = -np.inf
        self._beyond: Array = np.zeros((2, size), np.int64)  # since then
        self._due: Array = np.zeros((2, size), np.int64)
        self._counted: Array = np.zeros((2, 2, size))  # beyond and due, of either; fading

    def of(self, number: Array) -> Array:
        """float32: the correction of the counted level for series of these classes."""
        found: Array = self.correction[0].take(number)
        return found

    def of_alarms(self, number: Array) -> Array:
        """float32: the correction of their alarms, beside the other."""
        found: Array = self.correction[1].take(number)
        return found

    def count(self, number: Array, beyond: Array, clusters: Array) -> None:
        """Clusters that closed: class of their series, whether this one went beyond the counted level without an alarm,
        and of how many clusters one should alarm."""
        size = self.correction.shape[1]
        self._beyond[0] += np.bincount(number[beyond], minlength=size)
        for level, often in enumerate((OFTEN, ONE)):
            corrected = clusters * self.correction[level].take(number)
            due = (np.minimum(often / corrected, ONE) * np.float32(FINE)).astype(np.int64)
            # Whole numbers stay whole far beyond these.
            self._due[level] += np.bincount(number, due, size).astype(np.int64)

    def count_alarms(self, number: Array) -> None:
        """Alarms that opened: class of their series. They are beyond the counted level as well."""
        self._beyond += np.bincount(number, minlength=self.correction.shape[1])

    def judge(self, at: float) -> None:
        """Once an hour: what was counted enters the correction."""
        if at < self._judged_at + HOUR_SECONDS:
            return
        self._judged_at = at
        due = self._due / FINE
        beyond = np.minimum(self._beyond, BURST * due + FREE)
        beyond *= np.minimum((BURST * due.sum(axis=1) + FREE) / np.maximum(beyond.sum(axis=1), 1.0), 1.0)[:, None]
        self._counted *= FADES
        self._counted += [beyond, due]
        self._beyond[:], self._due[:] = 0, 0
        for level, (least, most) in enumerate(((LEAST, MOST), (LEAST_OF_ALARMS, MOST_OF_ALARMS))):
            leaning = np.ones(1)
            for known in range(len(self.sides) + 1):
                alike = self._counted[:, level].reshape(2, math.prod(self.sides[:known]), -1).sum(axis=2)
                if known:
                    leaning = leaning.repeat(self.sides[known - 1])
                leaning = (alike[0] + PRIOR * leaning) / (alike[1] + PRIOR)
            self.correction[level] = np.clip(leaning, least, most)

    def dump(self) -> dict[str, bytes]:
        held = np.concatenate([[self._judged_at], self._counted.reshape(-1)])
        return {
            "realised": held.tobytes(),
            "realised_new": np.stack([self._beyond, self._due]).tobytes(),
            "realised_correction": self.correction.tobytes(),
        }

    def load(self, dumped: Mapping[str, Any]) -> None:
        """A snapshot of before there was a correction has none, an older one has other classes: it begins anew."""
        correction = np.frombuffer(dumped.get("realised_correction", b""), np.float32)
        if correction.size != self.correction.size:
            return
        held = np.frombuffer(dumped["realised"], np.float64)
        self._judged_at, self._counted = float(held[0]), held[1:].reshape(self._counted.shape).copy()
        self._beyond, self._due = np.frombuffer(dumped["realised_new"], np.int64).reshape(2, *self._beyond.shape).copy()
        self.correction = correction.reshape(self.correction.shape).copy()


def half_doublings(x: Array, least: int, classes: int) -> Array:
    """int32: number of the class of these numbers: half a doubling each, by exponent and first bit of the mantissa. The
    first begins `least` of them from 1 and holds all that is smaller, the last all that is larger."""
    bits = x.astype(np.float32, copy=False).view(np.int32)
    number: Array = bits >> 22
    number -= ZERO_DOUBLINGS + least
    np.maximum(number, 0, out=number)
    return np.minimum(number, classes - 1, out=number)
