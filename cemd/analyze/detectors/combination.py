"""What all kinds of evidence say together, as rarity and as size; how much of it is an alarm, `threshold` says.

*Rarity*: the strongest -log10 of a tail probability plus SECOND of the second, as a running mean over some samples. It
learns everything, so a shift that stays becomes the new normal. *Severity*: the same measures in units of what one
sample in a hundred exceeds, as a logarithm and a running mean; that unit does not learn from what was alarmed.
"""

from __future__ import annotations

import numpy as np

from cemd.analyze.columns import Array, Field
from cemd.analyze.detectors.base import Held, follow

SECOND = 0.6
"""Share of the second strongest: kinds overlap, so it is worth less than it says, yet two are more than one."""
MOST_SURPRISE = 6.0
"""One kind counts for at most one in a million: beyond, the power tail is a guess; severity keeps how far it went."""
FRESH = 0.4
"""Weight of a new sample in the running mean of rarity: a stray sample must be twice as rare as an episode of three."""
MEMORY_SECONDS = 900.0
"""Time constant of the running mean of size: an episode lasts minutes; hourly samples stand for themselves."""
QUICKEST = 1 / 8
"""Least weight of a new sample in it, so that probes of every second are heard within some samples."""
OWN_SHARE = 0.3
"""Severity's unit: this power of the series' own, the rest common to all series, so that series stay comparable."""
LEAST_OWN = 0.2
"""The own unit is at least this share of the common one: a constant series must not make everything severe."""
UNIT_SHARE = 0.01
UNIT_STEP = 0.1
"""The unit is steered to what one sample in a hundred exceeds, by 10 % for one that does."""
SEVERE = 1.15
"""Severity is divided by this, so that 1 is where an operator would look."""


def fields(kinds: int) -> dict[str, Field]:
    return {
        "rarity": Field("<f8"),  # running mean of what evidence says together
        "grandeur": Field("<f8"),  # running mean of how large it is
        "unit": Field("<f4", 1, (kinds,)),  # own unit over the common one
    }


def rarity_of(held: Held, surprise: Array) -> Array:
    """float64[R]: the running mean of rarity after surprises float64[R, K] of one sample of each series."""
    rarity = held["rarity"] = follow(held["rarity"], strongest(np.minimum(surprise, MOST_SURPRISE)), FRESH)
    return rarity


def severity_of(held: Held, measured: Array, ordinary: Array, gap: Array, count: Array) -> Array:
    """float64[R]: how large what was measured float64[R, K] is; 1 is where an operator would look.

    Args:
        held: The series of this round.
        measured: What each kind measured; NaN where it is silent.
        ordinary: float64[K], what one sample in a hundred exceeds on a usual series.
        gap: float64[R], seconds since the sample before.
        count: float64[R], samples before this one.
    """
    magnitude = np.abs(np.nan_to_num(measured, posinf=0.0)) / ordinary
    unit = held["unit"].astype(np.float64)
    large = np.log1p(strongest(magnitude / np.maximum(unit, LEAST_OWN) ** OWN_SHARE))
    weight = np.maximum(-np.expm1(-gap / MEMORY_SECONDS), QUICKEST)
    grandeur = held["grandeur"] = follow(held["grandeur"], large, weight)
    severity: Array = grandeur / SEVERE
    _steer(held, unit, magnitude, severity >= 1.0, count)
    return severity


def _steer(held: Held, unit: Array, magnitude: Array, alarmed: Array, count: Array) -> None:
    step = np.clip(10.0 / (count + 1.0), UNIT_STEP, 0.5)[:, None] * ~alarmed[:, None]
    held["unit"] = np.clip(unit * np.exp(step * ((magnitude > unit) - UNIT_SHARE)), 1e-3, 1e6)


def strongest(parts: Array) -> Array:
    """The largest of each row plus SECOND of the second largest."""
    if parts.shape[1] == 1:
        return parts[:, 0]
    top = np.partition(parts, parts.shape[1] - 2, axis=1)
    both: Array = top[:, -1] + SECOND * top[:, -2]
    return both
