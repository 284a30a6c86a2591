"""state.db: a commit is all or nothing, a notice is written once, an outcome moves only what was in flight."""

from __future__ import annotations

import json

import pytest
from cemd.errors import StoreError
from cemd.model.notice import NoticeState, Phase
from cemd.model.rows import RowChange
from cemd.store.base import Moment, StateChange

from tests.store.house import House, Killed, key, notices, outcomes, row


def change(seq: int, **parts: object) -> StateChange:
    return StateChange(applied_seq=seq, at=100.0 + seq, **parts)  # type: ignore[arg-type]


def test_rows_keep_the_order_of_their_first_insertion(house: House) -> None:
    house.store.state.commit(change(1, rows=[row("incident", name) for name in ("b", "a", "c")]))
    house.store.state.commit(change(2, rows=[row("incident", "b", b'{"state":"x"}'), row("incident", "a", None)]))
    house.store.state.commit(change(3, rows=[row("incident", "a", b"[1]")]))
    state = house.reopen().state
    assert list(state.rows("incident")) == [("b", b'{"state":"x"}'), ("c", b"{}"), ("a", b"[1]")]
    assert state.applied_seq() == 3


def test_bodies_are_opaque(house: House) -> None:
    bodies = [b"", b"\xff\x00not text", "čeština".encode(), b'{"state": null}', b"[" * 5000]
    house.store.state.commit(change(1, rows=[RowChange("decision", str(i), body) for i, body in enumerate(bodies)]))
    assert [body for _, body in house.reopen().state.rows("decision")] == bodies


def test_a_table_without_rows_is_empty_and_a_wrong_name_is_refused(house: House) -> None:
    assert list(house.store.state.rows("switch")) == []
    with pytest.raises(StoreError, match="cannot name a table"):
        house.store.state.commit(change(1, rows=[row('x"; DROP', "a")]))
    assert house.store.state.applied_seq() == 0


def test_an_older_applied_seq_is_refused(house: House) -> None:
    house.store.state.commit(change(5))
    with pytest.raises(StoreError, match="older than 5"):
        house.store.state.commit(change(4))


def everything(seq: int) -> StateChange:
    return change(
        seq,
        rows=[row("incident", f"inc-{seq}"), row("new_table", "k")],
        notices=[notices([1, 2]), notices([9], communication="com-2")],
        outcomes=[outcomes([7], [NoticeState.ACCEPTED])],
        orphaned=["com-3"],
    )


@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.WITHIN], ids=str)
def test_a_kill_before_the_commit_leaves_nothing_of_it(house: House, moment: Moment) -> None:
    house.store.state.commit(change(1, notices=[notices([7]), notices([8], communication="com-3")]))
    house.strike.at = ("state.commit", moment)
    with pytest.raises(Killed):
        house.store.state.commit(everything(2))
    state = house.reopen().state
    assert state.applied_seq() == 1
    assert list(state.rows("incident")) == []
    assert state.outbox("com-1").state.tolist() == [NoticeState.IN_FLIGHT]
    assert len(state.outbox("com-2").state) == 0
    assert state.outbox("com-3").state.tolist() == [NoticeState.IN_FLIGHT]
    state.commit(everything(2))


def test_a_kill_after_the_commit_keeps_all_of_it(house: House) -> None:
    house.store.state.commit(change(1, notices=[notices([7]), notices([8], communication="com-3")]))
    house.strike.at = ("state.commit", Moment.AFTER)
    with pytest.raises(Killed):
        house.store.state.commit(everything(2))
    state = house.reopen().state
    assert state.applied_seq() == 2
    assert state.outbox("com-1").customer.tolist() == [7, 1, 2]
    assert state.outbox("com-1").state.tolist() == [NoticeState.ACCEPTED, NoticeState.IN_FLIGHT, NoticeState.IN_FLIGHT]
    assert state.outbox("com-3").state.tolist() == [NoticeState.UNKNOWN]
    assert state.in_flight() == ["com-1", "com-2"]


