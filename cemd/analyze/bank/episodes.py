"""Episodes: how much evidence makes an alarm, by what the series' own evidence has reached before; fire, hold,
escalate, end, and what stays as the new normal.

Evidence comes in *clusters*: runs above `OVER` bits. On independent noise their peaks have an exponential tail
of known scale; where samples hang together, or something is usual that no season foretells (a peak of five minutes in
every hour), the peaks of the series' own past say how far evidence goes. So every series keeps the mean distance of
clusters and the mean of what their peaks have beyond `OVER`, and the limit is where the stated rate
is reached: `OVER + mean excess * ln(samples per alarm / samples per cluster)` (peaks over a threshold, declustered).
The same is asked of the quarter of the peaks that lie beyond a higher mark, and the larger answer holds.
Few clusters say little: the mean starts large and weighs `PRIOR` clusters, so that a young series alarms on what lasts
only. All of this errs, on most series to the quiet side: by how much is counted over all of them (`realised`), and
corrected, for those that are alike: in the mean of their peaks, in whether a season foretells them, in how far the tail
of their samples goes, and in whether they have seen enough for the start to be forgotten.
What alarmed and was no new normal is remembered: it takes
`AGAIN` times that peak to alarm once more, less with time. All arithmetic is of the kind that `kernel` names; `log2`
reads exponent and mantissa.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cemd.analyze.bank.realised import OFTEN, Realised, half_doublings
from cemd.analyze.columns import Array, number

if TYPE_CHECKING:
    from cemd.analyze.bank.kernel import Rows

HALF, ONE, TWO = number(0.5), number(1.0), number(2.0)
OVER = number(3.0)
PRIOR, PRIOR_EXCESS, BINARY_EXCESS = number(8.0), number(16.0), number(1.5)
PRIOR_APART = number(50.0)
GUESSES = number(16.0)  # samples before which spread and level are guesses
DEEP, DEEP_STEP, FIRST_DEEP = number(0.25), number(0.1), number(5.0)
DEEP_DOUBLINGS, OFTEN_DOUBLINGS = number(2.0), number(math.log2(float(OFTEN)))  # 1 / DEEP, and OFTEN
MEMORY = number(1.0 / 512.0)
CAUTION = number(0.5)
"""The limit is raised by this share over the root of the number of clusters: their mean is not known better."""
SIDES = MEANS, SEASONS, TAILS, AGES = 24, 2, 8, 2
"""Classes of series that are alike: by mean peak from 1/16 bit on, by season, by tail, and by age. A tail is the
doublings from the first threshold to the third, up to 4 (a normal distribution has 0.7); 0 is for series of 0 and 1. A
class of means or tails is half a doubling."""
SMALLEST_MEAN, SHORTEST_TAIL = -8, -2
SEASONAL = number(0.9)
"""Share of the season's differences that the samples follow (`season`), from which on it foretells a series: of noise
that hangs together it is about a half, by chance."""
SETTLED, GROWN = number(16.0), number(32.0)
"""Clusters that a series must have seen before it is counted, and until it is of age: the start weighs a tenth in its
mean peak, and a twenty-fifth. The younger it is, the higher is its limit, and the less comes true."""
STEEPER = HALF
"""Of what a correction would change between the counted level and the limit, were the tail wrong by its slope alone
and right at the deep mark; were it wrong by a step, this would be 0. It is something of both."""
AGAIN = number(0.6)
FORGIVES = number(0.002 / 3600.0)
"""Share of such a peak, a second, that is forgotten when the next cluster begins: half is left after two weeks."""
LEAST, MOST = number(6.0), number(4000.0)
HOLD, ENDS_BELOW = number(12.0), number(16.0)
"""Evidence above the limit that is kept. An alarm ends so far below the limit, at half of it at the
latest: it outlives its cause by some 70 to 100 samples."""
ESCALATES = number(3.0)  # times the limit, summed over the episode
NEW_NORMAL_SAMPLES, NEW_NORMAL_SECONDS = number(60.0), number(7200.0)
STEADY = number(2.0)
"""Mean distance from the new level, in old spreads, up to which it is one."""
LN2 = number(0.6931472)
EPISODE = (
    *("peak", "clusters", "cluster_at", "apart", "excess", "deep", "beyond"),
    *("record", "limit", "alarm_from", "candidate", "restless", "often"),
)
COUNTED = [EPISODE.index("cluster_at"), EPISODE.index("alarm_from")]  # which of them are counts of samples
SHORTEST = number(1e-3)
NOTHING = number(0.0)
MANTISSA = number(2.0**-23)


def log2(x: Array) -> Array:
    """Of positive numbers; the mantissa counts linearly, so it is up to 0.09 too low. The same bits everywhere."""
    bits: Array = x.astype(np.float32, copy=False).view(np.int32)
    logarithm: Array = (bits - np.int32(0x3F800000)).astype(np.float32) * MANTISSA
    return logarithm


class Terms(NamedTuple):
    """What holds for all series of a call; `youngest` is the least count of samples among them."""

    youngest: float
    learn_samples: float
    limit_seconds: float
    realised: Realised


def gather(c: Mapping[str, Array], rows: Rows, before: Array, gain: Array, alarm: Array, terms: Terms) -> Array:
    """Adds to the evidence of these series, whose sample is counted already; closes clusters, opens alarms.

    Returns:
        Their evidence now.
    """
    evidence = before + gain
    if terms.youngest < terms.learn_samples:
        n = c["n"].take(rows) - ONE
        evidence = np.where(n >= np.float32(terms.learn_samples), evidence, np.minimum(evidence, gain))
        evidence[n < GUESSES] = NOTHING
    rich = (evidence > OVER).nonzero()[0]
    if not len(rich):
        return evidence
    rows, now = rows.take(rich), evidence[rich]
    n = c["n"].take(rows) - ONE
    memory = Memory(c["episode"].take(rows, axis=0))
    enters = (before[rich] <= OVER).nonzero()[0]
    if len(enters):
        entering = Memory(memory.held[enters])
        begins, realised = rows[enters], terms.realised
        interval = c["interval"].take(begins)
        clusters = clusters_per_alarm(entering, interval, terms.limit_seconds)
        count_clusters(entering, c["alike"].take(begins), clusters, realised)
        forgive(entering, n[enters], interval)
        close_clusters(entering, n[enters])
        alike = likeness(c, begins, entering)
        c["alike"][begins] = alike
        set_limit(entering, interval, terms.limit_seconds, realised.of(alike), realised.of_alarms(alike))
        memory.held[enters] = entering.held
    open_ = alarm[rich]
    np.maximum(memory.peak, np.where(open_, memory.peak + gain[rich], now), out=memory.peak)
    fires = ((now >= memory.limit) & ~open_ & (n >= np.float32(terms.learn_samples))).nonzero()[0]
    memory.alarm_from[fires] = n[fires]
    if len(fires):
        known = fires[memory.clusters[fires] >= SETTLED]
        terms.realised.count_alarms(c["alike"].take(rows[known]))
    c["episode"][rows] = memory.held
    fire(c, rows[fires])
    evidence[rich] = np.minimum(now, memory.limit + HOLD)
    return evidence


class Memory:
    """What some series remember of their clusters: one short row each, for few need it and far apart."""

    __slots__ = (*EPISODE, "held")

    def __init__(self, held: Array) -> None:
        self.held = held
        self.peak, self.clusters, self.cluster_at, self.apart = held[:, 0], held[:, 1], held[:, 2], held[:, 3]
        self.excess, self.deep, self.beyond = held[:, 4], held[:, 5], held[:, 6]
        self.record, self.limit, self.alarm_from = held[:, 7], held[:, 8], held[:, 9]
        self.candidate, self.restless, self.often = held[:, 10], held[:, 11], held[:, 12]


def clusters_per_alarm(m: Memory, interval: Array, limit_seconds: float) -> Array:
    """Of how many clusters of these series one should alarm, at the stated rate."""
    clusters: Array = np.float32(limit_seconds) / (np.maximum(interval, SHORTEST) * np.maximum(m.apart, ONE))
    return clusters


def likeness(c: Mapping[str, Array], rows: Rows, m: Memory) -> Array:
    """Class of these series, whose memory is `m`: those of one are corrected alike. All or none are of 0 and 1."""
    number = half_doublings(m.excess, SMALLEST_MEAN, MEANS)
    number *= SEASONS
    number += _seasonal(c, rows)
    number *= TAILS
    if not c["binary"][rows[0]]:
        tail = c["third"].take(rows)
        tail /= np.maximum(c["first"].take(rows), ONE)
        number += half_doublings(log2(tail), SHORTEST_TAIL, TAILS - 1)
        number += 1
    number *= AGES
    number += m.clusters >= GROWN
    return number


def count_clusters(m: Memory, alike: Array, clusters: Array, realised: Realised) -> None:
    """Clusters that are over are counted, of series that know their own; `alike` is the class by which the level was
    corrected that they are held to."""
    counted = ((m.peak > OVER) & (m.clusters >= SETTLED)).nonzero()[0]
    if len(counted):
        peak = m.peak[counted]
        realised.count(alike[counted], (peak >= m.often[counted]) & (peak < m.limit[counted]), clusters[counted])


def forgive(m: Memory, n: Array, interval: Array) -> None:
    """What alarmed fades with the time since the cluster before."""
    m.record /= np.maximum(n - m.cluster_at, NOTHING) * interval * FORGIVES + ONE


def close_clusters(m: Memory, n: Array) -> None:
    """A cluster begins: the one before is over, its peak is counted; of one that alarmed no more than twice the limit:
    what goes on for long has gathered any number of bits, and would make the series deaf for as long as it lasted."""
    any_ = m.peak > OVER
    np.minimum(m.peak, m.limit * TWO, out=m.peak)
    m.clusters += any_
    rate = np.maximum(TWO / (PRIOR + m.clusters), MEMORY) * any_
    m.record[:] = np.where(m.peak > m.limit, np.maximum(m.record, m.peak * AGAIN), m.record)
    m.apart += (n - m.cluster_at - m.apart) * rate
    m.excess += (m.peak - OVER - m.excess) * rate
    _close_deep(m, any_)
    m.cluster_at[:] = n
    m.peak[:] = NOTHING


def _close_deep(m: Memory, any_: Array) -> None:
    """The higher mark, which a quarter of the peaks exceed, and the mean of what they have beyond it: four times what
    all peaks have at most. Where they hardly differ, that forgets the start sooner."""
    past = m.peak - m.deep
    exceeds = past > NOTHING
    usual = np.where(m.beyond > NOTHING, m.beyond, m.excess)
    rate = np.maximum(TWO / (m.clusters * DEEP + PRIOR), MEMORY)
    m.beyond[:] = np.minimum(np.where(exceeds, usual + (past - usual) * rate, m.beyond), m.excess / DEEP)
    step = np.minimum(m.excess, TWO) * np.maximum(TWO / (PRIOR + m.clusters), DEEP_STEP) * any_
    m.deep[:] = np.maximum(m.deep + step * (exceeds - DEEP), OVER)


def set_limit(m: Memory, interval: Array, limit_seconds: float, correction: Array, of_alarms: Array) -> None:
    """Evidence at which these series alarm at the stated rate, made so many times as rare as `correction` and
    `of_alarms` say; and the level that they should exceed `OFTEN` times as often, by the first alone."""
    rare = log2(clusters_per_alarm(m, interval, limit_seconds))
    shift = log2(correction)
    from_deep = np.maximum(rare - OFTEN_DOUBLINGS - DEEP_DOUBLINGS, DEEP_DOUBLINGS)
    steeper = log2(of_alarms) + shift + shift * (STEEPER * OFTEN_DOUBLINGS) / from_deep
    often, limit = _level(m, np.stack([rare - OFTEN_DOUBLINGS + shift, rare + steeper]))
    m.often[:] = often
    m.limit[:] = np.minimum(np.maximum(np.maximum(limit, m.record), LEAST), MOST)


def _seasonal(c: Mapping[str, Array], rows: Rows) -> Array:
    """bool: whose samples the season foretells."""
    known: Array = c["trust_product"].take(rows) > c["trust_square"].take(rows) * SEASONAL
    return known


def _level(m: Memory, rare: Array) -> Array:
    """What one in so many clusters exceeds, as their logarithm: as clusters as such say, or as the deeper ones say,
    whichever is more."""
    limit = m.excess * np.maximum(rare, ONE)
    limit *= LN2
    limit += OVER
    caution = CAUTION / np.sqrt(m.clusters + PRIOR) + ONE
    deep = np.maximum(rare - DEEP_DOUBLINGS, ONE)
    deep *= LN2
    deep *= m.beyond * caution
    deep += m.deep
    np.maximum(limit, deep, out=limit)
    return limit


def fire(c: Mapping[str, Array], rows: Rows) -> None:
    c["alarm"][rows] = True
    c["candidate"][rows] = np.nan


def end(c: Mapping[str, Array], rows: Rows) -> Rows:
    """Ends alarms whose evidence fell well below the limit.

    Returns:
        Those of the rows that still hold.
    """
    alarm = c["alarm"][_span(rows)]
    if not np.logical_or.reduce(alarm):
        return rows[:0]
    rows = rows[alarm]
    limit = c["limit"][rows]
    over = c["evidence"].take(rows) < np.maximum(limit * HALF, limit - ENDS_BELOW)
    c["alarm"][rows[over]] = False
    c["evidence"][rows[over]] = NOTHING  # a relapse has to gather its own
    holds: Rows = rows[~over]
    return holds


def follow(c: Mapping[str, Array], rows: Rows) -> None:
    """Ends alarms; where the samples of one have kept to a level of their own long enough, that is the new normal."""
    mine = end(c, rows)
    if not len(mine):
        return
    now, n = c["x"].take(mine), c["n"].take(mine) - ONE
    candidate, restless = c["candidate"][mine], c["restless"][mine]
    unset = np.isnan(candidate)
    since = n - c["alarm_from"][mine]
    rate = np.maximum(np.float32(1.0) / (since + np.float32(2.0)), np.float32(0.05))
    off = np.where(unset, NOTHING, now - candidate)
    candidate = np.where(unset, now, candidate + off * rate)
    restless = np.where(unset, NOTHING, restless + (np.absolute(off) - restless) * rate)
    c["candidate"][mine], c["restless"][mine] = candidate, restless
    interval = np.maximum(c["interval"].take(mine), np.float32(1e-3))
    long = since >= np.maximum(NEW_NORMAL_SAMPLES, NEW_NORMAL_SECONDS / interval)
    usual = np.maximum(c["spread"].take(mine), c["floor"].take(mine))
    settled = (long & (restless <= usual * STEADY)).nonzero()[0]
    if not len(settled):
        return
    mine = mine[settled]
    c["level"][mine] = candidate[settled]
    c["evidence"][mine] = NOTHING
    c["alarm"][mine] = False
    c["longest"][mine] = np.maximum(c["longest"].take(mine), c["run"].take(mine))
    c["peak"][mine] = NOTHING  # it was a change, not a peak that may come again


def _span(rows: Rows) -> Rows | slice:
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows
