"""Full disk, lock, damage, a newer file: one sentence with place, fact and remedy, and nothing half done."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cemd.errors import StoreError, StoreUnavailable
from cemd.kit.parent import end_with_starter
from cemd.model.identity import SeriesId
from cemd.model.rows import RowChange
from cemd.store.ballast import Ballast
from cemd.store.base import LogGroup, StateChange
from cemd.store.keys import master_key
from cemd.store.sqlite import SqliteStore, open_readers, open_store
from cemd.store.writer import Readers, Writer

from tests.store.house import notices, row, samples

HOUR = 3600.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = open_store(tmp_path / "state", ballast_megabytes=1)
    yield made
    made.close()


def no_more_pages(store: SqliteStore, kind: str) -> None:
    """From now on this file cannot grow: what SQLite says then is what it says on a full disk."""
    store.writers[kind].call("test", lambda c: c.execute("PRAGMA max_page_count = 1").fetchone())


def large(seq: int) -> StateChange:
    return StateChange(applied_seq=seq, at=1.0, rows=[RowChange("incident", str(seq), b'"' + b"x" * 200_000 + b'"')])


def test_a_full_disk_is_said_and_nothing_is_applied(store: SqliteStore) -> None:
    store.state.commit(StateChange(applied_seq=1, at=1.0))
    no_more_pages(store, "state")
    with pytest.raises(StoreUnavailable, match=r"state\.db: the disk is full .*; free space"):
        store.state.commit(large(2))
    assert store.state.applied_seq() == 1
    assert list(store.state.rows("incident")) == []


def test_a_full_disk_refuses_the_log_and_state_goes_on(store: SqliteStore) -> None:
    no_more_pages(store, "samples")
    with pytest.raises(StoreError, match=r"samples\.db: the disk is full"):
        store.log.append(LogGroup(1, 1, os.urandom(300_000)))
    assert store.log.last_seq() == 0
    store.state.commit(large(1))
    assert list(store.state.rows("incident"))


def test_the_ballast_is_given_up_once_and_comes_back(store: SqliteStore) -> None:
    no_more_pages(store, "state")
    with pytest.raises(StoreError, match="full"):
        store.state.commit(large(1))
    assert store.ballast.given_up == 1
    assert not store.ballast.path.exists()
    assert store.ballast.make_again()
    assert store.ballast.path.stat().st_blocks * 512 >= 2**20


def test_work_that_found_the_disk_full_is_tried_again_when_there_is_room(tmp_path: Path) -> None:
    def make_room() -> bool:
        writer._connection.execute("PRAGMA max_page_count = 100000")
        return True

    writer = Writer(tmp_path / "x.db", make_room=make_room)
    writer.call("make", lambda c: c.execute("CREATE TABLE t (b BLOB)"))
    writer.call("limit", lambda c: c.execute("PRAGMA max_page_count = 1").fetchone())
    writer.call("fill", lambda c: c.execute("INSERT INTO t VALUES (zeroblob(500000))"))
    readers = Readers(tmp_path / "x.db")
    with readers.reading() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)
    readers.close()
    writer.close()


def test_no_ballast_is_made_where_there_is_no_room_for_it(tmp_path: Path) -> None:
    assert not Ballast(tmp_path, 10_000_000).make_again()
    assert list(tmp_path.iterdir()) == []


def test_a_second_daemon_is_refused(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="another cemd has this state directory open; stop it"):
        open_store(store.directory)


def test_a_foreign_lock_is_said(store: SqliteStore) -> None:
    store.writers["state"].call("test", lambda c: c.execute("PRAGMA busy_timeout = 10").fetchone())
    foreign = sqlite3.connect(store.directory / "state.db", isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"state\.db: another process holds it locked .* `fuser"):
        store.state.commit(StateChange(applied_seq=1, at=1.0))
    foreign.execute("ROLLBACK")
    foreign.close()
    store.state.commit(StateChange(applied_seq=1, at=1.0))


@pytest.mark.parametrize("kind", ["samples", "state", "keys"])
def test_a_damaged_header_is_said_with_the_name_of_the_file(tmp_path: Path, kind: str) -> None:
    open_store(tmp_path, ballast_megabytes=0).close()
    with (tmp_path / f"{kind}.db").open("r+b") as file:
        file.write(b"not a database at all")
    with pytest.raises(StoreError, match=rf"{kind}\.db: the file is damaged .* `cemd restore"):
        open_store(tmp_path, ballast_megabytes=0)
    assert threading.active_count() < 10  # nothing stays open behind a refusal


def test_a_damaged_page_is_said_when_it_is_read(tmp_path: Path) -> None:
    store = open_store(tmp_path, ballast_megabytes=0)
    for seq in range(1, 40):
        store.log.append(LogGroup(seq, seq, os.urandom(30_000)))
    store.close()
    with (tmp_path / "samples.db").open("r+b") as file:
        file.seek(12 * 16_384)
        file.write(os.urandom(20 * 16_384))
    with pytest.raises(StoreError, match=r"samples\.db"):
        for _ in open_store(tmp_path, ballast_megabytes=0).log.read(0):
            pass


def test_a_flipped_bit_in_a_chunk_is_an_error_and_other_series_are_read(store: SqliteStore) -> None:
    store.samples.add(samples([(1, HOUR + i, 0.1 * i, 0) for i in range(50)]), 1)
    store.samples.add(samples([(2, HOUR + i, 0.1 * i, 0) for i in range(50)]), 2)
    store.history.seal_all()

    def flip(connection: sqlite3.Connection) -> None:
        key, blob = connection.execute("SELECT key, blob FROM chunk ORDER BY key LIMIT 1").fetchone()
        broken = blob[:30] + bytes([blob[30] ^ 4]) + blob[31:]
        connection.execute("UPDATE chunk SET blob = ? WHERE key = ?", (broken, key))

    store.writers["samples"].call("test", flip)
    with pytest.raises(StoreError, match=r"samples\.db: chunk \d+ fails its checksum; stop cemd"):
        store.samples.history(SeriesId(1), 0, 9 * HOUR)
    assert len(store.samples.history(SeriesId(2), 0, 9 * HOUR)) == 50


def test_a_flipped_bit_in_a_snapshot_is_an_error(store: SqliteStore) -> None:
    store.snapshots.save(1, 1.0, {"bank": b"a" * 100})
    store.writers["samples"].call(
        "test", lambda c: c.execute("UPDATE snapshot_part SET bytes = ?", (b"a" * 99 + b"b",))
    )
    with pytest.raises(StoreError, match="block 'bank' of the snapshot fails its checksum"):
        store.snapshots.load()


def test_a_missing_master_key_is_never_replaced(tmp_path: Path) -> None:
    open_store(tmp_path, ballast_megabytes=0).close()
    (tmp_path / "master.key").rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"master\.key: the master key cannot be read .* put the file back"):
        open_store(tmp_path, ballast_megabytes=0)
    (tmp_path / "master.key").write_text("00" * 32)
    with pytest.raises(StoreError, match="made under another master key"):
        open_store(tmp_path, ballast_megabytes=0)
    (tmp_path / "elsewhere").rename(tmp_path / "master.key")
    open_store(tmp_path, ballast_megabytes=0).close()


def test_files_and_key_are_for_their_owner_only(store: SqliteStore) -> None:
    assert (store.directory / "keys.db-wal").exists()
    for path in store.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_a_disk_that_is_full_at_the_first_start_leaves_no_half_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(StoreError, match=r"master\.key: .* cannot be written .* free space on the disk"):
            master_key(tmp_path, exists=False)
    assert list(tmp_path.iterdir()) == []
    assert master_key(tmp_path, exists=False) == master_key(tmp_path, exists=True)


def test_the_master_key_may_be_a_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "cemd-master-key").write_text("ab" * 32 + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    store = open_store(tmp_path / "state", ballast_megabytes=0)
    store.keys.numbers(["ann"])
    store.keys.put_addresses([0], 0, ["ann@example.net"])
    store.close()
    assert not (tmp_path / "state" / "master.key").exists()
    for file in (tmp_path / "state").glob("keys.db*"):
        assert b"ann@example" not in file.read_bytes()


def test_an_erased_person_leaves_no_trace_in_the_file(store: SqliteStore) -> None:
    store.keys.numbers(["customer-4711"])
    store.keys.put_addresses([0], 0, ["ann@example.net"])
    store.keys.erase(0)
    store.writers["keys"].call("test", lambda c: c.execute("SELECT 1").fetchone())  # the one before is through
    for path in store.directory.glob("keys.db*"):
        assert b"customer-4711" not in path.read_bytes()


def test_a_question_about_a_missing_file_is_answered(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no such file; is .* the state directory"):
        open_readers(tmp_path, "state")


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = open_store(tmp_path, ballast_megabytes=0)
    store.close()
    with pytest.raises(StoreError, match="the store is closed"):
        store.log.append(LogGroup(1, 1, b"x"))


def test_callers_that_wait_together_are_committed_together_and_fail_alone(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "x.db")
    writer.call("make", lambda c: c.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    gate, begun = threading.Event(), threading.Event()

    def hold(connection: sqlite3.Connection) -> None:
        begun.set()
        gate.wait(10)

    answers: list[str] = []

    def put(number: int) -> None:
        try:
            writer.call("put", lambda c: c.execute("INSERT INTO t VALUES (?)", (number,)))
            answers.append("put")
        except StoreError:
            answers.append("refused")

    threads = [threading.Thread(target=writer.call, args=("hold", hold))]
    threads[0].start()
    begun.wait(10)
    threads += [threading.Thread(target=put, args=(number,)) for number in (1, 2, 2, 3)]
    for thread in threads[1:]:
        thread.start()
    while writer._queue.qsize() < 4:
        pass
    gate.set()
    for thread in threads:
        thread.join()
    writer.close()
    assert sorted(answers) == ["put", "put", "put", "refused"]


CHILD = """
import sys
from pathlib import Path
from cemd.model.rows import RowChange
from cemd.store.base import LogGroup, StateChange
from cemd.store.sqlite import open_store
from tests.store.house import key, notices

