"""The log is one order without gaps; the snapshot is whole or not there."""

from __future__ import annotations

import pytest
from cemd.errors import StoreError
from cemd.store.base import LogGroup, Moment

from tests.store.house import House, Killed


def group(first: int, last: int) -> LogGroup:
    return LogGroup(first, last, f"entries {first} to {last} ".encode() * 100)


def test_groups_come_back_in_order_after_a_reopening(house: House) -> None:
    for first, last in ((1, 3), (4, 4), (5, 9)):
        house.store.log.append(group(first, last))
    log = house.reopen().log
    assert list(log.read(0)) == [group(1, 3), group(4, 4), group(5, 9)]
    assert log.last_seq() == 9


def test_a_group_that_holds_the_wanted_seq_in_its_middle_is_read(house: House) -> None:
    for first, last in ((1, 3), (4, 8), (9, 9)):
        house.store.log.append(group(first, last))
    assert [found.first for found in house.store.log.read(5)] == [4, 9]
    assert list(house.store.log.read(9)) == []


@pytest.mark.parametrize(("first", "last"), [(3, 3), (1, 1), (2, 1), (0, 0)], ids=["gap", "again", "backwards", "zero"])
def test_a_group_that_does_not_follow_is_refused(house: House, first: int, last: int) -> None:
    house.store.log.append(group(1, 1))
    with pytest.raises(StoreError, match="do not follow 1"):
        house.store.log.append(group(first, last))
    assert house.reopen().log.last_seq() == 1


def test_the_last_seq_survives_trimming_everything(house: House) -> None:
    for seq in range(1, 6):
        house.store.log.append(group(seq, seq))
    house.store.log.trim(5)
    log = house.reopen().log
    assert list(log.read(0)) == []
    assert log.last_seq() == 5
    log.append(group(6, 6))


def test_trimming_less_than_before_changes_nothing(house: House) -> None:
    for seq in range(1, 4):
        house.store.log.append(group(seq, seq))
    house.store.log.trim(3)
    house.store.log.trim(1)
    assert house.reopen().log.last_seq() == 3


def test_trimming_keeps_a_group_that_is_needed_in_part(house: House) -> None:
    for first, last in ((1, 3), (4, 8), (9, 9)):
        house.store.log.append(group(first, last))
    house.store.log.trim(6)
    assert [found.first for found in house.store.log.read(0)] == [4, 9]


def test_hundreds_of_groups_are_trimmed_and_read(house: House) -> None:
    for seq in range(1, 701):
        house.store.log.append(LogGroup(seq, seq, b"x"))
    house.store.log.trim(600)
    assert [found.first for found in house.store.log.read(620)] == list(range(621, 701))


@pytest.mark.parametrize(
    ("moment", "kept"), [(Moment.BEFORE, 1), (Moment.WITHIN, 1), (Moment.AFTER, 2)], ids=["before", "within", "after"]
)
def test_a_kill_around_an_append_keeps_the_group_whole_or_not_at_all(house: House, moment: Moment, kept: int) -> None:
    house.store.log.append(group(1, 1))
    house.strike.at = ("log.append", moment)
    with pytest.raises(Killed):
        house.store.log.append(group(2, 2))
    log = house.reopen().log
    assert log.last_seq() == kept
    log.append(group(kept + 1, kept + 5))


def test_a_full_disk_refuses_an_append_and_a_later_one_follows(house: House) -> None:
    house.strike.at, house.strike.error = ("log.append", Moment.WITHIN), StoreError("samples.db: the disk is full.")
    with pytest.raises(StoreError, match="full"):
        house.store.log.append(group(1, 2))
    house.store.log.append(group(1, 2))
    assert house.reopen().log.last_seq() == 2


def test_without_a_snapshot_there_is_seq_zero(house: House) -> None:
    assert house.store.snapshots.load() == (0, {})


def test_a_large_block_comes_back_and_a_block_given_as_none_stays(house: House) -> None:
    large = bytes(range(256)) * 20_000
    house.store.snapshots.save(10, 1.0, {"bank": b"one", "customers": large, "old": b"gone soon", "empty": b""})
    house.store.snapshots.save(20, 2.0, {"bank": b"two", "customers": None, "never": None, "empty": None})
    assert house.reopen().snapshots.load() == (20, {"bank": b"two", "customers": large, "empty": b""})


@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.WITHIN], ids=str)
def test_a_kill_while_saving_leaves_the_snapshot_before(house: House, moment: Moment) -> None:
    house.store.snapshots.save(10, 1.0, {"bank": b"one", "windows": b"w"})
    house.strike.at = ("snapshots.save", moment)
    with pytest.raises(Killed):
        house.store.snapshots.save(20, 2.0, {"bank": b"two" * 1_000_000, "windows": None})
    assert house.reopen().snapshots.load() == (10, {"bank": b"one", "windows": b"w"})
    house.store.snapshots.save(30, 3.0, {"bank": None, "windows": b"v"})
    assert house.reopen().snapshots.load() == (30, {"bank": b"one", "windows": b"v"})


def test_an_entry_in_progress_at_two_deaths_in_a_row_is_known(house: House) -> None:
    house.store.progress.begin(7)
    progress = house.reopen().progress
    assert progress.crashed_at() == (7, 1)
    progress.begin(6)
    progress.begin(7)
    assert house.reopen().progress.crashed_at() == (7, 2)


def test_an_entry_that_came_to_rest_is_no_crash(house: House) -> None:
    house.store.progress.begin(7)
    house.store.progress.rest()
    assert house.reopen().progress.crashed_at() == (0, 0)
