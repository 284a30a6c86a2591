"""How many customers of each service are at each site: counted once from the columns, then asked thousands of times.

In an outage of a region each of thousands of places wants to know which part of all customers is its own. Who is abroad
is not at home: counted everywhere, at no site.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cemd.config.topology import Topology
from cemd.model.customers import CustomerFlag, Customers

BLOCK = 1_000_000


class Census:
    """Of one version of the columns, under one topology; read-only but for what it has counted already."""

    def __init__(self, customers: Customers, topology: Topology) -> None:
        self._customers, self._topology, self._version = customers, topology, customers.version
        self._codes = {name: code for code, name in enumerate(customers.sites)}
        self._counted: dict[str, tuple[int, list[int]]] = {}
        self.shares: dict[tuple[str, str, tuple[str, ...]], float] = {}
        """Of `Takers`, who asks the same again and again."""

    def is_of(self, customers: Customers, topology: Topology) -> bool:
        return self._customers is customers and self._topology is topology and self._version == customers.version

    def count(self, service: str, sites: Sequence[str]) -> int:
        """Customers of a service at any of these sites (none: everywhere); of one that is not sold, of any."""
        customers = self._customers
        if not customers.size or not customers.services:
            return 0
        name = service if service in customers.services else ""
        if name not in self._counted:
            self._counted[name] = self._look(name)
        everywhere, at = self._counted[name]
        if not sites:
            return everywhere
        inside = dict.fromkeys(name for site in sites for name in self._topology.inside(site))
        return sum(at[self._codes[one]] for one in inside if one in self._codes)

    def _look(self, service: str) -> tuple[int, list[int]]:
        """(customers of a service, or of any (""), those at home by code of their site)."""
        customers = self._customers
        sold = customers.services
        wanted = np.uint64(1 << sold.index(service) if service else (1 << len(sold)) - 1)
        here_bits, gone = np.uint8(CustomerFlag.PRESENT), np.uint8(CustomerFlag.ERASED)
        everywhere, at = 0, np.zeros(len(customers.sites), np.int64)
        for start in range(0, customers.size, BLOCK):
            part = slice(start, start + BLOCK)
            flags, site = customers["flags"][part], customers["site"][part]
            theirs: NDArray[np.bool_] = (flags & (here_bits | gone)) == here_bits
            theirs &= (customers["services"][part] & wanted) != 0
            everywhere += int(np.count_nonzero(theirs))
            theirs &= (flags & np.uint8(CustomerFlag.ABROAD)) == 0
            at += np.bincount(site[theirs], minlength=len(at))[: len(at)]
        return everywhere, at.tolist()
