"""What the log and the page are told of failing probes, incidents and communications."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from cemd.daemon.evidence import ALIKE_STORED, ATTEMPTS_KEPT, Evidence
from cemd.daemon.news import News
from cemd.errors import StoreError
from cemd.model import finding as findings
from cemd.model.finding import Condition, Finding, FindingPhase
from cemd.model.incident import IncidentState
from cemd.model.measurement import Attempt
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind
from cemd.store.sqlite import SqliteStore, open_store
from structlog.testing import CapturingLogger

from tests.web.scene import rich_views


def attempt(at: float, outcome: str = "failed") -> Attempt:
    return Attempt(probe="web", at=at, seconds=0.1, outcome=outcome, reason="connection_refused", detail="nobody.")


def events(log: CapturingLogger) -> list[str]:
    return [call.args[0] for call in log.calls]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = open_store(tmp_path / "state", ballast_megabytes=0)
    yield made
    made.close()


def test_a_failing_probe_is_said_once_and_said_again_when_it_works(store: SqliteStore) -> None:
    log = CapturingLogger()
    evidence = Evidence(log, store.evidence)
    evidence.take([attempt(1), attempt(2)])
    evidence.take([attempt(3), attempt(4, "ok")])
    evidence.take([attempt(5)])
    assert events(log) == ["probe.failed", "probe.works_again", "probe.failed"]
    assert log.calls[0].kwargs["reason"] == "connection_refused"


async def test_each_vantage_point_fails_and_works_again_for_itself(store: SqliteStore) -> None:
    log = CapturingLogger()
    evidence = Evidence(log, store.evidence)
    told = [(1, "failed", "home"), (1, "failed", "south"), (2, "ok", "home"), (3, "failed", "south")]
    evidence.take([replace(attempt(at, outcome), vantage=vantage) for at, outcome, vantage in told])
    said = [(call.args[0], call.kwargs["vantage"]) for call in log.calls]
    assert said == [("probe.failed", "home"), ("probe.failed", "south"), ("probe.works_again", "home")]
    await evidence.store()
    assert [(one.vantage, one.at) for one in await evidence.of("web")] == [("south", 3), ("south", 1), ("home", 1)]
    kept = store.evidence.of("web", most=9)
    assert {(one.vantage, one.at) for one in kept} == {("south", 3), ("south", 1), ("home", 1)}


async def test_one_that_fails_otherwise_does_not_make_the_other_new(store: SqliteStore) -> None:
    evidence = Evidence(CapturingLogger(), store.evidence)
    for at in range(200):
        evidence.take([replace(attempt(at), vantage="home"), replace(attempt(at), vantage="south", reason="refused")])
    await evidence.store()
    assert len(store.evidence.of("web", most=1000)) == 2 * ALIKE_STORED


def test_what_an_older_version_kept_says_not_from_where() -> None:
    old = {name: value for name, value in msgspec.to_builtins(attempt(1)).items() if name != "vantage"}
    assert msgspec.convert(old, Attempt).vantage == ""


async def test_the_newest_failures_of_a_probe_are_kept_and_successes_are_not_among_them(store: SqliteStore) -> None:
    evidence = Evidence(CapturingLogger(), store.evidence)
    evidence.take([attempt(at) for at in range(30)])
    evidence.take([attempt(30, "ok")])
    assert [one.at for one in await evidence.of("web")] == list(range(29, 29 - ATTEMPTS_KEPT, -1))
    assert await evidence.of("other") == ()


async def test_failures_are_there_after_a_restart(tmp_path: Path) -> None:
    told = [replace(attempt(at), values={"response_seconds": 0.5}) for at in range(5)]
    store = open_store(tmp_path / "state", ballast_megabytes=0)
    before = Evidence(CapturingLogger(), store.evidence)
    before.take(told)
    await before.store()
    before.take([attempt(5)])  # told to nobody's disk when the process is killed
    store.close()
    store = open_store(tmp_path / "state", ballast_megabytes=0)
    after = Evidence(CapturingLogger(), store.evidence)
    after.take([attempt(6)])
    assert list(await after.of("web")) == [attempt(6), *reversed(told)]
    store.close()


async def test_a_probe_that_fails_on_in_one_manner_is_stored_hourly(store: SqliteStore) -> None:
    evidence = Evidence(CapturingLogger(), store.evidence)
    evidence.take([attempt(at * 60.0) for at in range(24 * 60)])
    evidence.take([replace(attempt(24 * 3600.0), reason="no_answer_in_time")])
    await evidence.store()
    kept = store.evidence.of("web", most=1000)
    assert len(kept) == ALIKE_STORED + 23 + 1
    assert kept[0].reason == "no_answer_in_time"
    evidence.take([attempt(24 * 3600.0 + 60, "ok"), attempt(24 * 3600.0 + 120)])
    await evidence.store()
    assert store.evidence.of("web", most=1)[0].at == 24 * 3600.0 + 120


async def test_what_the_store_refuses_is_stored_later(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_attempts: Sequence[Attempt]) -> None:
        raise StoreError("the disk is full.")

    log = CapturingLogger()
    evidence = Evidence(log, store.evidence)
    evidence.take([attempt(1)])
    with monkeypatch.context() as patched:
        patched.setattr(store.evidence, "add", full)
        await evidence.store()
        evidence.take([attempt(2)])
        await evidence.store()
    assert store.evidence.of("web", most=10) == []
    await evidence.store()
    assert [one.at for one in store.evidence.of("web", most=10)] == [2, 1]
    assert events(log) == ["probe.failed", "evidence.not_stored", "evidence.stored_again"]


def test_the_log_tells_each_change_of_an_incident_once() -> None:
    log = CapturingLogger()
    news = News(log)
    views = rich_views()
    open_ones = [one for one in views.incidents if one.state not in ("resolved", "closed", "cancelled")]
    news.look(views)
    news.look(views)
    said = [call for call in log.calls if call.args[0].startswith("incident")]
    assert [call.args[0] for call in said] == ["incident.open"] * len(open_ones)
    assert {call.kwargs["id"] for call in said} == {one.id for one in open_ones}
    log.calls.clear()
    taken = msgspec.structs.replace(open_ones[0], acknowledged_by="anna")
    news.look(replace(views, incidents=(taken, *(one for one in views.incidents if one.id != taken.id))))
    resolved = msgspec.structs.replace(taken, state=IncidentState.RESOLVED)
    news.look(replace(views, incidents=(resolved, *(one for one in views.incidents if one.id != taken.id))))
    assert [(call.args[0], call.kwargs["id"]) for call in log.calls] == [
        ("incident.changed", taken.id),
        ("incident.over", taken.id),
    ]


def test_the_log_tells_once_which_vantage_points_are_not_heard_and_when_they_are_again() -> None:
    log = CapturingLogger()
    news, views = News(log), rich_views()
    news.look(views)
    news.look(views)
    back = [msgspec.structs.replace(one, silent_since=None) for one in views.analyze.vantages if one.name != "west"]
    news.look(replace(views, analyze=msgspec.structs.replace(views.analyze, vantages=tuple(back))))
    said = [(call.args[0], call.kwargs["vantage"]) for call in log.calls if call.args[0].startswith("vantage")]
    silent, heard = "vantage_point.silent", "vantage_point.heard"
    assert said == [(silent, "south"), (silent, "west"), (heard, "south"), (heard, "west")]


def silence(vantage: str, seq: int) -> Finding:
    return Finding(
        id=f"fnd-{vantage}", trace="t", condition=Condition.SILENCE, phase=FindingPhase.BEGAN, quality=Quality.UNKNOWN,
        subject=Subject(kind=SubjectKind.VANTAGE, name=vantage), began_at=1.0, at=1.0, seq=seq, epoch="e",
        evidence=findings.Evidence(),
    )  # fmt: skip


def test_the_log_of_a_start_says_what_goes_on_in_one_line_and_then_only_what_changes() -> None:
    log = CapturingLogger()
    news, views = News(log), rich_views()
    silent = [silence(name, views.seq) for name in ("south", "west")]
    news.go_on(views.incidents, views.report, said_seq=views.seq, silent=silent)
    assert events(log) == ["goes_on"]
    assert log.calls[0].kwargs["silent"] == ["south", "west"]
    open_ones = [one.id for one in views.incidents if one.state not in ("resolved", "closed", "cancelled")]
    assert log.calls[0].kwargs["incidents"] == open_ones
    news.look(views)
    assert events(log) == ["goes_on"]
    one = next(one for one in views.incidents if one.id in open_ones)
    taken = msgspec.structs.replace(one, acknowledged_by="anna")
    news.look(replace(views, incidents=(taken,)))
    assert events(log) == ["goes_on", "incident.changed"]


def test_what_was_logged_but_not_carried_out_before_a_start_is_still_said() -> None:
    log = CapturingLogger()
    news, views = News(log), rich_views()
    one = next(one for one in views.incidents if one.state not in ("resolved", "closed", "cancelled"))
    began = msgspec.structs.replace(one.timeline[0], seq=views.seq - 1)
    fresh = msgspec.structs.replace(one, seq=views.seq, timeline=(began,))
    heard = msgspec.structs.replace(views.analyze, vantages=())
    views = replace(
        views, incidents=(fresh,), analyze=heard, report=msgspec.structs.replace(views.report, communications=())
    )
    news.go_on(views.incidents, views.report, said_seq=views.seq - 2)
    news.look(views)
    assert events(log) == ["incident.open"], "it opened after what is known to be said"
    log.calls.clear()
    news = News(log)
    news.go_on(views.incidents, views.report, said_seq=views.seq - 1)
    news.look(views)
    assert events(log) == ["goes_on", "incident.changed"], "it was open, and changed since"


def test_the_log_tells_when_sending_is_stopped_and_let_go() -> None:
    log = CapturingLogger()
    news = News(log)
    views = rich_views()
    news.look(replace(views, incidents=()))
    log.calls.clear()
    for killed in (True, True, False):
        news.look(replace(views, incidents=(), report=msgspec.structs.replace(views.report, killed=killed)))
    assert [(call.args[0], call.kwargs["killed"]) for call in log.calls] == [("sending", True), ("sending", False)]
