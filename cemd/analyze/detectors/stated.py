"""How strong an episode must be to be a finding: as strong as the stated rate allows, by the past of series like it.

What is judged is the lesser of score and severity: a finding is rare *and* large. Of each series a *mark* is steered
so that it is exceeded about every six hours. What exceeds it together is a cluster; of clusters their mean distance is
kept, and the mean of what their peaks have beyond the mark. How far one peak in so many goes, in units of that mean, is
what series that are alike did (`alike`): no series sees enough of its own to know. A finding needs so much, from
`LEAST` to `MOST` times what is always an alarm; a young series starts at 1.

A peak teaches its own series no more than what just is a finding: a true episode hardly raises its own limit, a storm
as little, and what recurs (a spike a week) is usual after some times. Nor do faults that are many make all like them
deaf: beyond what comes `OFTEN` times as often as stated, no tail is taken to be heavier than `HEAVIEST`. What lasts
longer than clusters should lie apart is no peak: then the mark rises, or a series that is never quite calm would have
one cluster for ever and learn nothing.

Source: Davison and Smith 1990, models for exceedances over high thresholds.
"""

from __future__ import annotations

import numpy as np

from cemd.analyze.columns import Array, Field
from cemd.analyze.detectors.alike import Alike, exceeded, place_of
from cemd.analyze.detectors.base import SLOW, Held, follow, rate

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
LEAST, MOST = 0.5, 1.8
"""Bounds of the limit: the largest scores are about 2.4, and below 0.5 nobody would look twice."""
KNOWN = 48.0
"""Clusters after which a series is counted: before, its mean is wrong by a fifth and more."""
OFTEN, HEAVIEST = 16.0, 0.2
"""Nothing is taken to go further, from what comes so many times as often as stated, than a generalised Pareto tail of
this shape: what does is true. Heavier, and a fault a fortnight of each series makes the next ones unheard; lighter, and
Student's t of three degrees alarms more often than stated."""
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
    "stated_excess": Field("<f8"),  # mean of what peaks have beyond the mark
    "stated_usual": Field("<f8"),  # mean severity; 0: none yet
    "stated_limit": Field("<f8", 1.0),
}


class Stated:
    """The limits of all series, in the columns handed to each call, and what peaks of those alike did."""

    def __init__(self) -> None:
        self.alike = Alike()
        self.rate = 0.0  # a series and week; 0: every limit is 1

    def limit(self, held: Held, score: Array, severity: Array, count: Array) -> Array:
        """float64[R]: what score and severity of this sample must both reach; learns from them.

        Args:
            held: The series of this round.
            score: float64[R].
            severity: float64[R].
            count: float64[R], samples before this one.
        """
        if not self.rate:
            return np.ones(len(score))
        strength = np.minimum(score, severity)
        usual = held["stated_usual"]
        held["stated_usual"] = np.where(usual > 0.0, follow(usual, severity, rate(count, SLOW)), severity)
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
        m = {name.removeprefix("stated_"): held[name][places] for name in FIELDS}
        peak = top[places]
        known = m["clusters"] >= KNOWN
        in_means = np.maximum(peak - m["level"], 0.0) / np.maximum(m["excess"], 1e-6)
        self.alike.count(place_of(m["excess"], m["usual"])[known], in_means[known])
        m["clusters"] += 1.0
        weight = np.maximum(2.0 / (m["clusters"] + 1.0), MEMORY)
        m["apart"] += (np.maximum(m["at"] - m["before"], 1.0) - m["apart"]) * np.maximum(weight * 0.5, MEMORY)
        m["before"] = m["at"]
        excess = np.maximum(np.minimum(peak, m["limit"]) - m["from"], 0.0)
        for name, value in (("excess", excess), ("level", m["from"])):
            m[name] += (value - m[name]) * weight
        own = m["level"] + m["excess"] * self._needed(m, np.maximum(held["interval"][places], 0.1))
        own = np.clip(own, LEAST, MOST)  # before it is joined with the start: one fault says nothing of those to come
        m["limit"] = own + (1.0 - own) * (PRIOR / (PRIOR + m["clusters"])) ** 2
        for name in ("clusters", "apart", "before", "excess", "level", "limit"):
            column = held[f"stated_{name}"].copy()
            column[places] = m[name]
            held[f"stated_{name}"] = column

    def _needed(self, m: dict[str, Array], interval: Array) -> Array:
        """What a peak must have beyond the mark at the stated rate, in units of the mean."""
        so_many = np.maximum(WEEK_SECONDS / self.rate / interval / m["apart"], 2.0)
        law = self.alike.law(place_of(m["excess"], m["usual"]))
        often = exceeded(law, np.maximum(so_many / OFTEN, 1.0))
        most = often + (1.0 + HEAVIEST * often) * (OFTEN**HEAVIEST - 1.0) / HEAVIEST
        needed: Array = np.minimum(exceeded(law, so_many), most)
        return needed
