"""Straight lines through rings of values: slope, how sure it is, and whether it still goes on.

Everything is done for many rings at once: arrays are (rings, points), times ascend along a row. The samples of a
rolling window overlap, and some values wander by themselves, so neighbours resemble each other: the variance of the
slope is inflated by the residuals' lag-1 correlation, and the degrees of freedom shrink to those of the variance of an
AR(1). One ring tells that correlation badly: too low, and lowest where noise looks most like a line. So what earlier
rings of the same series showed counts as well, by how many they were. A step looks like a steep line for as long as it
lies within the ring; it is told apart by its newer half.

Source: ordinary least squares; Bartlett 1935 for the effective sample size; Marriott and Pope 1954, Kendall 1954 for
the bias of the correlation; Wallace 1959 for Student's t as a normal.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from cemd.analyze.columns import Array

TINY = 1e-12
FEWEST_FREE = 4.0
"""Degrees of freedom at least: with fewer, a line without noise would be no trend."""
MOST_CORRELATED = 0.97
UNSURE = 1.5
"""Standard errors that are added to the correlation: too little of it is the dangerous error."""
GOES_ON = 0.5
"""Share of the whole slope that the newer half must show: after a step it shows none."""
CLEARLY = 2.0
"""Standard errors of the newer half's slope above 0: the whole ring has proved the trend already."""
MUCH_BETTER = 1.25
"""A step must leave four fifths of what a line leaves: with noise as large as the trend either may fit by chance."""


@dataclass(frozen=True, slots=True)
class Trend:
    """Per ring; values in the unit of the ring, times in its unit of time."""

    level: Array  # of the line at the last time
    slope: Array
    z: Array  # of the slope against none, as a normal deviate; sign of the slope
    spread: Array  # of the residuals
    alike: Array  # lag-1 correlation of the residuals, its bias taken off; -1..1
    inflation: Array  # of the variance by correlation, at least 1
    middle: Array  # mean of the times
    squares: Array  # sum of squared distances of the times from it
    points: int

    def of(self, rings: Array) -> Trend:
        """Those of some rings only."""
        held = {one.name: getattr(self, one.name)[rings] for one in fields(self) if one.name != "points"}
        return Trend(**held, points=self.points)

    def spread_at(self, ahead: Array, last: Array) -> Array:
        """Standard deviation of where a new value lies `ahead` of the last time."""
        far = (last + ahead - self.middle) ** 2 / self.squares
        wide: Array = self.spread * np.sqrt(1.0 + self.inflation * (1.0 / self.points + far))
        return wide


def trends(times: Array, values: Array, before: Array | float = 0.0, rings: Array | float = 0.0) -> Trend:
    """Fits each row.

    Args:
        times: (rings, points), ascending; at least 8 points and not all equal.
        values: (rings, points), finite.
        before: Lag-1 correlation that earlier rings of the same series showed, as `Trend.alike`.
        rings: How many rings it stands on that do not overlap.
    """
    points = values.shape[1]
    middle, mean = times.mean(axis=1), values.mean(axis=1)
    t, y = times - middle[:, None], values - mean[:, None]
    squares = np.maximum((t * t).sum(axis=1), TINY)
    slope = (t * y).sum(axis=1) / squares
    rest = y - slope[:, None] * t
    error = (rest * rest).sum(axis=1)
    floor = (TINY + 1e-9 * np.abs(values).max(axis=1)) ** 2 * points  # a line without noise, and a constant
    raw = (rest[:, 1:] * rest[:, :-1]).sum(axis=1) / np.maximum(error, floor)
    own = np.clip((raw + 2.0 / points) / (1.0 - 4.0 / points), -1.0, 1.0)
    known = (own + rings * before) / (1.0 + rings)
    unsure = UNSURE * np.sqrt(np.maximum(1.0 - known * known, 0.0) / (points * (1.0 + rings)))
    alike = np.clip(known + unsure, 0.0, MOST_CORRELATED)
    inflation = (1.0 + alike) / (1.0 - alike)
    freedom = np.maximum(points * (1.0 - alike * alike) / (1.0 + alike * alike) - 2.0, FEWEST_FREE)
    variance = np.maximum(error, floor) / (points - 2)
    t_value = slope / np.sqrt(variance * inflation / squares)
    return Trend(
        level=mean + slope * (times[:, -1] - middle),
        slope=slope,
        z=_as_normal(t_value, freedom),
        spread=np.sqrt(variance),
        alike=own,
        inflation=inflation,
        middle=middle,
        squares=squares,
        points=points,
    )


def _as_normal(t: Array, freedom: Array) -> Array:
    """The normal deviate as unlikely as Student's t, within one per cent (Wallace)."""
    factor = (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0)
    z: Array = np.sign(t) * factor * np.sqrt(freedom * np.log1p(t * t / freedom))
    return z


def goes_on(times: Array, values: Array, slope: Array) -> Array:
    """Whether the newer half shows the slope too: clearly of that sign, and no step explains it much better.

    A step has no slope once it is in the older half, and while it is in the newer one, a step fits it best.
    """
    half = values.shape[1] // 2
    t, y = times[:, half:], values[:, half:]
    t, y = t - t.mean(axis=1)[:, None], y - y.mean(axis=1)[:, None]
    squares = np.maximum((t * t).sum(axis=1), TINY)
    own = (t * y).sum(axis=1) / squares
    rest = y - own[:, None] * t
    error = (rest * rest).sum(axis=1)
    same = own * np.sign(slope)
    clear = (same >= CLEARLY * np.sqrt(error / (t.shape[1] - 2) / squares)) & (same >= GOES_ON * np.abs(slope))
    held: Array = clear & (error <= MUCH_BETTER * _best_step(y) + TINY * (y * y).sum(axis=1))
    return held


def _best_step(y: Array) -> Array:
    """Sum of squares that the best single step leaves; `y` has mean 0."""
    points = y.shape[1]
    before = np.arange(1, points)
    sums = np.cumsum(y, axis=1)[:, :-1]
    explained = sums * sums * (1.0 / before + 1.0 / (points - before))
    left: Array = (y * y).sum(axis=1) - explained.max(axis=1)
    return left
