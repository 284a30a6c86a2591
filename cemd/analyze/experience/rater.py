"""RATER: five values per touchpoint from its indicators. A dimension without data is left out and weights renormalised;
the coverage says how much of the weight had data.

Profile `servqual_1990`: reliability .32, responsiveness .22, assurance .19, empathy .16, tangibles .11
(Zeithaml, Parasuraman, Berry 1990); later studies found no stable order, hence `equal` and `own`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cemd.analyze.experience.health import Reading, mean
from cemd.config.catalogue import Touchpoint
from cemd.config.rules import Rater, RaterProfile
from cemd.model.quality import Dimension
from cemd.model.view import DimensionView, RaterView

SERVQUAL_1990: Mapping[Dimension, float] = {
    Dimension.RELIABILITY: 0.32,
    Dimension.RESPONSIVENESS: 0.22,
    Dimension.ASSURANCE: 0.19,
    Dimension.EMPATHY: 0.16,
    Dimension.TANGIBLES: 0.11,
}


def weights(rater: Rater) -> Mapping[Dimension, float]:
    """Weight of each dimension under a profile."""
    match rater.profile:
        case RaterProfile.SERVQUAL_1990:
            return SERVQUAL_1990
        case RaterProfile.EQUAL:
            return dict.fromkeys(Dimension, 1.0)
        case RaterProfile.OWN:
            return {dimension: rater.weights.get(dimension, 0.0) for dimension in Dimension}


def combined(
    scores: Mapping[Dimension, float | None], profile: Mapping[Dimension, float]
) -> tuple[float | None, float]:
    """Weighted score of what is known and the share of the weight that is known.

    >>> from cemd.model.quality import Dimension as D
    >>> s = {D.RELIABILITY: 90, D.RESPONSIVENESS: 70, D.ASSURANCE: 95, D.EMPATHY: 80, D.TANGIBLES: 100}
    >>> round(combined(s, SERVQUAL_1990)[0], 2)
    86.05
    """
    return mean((scores.get(dimension), profile[dimension]) for dimension in Dimension)


def readings_at(point: Touchpoint, seen: Sequence[Reading]) -> list[Reading]:
    """What counts for a touchpoint: measured at it, or measured at none, of a service that it offers or stands on."""
    near = {*point.offers, *point.depends_on}
    return [one for one in seen if one.touchpoint == point.name or (not one.touchpoint and one.service in near)]


def rater_of(seen: Sequence[Reading], rater: Rater) -> RaterView:
    """The five values from readings, and their weighted sum."""
    profile = weights(rater)
    dimensions = tuple(
        _dimension(dimension, [one for one in seen if one.dimension is dimension]) for dimension in Dimension
    )
    score, _ = combined({one.dimension: one.score for one in dimensions}, profile)
    total = sum(profile.values())
    covered = sum(profile[one.dimension] * one.coverage for one in dimensions)
    return RaterView(score=score, coverage=covered / total if total else 0.0, dimensions=dimensions)


def _dimension(dimension: Dimension, seen: Sequence[Reading]) -> DimensionView:
    score, coverage = mean((one.score, one.weight) for one in seen)
    return DimensionView(
        dimension=dimension,
        score=score,
        coverage=coverage,
        samples=sum(one.samples for one in seen if one.score is not None),
        indicators=tuple(dict.fromkeys(one.name for one in seen)),
    )
