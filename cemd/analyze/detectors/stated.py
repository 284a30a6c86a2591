"""How strong an episode must be to be a finding: as strong as the stated rate allows, by the series' own past.

What is judged is the lesser of score and severity: a finding is rare *and* large. Of each series a *mark* is steered
so that it is exceeded about every six hours. What exceeds it together is a cluster; of clusters their mean distance is
kept, the mean of what their peaks have beyond it, and how far one peak lies from the one before. So the tail of the
peaks is known, a generalised Pareto one by its first two L-moments (peaks over a threshold, declustered; a mean square
says next to nothing of a heavy tail), and what one peak in so many exceeds. The shape that two hundred peaks tell is
wrong by chance, and a limit that is too low by chance alarms more often than one that is too high alarms less: so the
shape is taken half a standard error heavier. How often that comes true is counted over all series, as the bank does
(`realised`): those whose peaks are alike, in mean and in mean square, share a correction. A finding needs so much, from
`LEAST` to `MOST` times what is always an alarm; a young series starts at 1.

A peak teaches no more than what just is a finding: a true episode hardly raises its own limit, a storm as little, and
what recurs (a spike a week) is usual after some times. What lasts longer than clusters should lie apart is no peak:
then the mark rises, or a series that is never quite calm would have one cluster for ever and learn nothing.

Source: Davison and Smith 1990, models for exceedances over high thresholds; Hosking and Wallis 1987, estimates by
L-moments (there: probability-weighted moments).
"""

from __future__ import annotations

import numpy as np

from cemd.analyze.bank.realised import OFTEN, Realised, half_doublings
from cemd.analyze.columns import Array, Field
from cemd.analyze.detectors.base import Held

WEEK_SECONDS = 604_800.0
CLUSTER_SECONDS = 21_600.0
"""The mark is exceeded about this often: 28 clusters a week."""
FEWEST, MANY = 48.0, 4000.0
"""Samples between clusters, whatever the sampling: so many that they do not run into each other."""
STEP, FIRST_STEP = 0.015, 0.1
"""The mark rises by this when it is exceeded; by more while few clusters were seen."""
LEAST_MARK = 0.1
"""Below, nothing is told from nothing: on a constant series only what moves is a cluster."""
CALM_SAMPLES = 6
"""Samples below the mark that end a cluster, as they end an episode."""
PRIOR = 8.0
"""Clusters' weight of the start, a limit of 1, as of what is always an alarm. It fades with the square, within two
weeks: a limit that is higher by a twentieth halves the rate of most series."""
MEMORY = 1.0 / 256.0
"""Least weight of a new cluster: nine weeks are remembered."""
LEAST, MOST = 0.6, 1.8
"""Bounds of the limit: the largest scores are about 2.4, and below 0.6 nobody would look twice."""
LIGHTEST, HEAVIEST = -0.5, 0.4
"""Bounds of the tail's shape; 0 is exponential."""
SHAPE_PRIOR = 8.0
"""Clusters' weight of an exponential tail: few peaks say anything."""
DOUBT = 1.0
"""Over the root of the clusters, added to the shape: half of its standard error, which is 1.8 to 2.1 over that root."""
SETTLED, GROWN = 8.0, 64.0
"""Clusters that a series must have seen before it is counted, and until it is of age: what comes true differs."""
SIDES = MEANS, SQUARES, AGES = 12, 5, 2
"""Classes of series that are alike: by mean of their peaks beyond the mark from 1/64 on, by mean square over squared
mean (2 for an exponential tail), and by age."""
SMALLEST_MEAN, SMALLEST_SQUARE = -12, -1
STRAIGHT = 1e-3
"""A shape nearer to 0 is exponential."""
FIELDS = {
    "stated_mark": Field("<f8", 0.5),
    "stated_top": Field("<f8"),  # of the cluster under way; 0: none
    "stated_below": Field("<i4"),  # samples in a row below the mark
    "stated_at": Field("<f8"),  # samples seen when the cluster began
    "stated_before": Field("<f8"),  # and when the one before it began
    "stated_from": Field("<f8", 0.5),  # the mark when it began
    "stated_level": Field("<f8", 0.5),  # mean of these
    "stated_clusters": Field("<f8"),
    "stated_apart": Field("<f8", 72.0),  # mean samples between clusters
    "stated_excess": Field("<f8"),
    "stated_square": Field("<f8"),  # mean square of it
    "stated_last": Field("<f8"),  # that of the last cluster
    "stated_differ": Field("<f8"),  # mean distance of one from the one before
    "stated_limit": Field("<f8", 1.0),
    "stated_often": Field("<f8", np.inf),  # the level that should be exceeded `OFTEN` times as often as stated
}


