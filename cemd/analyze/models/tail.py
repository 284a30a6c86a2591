"""How far is too far: the level that the largest of a block exceeds with a given chance, by its own past.

The upper fifth of the past block maxima are excesses over a threshold; a generalised Pareto tail is fitted to them by
its moments, with a shape between exponential and a heavy one, and read off beyond what was ever seen.

Source: Hosking and Wallis 1987, parameter and quantile estimation for the generalised Pareto distribution (moments).
"""

from __future__ import annotations

import numpy as np

from cemd.analyze.columns import Array

UPPER = 0.2
"""Share of the maxima that count as tail: with the least number of 32 these are six."""
HEAVIEST = 0.4
"""Bound of the shape: the moments of six values can say anything; beyond it no limit would ever be reached."""


def limit(peaks: Array, chance: float) -> tuple[float, float]:
    """(level exceeded with `chance` a block, level exceeded by a fifth of the blocks).

    Args:
        peaks: Largest values of past blocks, at least 8 of them, not negative.
        chance: Of one block, below one fifth.
    """
    ordered = np.sort(peaks, kind="stable")
    count = max(2, round(UPPER * len(ordered)))
    start = float(ordered[-count - 1])
    excess = ordered[-count:] - start
    mean, variance = float(excess.mean()), float(excess.var(ddof=1))
    if mean <= 0.0:
        return max(start * 1.5, 1e-9), start  # constant until now: half as much again is another world
    ratio = mean * mean / variance if variance > 0 else np.inf
    shape = float(np.clip(0.5 * (1.0 - ratio), 0.0, HEAVIEST))
    scale = mean * (1.0 - shape)
    beyond = (count / len(ordered)) / chance
    far = scale * np.log(beyond) if shape < 1e-6 else scale / shape * (beyond**shape - 1.0)
    return start + float(far), start
