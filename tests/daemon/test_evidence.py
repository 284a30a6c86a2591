"""What the log and the page are told of failing probes, incidents and communications."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from cemd.daemon.evidence import ATTEMPTS_KEPT, Evidence
from cemd.daemon.news import News
from cemd.model.incident import IncidentState
from cemd.model.measurement import Attempt
from structlog.testing import CapturingLogger

from tests.web.scene import rich_views


def attempt(at: float, outcome: str = "failed") -> Attempt:
    return Attempt(probe="web", at=at, seconds=0.1, outcome=outcome, reason="connection_refused", detail="nobody.")


def events(log: CapturingLogger) -> list[str]:
    return [call.args[0] for call in log.calls]


def test_a_failing_probe_is_said_once_and_said_again_when_it_works() -> None:
    log = CapturingLogger()
    evidence = Evidence(log)
    evidence.take([attempt(1), attempt(2)])
    evidence.take([attempt(3), attempt(4, "ok")])
    evidence.take([attempt(5)])
    assert events(log) == ["probe.failed", "probe.works_again", "probe.failed"]
    assert log.calls[0].kwargs["reason"] == "connection_refused"


def test_the_newest_failures_of_a_probe_are_kept_and_successes_are_not_among_them() -> None:
    evidence = Evidence(CapturingLogger())
    evidence.take([attempt(at) for at in range(30)])
    evidence.take([attempt(30, "ok")])
    assert [one.at for one in evidence.of("web")] == list(range(29, 29 - ATTEMPTS_KEPT, -1))
    assert evidence.of("other") == ()


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


def test_the_log_tells_when_sending_is_stopped_and_let_go() -> None:
    log = CapturingLogger()
    news = News(log)
    views = rich_views()
    news.look(replace(views, incidents=()))
    log.calls.clear()
    for killed in (True, True, False):
        news.look(replace(views, incidents=(), report=msgspec.structs.replace(views.report, killed=killed)))
    assert [(call.args[0], call.kwargs["killed"]) for call in log.calls] == [("sending", True), ("sending", False)]
