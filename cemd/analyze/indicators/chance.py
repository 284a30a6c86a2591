"""Whether samples beyond an objective are more than chance: a slow probe's window holds two or three of them.

A page that usually answers in 0.8 s is beyond a second now and then; of three samples two are so by chance some times a
day. How usual a sample is for its own series the bank knows; samples that could as well be chance must be more of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FEW_SAMPLES = 12
"""A median of so many or more speaks for itself."""
CERTAIN = float(np.log(1e4))
"""Evidence (natural logarithm of an e-value, summed as in a sequential test) that suffices to break an objective: by
chance it comes up once in 10,000 samples at most."""
CERTAIN_IN_ROW = 2 * CERTAIN
"""The same where no window holds enough samples, and many that came hours ago may be among them: four of them, where
nobody knows what is usual."""
_RAREST = 1e-7
"""No single sample is taken for rarer: two of them are needed whatever they show."""
_UNKNOWN = 1e-5
"""Where nobody knows what is usual, two samples suffice as well."""
_WITHIN = -0.5
"""What a sample within the objective says."""
_MOST = CERTAIN_IN_ROW
"""More is not kept, so that good samples take it back soon."""


def weigh(evidence: Array, window: NDArray[np.intp], beyond: NDArray[np.bool_], tail: Array) -> None:
    """Adds samples to the evidence of their windows, in place.

    Args:
        evidence: By window; 0: none.
        window: Of each sample.
        beyond: Whether the sample lies beyond the objective.
        tail: Of each sample that is beyond, in order: how often its series shows what is as unusual, 1 = always;
            NaN: not known yet.
    """
    said = np.full(len(window), _WITHIN)
    usual = np.clip(np.nan_to_num(tail, nan=_UNKNOWN), _RAREST, 1.0)
    said[beyond] = np.log(0.5 / np.sqrt(usual))  # Vovk and Wang 2021: a p-value p as an e-value, 1 / (2 sqrt(p))
    np.add.at(evidence, window, said)
    evidence[window] = np.clip(evidence[window], 0.0, _MOST)
