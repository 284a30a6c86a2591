"""The population is the same for the same seed, holds everybody who must not be told, and can belong to nobody."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from cemd.config.load import load
from cemd.config.topology import Topology
from cemd.daemon.kinds import kinds
from cemd.demo.conditions import Fault, Mode
from cemd.demo.files import shipped_root
from cemd.demo.operator import HOMES
from cemd.demo.population import CUSTOMERS, Person, expected_addresses, hurt_by, people, write_csv
from cemd.report.customers import check_customers

HLR = Fault(name="fault", service="hlr", mode=Mode.OUTAGE)


@pytest.fixture(scope="module")
def everybody() -> list[Person]:
    return list(people(seed=1))


def test_the_same_seed_gives_the_same_people(everybody: list[Person]) -> None:
    assert everybody == list(people(seed=1))
    assert everybody != list(people(seed=2))
    assert len(everybody) == CUSTOMERS


def test_nobody_can_be_reached_by_accident(everybody: list[Person]) -> None:
    assert all(not one.email or one.email.endswith(".demotelco.invalid") for one in everybody)


def test_everybody_who_must_not_be_told_is_there(everybody: list[Person]) -> None:
    hurt = hurt_by(HLR, everybody)
    reasons = Counter(
        {
            "machine": sum(one.machine for one in hurt),
            "unsubscribed": sum(one.unsubscribed for one in hurt),
            "no basis": sum("contract" not in one.bases for one in hurt),
            "no mail": sum(not one.email for one in hurt),
            "abroad": sum(one.abroad for one in hurt),
        }
    )
    assert all(count >= 10 for count in reasons.values()), reasons
    addresses = Counter(one.email for one in everybody if one.email)
    assert max(addresses.values()) > 1, "households share an address"


def test_the_expected_audience_leaves_them_out(everybody: list[Person]) -> None:
    told = expected_addresses(HLR, everybody)
    assert 1000 < len(told) < 2000
    never = {one.email for one in everybody if not one.may_be_told} - {
        one.email for one in everybody if one.may_be_told
    }
    assert told.isdisjoint(never)
    unhurt = {one.email for one in everybody} - {one.email for one in hurt_by(HLR, everybody)}
    assert told.isdisjoint(unhurt)


def test_whoever_is_abroad_does_not_suffer_from_the_access_network_at_home(everybody: list[Person]) -> None:
    cut = Fault(name="fault", service="access-west", mode=Mode.OUTAGE)
    told = expected_addresses(cut, everybody)
    hurt = hurt_by(cut, everybody)
    assert {one.site for one in hurt} == {home for home in HOMES if home.startswith("west")}
    at_home = {one.email for one in hurt if not one.abroad}
    assert told <= at_home


def test_the_file_is_what_cemd_reads(everybody: list[Person], tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    write_csv(path, everybody[:3000])
    assert check_customers(path, Topology(load(shipped_root(), kinds()).configuration)) == []
