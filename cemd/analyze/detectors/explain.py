"""Why the deep detector called a series unusual: which evidence, how rare, what was expected, and when it was so
before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cemd.analyze.detectors.deep import Deep
from cemd.analyze.detectors.gate import Called, Episode

TELLING = 1.0
"""Evidence that is rarer than one in ten is named."""
MOST_REASONS = 3
ALIKE = 2.0
"""A past episode of the same kind is alike when its peak is within this factor."""


@dataclass(frozen=True, slots=True)
class Why:
    """What is known of the worst sample of the last episode of one series."""

    value: float
    expected: float
    low: float
    high: float
    severity: float
    samples: int
    reasons: tuple[tuple[str, str, float, bool], ...]
    """(kind, what is unusual, tail probability, it is higher than expected), the strongest first."""
    alike: tuple[float, ...]
    """When earlier episodes of the same kind began, the newest first."""
    alike_called: tuple[Called, ...]
    """What a person called each of them."""


def explain(deep: Deep, row: int) -> Why:
    c = deep.columns
    surprise = c["worst_surprise"][row].astype(np.float64)
    order = np.argsort(-np.abs(surprise), kind="stable")[:MOST_REASONS]
    reasons = tuple(
        (
            deep.kinds[kind].word,
            deep.kinds[kind].says,
            float(10.0 ** -min(abs(float(surprise[kind])), 30.0)),
            bool(surprise[kind] > 0),
        )
        for kind in order.tolist()
        if abs(surprise[kind]) >= TELLING
    )
    alike = _alike(deep.gate.past(row))
    expected, reach = float(c["worst_expected"][row]), float(c["worst_reach"][row])
    return Why(
        value=float(c["worst_now"][row]),
        expected=expected,
        low=expected - reach,
        high=expected + reach,
        severity=float(c["severity"][row]),
        samples=int(c["count"][row]),
        reasons=reasons,
        alike=tuple(one.at for one in alike),
        alike_called=tuple(one.called for one in alike),
    )


def _alike(past: list[Episode]) -> list[Episode]:
    """Earlier episodes like the last one, the newest first."""
    if not past:
        return []
    now = past[-1]
    return [
        one
        for one in reversed(past[:-1])
        if (one.kind, one.rises) == (now.kind, now.rises) and 1 / ALIKE <= one.peak / now.peak <= ALIKE
    ]
