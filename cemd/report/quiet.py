"""Quiet hours and spoken times: for each distinct zone once, then by code for every customer.

The zone is the customer's, else the site's, else the operator's. A window may pass midnight; where start and end are
equal there is none. Ends are worked out on the wall clock and turned into instants, so that a change of the clocks
moves them rightly.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from cemd.config.rules import QuietHours
from cemd.config.topology import Topology
from cemd.model.customers import Customers
from cemd.model.identity import Instant


@lru_cache(maxsize=1024)
def zone_or(name: str, otherwise: str) -> ZoneInfo:
    """The zone of that name, else the other one, else UTC: a wrong name must not stop a decision."""
    for candidate in (name, otherwise):
        try:
            if candidate:
                return ZoneInfo(candidate)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return ZoneInfo("UTC")


def spoken_time(at: Instant, zone: str, otherwise: str) -> str:
    """A time of day as people say it, with its zone.

    >>> spoken_time(0.0, "Asia/Tokyo", "UTC")
    '09:00 JST'
    """
    local = datetime.fromtimestamp(at, zone_or(zone, otherwise))
    return f"{local:%H:%M} {local.tzname() or zone}"


def zones_spoken(
    customers: Customers, topology: Topology, numbers: NDArray[np.uint32]
) -> tuple[tuple[str, ...], NDArray[np.uint16]]:
    """(names of zones, place of each customer's in them): the customer's own, else that of the site, "" where neither
    is known. No places where the columns do not know them all."""
    if len(numbers) and int(numbers.max()) >= customers.size:
        return (), np.zeros(0, np.uint16)
    names = (*customers.zones, *zones_of_sites(topology, tuple(customers.sites)))
    unnamed = np.array([not name for name in customers.zones] or [True])
    zone, site = customers["zone"][numbers], customers["site"][numbers]
    return names, np.where(unnamed[zone], len(customers.zones) + site, zone).astype(np.uint16)


def quiet_until(hours: QuietHours, zone: ZoneInfo, at: Instant) -> Instant | None:
    """End of the quiet hours that hold at this instant; None when nothing is quiet.

    >>> from cemd.config.rules import QuietHours
    >>> quiet_until(QuietHours(start="22:00", end="08:00"), ZoneInfo("UTC"), 3600.0)
    28800.0
    """
    start, end = time.fromisoformat(hours.start), time.fromisoformat(hours.end)
    local = datetime.fromtimestamp(at, zone)
    clock = local.time()
    if start == end:
        return None
    over_midnight = start > end
    if over_midnight:
        if not (clock >= start or clock < end):
            return None
    elif not start <= clock < end:
        return None
    day = local.date() + timedelta(days=1 if over_midnight and clock >= start else 0)
    until = datetime.combine(day, end, zone).astimezone(UTC).timestamp()
    # an hour that occurs twice can put the end behind us: its second occurrence is meant
    return until if until > at else datetime.combine(day, end, zone).replace(fold=1).astimezone(UTC).timestamp()


@lru_cache(maxsize=2)
def zones_of_sites(topology: Topology, sites: tuple[str, ...]) -> tuple[str, ...]:
    """Zone of each site, "" where it has none; worked out once for a configuration."""
    return tuple(topology.zone(name) or "" for name in sites)


@dataclass(frozen=True, slots=True)
class QuietTable:
    """Which zones are quiet now, by the codes of the customer columns."""

    of_zone: NDArray[np.uint8]  # 0 not quiet, 1 quiet, 2 ask the site
    of_site: NDArray[np.bool_]
    until: Instant | None  # the first end among the quiet zones

    def holds(self, zone: NDArray[np.uint16], site: NDArray[np.uint16]) -> NDArray[np.bool_]:
        """Which customers are in quiet hours."""
        by_zone = self.of_zone[zone]
        return np.where(by_zone == 2, self.of_site[site], by_zone == 1)


def quiet_table(hours: QuietHours | None, customers: Customers, topology: Topology, at: Instant) -> QuietTable | None:
    """The table for this instant; None when nobody anywhere is in quiet hours."""
    if hours is None:
        return None
    operator = topology.configuration.settings.operator.zone
    ends: dict[str, Instant | None] = {}

    def end_of(name: str) -> Instant | None:
        if name not in ends:
            ends[name] = quiet_until(hours, zone_or(name, operator), at)
        return ends[name]

    of_zone = np.array([2 if not name else end_of(name) is not None for name in customers.zones] or [2], np.uint8)
    zones = zones_of_sites(topology, tuple(customers.sites))
    of_site = np.array([end_of(zone or operator) is not None for zone in zones] or [False])
    standing = [end for end in ends.values() if end is not None]
    return QuietTable(of_zone, of_site, min(standing)) if standing else None
