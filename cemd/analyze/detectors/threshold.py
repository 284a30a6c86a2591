"""How much strength is an alarm: a threshold that grows with the logarithm of what was seen.

What kinds of evidence are worth together is the business of `combination`; here is only how much of it calls for
attention, so that the rate of alarms is set in one place.
"""

from __future__ import annotations

import numpy as np

from cemd.analyze.columns import Array, Field
from cemd.analyze.detectors.base import Held
from cemd.analyze.detectors.tails import MOST

OFFSET = 3.0
LIMIT = 0.53
"""Threshold: LIMIT x (OFFSET + log10 of samples seen). The rarest of n samples is about log10(n) by chance alone. How
much of it: as many alarms on seeded normal series as before a step's evidence faded slowly (docs/detection.md)."""
USUAL_SECONDS = 300.0
BUSY = 0.5
"""What is sampled more often than every five minutes is rare by chance more often: log10 of how many times goes to the
threshold, by this share, for such samples hang together."""
FIELDS: dict[str, Field] = {}


def alarming(held: Held, count: Array) -> Array:
    """float64[R]: strength that is an alarm, of series that have seen `count` samples."""
    seen = np.log10(np.clip(count, 1.0, MOST))
    seen += BUSY * np.log10(np.clip(USUAL_SECONDS / np.maximum(held["interval"], 0.1), 1.0, None))
    needed: Array = LIMIT * (OFFSET + seen)
    return needed
