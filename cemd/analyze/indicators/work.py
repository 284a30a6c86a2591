"""Announced work: under which window each indicator instance is, or will be next.

What is measured under announced work of the service (or of what it stands on) at that place says nothing about it, as
soon as the work is over. Windows that follow each other without a gap count as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cemd.analyze.columns import Array
from cemd.config.topology import Topology
from cemd.model.identity import Instant


class Announced(NamedTuple):
    """One window, with every service and site that it reaches; no sites: everywhere."""

    begins: Instant
    ends: Instant
    services: dict[str, None]
    sites: dict[str, None]


class Plan(NamedTuple):
    """Per instance the window that covers it now or next, NaN where there is none."""

    begins: Array
    ends: Array


class AnnouncedWork:
    """All windows of a configuration, in order of their beginning."""

    def __init__(self, topology: Topology) -> None:
        windows = [
            Announced(
                one.begins(),
                one.ends(),
                {above: None for service in one.services for above in topology.dependents(service)},
                {inner: None for site in one.sites for inner in topology.inside(site)},
            )
            for one in topology.configuration.maintenance
        ]
        self._windows = sorted(windows, key=lambda one: one[:2])
        self._plan = Plan(np.zeros(0), np.zeros(0))
        self._holds_until = -np.inf

    def plan(self, places: Sequence[tuple[str, str]], now: Instant) -> Plan:
        """What covers instances at these (service, site) now or next."""
        if len(places) != len(self._plan.begins) or now >= self._holds_until:
            self._plan = self._planned(places, now)
            self._holds_until = float(np.nanmin(self._plan.ends, initial=np.inf))
        return self._plan

    def _planned(self, places: Sequence[tuple[str, str]], now: Instant) -> Plan:
        """Also what is over is walked through: a window that goes on from it began with it."""
        begin, end = np.full(len(places), np.nan), np.full(len(places), np.nan)
        for begins, ends, services, sites in self._windows:
            covers = np.array(
                [service in services and (not sites or site in sites) for service, site in places], np.bool_
            )
            goes_on = covers & (begins <= end)
            fresh = covers & ~goes_on & ~(end > now)
            begin[fresh], end[fresh] = begins, ends
            end[goes_on] = np.maximum(end[goes_on], ends)
        over = end <= now
        begin[over], end[over] = np.nan, np.nan
        return Plan(begin, end)
