"""What all kinds of evidence say together, as strength and as severity; how much is an alarm, `threshold` says.

Kinds of one family look at the same thing, and count once: the strongest of each family, then the strongest family plus
SECOND of the second. What a step is worth fades slowly: an event begins with one, and what level and course have to say
of it comes some samples later. Rare is -log10 of a tail probability, as a running mean over some samples; it learns
everything, so a shift that stays becomes the new normal. *Severity* is about size: the measures in units of what one
sample in a hundred exceeds, as a logarithm and a running mean; that unit does not learn from what was alarmed.
*Strength* is rarity, a little more of it where it is large.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cemd.analyze.columns import Array, Field
from cemd.analyze.detectors.base import BY_DAYS, Evidence, Family, Held, follow, or_zero

SECOND = 0.6
"""Share of the second strongest family: they overlap, so it is worth less than it says, yet two are more than one."""
MOST_SURPRISE = 6.0
"""One kind counts for at most one in a million: beyond, the power tail is a guess; severity keeps how far it went."""
FADES = 0.1
"""What the step from sample to sample is worth becomes so much less with each further one: half after seven, by when
the mean that `shift` looks at has gone half of the way. What a step began and what it came to are heard together."""
FRESH = 0.25
"""Weight of a new sample in the running mean of rarity: a stray sample must be nearly three times as rare as an episode
of four."""
STRAY, CLEAR = 4.0, 8.0
"""Of a sample that is no rarer than the first, severity takes as much as of any other; one as rare as the second (of at
most 9.6) counts as it is, alone: a spike of one minute that the series' own past has nothing like is not averaged
away, heavy tails are."""
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
SEVERE = 1.21
"""Severity is divided by this, so that 1 is where an operator would look."""
FEW_DAYS = 0.25
"""Of d earlier days, what compares with them is worth d / (d + this): two are no rule, and their tails are young."""
SIZE_SHARE = 0.25
LEAST_SIZE, MOST_SIZE = 0.3, 3.0
"""Strength is rarity times this power of severity, within these bounds: what is twice as large needs a sixth less."""


def fields(kinds: int) -> dict[str, Field]:
    return {
        "step_worth": Field("<f8"),  # what steps said, and what is left of it
        "rarity": Field("<f8"),  # running mean of what evidence says together
        "grandeur": Field("<f8"),  # running mean of how large it is
        "unit": Field("<f4", 1, (kinds,)),  # own unit over the common one
    }


class Combination:
    """Joins what the kinds of a table say."""

    def __init__(self, kinds: Sequence[Evidence]) -> None:
        families = sorted({kind.family for kind in kinds})
        self._members = [[n for n, kind in enumerate(kinds) if kind.family is family] for family in families]
        self._step = families.index(Family.STEP) if Family.STEP in families else None
        self._by_days = [n for n, kind in enumerate(kinds) if kind.family in BY_DAYS]
        self._ordinary = np.array([kind.ordinary for kind in kinds])

    def trust(self, surprise: Array, known: Array) -> Array:
        """Surprises float64[R, K], less of those that stand on few earlier days (`known` int[R]): two are no rule."""
        trusted = surprise.copy()
        trusted[:, self._by_days] *= (known / (known + FEW_DAYS))[:, None]
        return trusted

    def strength_and_severity(
        self, held: Held, surprise: Array, measured: Array, gap: Array, count: Array
    ) -> tuple[Array, Array]:
        """(how much it is, for `threshold` to judge; how large it is, 1 is where an operator would look), float64[R].

        Args:
            held: The series of this round.
            surprise: Of each kind, float64[R, K].
            measured: By each kind, float64[R, K]; NaN where it is silent.
            gap: float64[R], seconds since the sample before.
            count: float64[R], samples before this one.
        """
        said = self._families(np.minimum(surprise, MOST_SURPRISE))
        if self._step is not None:
            step = np.maximum(said[:, self._step], (1.0 - FADES) * held["step_worth"])
            held["step_worth"] = said[:, self._step] = step
        rare = strongest(said)
        rarity = held["rarity"] = follow(held["rarity"], rare, FRESH)
        severity = self._severity(held, measured, rare, gap, count)
        return rarity * np.clip(severity, LEAST_SIZE, MOST_SIZE) ** SIZE_SHARE, severity

    def _severity(self, held: Held, measured: Array, rare: Array, gap: Array, count: Array) -> Array:
        magnitude = np.abs(or_zero(measured)) / self._ordinary
        unit = held["unit"].astype(np.float64)
        large = np.log1p(strongest(self._families(magnitude / np.maximum(unit, LEAST_OWN) ** OWN_SHARE)))
        weight = np.maximum(-np.expm1(-gap / MEMORY_SECONDS), QUICKEST)
        weight = np.maximum(weight, np.clip((rare - STRAY) / (CLEAR - STRAY), 0.0, 1.0))
        grandeur = held["grandeur"] = follow(held["grandeur"], large, weight)
        severity: Array = grandeur / SEVERE
        step = np.clip(10.0 / (count + 1.0), UNIT_STEP, 0.5)[:, None] * (severity < 1.0)[:, None]
        held["unit"] = np.clip(unit * np.exp(step * ((magnitude > unit) - UNIT_SHARE)), 1e-3, 1e6)
        return severity

    def _families(self, parts: Array) -> Array:
        """The strongest of each family."""
        return np.stack([parts[:, members].max(axis=1) for members in self._members], axis=1)


def strongest(parts: Array) -> Array:
    """The largest of each row plus SECOND of the second largest."""
    if parts.shape[1] == 1:
        return parts[:, 0]
    top = np.partition(parts, parts.shape[1] - 2, axis=1)
    both: Array = top[:, -1] + SECOND * top[:, -2]
    return both
