"""Customer experience index: step, journey, macro-journey, domain, operator; each level the mean of what is known
below, by importance, with its coverage.

The operator's index joins network (sold services by what they stand on in the network), design (nothing measures it
yet: left out) and operations (the domains of the journeys). No public standard gives the weights, hence `uncalibrated`
until they are fitted to surveys. The published split gives the network 80 of 100: where only systems are broken,
journeys that are down weigh 14 % of the index and hardly move it (docs/experience-index.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from cemd.analyze.experience.health import Healths, mean
from cemd.config.catalogue import Domain
from cemd.config.rules import Cei
from cemd.config.topology import Topology
from cemd.model.view import CeiView, JourneyView


def end_to_end(
    network: float | None, design: float | None, operations: float | None, cei: Cei
) -> tuple[float | None, float]:
    """The three parts by their weights, and the share of the weight that is known.

    >>> round(end_to_end(92, 75, 60, Cei())[0], 1)
    86.6
    """
    return mean(
        [(network, cei.network_weight), (design, cei.design_weight), (operations, cei.operations_weight)],
    )


def cei_view(topology: Topology, journeys: Sequence[JourneyView], healths: Healths, cei: Cei) -> CeiView:
    """The index of the operator with its levels."""
    importance = {name: journey.importance for name, journey in topology.journeys.items()}
    macro = _levels([(view.macro_journey, view, importance[view.name]) for view in journeys])
    domains = _levels([(view.domain, view, importance[view.name]) for view in journeys])
    weighted = [(view, importance[view.name]) for view in journeys]
    total = sum(weight for _, weight in weighted)
    journey_coverage = sum(view.coverage * weight for view, weight in weighted) / total if total else 0.0
    operations, _ = mean(
        (score, sum(weight for view, weight in weighted if view.domain == name)) for name, score in domains.items()
    )
    network, network_coverage = _network(topology, healths)
    score, _ = end_to_end(network, None, operations, cei)
    parts = (
        (network_coverage, cei.network_weight),
        (0.0, cei.design_weight),
        (journey_coverage, cei.operations_weight),
    )
    weight = sum(weight for _, weight in parts)
    coverage = sum(covered * share for covered, share in parts) / weight if weight else 0.0
    return CeiView(
        score=score if coverage >= cei.coverage_floor else None,
        coverage=coverage,
        calibrated=cei.calibrated,
        weights={"network": cei.network_weight, "design": cei.design_weight, "operations": cei.operations_weight},
        network=network,
        design=None,
        operations=operations,
        macro_journeys=macro,
        domains=domains,
    )


def _levels(parts: Sequence[tuple[str, JourneyView, float]]) -> dict[str, float | None]:
    """Mean by importance of the journeys under each name, in order of first appearance."""
    names = dict.fromkeys(name for name, _, _ in parts)
    return {name: mean((view.score, weight) for own, view, weight in parts if own == name)[0] for name in names}


def _network(topology: Topology, healths: Healths) -> tuple[float | None, float]:
    """Mean over sold services of the weakest network service that each stands on; those without one do not count."""
    parts: list[tuple[float | None, float]] = []
    for service in topology.services.values():
        below = [name for name in topology.needs(service.name) if topology.services[name].domain is Domain.NETWORK]
        if service.sold and below:
            known = [score for name in below if (score := healths.own[name].score) is not None]
            parts.append((min(known, default=None), 1.0))
    return mean(parts)
