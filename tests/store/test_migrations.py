"""Schema: the file of every release opens with all that was in it; copies first; strangers are refused."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from cemd.errors import StoreError
from cemd.model.identity import SeriesId
from cemd.store.schema import Migration, migrate, migrations
from cemd.store.sqlite import KINDS, open_store
from cemd.store.writer import connect

RELEASES = Path(__file__).parent / "releases"
CHECKSUMS = {  # of what was released; a migration that is in a release never changes
    ("samples", 1): "2dbc0783a3499ce19b2002044eff3e15",
    ("state", 1): "a866a42168824a096911d94ab91237a2",
    ("keys", 1): "bf37c539f2cd94c74f9f5ca822815c95",
}
FIRST = [Migration(1, "0001_first", "CREATE TABLE a (x INTEGER);\nINSERT INTO a VALUES (1);")]
SECOND = [*FIRST, Migration(2, "0002_more", "ALTER TABLE a ADD COLUMN y TEXT; UPDATE a SET y = 'new; not two';")]


@pytest.mark.parametrize("release", sorted(path.name for path in RELEASES.iterdir()))
def test_the_set_of_every_release_opens_with_all_that_was_in_it(release: str, tmp_path: Path) -> None:
    directory = tmp_path / "state"
    shutil.copytree(RELEASES / release, directory)
    store = open_store(directory, ballast_megabytes=0)
    try:
        assert [(group.first, group.last) for group in store.log.read(0)] == [(1, 3), (4, 4)]
        assert store.snapshots.load() == (3, {"analyze.bank": b"bank" * 50})
        assert store.state.applied_seq() == 4
        assert [key for key, _ in store.state.rows("incident")] == ["inc-1", "inc-2"]
        assert store.state.outbox("com-1").customer.tolist() == [0, 1]
        assert store.state.epoch("abc") == b'{"probes": []}'
        assert [series.key.probe for series in store.series.all()] == ["core-east", "shop"]
        assert len(store.samples.history(SeriesId(int(store.series.all()[0].id)), 0, 10_000)) == 40
        assert store.keys.addresses([0, 1, 2], 0) == ["ann@example.net", None, None]
        assert store.keys.numbers(["cid", "bob"]).tolist() == [2, 1]
    finally:
        store.close()


def test_released_migrations_never_change() -> None:
    known = {(kind, one.number): one.checksum for kind in KINDS for one in migrations(kind)}
    assert {place: known[place] for place in CHECKSUMS} == CHECKSUMS


def test_an_existing_file_is_copied_before_it_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    connection = connect(path)
    assert migrate(connection, path, "state", FIRST) == [1]
    assert list(tmp_path.glob("*before*")) == []
    assert migrate(connection, path, "state", SECOND) == [2]
    assert connection.execute("SELECT x, y FROM a").fetchall() == [(1, "new; not two")]
    assert migrate(connection, path, "state", SECOND) == []
    connection.close()
    copy = connect(tmp_path / "state.before-0002.db")
    assert copy.execute("SELECT * FROM a").fetchall() == [(1,)]
    copy.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    connection = connect(path)
    migrate(connection, path, "state", FIRST)
    broken = [*SECOND, Migration(3, "0003_broken", "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1);")]
    with pytest.raises(StoreError, match=r"state\.db: a statement failed .*no such table: nowhere"):
        migrate(connection, path, "state", broken)
    assert connection.execute("SELECT * FROM a").fetchall() == [(1,)]
    assert connection.execute("SELECT max(number) FROM migration").fetchone() == (1,)
    connection.close()


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    open_store(tmp_path, ballast_megabytes=0).close()
    database = sqlite3.connect(tmp_path / "state.db")
    database.execute("INSERT INTO migration (number, name, checksum) VALUES (99, 'future', 'x')")
    database.commit()
    database.close()
    with pytest.raises(StoreError, match=r"state\.db: a newer cemd wrote it \(migration 99, this one knows 1\)"):
        open_store(tmp_path, ballast_megabytes=0)


def test_a_changed_migration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    connection = connect(path)
    migrate(connection, path, "state", FIRST)
    with pytest.raises(StoreError, match="0001_first was changed after this file went through it"):
        migrate(connection, path, "state", [Migration(1, "0001_first", "CREATE TABLE a (x TEXT);")])
    connection.close()
