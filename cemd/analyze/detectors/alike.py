"""How far peaks go, of series that are alike: what one series cannot know of itself, all of them know together.

A finding is one peak in hundreds. Of a series ten weeks show no more than some hundreds, so its own past says what its
peaks are like and not how far the rarest go: a tail that is fitted to them is wrong by chance, too low on one series
and far too high on the next. But the scale of its peaks it knows well, and in units of that scale series of one sort
have one law. So each peak is counted in units of the mean of those before it, by all series together, and from the
counts follows how far one in so many goes: regional frequency analysis, with the mean peak as "index flood".

Alike are series whose peaks have about the same mean, and whose severity is usually about the same. The latter is in
units of what one sample in a hundred exceeds, so it tells how heavy the tail of *all* samples is, which thousands of
them say within days and no episode changes. Both are places in a table; a place looks at its neighbours with
triangular weights, first far around, then nearer (`NEAR`): of the peaks that came so far, which share came no
further? Each ring leans on the wider one as if `LEANS` peaks of its own had done as those did, and the widest on an
exponential tail. So many peaks make a place know for itself, and few are never asked for more than they can tell.

What is counted was foretold: a peak is compared with what its series named before it came, so what a scale errs by is
part of the law. A storm counts at most `BURST` times what should be that rare, of each place and of all together.
Sums are whole numbers and enter at ticks, so nothing depends on how samples were cut into calls.

Source: Hosking and Wallis 1997, Regional Frequency Analysis; Kaplan and Meier 1958 for shares of what came so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np

from cemd.analyze.columns import Array

EDGES: Array = np.concatenate([np.arange(0.0, 8.0, 0.25), np.arange(8.0, 20.5, 1.0)])
"""Where bins begin, in means; the last one has no end."""
BINS = len(EDGES)
EXPONENTIAL: Array = -np.expm1(-np.diff(EDGES))
"""Share of the peaks that reach a bin and end in it, while nothing is known."""
SCALES, SCALE_STEP, SMALLEST = 56, 0.125, -7.0
"""Places by mean of the peaks: an eighth of a doubling each, from 2^-7 on; the ends hold what lies beyond."""
USUALS, USUAL_STEP = 100, 0.01
"""Places by usual severity. Of series of one sort it differs by less than one."""
PLACES = SCALES * USUALS
NEAR = ((8, 10), (4, 4), (2, 2))
"""Places to either side, by scale and by usual severity, that a place looks at, from far to near. The nearest ring is
as wide as a scale errs by chance: with a nearer one series of one sort would no longer know each other."""
MARGIN = 2 + max(max(widths) for widths in NEAR)
LEANS = 2.0
"""Peaks. With more, few heavy tails around make light ones deaf; with fewer, a limit rests on one or two peaks."""
JUDGED_SECONDS = 21_600.0
FADES = 1.0 - 1.0 / (4 * 7 * 8)
"""Each time; what was counted eight weeks ago weighs 0.37, as a series remembers its own peaks."""
RARE = float(np.log(35.0))
"""Storms are watched beyond what one peak in 35 exceeds: five a week and series, if one comes in six hours."""
BURST, FREE = 2.0, 2.0


class Alike:
    """Peaks counted so far, by place and bin."""

    def __init__(self) -> None:
        self._judged_at = -np.inf
        self._new: list[Array] = []  # since then: place * BINS + bin of each peak
        self._held: Array = np.zeros((SCALES, USUALS, BINS))  # fading
        self._sums: Array = np.zeros((SCALES + 2 * MARGIN, USUALS + 2 * MARGIN, BINS))  # sums of sums, for `_around`
        self._of_all = EXPONENTIAL

    def count(self, place: Array, peak: Array) -> None:
        """Peaks that are over, float64[n] in units of the mean of their series, and the places of these series."""
        self._new.append(place * BINS + np.searchsorted(EDGES, peak, side="right") - 1)

    def law(self, place: Array) -> Array:
        """float64[n, BINS]: logarithm of the share of peaks of these places that go beyond each of EDGES."""
        ends: Array = np.broadcast_to(self._of_all, (len(place), BINS - 1))
        for widths in NEAR:
            ends = _lean(self._around(place, widths), ends)
        law = np.zeros((len(place), BINS))
        np.cumsum(np.log1p(-ends), axis=1, out=law[:, 1:])
        return law

    def _around(self, place: Array, widths: tuple[int, int]) -> Array:
        """float64[n, BINS]: what was counted around, by triangular weights, 1 in the middle: second differences of sums
        of sums, so that a wide ring costs no more than a narrow one."""
        middle = place // USUALS + MARGIN, place % USUALS + MARGIN
        corners = [[(width, 1.0), (-1, -2.0), (-width - 2, 1.0)] for width in widths]
        found: Array = np.zeros((len(place), BINS))
        for (down, one), (across, other) in product(*corners):
            found += one * other * self._sums[middle[0] + down, middle[1] + across]
        found /= (widths[0] + 1.0) * (widths[1] + 1.0)
        return np.maximum(found, 0.0, out=found)

    def judge(self, at: float) -> None:
        """Every six hours: what was counted enters the law."""
        if at < self._judged_at + JUDGED_SECONDS:
            return
        self._judged_at = at
        self._held *= FADES
        if self._new:
            flat, often = np.unique(np.concatenate(self._new), return_counts=True)
            self._new.clear()
            self._held.reshape(-1)[flat] += self._without_storms(flat, often.astype(np.float64))
        self._learn()

    def _without_storms(self, flat: Array, often: Array) -> Array:
        """How much of each count is taken: flat is place * BINS + bin."""
        places, which = np.unique(flat // BINS, return_inverse=True)
        rare = self.law(places)[which, flat % BINS] <= -RARE
        due = np.bincount(which, often) * np.exp(-RARE)
        came = np.bincount(which, often * rare)
        share = np.minimum((BURST * due + FREE) / np.maximum(came, 1.0), 1.0)
        share *= min((BURST * due.sum() + FREE) / max((came * share).sum(), 1.0), 1.0)
        counted: Array = np.where(rare, often * share[which], often)
        return counted

    def _learn(self) -> None:
        self._of_all = _lean(self._held.sum(axis=(0, 1)), EXPONENTIAL)
        self._sums[:] = 0.0
        self._sums[MARGIN:-MARGIN, MARGIN:-MARGIN] = self._held
        for axis in (0, 0, 1, 1):
            np.cumsum(self._sums, axis=axis, out=self._sums)

    def dump(self) -> dict[str, bytes]:
        known = np.flatnonzero(self._held.reshape(PLACES, BINS).any(axis=1))
        new = np.sort(np.concatenate([np.zeros(0, np.int64), *self._new]), kind="stable")
        return {
            "alike_at": np.float64(self._judged_at).tobytes(),
            "alike_new": new.astype("<i8").tobytes(),
            "alike_known": known.astype("<i8").tobytes(),
            "alike_held": self._held.reshape(PLACES, BINS)[known].tobytes(),
        }

    def load(self, dumped: Mapping[str, bytes]) -> None:
        """A snapshot of before there was a law has none: it begins anew."""
        if "alike_held" not in dumped:
            return
        self._judged_at = float(np.frombuffer(dumped["alike_at"], "<f8")[0])
        self._new = [np.frombuffer(dumped["alike_new"], "<i8").astype(np.int64)]
        known = np.frombuffer(dumped["alike_known"], "<i8")
        self._held = np.zeros((SCALES, USUALS, BINS))
        self._held.reshape(PLACES, BINS)[known] = np.frombuffer(dumped["alike_held"], "<f8").reshape(-1, BINS)
        if np.isfinite(self._judged_at):
            self._learn()


def place_of(scale: Array, usual: Array) -> Array:
    """int64: the place of series whose peaks have this mean, and whose severity is usually so much."""
    by_scale = (np.log2(np.maximum(scale, 1e-9)) - SMALLEST) / SCALE_STEP
    first = np.clip(by_scale, 0.0, SCALES - 1.0).astype(np.int64)
    second = np.clip(usual / USUAL_STEP, 0.0, USUALS - 1.0).astype(np.int64)
    found: Array = first * USUALS + second
    return found


def exceeded(law: Array, so_many: Array) -> Array:
    """float64[n]: what one peak in so many exceeds by these laws, in units of the mean of its series."""
    wanted, row = -np.log(so_many), np.arange(len(law))
    beyond = law <= wanted[:, None]
    beyond[:, -1] = True  # further than what was ever counted: as the last bins go on
    upper = np.maximum(beyond.argmax(axis=1), 1)
    high, low = law[row, upper - 1], law[row, upper]
    part = (wanted - high) / np.minimum(low - high, -1e-9)
    found: Array = np.minimum(EDGES[upper - 1] + part * (EDGES[upper] - EDGES[upper - 1]), 2.0 * EDGES[-1])
    return found


def _lean(counted: Array, ends: Array) -> Array:
    """Share of the peaks that reached a bin and went no further, by counts of them and what was thought before."""
    reached = counted[..., ::-1].cumsum(axis=-1)[..., ::-1]
    share: Array = (counted[..., :-1] + LEANS * ends) / (reached[..., :-1] + LEANS)
    return share
