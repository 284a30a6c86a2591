"""How much of what the season foretells comes true of a series, and when: three regressions over the last hours.

`trust` is the share of the difference between two hours that the level follows; `jump` the share of it that comes with
the first sample of the hour, while the rest comes along it. `widening` is the share of the change of spread between two
hours that is made at once. The spread follows the samples by itself: where it remembers much less than an hour (10 s
from sample to sample) it has gone along by the end of the hour, and to change it once more by as much would be too far.
Where it remembers hours (5 minutes) it has hardly moved, and where the spread truly leaps at a whole hour, all is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from cemd.analyze.bank.kernel import ABSOLUTE_FLOOR, Rows
from cemd.analyze.columns import Array

Where: TypeAlias = Rows | slice
LEAST_RATIO, MOST_RATIO = np.float32(0.25), np.float32(4.0)
"""Between spreads that differ by more than their noise."""
RATE = {"trust": np.float32(1.0 / 48.0), "jump": np.float32(1.0 / 48.0), "widening": np.float32(1.0 / 168.0)}
"""Of an hour: a holiday or a changed clock is forgotten within two days. Spreads are told from few samples, so that
theirs takes a week."""
DOUBT = np.float32((1.5 / 0.5) ** 2 / 3600.0 / 168.0)
"""A second of the interval, for `widening`: what speaks for a share of 1. Of n samples an hour the spread of its
beginning is known to 1.5 / sqrt(n) of itself, and before hours have shown it the share to one half."""
ZERO, ONE, TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)


def share(c: Mapping[str, Array], rows: Where, name: str) -> Array:
    """float32, 0 to 1: what the regression of this name says, `trust` or `jump`."""
    return _bounded(c[f"{name}_product"][rows], c[f"{name}_square"][rows])


def at_once(c: Mapping[str, Array], rows: Where) -> Array:
    """float32, 0 to 1: share of a change of spread that comes at once; 1 while nothing is known."""
    doubt = c["interval"][rows] * DOUBT
    return _bounded(c["widening_product"][rows] + doubt, c["widening_square"][rows] + doubt)


def learn_trust(c: Mapping[str, Array], rows: Where, mean: Array) -> None:
    """How the mean of the hour changed, on how it should have changed."""
    foretold, changed = c["foretold"][rows], mean - c["last_mean"][rows]
    finite = np.isfinite(changed)
    if not np.logical_and.reduce(finite):
        np.copyto(changed, ZERO, where=~finite)
    _regress(c, rows, "trust", foretold, changed, (foretold != ZERO) & finite)


def jump(c: Mapping[str, Array], rows: Where, ahead: Array, step: Array, trust: Array, adjacent: Array) -> Array:
    """Share of the difference that comes with the first sample of an hour; learns from this one, after it was asked."""
    found = np.minimum(share(c, rows, "jump"), trust)
    bound = np.absolute(ahead)
    bound *= TWO
    np.minimum(step, bound, out=step)
    np.negative(bound, out=bound)
    np.maximum(step, bound, out=step)
    _regress(c, rows, "jump", ahead, step, adjacent & (ahead != ZERO))
    return found


def learn_widening(c: Mapping[str, Array], rows: Where, away: Array) -> None:
    """How the spread changed as the hour began that is over now, on how it should have changed.

    Nobody saw the spread of its beginning: it lies as far from the mean of the hour (`away`) as that of its end does,
    on the other side. What the spread lags behind shows as well, at the end with the other sign than at the beginning,
    so that the share is found for which both are alike: a third of a smooth rhythm at one value every 10 s, all of it
    at one a minute or slower, all of a leap; less by as much as what is known of the hours is chance.
    """
    foretold, began = c["widening"][rows], away * TWO
    began -= c["spread"][rows]
    began /= np.maximum(c["spread_before"][rows], ABSOLUTE_FLOOR)
    np.minimum(np.maximum(began, LEAST_RATIO, out=began), MOST_RATIO, out=began)
    began -= ONE
    finite = np.isfinite(began)
    if not np.logical_and.reduce(finite):
        np.copyto(began, ZERO, where=~finite)
    _regress(c, rows, "widening", foretold, began, (foretold != ZERO) & finite)


def widen(c: Mapping[str, Array], rows: Where, evenness: Array, adjacent: Array | None) -> None:
    """The spread enters an hour of this evenness; all at once where it does not follow the one before (`adjacent`; None
    where all do)."""
    spread = c["spread"][rows]
    widening = c["evenness"][rows] / evenness
    widening -= ONE
    grown = at_once(c, rows)
    if adjacent is not None:
        np.copyto(grown, ONE, where=~adjacent)
    c["spread_before"][rows] = spread
    c["widening"][rows] = widening if adjacent is None else np.where(adjacent, widening, ZERO)
    grown *= widening
    grown += ONE
    grown *= spread
    c["spread"][rows] = grown


def _bounded(product: Array, square: Array) -> Array:
    found: Array = product / np.maximum(square, np.float32(1e-30))
    return np.minimum(np.maximum(found, ZERO, out=found), ONE, out=found)


def _regress(c: Mapping[str, Array], rows: Where, name: str, of: Array, on: Array, teaches: Array) -> None:
    if not np.logical_or.reduce(teaches):
        return
    rate = RATE[name] if np.logical_and.reduce(teaches) else np.where(teaches, RATE[name], ZERO)
    for part, value in ((f"{name}_product", of * on), (f"{name}_square", of * of)):
        held = c[part][rows]
        value -= held
        value *= rate
        value += held
        c[part][rows] = value
