"""Customers from a file: what is taken, what is refused, and that nothing personal leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cemd.config.topology import Topology
from cemd.errors import ConfigError
from cemd.model.customers import CustomerFlag, Customers
from cemd.model.entry import Entry, encode_group
from cemd.report import customers as module
from cemd.report.customers import HEADER, Strictness, check_customers, load_customers
from cemd.store.memory import MemoryKeys

from tests.report.world import configuration

TOPOLOGY = Topology(configuration())
GOOD = "A1,east,data;voice,consumer,de,Europe/Berlin,anna@example.org,+491701234567,,contract;consent,email,"


def file(folder: Path, *rows: str) -> Path:
    path = folder / "customers.csv"
    path.write_text("\n".join([",".join(HEADER), *rows]) + "\n", encoding="utf-8")
    return path


def test_row_becomes_columns_and_its_addresses_stay_in_the_key_store(tmp_path: Path) -> None:
    keys = MemoryKeys()
    (load,) = load_customers(file(tmp_path, GOOD, "A2,west,data,,,,,,,contract,,machine"), keys, TOPOLOGY, mark="m1")
    customers = Customers()
    customers.load(load)
    assert customers.source == "m1"
    assert customers.sites[customers["site"][0]] == "east"
    assert customers["flags"].tolist() == [CustomerFlag.PRESENT, CustomerFlag.PRESENT | CustomerFlag.MACHINE]
    assert keys.addresses([0, 1], 0) == ["anna@example.org", None]
    logged = encode_group([Entry(seq=1, at=0.0, payload=load)])
    assert b"anna" not in logged
    assert b"4917" not in logged


@pytest.mark.parametrize(
    ("row", "place", "words"),
    [
        (GOOD.replace("east", "nowhere"), "2:4", "unknown site 'nowhere'"),
        (GOOD.replace("voice", "fax"), "2:9", "unknown services 'fax'"),
        (GOOD.replace("voice", "hlr"), "2:9", "unknown services 'hlr'"),
        (GOOD.replace("anna@example.org", "anna"), "2:46", "email is no such address"),
        (GOOD.replace("+49", "0"), "2:63", "sms is no such address"),
        (GOOD.replace("Europe/Berlin", "Mars/Base"), "2:32", "unknown time zone 'Mars/Base'"),
        (GOOD.replace("consent,email", "consent,webhook"), "2:95", "preferred names no address of this row"),
        (GOOD.replace("contract;consent", "whim"), "2:78", "unknown basis 'whim'"),
        ("A1,east", "2:1", "the row has 2 fields instead of 12"),
    ],
    ids=["site", "service", "not sold", "email", "sms", "zone", "preferred", "basis", "short"],
)
def test_fault_names_line_column_fact_and_remedy(tmp_path: Path, row: str, place: str, words: str) -> None:
    path = file(tmp_path, row)
    with pytest.raises(ConfigError) as caught:
        list(load_customers(path, MemoryKeys(), TOPOLOGY))
    assert str(caught.value).startswith(f"{path}:{place}: {words}; ")


def test_faulty_file_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    keys = MemoryKeys()
    with pytest.raises(ConfigError, match="stands in the file already"):
        list(load_customers(file(tmp_path, GOOD, GOOD), keys, TOPOLOGY))
    assert keys.addresses([0], 0) == [None]


def test_faulty_rows_are_left_out_when_that_is_wanted(tmp_path: Path) -> None:
    told: list[str] = []
    path = file(tmp_path, GOOD, "A2,nowhere,data,,,,,,,contract,,", GOOD.replace("A1", "A3"), GOOD)
    (load,) = load_customers(
        path,
        MemoryKeys(),
        TOPOLOGY,
        strictness=Strictness.ROWS,
        on_faults=lambda faults: told.extend(map(str, faults)),
    )
    assert len(load.columns["number"]) == 2
    assert len(told) == 1


def test_large_file_comes_in_bounded_loads_and_only_the_last_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    path = file(tmp_path, *(GOOD.replace("A1", f"A{i}") for i in range(12)))
    loads = list(load_customers(path, MemoryKeys(), TOPOLOGY, mark="m"))
    assert [len(load.columns["number"]) for load in loads] == [4, 4, 4]
    assert [load.replace for load in loads] == [True, False, False]
    assert [load.source == "m" for load in loads] == [False, False, True]
    assert np.concatenate([load.columns["number"] for load in loads]).tolist() == list(range(12))


def test_faults_are_bounded_and_name_no_address(tmp_path: Path) -> None:
    path = file(tmp_path, *(GOOD.replace("A1", f"A{i}").replace("@", "#") for i in range(500)))
    faults = check_customers(path, TOPOLOGY)
    assert len(faults) == module.MOST_FAULTS
    assert not any("anna" in str(fault) for fault in faults)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n", "the header is another one"),
        (",".join(HEADER).encode() + b"\n\xff\xfe\n", "the file is not UTF-8"),
        (",".join(HEADER).encode() + b"\n", "the file has no customers"),
        (",".join(HEADER).encode() + b'\n"a"b,\n', "the row is no CSV"),
        (",".join(HEADER).encode() + b"\n" + b"x" * 5000 + b"\n", "a field is too long"),
    ],
    ids=["header", "bytes", "empty", "quotes", "huge"],
)
def test_hostile_file_is_refused_with_a_reason(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "customers.csv"
    path.write_bytes(content)
    assert words in "\n".join(map(str, check_customers(path, TOPOLOGY)))


def test_unsubscribed_stays_so_when_a_late_file_says_nothing(tmp_path: Path) -> None:
    keys, customers = MemoryKeys(), Customers()
    path = file(tmp_path, GOOD)
    for load in load_customers(path, keys, TOPOLOGY):
        customers.load(load)
    customers.set_flag(0, CustomerFlag.UNSUBSCRIBED)
    for load in load_customers(path, keys, TOPOLOGY):
        customers.load(load)
    assert customers["flags"][0] & CustomerFlag.UNSUBSCRIBED


def test_a_load_that_names_too_much_with_former_ones_changes_nothing_and_says_so(tmp_path: Path) -> None:
    keys, customers = MemoryKeys(), Customers()
    rows = [f"A{n},east,data,first-{n},de,,a{n}@example.org,,,contract,," for n in range(200)]
    for load in load_customers(file(tmp_path, *rows), keys, TOPOLOGY):
        assert customers.refusal(load) == ""
        customers.load(load)
    before = customers.dump()
    rows = [f"A{n},east,data,second-{n},de,,a{n}@example.org,,,contract,," for n in range(200)]
    (load,) = load_customers(file(tmp_path, *rows), keys, TOPOLOGY)
    assert "more than 255 different segments" in customers.refusal(load)
    customers.load(load)
    assert customers.dump() == before
