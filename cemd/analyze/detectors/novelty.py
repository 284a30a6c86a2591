"""Novelty: whether any earlier day looked like the last half hour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from cemd.analyze.columns import Array, Field
from cemd.analyze.detectors.base import Family, Sight, or_zero
from cemd.analyze.detectors.history import DAYS, REACH

RATE = np.float32(1 / 8)
"""Rate at which the distance from a day follows: some eight samples make the context."""


class Novelty:
    """Distance of the last samples, as a short subsequence, from the same time of the most similar earlier day.

    The distance from each of the last 21 days is kept as a running mean, so that a subsequence is compared with all of
    them in one pass: the nearest neighbour of a sliding window without the window.

    Range: 0 (a day went the same way) upwards; large is bad. Says nothing before two earlier days are known. Cost: some
    ten passes over 21 numbers, 84 bytes a series.

    >>> from cemd.analyze.detectors.deep import try_out
    >>> day = [10.0, 14.0] * 144
    >>> try_out(Novelty, day * 4 + [10.0] * 8), try_out(Novelty, day * 4 + [20.0] * 8)
    (0.0, 3.8)

    Source: C.-C. M. Yeh et al., "Matrix Profile I", ICDM 2016, restricted to the same time of day.
    """

    word: ClassVar[str] = "novelty"
    says: ClassVar[str] = "a course that no earlier day had"
    family: ClassVar[Family] = Family.COURSE
    ordinary: ClassVar[float] = 3.4
    fields: ClassVar[Mapping[str, Field]] = {"novelty_distance": Field("<f4", 0, (DAYS,))}

    def measure(self, sight: Sight) -> Array:
        near = sight.near
        distance = np.fmin(np.fmin(near[:, :, REACH - 1], near[:, :, REACH]), near[:, :, REACH + 1])
        old = sight.held["novelty_distance"]
        step = or_zero(distance - old)
        new = sight.kept["novelty"] = old + RATE * step
        best = np.where(sight.here, new, np.inf).min(axis=1).astype(np.float64)
        scale = 0.3 * sight.deviation + sight.usual_spread + sight.floor
        size: Array = np.where(sight.has_days, best / scale, np.nan)
        return size

    def learn(self, sight: Sight) -> None:
        sight.held["novelty_distance"] = sight.kept["novelty"]