@pytest.mark.parametrize(
    "again",
    [[notices([3, 1])], [notices([5], digests=[77])], [notices([6]), notices([6])], [notices([8, 8])]],
    ids=["same customer", "same address", "twice in one change", "twice in one insertion"],
)
def test_a_second_notice_refuses_the_whole_change(house: House, again: list[object]) -> None:
    house.store.state.commit(change(1, notices=[notices([1, 2], digests=[77, 0])]))
    with pytest.raises(StoreError, match="a notice is written once"):
        house.store.state.commit(change(2, notices=again, rows=[row("incident", "x")]))
    assert house.store.state.applied_seq() == 1
    assert house.store.state.outbox("com-1").customer.tolist() == [1, 2]
    assert list(house.store.state.rows("incident")) == []


def test_the_same_customer_has_other_phases_revisions_and_communications(house: House) -> None:
    several = [
        notices([1], digests=[5]),
        notices([1], digests=[5], phase=Phase.OVER),
        notices([1], digests=[5], revision=1),
        notices([1], digests=[5], communication="com-2"),
        notices([2, 3]),  # without an address there is nothing to compare
    ]
    house.store.state.commit(change(1, notices=several))
    assert len(house.store.state.outbox("com-1").customer) == 5


@pytest.mark.parametrize(
    ("steps", "end"),
    [
        ([NoticeState.ACCEPTED, NoticeState.FAILED], NoticeState.ACCEPTED),
        ([NoticeState.ACCEPTED, NoticeState.IN_FLIGHT], NoticeState.ACCEPTED),
        ([NoticeState.UNKNOWN, NoticeState.DELIVERED], NoticeState.DELIVERED),
        ([NoticeState.FAILED, NoticeState.ACCEPTED], NoticeState.FAILED),
        ([NoticeState.UNKNOWN, NoticeState.DUE], NoticeState.UNKNOWN),
        ([NoticeState.ACCEPTED, NoticeState.DUE], NoticeState.ACCEPTED),
        ([NoticeState.DUE, NoticeState.ACCEPTED], NoticeState.DUE),
        ([NoticeState.DUE, NoticeState.IN_FLIGHT], NoticeState.DUE),
        ([NoticeState.DUE, NoticeState.CANCELLED], NoticeState.CANCELLED),
    ],
    ids=[
        "accepted stays",
        "never back in flight",
        "unknown may be known later",
        "failed stays",
        "unknown is never due",
        "accepted is never due",
        "due has no answer",
        "due is handed over by no outcome",
        "due may be cancelled",
    ],
)
def test_an_outcome_moves_only_what_is_in_flight_or_unknown(
    house: House, steps: list[NoticeState], end: NoticeState
) -> None:
    house.store.state.commit(change(1, notices=[notices([1])]))
    for seq, step in enumerate(steps, 2):
        house.store.state.commit(change(seq, outcomes=[outcomes([1, 99], [step, step])]))
    assert house.reopen().state.outbox("com-1").state.tolist() == [end]


def test_what_did_not_leave_goes_out_again_as_the_same_row(house: House) -> None:
    state = house.store.state
    state.commit(change(1, notices=[notices([1, 2], digests=[7, 8])]))
    state.commit(change(2, outcomes=[outcomes([1, 2], [NoticeState.DUE, NoticeState.ACCEPTED])], orphaned=["com-2"]))
    state.commit(change(3, orphaned=["com-1"]))  # a start
    state = house.reopen().state
    assert state.outbox("com-1").state.tolist() == [NoticeState.DUE, NoticeState.ACCEPTED]
    assert state.outbox("com-1").moved_at.tolist() == [102.0, 102.0]
    state.commit(change(9, again=[notices([1], digests=[7], seq=9)]))
    columns = house.reopen().state.outbox("com-1")
    assert columns.state.tolist() == [NoticeState.IN_FLIGHT, NoticeState.ACCEPTED]
    assert columns.seq.tolist() == [9, 1]
    assert columns.at.tolist() == [100.0, 100.0]
    assert columns.moved_at.tolist() == [109.0, 102.0]
    assert state.in_flight() == ["com-1"]