store = open_store(Path(sys.argv[1]), ballast_megabytes=0)
seq = store.log.last_seq()
while True:
    seq += 1
    store.log.append(LogGroup(seq, seq, b"%d" % seq * 300))
    print("log", seq, flush=True)
    store.state.commit(StateChange(applied_seq=seq, at=float(seq), rows=[RowChange("incident", str(seq), b"{}")],
                                   notices=[notices([seq], digests=[seq])]))
    print("state", seq, flush=True)
    store.series.resolve("prober", [key(f"probe-{seq}")], 10**6)
    print("series", seq, flush=True)
"""


def test_kill_9_of_a_writing_process_loses_nothing_that_returned(tmp_path: Path) -> None:
    for turn in range(5):
        command = [sys.executable, "-c", CHILD, str(tmp_path)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=end_with_starter)
        assert child.stdout is not None
        told = {"log": 0, "state": 0, "series": 0}
        for count, line in enumerate(child.stdout):
            kind, seq = line.split()
            told[kind] = int(seq)
            if count == 40 + turn * 7:
                child.kill()
        child.wait()
        child.stdout.close()
        store = open_store(tmp_path, ballast_megabytes=0)
        assert store.log.last_seq() in (told["log"], told["log"] + 1)
        assert [group.last for group in store.log.read(0)] == list(range(1, store.log.last_seq() + 1))
        applied = store.state.applied_seq()
        assert told["state"] <= applied <= store.log.last_seq()
        assert [key for key, _ in store.state.rows("incident")] == [str(seq) for seq in range(1, applied + 1)]
        assert store.state.outbox("com-1").customer.tolist() == list(range(1, applied + 1))
        assert len(store.series.all()) >= told["series"] - turn
        if applied < store.log.last_seq():  # as the core does: what was logged is carried out now
            store.state.commit(
                StateChange(
                    applied_seq=applied + 1,
                    at=1.0,
                    rows=[row("incident", str(applied + 1))],
                    notices=[notices([applied + 1], digests=[applied + 1])],
                )
            )
        store.close()
