"""What the bank keeps of each series, by column: the table itself; what they mean is said where they are learnt."""

from __future__ import annotations

import numpy as np

from cemd.analyze.bank import episodes
from cemd.analyze.bank.season import NEVER
from cemd.analyze.columns import Field

NOT_SEEN = 255
FIELDS = {
    "base": Field("<f8"),  # first value: what is kept in single precision is relative to it
    "last_at": Field("<f8", -np.inf),
    "n": Field("<f4"),
    "level": Field("<f4"),  # what is expected
    "spread": Field("<f4", 1e-9),  # mean distance from it, for this hour
    "floor": Field("<f4", 1e-9),
    "evenness": Field("<f4", 1.0),  # one over this hour's spread, as a ratio of the usual one
    "slope": Field("<f4"),  # of the season, a second
    "evidence": Field("<f4"),  # bits
    "z": Field("<f4"),
    "x": Field("<f4", np.nan),
    "first": Field("<f4", 2.72),  # thresholds of a normal distribution, in mean distances: where steering starts
    "second": Field("<f4", 3.72),
    "third": Field("<f4", 4.53),
    "interval": Field("<f4"),
    "long_gap": Field("<f4"),
    "lone_gap": Field("<f4"),  # the longest of a young series
    "hour": Field("<i4", NEVER),
    "hour_from": Field("<f4"),  # n at the beginning of this hour
    "hour_sum": Field("<f4"),
    "hour_dev": Field("<f4"),
    "last_mean": Field("<f4", np.nan),
    "foretold": Field("<f4"),
    "over_mean": Field("<f4", np.nan),  # of the hour before, until it is learnt
    "over_dev": Field("<f4"),
    "now": Field("<f4", np.nan),  # usual in the next hour, and in the one after that
    "after": Field("<f4", np.nan),
    "next_evenness": Field("<f4", 1.0),
    "foreseen": Field("|b1"),  # these three are looked up, and the hour before is learnt
    "usual_dev": Field("<f4"),
    "hours": Field("<f4"),
    "trust_product": Field("<f4"),
    "trust_square": Field("<f4"),
    "jump_product": Field("<f4"),
    "jump_square": Field("<f4"),
    "widening": Field("<f4"),  # of the spread at the beginning of this hour, by the season; 1: doubles
    "spread_before": Field("<f4"),  # just before it
    "widening_product": Field("<f4"),
    "widening_square": Field("<f4"),
    "episode": Field("<f4", shape=(len(episodes.EPISODE),)),
    "alike": Field("<u2"),  # class of series by which the limit was corrected
    "run": Field("<u2"),
    "longest": Field("<u2"),
    "outcome": Field("|u1", NOT_SEEN),
    "binary": Field("|b1"),
    "alarm": Field("|b1"),
    "open": Field("|b1"),
    "escalated": Field("|b1"),
}