@pytest.mark.parametrize(
    "step",
    [NoticeState.IN_FLIGHT, NoticeState.UNKNOWN, NoticeState.ACCEPTED, NoticeState.CANCELLED],
    ids=lambda state: state.name.lower(),
)
def test_only_what_is_due_goes_out_again(house: House, step: NoticeState) -> None:
    house.store.state.commit(change(1, notices=[notices([1, 2])]))
    house.store.state.commit(change(2, outcomes=[outcomes([1, 2], [step, NoticeState.DUE])]))
    with pytest.raises(StoreError, match="not due"):
        house.store.state.commit(change(3, again=[notices([1, 2], seq=3)], rows=[row("incident", "x")]))
    assert house.store.state.applied_seq() == 2
    assert house.store.state.outbox("com-1").state.tolist() == [step, NoticeState.DUE]
    assert list(house.store.state.rows("incident")) == []


def test_what_goes_out_again_and_was_never_written_is_refused(house: House) -> None:
    with pytest.raises(StoreError, match="not due"):
        house.store.state.commit(change(1, again=[notices([1])]))


def test_notices_of_a_customer_tell_channel_and_time(house: House) -> None:
    late = notices([1, 2], communication="com-2", at=900.0, channel="sms")
    house.store.state.commit(change(1, notices=[notices([1]), late]))
    found = house.store.state.notices_of(1, 0.0)
    assert found == [
        ("com-1", Phase.FIRST, 0, NoticeState.IN_FLIGHT, "email", 100.0),
        ("com-2", Phase.FIRST, 0, NoticeState.IN_FLIGHT, "sms", 900.0),
    ]
    assert [entry[0] for entry in house.store.state.notices_of(1, 500.0)] == ["com-2"]


def test_an_outbox_comes_back_with_all_columns(house: House) -> None:
    house.store.state.commit(change(1, notices=[notices([4, 2], digests=[-5, 6], revision=3, phase=Phase.OVER)]))
    columns = house.reopen().state.outbox("com-1")
    assert columns.customer.tolist() == [4, 2]
    assert columns.digest.tolist() == [-5, 6]
    assert columns.phase.tolist() == [3, 3]
    assert columns.revision.tolist() == [3, 3]
    assert columns.at.tolist() == [100.0, 100.0]
    assert columns.channel == ["email", "email"]


def test_epochs_are_kept_by_hash_with_a_line_for_each_acceptance(house: House) -> None:
    state = house.store.state
    state.save_epoch("aa11", "ann", 1.0, b"{}")
    state.save_epoch("ab22", "bob", 2.0, b'{"x":1}' * 500)
    state.save_epoch("aa11", "cid", 3.0, b"{}")
    state = house.reopen().state
    assert state.epochs() == [("aa11", "ann", 1.0), ("ab22", "bob", 2.0), ("aa11", "cid", 3.0)]
    assert state.epoch("ab") == b'{"x":1}' * 500
    assert state.epoch("a") is None
    assert state.epoch("zz") is None
    assert state.epoch("") is None


def test_what_is_set_aside_stays_aside(house: House) -> None:
    house.store.state.quarantine(7, 1.0, b"blob", "in progress at 2 crashes in a row")
    house.store.state.quarantine(7, 2.0, b"blob", "again")
    assert house.reopen().state.quarantined() == {7}


def test_series_numbers_are_dense_stable_and_counted_by_source(house: House) -> None:
    series = house.store.series
    ids, fresh = series.resolve("prober", [key("a"), key("b"), key("a")], 2)
    assert ids[0] == ids[2]
    assert [one.key.probe for one in fresh] == ["a", "b"]
    refused, none = series.resolve("prober", [key("c"), key("b")], 2)
    assert refused == [None, ids[1]]
    assert none == []
    assert series.resolve("mqtt", [key("a")], 10) == ([None], [])
    series = house.reopen().series
    again, more = series.resolve("mqtt", [key("d"), key("d", "loss_ratio")], 10)
    assert [int(one or 0) & (2**30 - 1) for one in (*ids[:2], *again)] == [0, 1, 2, 3]
    assert [one.id for one in series.all()] == [ids[0], ids[1], *(one.id for one in more)]


def test_a_series_that_was_not_committed_has_no_number(house: House) -> None:
    house.strike.at = ("series.resolve", Moment.WITHIN)
    with pytest.raises(Killed):
        house.store.series.resolve("prober", [key("a")], 5)
    series = house.reopen().series
    assert series.all() == []
    ids, _ = series.resolve("prober", [key("b"), key("a")], 5)
    assert json.dumps([int(one or 0) & (2**30 - 1) for one in ids]) == "[0, 1]"
