"""What is written down of attempts: samples of every one, and evidence of what people must know, once."""

from __future__ import annotations

import gc
from pathlib import Path

from cemd.config.probes import Probe
from cemd.model.quality import Outcome
from cemd.monitor import wire
from cemd.monitor.backlog import Backlog, Numbers
from cemd.monitor.probes.attempts import completed
from cemd.monitor.probes.base import Reason, Result, Values
from cemd.monitor.record import SAY_SECONDS, SETTLED_SERIES, Record
from cemd.monitor.roster import Post, Unrunnable

GOOD = completed(
    Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=Values(("response_seconds",), (0.5,))), 0.5
)


def book(folder: Path) -> tuple[Record, Backlog, Post]:
    backlog = Backlog(Numbers(folder / "number", 1_700_000_000.0))
    fields = {"name": "a", "kind": "tcp", "service": "s", "every_seconds": 10.0, "timeout_seconds": 5.0}
    return Record(backlog, "home"), backlog, Post(Probe.model_validate(fields), Unrunnable(""), {})


def outcomes(backlog: Backlog) -> list[int]:
    """Of all samples, in their order."""
    backlog.cut()
    frames = [frame for frame in backlog.to_send() if isinstance(frame, wire.Measured)]
    return [outcome for frame in frames for outcome in wire.columns(frame)[3].tolist()]


def test_prober_that_gives_up_every_other_run_records_each_and_says_so_once(tmp_path: Path) -> None:
    record, backlog, post = book(tmp_path)
    for number in range(100):
        record.not_run(post, 1000.0 + number, Reason.SHED)
        record.take(post, 1000.5 + number, GOOD)
    said = [(note.reason, note.at) for note in record.take_attempts()]
    assert said == [("shed", 1000.0), ("answered", 1000.5)]
    assert outcomes(backlog) == [Outcome.BLIND, *[Outcome.OK] * 3] * 100
    assert record.counters()["runs_blind"] == 100.0
    record.not_run(post, 1000.0 + SAY_SECONDS, Reason.SHED)
    assert [note.reason for note in record.take_attempts()] == ["shed"]


def test_run_that_did_not_happen_hides_no_failure(tmp_path: Path) -> None:
    record, _, post = book(tmp_path)
    record.not_run(post, 1000.0, Reason.SHED)
    record.take(post, 1000.5, GOOD)
    failed = Result(outcome=Outcome.FAILED, reason=Reason.REFUSED, detail="no.")
    record.take(post, 1001.0, completed(failed, 0.1))
    record.not_run(post, 1001.5, Reason.SHED)
    record.take(post, 1002.0, completed(failed, 0.1))
    assert [note.reason for note in record.take_attempts()] == [
        "shed", "answered", "connection_refused", "connection_refused",
    ]  # fmt: skip


def test_series_leave_the_sight_of_the_collector_while_they_come(tmp_path: Path) -> None:
    record, backlog, post = book(tmp_path)
    before = gc.get_freeze_count()
    try:
        for number in range(SETTLED_SERIES):
            probe = post.probe.model_copy(update={"name": f"a{number}"})
            record.take(Post(probe, Unrunnable(""), {}), 1000.0, GOOD)
        assert gc.get_freeze_count() > before
        assert len(outcomes(backlog)) == 3 * SETTLED_SERIES
    finally:
        gc.unfreeze()
