"""Evidence of failed attempts: kept by probe, bounded in age and in size, the oldest giving way."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from cemd.errors import StoreError
from cemd.model.measurement import Attempt
from cemd.store.sqlite import SqliteStore, find_attempts, open_store
from cemd.store.upkeep import Upkeep


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = open_store(tmp_path, ballast_megabytes=0)
    yield made
    made.close()


def attempt(probe: str, at: float, detail: str = "") -> Attempt:
    values = {"response_seconds": at}
    return Attempt(probe=probe, at=at, seconds=0.5, outcome="failed", reason="refused", detail=detail, values=values)


def test_attempts_come_back_newest_first_and_by_probe(store: SqliteStore, tmp_path: Path) -> None:
    store.evidence.add([attempt("a", 1.0), attempt("b", 2.0), attempt("a", 3.0, "nobody listens.")])
    store.evidence.add([attempt("a", 4.0)])
    assert store.evidence.of("a", most=10) == [
        attempt("a", 4.0),
        attempt("a", 3.0, "nobody listens."),
        attempt("a", 1.0),
    ]
    assert store.evidence.of("a", most=1) == [attempt("a", 4.0)]
    assert find_attempts(tmp_path, "a", most=10, before=3.5) == [
        attempt("a", 3.0, "nobody listens."),
        attempt("a", 1.0),
    ]
    assert store.evidence.of("nobody", most=10) == []


def test_what_is_too_old_goes_and_the_rest_stays(store: SqliteStore) -> None:
    for at in range(10):
        store.evidence.add([attempt("a", float(at))])
    assert not store.evidence.trim(5.0, 10**9)
    assert [one.at for one in store.evidence.of("a", most=100)] == [9.0, 8.0, 7.0, 6.0, 5.0]


def test_beyond_its_size_the_oldest_gives_way(store: SqliteStore) -> None:
    for at in range(50):
        store.evidence.add([attempt(f"p{at % 5}", float(at))])
    store.evidence.trim(0.0, 10**9)
    before = store.evidence.bytes_used()
    store.evidence.trim(0.0, before // 2)
    assert 0 < store.evidence.bytes_used() <= before // 2
    kept = sorted(one.at for number in range(5) for one in store.evidence.of(f"p{number}", most=100))
    assert kept == [float(at) for at in range(50 - len(kept), 50)]
    assert 20 <= len(kept) <= 25


def test_upkeep_gives_it_a_quarter_of_the_file_at_most(store: SqliteStore) -> None:
    noise = random.Random(1)
    for at in range(300):
        store.evidence.add([attempt(f"p{at}", float(at), noise.randbytes(20_000).hex())])
    kept = {"samples_days": 30, "samples_megabytes": 4, "state_megabytes": 16, "evidence_days": 90}
    Upkeep(store, **kept, evidence_megabytes=100).run(300.0)
    assert store.evidence.bytes_used() <= 2**20
    assert store.evidence.of("p0", most=1) == []
    assert store.evidence.of("p299", most=1)


def test_a_damaged_row_is_said_and_not_guessed(store: SqliteStore) -> None:
    store.evidence.add([attempt("a", 1.0)])
    store.writers["samples"].call("test", lambda connection: connection.execute("UPDATE evidence SET blob = x'00'"))
    with pytest.raises(StoreError, match=r"a row of evidence.* restore it from a backup"):
        store.evidence.of("a", most=1)
