"""Many places, findings and customers at once: the same answers as one by one, without looking at each of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import msgspec
import numpy as np
import pytest
from cemd.config.catalogue import Site
from cemd.config.configuration import Configuration
from cemd.config.topology import Topology
from cemd.improve.cases import Case
from cemd.improve.census import Census
from cemd.improve.impact import count_customers
from cemd.improve.ledger import MOST_PLACES
from cemd.improve.picture import services_of
from cemd.improve.places import FEW, ByPlace, Places
from cemd.improve.records import Among, AttachedFinding
from cemd.model.customers import CustomerFlag, Customers
from cemd.model.finding import Condition

from tests.improve.house import House, configuration, customers

SEEDS = range(20)


def land(chance: np.random.Generator, count: int = 30) -> tuple[Topology, list[str]]:
    """A tree of sites, and names to ask for: those, one that nobody knows, and everywhere."""
    names = [f"site-{number}" for number in range(count)]
    parents = [None, *(names[int(chance.integers(number))] for number in range(1, count))]
    roots = [one if chance.random() < 0.9 else None for one in parents]
    sites = [Site(name=name, parent=parent) for name, parent in zip(names, roots, strict=True)]
    return Topology(Configuration(sites=sites)), [*names, "unknown", ""]


@pytest.mark.parametrize("seed", SEEDS)
def test_places_meet_a_site_where_any_of_them_overlaps_it(seed: int) -> None:
    chance = np.random.default_rng(seed)
    topology, names = land(chance)
    some = [name for name in names if chance.random() < 0.15]
    places = Places(some, topology)
    for name in names:
        assert places.meet(name) == any(topology.overlap(one, name) for one in some), (some, name)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [FEW // 2, 5 * FEW], ids=["few", "many"])
def test_what_overlaps_a_site_is_found_in_its_order(seed: int, count: int) -> None:
    chance = np.random.default_rng(seed)
    topology, names = land(chance)
    things = [(place, names[int(chance.integers(len(names)))]) for place in range(count)]
    by_place = ByPlace(things, lambda one: one[1], topology)
    for name in names:
        assert by_place.overlapping(name) == [one for one in things if topology.overlap(one[1], name)]


def test_a_site_and_an_unknown_one_lie_in_themselves() -> None:
    topology, _ = land(np.random.default_rng(1))
    assert topology.overlap("unknown", "unknown")
    assert not topology.overlap("unknown", "site-1")
    assert topology.inside("unknown") == ("unknown",)


def test_among_many_is_only_what_is_just_as_it_was() -> None:
    house = House()
    some = [AttachedFinding(finding=house.began(name)) for name in ("hlr", "core")]
    among = Among(some)
    assert some[0] in among
    assert msgspec.structs.replace(some[0]) in among
    assert msgspec.structs.replace(some[0], incident="inc-1") not in among
    assert AttachedFinding(finding=house.began("payment")) not in among


def test_a_case_that_findings_join_is_the_one_made_of_all_of_them() -> None:
    house, chance = House(), np.random.default_rng(3)
    services, sites = ("hlr", "core", "payment"), ("east", "west", "land", "")
    findings = []
    for number in range(60):
        service, site = services[number % 3], sites[int(chance.integers(4))]
        hurts = number % 5 > 0
        condition = Condition.OBJECTIVE_BROKEN if hurts else Condition.ANOMALY
        found = house.began(service, site, condition=condition)
        began = float(chance.integers(5))
        findings.append(AttachedFinding(finding=msgspec.structs.replace(found, id=f"f-{number}", began_at=began)))
    case = Case((), house.topology, anomaly_opens=False)
    for one in findings:
        case.join(one)
    hurt = [one for one in findings if one.finding.condition is Condition.OBJECTIVE_BROKEN]
    assert case.hurt == sorted(hurt, key=lambda one: (one.finding.began_at, one.finding.id))
    for service in services:
        own = [one for one in hurt if service in services_of(one.finding, house.topology)]
        assert list(case.of(service)) == own
        for site in sites:
            overlaps = any(house.topology.overlap(one.finding.subject.site, site) for one in own)
            assert case.reaches(service, site) == overlaps


@pytest.mark.parametrize("service", ["mobile-data", "top-up", "hlr"], ids=["sold", "sold too", "not sold"])
@pytest.mark.parametrize("sites", [(), ("east",), ("east", "west"), ("land",), ("unknown",)], ids=str)
def test_the_census_counts_as_a_walk_through_all_customers(service: str, sites: tuple[str, ...]) -> None:
    topology, held = Topology(configuration()), Customers()
    held.load(customers(600))
    for number in range(0, 600, 7):
        held.set_flag(number, CustomerFlag.ABROAD)
    for number in range(0, 600, 11):
        held.set_flag(number, CustomerFlag.ERASED)
    services = [service] if service in held.services else held.services
    expected = count_customers(dict.fromkeys(services, sites), topology, held, {})[0]
    assert Census(held, topology).count(service, sites) == expected


def test_a_census_of_nobody_counts_nobody() -> None:
    assert Census(Customers(), Topology(configuration())).count("mobile-data", ()) == 0


def test_who_unsubscribes_makes_a_census_old() -> None:
    topology, held = Topology(configuration()), Customers()
    held.load(customers(10))
    census = Census(held, topology)
    assert census.is_of(held, topology)
    held.set_flag(3, CustomerFlag.UNSUBSCRIBED)
    assert not census.is_of(held, topology)


def calls(work: Callable[[], object]) -> int:
    """Functions of Python that were called meanwhile: what it costs, whatever the machine does besides."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def outage(cells: int) -> House:
    """A region whose cells all have a probe of the radio and one of data, ready to be hurt."""
    wide = configuration(graph={"radio": [], "mobile-data": ["radio"]})
    sites = [*wide.sites, *(Site(name=f"cell-{number}", parent="east") for number in range(cells))]
    probes = [
        one.model_copy(update={"name": f"{one.service}-cell-{number}", "site": f"cell-{number}"})
        for one in wide.probes
        for number in range(cells)
    ]
    return House(wide.model_copy(update={"sites": sites, "probes": probes}), population=100)


FIRST, TICKS = 5, 4


def storm(house: House, cells: int) -> None:
    """A few cells show it first, all others within four ticks."""
    for some in (range(FIRST), *(range(FIRST + tick, cells, TICKS) for tick in range(TICKS))):
        house.tick(
            *(
                house.began(service, f"cell-{number}", probe=f"{service}-cell-{number}")
                for number in some
                for service in ("radio", "mobile-data")
            )
        )


def test_what_joins_in_an_outage_costs_no_more_the_more_there_is() -> None:
    """That each finding is held against all before it, or each place against all places, would make four times as many
    cost four times as much each."""
    costs = {}
    for cells in (100, 400):
        house = outage(cells)
        costs[cells] = calls(lambda house=house, cells=cells: storm(house, cells)) / cells  # type: ignore[misc]
        assert len(house.only().findings) == 2 * cells
    assert costs[400] < 1.25 * costs[100], costs


def test_a_line_of_the_time_line_names_no_more_places_than_one_reads() -> None:
    house = outage(60)
    storm(house, 60)
    longest = max(house.only().timeline, key=lambda line: len(line.what)).what
    assert longest.endswith(" more places."), longest
    assert longest.count("cell-") == MOST_PLACES
    assert len(house.only().impact.sites) == 60
