"""The ground that everything stands on, as index arrays: which services and sites an event reaches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cemd.config.topology import Topology
from cemd.demo.world.events import Event
from cemd.demo.world.scenario import FaultEntry

Flags = NDArray[np.bool_]


class Ground:
    """Services and sites by number."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.services = tuple(topology.services)
        self.sites = tuple(topology.sites)
        self.site_number = {name: place for place, name in enumerate(self.sites)}

    def services_of(self, event: Event) -> tuple[str, ...]:
        """The services that the event touches: its own, and what stands on it if it reaches so far."""
        if not event.service:
            return ()
        alone = isinstance(event.entry, FaultEntry) and event.entry.reaches == "itself"
        return (event.service,) if alone else self.topology.dependents(event.service)

    def site_flags(self, event: Event) -> Flags:
        """Sites at which it happens; all where it has no place."""
        if not event.site:
            return np.ones(len(self.sites), np.bool_)
        inside = set(self.topology.inside(event.site))
        return np.array([name in inside for name in self.sites], np.bool_)

    def is_at(self, event: Event, site: str) -> bool:
        """True when the event touches this site; "" stands for no place in particular, touched only from everywhere."""
        return not event.site or (bool(site) and event.site in self.topology.around(site))
