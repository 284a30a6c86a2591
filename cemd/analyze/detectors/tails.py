"""How rare a number is by the series' own past: counts in logarithmic steps and, beyond them, a power tail.

Each kind of evidence has counts for either sign. The tail probability of a number is the share of earlier ones beyond
it; where fewer than ANCHOR lie beyond, it is a power law whose exponent is Hill's estimator over the largest ones,
drawn towards PRIOR_EXPONENT while they are few: what is ten times as far is that much rarer, and size is not lost.

Source: B. M. Hill, "A simple general approach to inference about the tail of a distribution", Annals of Statistics 3
(1975).
"""

from __future__ import annotations

import numpy as np

from cemd.analyze.columns import Array, Columns, Field

BINS = 80
WIDTH = 0.25
"""Step of the logarithm: one bin is 28 % wide; between its borders counts are interpolated."""
LOWEST = -6.5
"""Logarithm where the bins begin: 1.5e-3, far below the spread that measures are in units of."""
ANCHOR = 10.0
"""Samples beyond which the tail is a power law: Hill's estimator needs some, and its start should be rare."""
FEWEST = 30.0
"""Samples of a kind before it is believed."""
PRIOR_EXPONENT, PRIOR_WEIGHT = 2.0, 30.0
"""Exponent of a tail that barely has a variance, as if seen on so many samples: probe figures are heavy-tailed."""
STEEPEST = 8.0
"""No tail is steeper than this: a few equal values are no proof that nothing larger comes."""
AGAIN = 2.0
"""What was there n times is at most so many decades / n rarer than its share: spikes that come again are usual soon."""
ATOM_BONUS = 1.5 * float(np.log(10.0))
"""Where all that was seen is about zero (a constant series) there is no tail to go on: the first number beyond one unit
is as rare as one in all samples, and by its size at most 1.5 decades rarer."""
MOST = 20_000.0
"""Samples after which counts are halved: some ten weeks of five minutes are remembered."""
LN10 = float(np.log(10.0))
STEPS = np.arange(BINS, dtype=np.int16)


def fields(kinds: int) -> dict[str, Field]:
    return {
        "beyond": Field("<f4", 0, (2 * kinds, BINS)),  # samples in this bin and beyond it
        "anchor": Field("<i2", 0, (2 * kinds,)),  # last bin with ANCHOR samples in it and beyond
        "excess": Field("<f4", 0, (2 * kinds,)),  # sum of logarithms above the anchor
        "weight": Field("<f4", 0, (kinds,)),  # samples of either sign
    }


class Tails:
    """The counts of all series and kinds, in the columns handed in."""

    def __init__(self, columns: Columns, kinds: int) -> None:
        self._columns = columns
        self._kinds = kinds
        self._sides = 2 * np.arange(kinds)[None, :]

    def judge(self, rows: Array, measured: Array) -> tuple[Array, Array]:
        """What measures float64[R, K] are worth, and where they belong: (surprise, place) for `learn`.

        Surprise is -log10 of the tail probability: 0 ordinary, 3 one in a thousand; 0 where the kind is silent (NaN) or
        young.
        """
        c = self._columns
        log = np.log(np.abs(measured) + 1e-30)
        place = np.clip((log - LOWEST) * (1.0 / WIDTH), 0.0, BINS - 1.001)
        place[np.isnan(place)] = -1.0
        own = np.maximum(place, 0.0).astype(np.intp)
        side = rows[:, None] * (2 * self._kinds) + self._sides + (measured < 0)
        first = side * BINS + own
        beyond = c.arrays["beyond"].reshape(-1)
        here, next_one = beyond[first], np.where(own < BINS - 1, beyond[np.minimum(first + 1, len(beyond) - 1)], 0.0)
        inside = here - (here - next_one) * (place - own)
        anchor, count, excess = self._anchors(side, beyond)
        start = LOWEST + WIDTH * anchor
        exponent = np.minimum((count + PRIOR_WEIGHT) / (excess + PRIOR_WEIGHT / PRIOR_EXPONENT), STEEPEST)
        atom, far = anchor == 0, log > start
        total = c["weight"][rows].astype(np.float64) + 1.0
        share = np.where(far & ~atom, count, inside) + 1.0
        power = np.where(far, exponent * (log - start), 0.0)
        beyond_atom = np.clip(log, 0.0, ATOM_BONUS)
        surprise = np.log10(total / np.minimum(share, total)) + np.where(atom, beyond_atom, power) / LN10
        seen = np.log10(total / np.minimum(inside + 1.0, total)) + AGAIN / np.maximum(inside, 1e-3)
        surprise = np.minimum(surprise, seen)
        surprise[(place < 0) | (total <= FEWEST)] = 0.0
        return surprise, np.where(place < 0, -1, first)

    def _anchors(self, side: Array, beyond: Array) -> tuple[Array, Array, Array]:
        """Where each tail begins, how many lie beyond, and the sum of their logarithms above it. A side that was hardly
        ever seen has the beginning of the other one."""
        c = self._columns
        anchors = c.arrays["anchor"].reshape(-1)
        anchor = anchors[side].astype(np.intp)
        count = beyond[side * BINS + anchor].astype(np.float64)
        excess = c.arrays["excess"].reshape(-1)[side]
        few = count < ANCHOR
        if few.any():
            anchor = np.where(few, np.maximum(anchors[side ^ 1], anchor), anchor)
            count = np.where(few, beyond[side * BINS + anchor], count)
            excess = np.where(few, np.float32(0.0), excess)
        return anchor, count, excess

    def learn(self, rows: Array, place: Array) -> None:
        """Counts the measures that were judged."""
        c = self._columns
        spoke = place >= 0
        c["weight"][rows] += spoke
        flat = place[spoke]
        side, own = flat // BINS, (flat % BINS).astype(np.int16)
        beyond = c.arrays["beyond"].reshape(-1, BINS)
        beyond[side] += own[:, None] >= STEPS
        anchor, excess = c.arrays["anchor"].reshape(-1), c.arrays["excess"].reshape(-1)
        excess[side] += np.maximum((own - anchor[side] + 0.5) * WIDTH, 0.0)
        self._lift(side, beyond, anchor, excess)
        if (c["weight"][rows] >= MOST).any():
            self._halve(rows)

    def _lift(self, side: Array, beyond: Array, anchor: Array, excess: Array) -> None:
        """Moves anchors up while ANCHOR samples lie beyond the next bin."""
        while len(side):
            now = anchor[side].astype(np.intp)
            upper = beyond[side, np.minimum(now + 1, BINS - 1)]
            climbs = (upper >= ANCHOR) & (now < BINS - 1)
            side, now, upper = side[climbs], now[climbs], upper[climbs]
            excess[side] -= (beyond[side, now] - upper) * np.float32(0.5 * WIDTH) + upper * np.float32(WIDTH)
            anchor[side] += 1

    def _halve(self, rows: Array) -> None:
        c = self._columns
        full_rows, kind = np.nonzero(c["weight"][rows] >= MOST)
        full = rows[full_rows]
        c["weight"][full, kind] *= np.float32(0.5)
        for side in (2 * kind, 2 * kind + 1):
            c["beyond"][full, side] *= np.float32(0.5)
            c["excess"][full, side] *= np.float32(0.5)
