"""How much of what customers touch is watched from both sides: the network, and IT with BSS.

A touchpoint that only the network is watched of looks healthy while the shop's own screens hang, and the other way
round. The share of touchpoints that are watched from both is published, so that it can be raised.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from cemd.config.catalogue import Domain, Touchpoint
from cemd.config.topology import Topology

SIDES = {Domain.NETWORK: "network", Domain.IT: "it", Domain.BSS: "it"}
"""A partner's service is neither: what is known of it is what the partner says."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Touchpoints by what a probe watches of them: at the touchpoint itself (`touchpoint` of a probe), whatever its
    service, or a service that it offers or stands on. `lacking` says what of each is not watched."""

    touchpoints: int
    lacking: dict[str, tuple[str, ...]]

    @property
    def ratio(self) -> float | None:
        """Share of the touchpoints that are watched from both sides; None where there are none."""
        return (self.touchpoints - len(self.lacking)) / self.touchpoints if self.touchpoints else None


def coverage_of(topology: Topology) -> Coverage:
    """What the probes of a configuration watch; pushed data is not known beforehand, and not counted."""
    lacking, at_it = {}, defaultdict[str, set[str]](set)
    for probe in topology.configuration.probes:
        at_it[probe.touchpoint or ""].add(probe.service)
    for point in topology.touchpoints.values():
        seen = _sides(point, topology, at_it.get(point.name, ()))
        if missing := tuple(side for side in ("network", "it") if side not in seen):
            lacking[point.name] = missing
    return Coverage(touchpoints=len(topology.touchpoints), lacking=lacking)


def _sides(point: Touchpoint, topology: Topology, at_it: Collection[str]) -> set[str]:
    needed = dict.fromkeys(need for name in (*point.offers, *point.depends_on) for need in topology.needs(name))
    below = (name for name in needed if topology.probes_of(name))
    watched = (topology.services[name].domain for name in (*below, *at_it) if name in topology.services)
    return {SIDES[domain] for domain in watched if domain in SIDES}
