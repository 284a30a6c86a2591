"""Many places at once: whether any of them overlaps another, and what lies where.

`Topology.overlap` compares two places. An outage of a region is thousands of findings in as many places, each of which
is held against all others: here it costs the depth of a place, not the number of places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from cemd.config.topology import Topology

T = TypeVar("T")

FEW = 16
"""So few are looked through; an index of them costs more than it saves."""


class Places:
    """Sites, of which is asked whether any overlaps another ("": everywhere)."""

    def __init__(self, sites: Iterable[str], topology: Topology) -> None:
        self._topology = topology
        self._sites: dict[str, None] = {}
        self._around: dict[str, None] = {}
        for site in sites:
            self.add(site)

    def add(self, site: str) -> None:
        if site not in self._sites:
            self._sites[site] = None
            self._around.update(dict.fromkeys(self._topology.around(site)))

    def meet(self, site: str) -> bool:
        """As `any(topology.overlap(one, site) for one in sites)`."""
        sites = self._sites
        if not sites:
            return False
        if not site or "" in sites or site in self._around:
            return True
        return any(one in sites for one in self._topology.around(site))


class ByPlace(Generic[T]):
    """Things that have a site, in an order that is kept."""

    def __init__(self, things: Sequence[T], site_of: Callable[[T], str], topology: Topology) -> None:
        self._things, self._site_of, self._topology = things, site_of, topology
        self._at: dict[str, list[int]] = {}  # places in the order, by the very site
        self._within: dict[str, list[int]] = {}  # by each site that it lies in, its own included

    def overlapping(self, site: str) -> list[T]:
        """Those whose site overlaps this one."""
        things, topology = self._things, self._topology
        if not site:
            return list(things)
        if len(things) <= FEW:
            return [one for one in things if topology.overlap(self._site_of(one), site)]
        if not self._at:
            self._look()
        found = [*self._at.get("", ()), *self._within.get(site, ())]
        for around in topology.around(site)[1:]:
            found.extend(self._at.get(around, ()))
        return [things[place] for place in sorted(dict.fromkeys(found))]

    def _look(self) -> None:
        for place, one in enumerate(self._things):
            site = self._site_of(one)
            self._at.setdefault(site, []).append(place)
            for around in self._topology.around(site):
                self._within.setdefault(around, []).append(place)
