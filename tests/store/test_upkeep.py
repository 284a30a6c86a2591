"""History grows old within its bounds; a backup is one moment; a restore holds sending and erases again."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cemd.errors import StoreError
from cemd.model.identity import SeriesId, series_id
from cemd.store.base import LogGroup, StateChange
from cemd.store.compaction import Compactor, rollups
from cemd.store.sealing import COMPACTED, chunk_key, key_parts
from cemd.store.sqlite import SqliteStore, open_store
from cemd.store.upkeep import Upkeep, backup, is_restored, release_restored, restore

from tests.store.house import row, samples

HOUR = 3600.0
START = 480_000 * HOUR  # hour 480,000 begins a day
SERIES = [series_id(f"probe-{n}", n) for n in range(3)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = open_store(tmp_path / "state", ballast_megabytes=0)
    yield made
    made.close()


def fill(store: SqliteStore, hours: int, every: int = 60) -> None:
    """Value = minute since START for each series; every tenth attempt failed."""
    for hour in range(hours):
        minutes = range(hour * 60, hour * 60 + 60, every // 60)
        rows = [(s, START + m * 60.0, float(m), int(m % 10 == 0)) for m in minutes for s in SERIES]
        store.samples.add(samples(rows), hour + 1)
        store.history.seal_all()


def compactor(store: SqliteStore, *, days: float = 30, megabytes: int = 1000) -> Compactor:
    return Compactor(store.writers["samples"], store.readers["samples"], days=days, megabytes=megabytes)


def finish(worker: Compactor, now: float) -> None:
    while worker.step(now):
        pass


def parts(store: SqliteStore) -> list[tuple[int, int]]:
    with store.readers["samples"].reading() as connection:
        keys = [key_parts(row[0]) for row in connection.execute("SELECT key FROM chunk ORDER BY key")]
    return [(hour - 480_000, part) for series, hour, part in keys if series == SERIES[0]]


def test_settled_parts_become_chunks_of_six_hours_and_read_the_same(store: SqliteStore) -> None:
    fill(store, 30)
    before = store.samples.history(SERIES[1], START, START + 99 * HOUR)
    finish(compactor(store), START + 40 * HOUR)
    assert parts(store)[:3] == [(0, COMPACTED), (6, COMPACTED), (12, 0)]
    after = store.samples.history(SERIES[1], START, START + 99 * HOUR)
    for column in ("at", "value", "outcome"):
        assert np.array_equal(getattr(before, column), getattr(after, column))
    inside = store.samples.history(SERIES[1], START + 4 * HOUR, START + 5 * HOUR)
    assert inside.value.tolist() == list(map(float, range(240, 300)))


def test_late_samples_join_a_compacted_chunk_in_the_next_round(store: SqliteStore) -> None:
    fill(store, 30)
    worker = compactor(store)
    finish(worker, START + 40 * HOUR)
    store.samples.add(samples([(SERIES[0], START + 2 * HOUR + 1, -5.0, 0)]), 100)
    store.history.seal_all()
    assert (2, 0) in parts(store)
    finish(worker, START + 65 * HOUR)
    assert (2, 0) not in parts(store)
    assert store.samples.history(SERIES[0], START + 2 * HOUR, START + 2 * HOUR + 30).value.tolist() == [120.0, -5.0]


def test_hourly_roll_ups_outlive_the_samples(store: SqliteStore) -> None:
    fill(store, 30)
    worker = compactor(store, days=2)
    finish(worker, START + 48 * HOUR)
    finish(worker, START + 100 * HOUR)
    assert len(store.samples.history(SERIES[0], START, START + 30 * HOUR)) == 0
    found = rollups(store.readers["samples"], SERIES[0], START + HOUR, START + 3 * HOUR)
    assert found.at.tolist() == [START + HOUR, START + 2 * HOUR]
    assert found.mean.tolist() == [89.5, 149.5]
    assert (found.least.tolist(), found.most.tolist()) == ([60.0, 120.0], [119.0, 179.0])
    assert (found.good.tolist(), found.bad.tolist()) == ([54, 54], [6, 6])


def test_over_its_quota_the_oldest_samples_give_way(store: SqliteStore) -> None:
    rng = np.random.default_rng(1)
    for hour in range(240):
        at = START + hour * HOUR + np.arange(0, 3600, 10.0)
        rows = [(SERIES[0], t, v, 0) for t, v in zip(at, rng.normal(size=360), strict=True)]
        store.samples.add(samples(rows), hour + 1)
        store.history.seal_all()
    now = START + 241 * HOUR
    worker = compactor(store, days=3000)
    unbounded = worker.used_bytes()
    worker._most_bytes = unbounded // 2
    for _ in range(60):
        finish(worker, now)
    assert worker.used_bytes() <= unbounded // 2
    kept = store.samples.history(SERIES[0], START, now)
    assert len(kept) > 0
    assert kept.at[-1] > START + 239 * HOUR
    assert kept.at[0] > START + 24 * HOUR


def test_on_a_full_disk_samples_give_way_down_to_a_day(store: SqliteStore) -> None:
    fill(store, 72, every=600)
    now = START + 72 * HOUR
    worker = compactor(store)
    for _ in range(9):
        while worker.step(now, pressed=True):
            pass
    kept = store.samples.history(SERIES[0], START, now).at
    assert kept[0] == START + 48 * HOUR
    assert kept[-1] == START + 72 * HOUR - 600


def test_upkeep_tells_sizes_and_a_broken_quota(store: SqliteStore) -> None:
    fill(store, 2)
    upkeep = Upkeep(
        store, samples_days=30, samples_megabytes=100, state_megabytes=1, evidence_days=90, evidence_megabytes=1
    )
    assert upkeep.run(START).faults == ()
    store.state.commit(StateChange(applied_seq=1, at=1.0, rows=[row("incident", "x", b'"' + b"x" * 2**21 + b'"')]))
    report = upkeep.run(START)
    assert "more than its quota of 1 MiB; raise retention.state_megabytes" in report.faults[0]
    assert report.bytes_used["state"] > 2**20


def test_upkeep_says_that_the_ballast_was_given_up_until_it_stands_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep = Upkeep(
        store, samples_days=30, samples_megabytes=100, state_megabytes=100, evidence_days=90, evidence_megabytes=1
    )
    store.ballast.bytes = 2**20
    store.ballast.give_up()
    free = shutil.disk_usage(store.directory)._replace(free=2**20)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: free)
        (fault,) = upkeep.run(START).faults
    assert "too little room for the ballast of 1 MiB" in fault
    assert fault.endswith("free space on it.")
    assert upkeep.run(START).faults == ()


def populate(store: SqliteStore, upto: int) -> None:
    for seq in range(store.log.last_seq() + 1, upto + 1):
        store.log.append(LogGroup(seq, seq, b"x" * 100))
        store.state.commit(StateChange(applied_seq=seq, at=float(seq), rows=[row("incident", str(seq))]))


def test_a_backup_of_a_running_store_is_one_moment(store: SqliteStore, tmp_path: Path) -> None:
    populate(store, 5)
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            populate(store, store.log.last_seq() + 1)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        notes = [backup(store.directory, tmp_path / f"copy-{n}") for n in range(3)]
    finally:
        done.set()
        thread.join()
    for n, note in enumerate(notes):
        assert 5 <= note.applied_seq <= note.last_seq
        (tmp_path / f"new-{n}").mkdir()
        (tmp_path / f"new-{n}" / "master.key").write_bytes((store.directory / "master.key").read_bytes())
        restore(tmp_path / f"copy-{n}", tmp_path / f"new-{n}")
        copy = open_store(tmp_path / f"new-{n}", ballast_megabytes=0)
        assert copy.state.applied_seq() == note.applied_seq
        assert [key for key, _ in copy.state.rows("incident")] == [str(s) for s in range(1, note.applied_seq + 1)]
        assert [group.last for group in copy.log.read(0)] == list(range(1, note.last_seq + 1))
        copy.close()


def move_away(store: SqliteStore) -> None:
    store.close()
    for path in store.directory.glob("*.db*"):
        path.unlink()


def test_a_restore_holds_sending_until_it_is_released(store: SqliteStore, tmp_path: Path) -> None:
    populate(store, 3)
    backup(store.directory, tmp_path / "copy")
    move_away(store)
    assert not is_restored(store.directory)
    restore(tmp_path / "copy", store.directory)
    assert is_restored(store.directory)
    release_restored(store.directory)
    assert not is_restored(store.directory)


def test_who_was_erased_after_the_backup_is_erased_again(store: SqliteStore, tmp_path: Path) -> None:
    store.keys.numbers(["ann", "bob"])
    store.keys.put_addresses([0, 1], 0, ["ann@example.net", "bob@example.net"])
    backup(store.directory, tmp_path / "copy")
    store.keys.erase(0)
    move_away(store)
    restore(tmp_path / "copy", store.directory)
    again = open_store(store.directory, ballast_megabytes=0)
    assert again.keys.addresses([0, 1], 0) == [None, "bob@example.net"]
    assert again.keys.put_addresses([0], 0, ["ann@example.net"]).tolist() == [0]
    again.close()
    assert b"ann@example.net" not in (store.directory / "erasures.ledger").read_bytes()


def test_a_set_in_place_is_never_overwritten(store: SqliteStore, tmp_path: Path) -> None:
    backup(store.directory, tmp_path / "copy")
    with pytest.raises(StoreError, match="another cemd has this state directory open"):
        restore(tmp_path / "copy", store.directory)
    store.close()
    with pytest.raises(StoreError, match=r"samples\.db, state\.db, keys\.db would be overwritten; move the old files"):
        restore(tmp_path / "copy", store.directory)


def test_a_backup_without_the_key_needs_it_in_place(store: SqliteStore, tmp_path: Path) -> None:
    backup(store.directory, tmp_path / "copy")
    backup(store.directory, tmp_path / "full", with_master_key=True)
    assert not (tmp_path / "copy" / "master.key").exists()
    with pytest.raises(StoreError, match=r"master\.key: the backup does not hold the master key"):
        restore(tmp_path / "copy", tmp_path / "new")
    restore(tmp_path / "full", tmp_path / "new")
    open_store(tmp_path / "new", ballast_megabytes=0).close()


def test_a_damaged_backup_is_refused_before_anything_is_put_in_place(store: SqliteStore, tmp_path: Path) -> None:
    backup(store.directory, tmp_path / "copy", with_master_key=True)
    with (tmp_path / "copy" / "state.db").open("r+b") as file:
        file.write(b"garbage" * 10)
    with pytest.raises(StoreError, match=r"state\.db: the file is damaged"):
        restore(tmp_path / "copy", tmp_path / "new")
    assert not is_restored(tmp_path / "new")
    assert list((tmp_path / "new").glob("*.db")) == []


@pytest.mark.parametrize("what", ["exists", "nothing"])
def test_a_backup_to_or_from_the_wrong_place_is_refused(store: SqliteStore, tmp_path: Path, what: str) -> None:
    if what == "exists":
        with pytest.raises(StoreError, match="it exists already"):
            backup(store.directory, tmp_path)
    else:
        with pytest.raises(StoreError, match="there is no such file"):
            backup(tmp_path / "nowhere", tmp_path / "copy")
        assert not (tmp_path / "copy").exists()
        with pytest.raises(StoreError, match="it is no backup of cemd"):
            restore(tmp_path, tmp_path / "new")


def test_series_of_any_partition_have_keys_that_fit() -> None:
    widest = SeriesId((255 << 30) | ((1 << 30) - 1))
    latest = ((1 << 20) - 1) * HOUR
    key = chunk_key(widest, (1 << 20) - 1, COMPACTED)
    assert key == 2**63 - 1
    assert key_parts(key) == (widest, int(latest // HOUR), COMPACTED)