class Stated:
    """The limits of all series, in the columns handed to each call, and what came true of them."""

    def __init__(self) -> None:
        self.realised = Realised(*SIDES)
        self.rate = 0.0  # a series and week; 0: every limit is 1

    def limit(self, held: Held, strength: Array, count: Array) -> Array:
        """float64[R]: what this sample's strength must reach; learns from it.

        Args:
            held: The series of this round.
            strength: float64[R], the lesser of score and severity.
            count: float64[R], samples before this one.
        """
        if not self.rate:
            return np.ones(len(strength))
        mark, top, below = held["stated_mark"].copy(), held["stated_top"].copy(), held["stated_below"]
        apart = np.clip(CLUSTER_SECONDS / np.maximum(held["interval"], 0.1), FEWEST, MANY)
        over = strength > mark
        below = np.where(over, 0, below + 1)
        lasts = over & (top > 0) & (count - held["stated_at"] >= apart)
        closes = (lasts | ((top > 0) & (below >= CALM_SAMPLES))).nonzero()[0]
        if len(closes):
            self._close(held, closes, top)
            top[closes] = 0.0
            mark += FIRST_STEP * lasts
            over = strength > mark
        opens = over & (top == 0)
        held["stated_at"] = np.where(opens, count, held["stated_at"])
        held["stated_from"] = np.where(opens, mark, held["stated_from"])
        held["stated_top"] = np.where(over, np.maximum(top, strength), top)
        held["stated_below"] = below
        step = np.maximum(STEP, FIRST_STEP / (1.0 + held["stated_clusters"]))
        held["stated_mark"] = np.maximum(mark + step * (opens - 1.0 / apart), LEAST_MARK)
        return np.asarray(held["stated_limit"])

    def _close(self, held: Held, places: Array, top: Array) -> None:
        """Clusters of these places are over: what they teach, and the new limits."""
        c = {name: held[name].copy() for name in FIELDS}
        m = {name.removeprefix("stated_"): column[places] for name, column in c.items()}
        peak, interval = top[places], np.maximum(held["interval"][places], 0.1)
        so_many = WEEK_SECONDS / self.rate / interval / m["apart"]
        alike = _likeness(m)
        known = m["clusters"] >= SETTLED
        found = peak >= m["limit"]
        beyond = (peak >= m["often"]) & ~found
        self.realised.count(alike[known], beyond[known], so_many[known].astype(np.float32))
        self.realised.count_alarms(alike[known & found])
        m["clusters"] += 1.0
        weight = np.maximum(2.0 / (m["clusters"] + 1.0), MEMORY)
        m["apart"] += (np.maximum(m["at"] - m["before"], 1.0) - m["apart"]) * np.maximum(weight * 0.5, MEMORY)
        m["before"] = m["at"]
        excess = np.maximum(np.minimum(peak, m["limit"]) - m["from"], 0.0)
        several = m["clusters"] > 1.0
        differ = np.where(several, np.abs(excess - m["last"]), 0.0)
        m["last"] = excess
        # A snapshot from before this was kept knows the mean only.
        m["differ"] = np.where(several & (m["differ"] == 0.0), m["excess"], m["differ"])
        learnt = (("excess", excess), ("square", excess * excess), ("differ", differ), ("level", m["from"]))
        for name, value in learnt:
            m[name] += (value - m[name]) * weight
        alike = _likeness(m)
        so_many = WEEK_SECONDS / self.rate / interval / m["apart"] * self.realised.of(alike)
        m["often"] = _level(m, so_many / float(OFTEN))
        own = _level(m, so_many * self.realised.of_alarms(alike))
        start = (PRIOR / (PRIOR + m["clusters"])) ** 2
        m["limit"] = np.clip(own + (1.0 - own) * start, LEAST, MOST)
        for name, column in c.items():
            column[places] = m[name.removeprefix("stated_")]
            held[name] = column


def _level(m: dict[str, Array], so_many: Array) -> Array:
    """What one cluster in so many exceeds."""
    mean, second = m["excess"], np.maximum(0.5 * m["differ"], 1e-9)  # L-moments
    known = m["clusters"] / (m["clusters"] + SHAPE_PRIOR)
    shape = np.clip((2.0 - mean / second + DOUBT / np.sqrt(m["clusters"])) * known, LIGHTEST, HEAVIEST)
    shape = np.where(np.abs(shape) < STRAIGHT, STRAIGHT, shape)
    level: Array = m["level"] + mean * (1.0 - shape) * np.expm1(shape * np.log(np.maximum(so_many, 2.0))) / shape
    return level


def _likeness(m: dict[str, Array]) -> Array:
    """Class of these series: those of one are corrected alike."""
    number = half_doublings(m["excess"], SMALLEST_MEAN, MEANS) * SQUARES
    number += half_doublings(m["square"] / np.maximum(m["excess"] ** 2, 1e-12), SMALLEST_SQUARE, SQUARES)
    number *= AGES
    number += m["clusters"] >= GROWN
    return number
