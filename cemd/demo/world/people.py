"""The customers, as columns: what they have, where they are served now, how they can be told, what the law permits.

The columns that the daemon sees are those of `cemd/model/customers.py`; home, work and commuting times are truth.
Whoever moves is served where he is; the register of the network knows it at once, so the daemon is told of each
move.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemd.config.topology import Topology
from cemd.demo.world.chance import chance
from cemd.demo.world.reading import site_names
from cemd.demo.world.scenario import Scenario
from cemd.demo.world.traffic import Almanac
from cemd.model.customers import COLUMNS, DIGEST_OF, CustomerFlag, LawfulBasis
from cemd.model.entry import CustomersLoaded
from cemd.model.identity import Instant

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
MOVE_SECONDS = 300.0
"""Moves fall on these marks of the clock."""
NOBODY = 255


class People:
    """Columns of length `count`, by customer number."""

    def __init__(self, scenario: Scenario, topology: Topology, seed: int) -> None:
        draw = chance(seed, "people")
        plan = scenario.people
        self.count = plan.count
        names = site_names(scenario)
        self.sites = tuple(names)
        self._code = {name: code for code, name in enumerate(self.sites)}
        homes = np.array([code for code, (kind, _) in enumerate(names.values()) if kind == plan.lives_in], np.int64)
        self.services = tuple(one.name for one in scenario.services if one.sold)
        self.segments = tuple(one.name for one in plan.segments)
        self.languages = tuple(plan.languages)
        self.zones = tuple(plan.zones) or ("",)
        self.home = draw.choice(homes, self.count)
        self.segment = draw.choice(len(self.segments), self.count, p=_shares([one.share for one in plan.segments]))
        bundle = draw.choice(len(plan.bundles), self.count, p=_shares([one.share for one in plan.bundles]))
        self.moves = np.array([one.moves for one in plan.bundles])[bundle]
        self.has = self._holdings(scenario, topology, bundle, draw)
        away = draw.choice(homes, self.count)
        self.work = np.where(self.moves & (draw.random(self.count) < plan.commuters), away, self.home)
        self._leaves = np.clip(draw.normal(8.0, 1.0, self.count), 4.5, 11.5) * 3600.0
        self._returns = np.clip(draw.normal(17.5, 1.5, self.count), 13.0, 22.5) * 3600.0
        self.site = self.home.copy()
        self._calls = np.array([one.calls for one in plan.segments])
        self._static = self._columns(scenario, draw)

    @property
    def readiness_to_call(self) -> Floats:
        """By customer, against 1."""
        return self._calls[self.segment]

    def _holdings(self, scenario: Scenario, topology: Topology, bundle: Numbers, draw: np.random.Generator) -> Any:
        """bool[services, count]: who has what."""
        has = np.zeros((len(self.services), self.count), np.bool_)
        for number, plan in enumerate(scenario.people.bundles):
            for held in plan.services:
                mine = (bundle == number) & (draw.random(self.count) < held.share)
                if held.site is not None:
                    inside = [self._code[name] for name in topology.inside(held.site) if name in self._code]
                    mine &= np.isin(self.home, inside)
                has[self.services.index(held.service)] |= mine
        return has

    def _columns(self, scenario: Scenario, draw: np.random.Generator) -> dict[str, NDArray[Any]]:
        plan, count = scenario.people, self.count
        bits = np.zeros(count, np.uint64)
        for place in range(len(self.services)):
            bits |= self.has[place].astype(np.uint64) << np.uint64(place)
        flags = np.full(count, int(CustomerFlag.PRESENT), np.uint8)
        for flag, share in (
            (CustomerFlag.MACHINE, plan.machines),
            (CustomerFlag.ABROAD, plan.abroad),
            (CustomerFlag.UNSUBSCRIBED, plan.unsubscribed),
            (CustomerFlag.CRITICAL, plan.critical),
        ):
            flags |= np.where(draw.random(count) < share, np.uint8(flag), np.uint8(0))
        basis = np.where(draw.random(count) < plan.contract, np.uint8(LawfulBasis.CONTRACT), np.uint8(0))
        email, sms = draw.random(count) < plan.email, draw.random(count) < plan.sms
        own = np.arange(1, count + 1, dtype=np.int64)
        address = np.where((draw.random(count) < plan.shared_address) & (own > 1), own - 1, own)
        columns: dict[str, NDArray[Any]] = {
            "number": np.arange(count, dtype="<u4"),
            "site": self.site.astype("<u2"),
            "services": bits,
            "segment": self.segment.astype("|u1"),
            "language": draw.choice(len(self.languages), count, p=_shares(list(plan.languages.values()))),
            "zone": draw.choice(len(self.zones), count, p=_shares(list(plan.zones.values()) or [1.0])),
            "basis": basis,
            "channels": email.astype(np.uint8) | (sms.astype(np.uint8) << 1),
            "preferred": np.full(count, NOBODY, np.uint8),
            "flags": flags,
            "digest_email": np.where(email, address, 0),
            "digest_sms": np.where(sms, address + 2**40, 0),
            "digest_webhook": np.zeros(count, np.int64),
        }
        return {name: column.astype(COLUMNS.get(name, "<u4")) for name, column in columns.items()}

    @property
    def is_machine(self) -> NDArray[np.bool_]:
        return self._flagged(CustomerFlag.MACHINE)

    def _flagged(self, flag: CustomerFlag) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (self._static["flags"] & np.uint8(flag)) != 0
        return found

    def column(self, name: str) -> NDArray[Any]:
        """A column that the daemon sees too."""
        return self._static[name]

    def hearing(self, numbers: Numbers, digests: NDArray[np.int64]) -> Numbers:
        """Whoever hears what is sent to these customers at addresses of these digests: they, and all who share one."""
        hears = np.zeros(self.count, np.bool_)
        hears[numbers] = True
        for name in DIGEST_OF.values():
            hears |= (self._static[name] != 0) & np.isin(self._static[name], digests)
        return np.flatnonzero(hears)

    def addresses(self, numbers: Numbers) -> NDArray[np.int64]:
        """Digests of all addresses of these customers."""
        return np.concatenate([self._static[name][numbers] for name in DIGEST_OF.values()])

    def load(self, numbers: Numbers | None = None) -> CustomersLoaded:
        """All customers, or these, as an entry of the log."""
        chosen = slice(None) if numbers is None else numbers
        columns = {name: column[chosen] for name, column in self._static.items()}
        columns["site"] = self.site[chosen].astype("<u2")
        return CustomersLoaded(
            source="customers.csv",
            replace=numbers is None,
            sites=self.sites,
            services=self.services,
            segments=self.segments,
            languages=self.languages,
            zones=self.zones,
            columns=columns,
        )

    def move(self, at: Instant, almanac: Almanac) -> Numbers:
        """Brings everybody to where he is at this instant; returns the numbers of those who moved."""
        now = almanac.local(at)
        seconds = now.hour * 3600.0 + now.minute * 60.0 + now.second
        if now.weekday() >= 5 or now.date() in almanac.extra_holidays:  # noqa: PLR2004, RUF100 -- Saturday
            site = self.home
        else:
            site = np.where((seconds >= self._leaves) & (seconds < self._returns), self.work, self.home)
        moved = np.flatnonzero(site != self.site)
        self.site[moved] = site[moved]
        return moved


def _shares(weights: list[float]) -> Floats:
    whole = np.array(weights, np.float64)
    shares: Floats = whole / whole.sum()
    return shares
