"""How much of what customers touch is watched from both sides: the network, and IT with BSS.

A touchpoint that only the network is watched of looks healthy while the shop's own screens hang, and the other way
round. The share of touchpoints that are watched from both is published, so that it can be raised.
"""

from __future__ import annotations

from dataclasses import dataclass

from cemd.config.catalogue import Domain, Touchpoint
from cemd.config.topology import Topology

SIDES = {Domain.NETWORK: "network", Domain.IT: "it", Domain.BSS: "it"}
"""A partner's service is neither: what is known of it is what the partner says."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Touchpoints by what a probe watches of them, directly or below; `lacking` says what of each is not watched."""

    touchpoints: int
    lacking: dict[str, tuple[str, ...]]

    @property
    def ratio(self) -> float | None:
        """Share of the touchpoints that are watched from both sides; None where there are none."""
        return (self.touchpoints - len(self.lacking)) / self.touchpoints if self.touchpoints else None


def coverage_of(topology: Topology) -> Coverage:
    """What the probes of a configuration watch; pushed data is not known beforehand, and not counted."""
    lacking = {}
    for point in topology.touchpoints.values():
        seen = _sides(point, topology)
        if missing := tuple(side for side in ("network", "it") if side not in seen):
            lacking[point.name] = missing
    return Coverage(touchpoints=len(topology.touchpoints), lacking=lacking)


def _sides(point: Touchpoint, topology: Topology) -> set[str]:
    needed = dict.fromkeys(need for name in (*point.offers, *point.depends_on) for need in topology.needs(name))
    watched = (topology.services[name].domain for name in needed if topology.probes_of(name))
    return {SIDES[domain] for domain in watched if domain in SIDES}
