"""The published transitions, and a life from open to closed."""

from __future__ import annotations

import msgspec
import pytest
from cemd.config.rules import Grouping
from cemd.config.topology import Topology
from cemd.improve import lifecycle
from cemd.improve.asked import MOST_OF_ALL, MOST_OF_ONE, WINDOW_SECONDS, too_often
from cemd.improve.records import AskedRun
from cemd.improve.stage import view
from cemd.improve.state import KEPT_RUNS
from cemd.model.entry import CommandKind
from cemd.model.finding import Condition, FindingPhase
from cemd.model.incident import IncidentChange as Change
from cemd.model.incident import IncidentState as S
from cemd.model.quality import Quality
from hypothesis import given
from hypothesis import strategies as st

from tests.improve.house import House, configuration

PUBLISHED = {
    (S.ACKNOWLEDGED, S.IN_PROGRESS), (S.ACKNOWLEDGED, S.REJECTED), (S.ACKNOWLEDGED, S.CANCELLED),
    (S.IN_PROGRESS, S.HELD), (S.IN_PROGRESS, S.PENDING), (S.IN_PROGRESS, S.RESOLVED), (S.IN_PROGRESS, S.CANCELLED),
    (S.HELD, S.IN_PROGRESS), (S.HELD, S.RESOLVED), (S.HELD, S.CANCELLED),
    (S.PENDING, S.IN_PROGRESS), (S.PENDING, S.RESOLVED), (S.PENDING, S.CANCELLED),
    (S.RESOLVED, S.CLOSED), (S.RESOLVED, S.IN_PROGRESS), (S.CLOSED, S.IN_PROGRESS),
}  # fmt: skip


def test_the_transitions_are_exactly_the_published_ones() -> None:
    assert {(one, other) for one, ways in lifecycle.TRANSITIONS.items() for other in ways} == PUBLISHED
    assert set(lifecycle.TRANSITIONS) == set(S)


@pytest.mark.parametrize("one", S)
@pytest.mark.parametrize("other", S)
def test_an_unpublished_transition_is_refused_with_a_sentence(one: S, other: S) -> None:
    house = House()
    house.tick(house.began("hlr"))
    incident = msgspec.structs.replace(house.only(), state=one)
    if (one, other) in PUBLISHED:
        assert lifecycle.moved(incident, other).state is other
    else:
        with pytest.raises(ValueError, match=f"is {one} and cannot become {other}"):
            lifecycle.moved(incident, other)


def test_a_life_from_open_to_closed() -> None:
    house = House()
    finding = house.began("hlr")
    house.tick(finding)
    assert house.only().state is S.ACKNOWLEDGED
    house.tick(house.ended(finding), after=60.0)
    house.tick(after=599.0)
    assert house.only().state is S.ACKNOWLEDGED
    house.tick(after=1.0)
    assert house.only().state is S.RESOLVED
    house.tick(after=3601.0)
    assert house.only().state is S.CLOSED
    assert [event.change for event in house.log] == [Change.OPENED, Change.CLEARED, Change.RESOLVED, Change.CLOSED]
    assert len(house.state.grounds) == 0
    assert len(house.state.findings) == 0


def test_a_relapse_before_it_was_stable_is_told_and_starts_the_wait_anew() -> None:
    house = House()
    first = house.began("hlr")
    house.tick(first)
    house.tick(house.ended(first))
    again = house.began("hlr")
    assert [event.change for event in house.tick(again, after=300.0)] == [Change.RELAPSED]
    assert house.only().clear_since is None
    house.tick(house.ended(again), after=400.0)
    house.tick(after=500.0)
    assert house.only().state is not S.RESOLVED


def test_what_comes_back_while_its_cause_is_fine_is_ranked_by_what_hurts_now() -> None:
    house = House()
    first = [house.began("hlr"), house.began("mobile-data"), house.began("sms")]
    house.tick(*first)
    assert house.only().cause.service == "hlr"
    house.tick(*map(house.ended, first))
    house.tick(after=600.0)
    house.tick(house.began("mobile-data"))
    house.tick(house.began("core"))
    house.tick(after=180.0)
    assert (house.only().reopened, house.only().cause.service) == (1, "core")


def test_what_came_back_and_has_no_cause_any_more_is_ranked_by_what_hurts_now() -> None:
    house = House()
    first = [house.began("hlr"), house.began("mobile-data")]
    house.tick(*first)
    house.tick(*map(house.ended, first))
    house.tick(after=600.0)
    house.tick(house.began("mobile-data"))
    house.tick(house.began("core"))
    assert house.only().cause.service == "", "hlr had no time to show whether it is hurt again"
    house.tick(after=60.0)
    assert house.only().cause.service == "core"


def test_the_cause_of_what_came_back_stays_while_the_rest_recovers() -> None:
    house = House()
    first = [house.began("hlr"), house.began("mobile-data")]
    house.tick(*first)
    house.tick(*map(house.ended, first))
    house.tick(after=600.0)
    house.tick(house.began("mobile-data"))
    core = house.began("core")
    house.tick(core)
    house.tick(after=180.0)
    assert house.only().cause.service == "core"
    house.tick(msgspec.structs.replace(house.ended(core), at=house.at + 2.0))
    house.tick(after=60.0)
    assert house.only().cause.service == "core"


def test_hurt_again_after_resolved_reopens_the_same_incident() -> None:
    house = House()
    first = house.began("hlr")
    house.tick(first)
    house.tick(house.ended(first))
    house.tick(after=600.0)
    events = house.tick(house.began("hlr"), after=1800.0)
    assert [event.change for event in events] == [Change.REOPENED]
    assert (house.only().reopened, house.only().state) == (1, S.IN_PROGRESS)
    assert house.only().resolved_at is None


def test_hurt_again_after_the_relapse_time_is_a_new_incident() -> None:
    house = House()
    first = house.began("hlr")
    house.tick(first)
    house.tick(house.ended(first))
    house.tick(after=600.0)
    house.tick(after=3602.0)
    house.tick(house.began("hlr"))
    assert [one.state for one in house.incidents] == [S.CLOSED, S.ACKNOWLEDGED]


def test_two_independent_sources_confirm() -> None:
    house = House()
    assert Change.CONFIRMED not in [event.change for event in house.tick(house.began("hlr"))]
    events = house.tick(house.began("sms"))
    assert events[-1].change is Change.CONFIRMED
    assert house.only().confirmed_by == "2 independent sources"
    assert house.only().state is S.IN_PROGRESS


def test_what_is_pushed_and_warns_confirms_what_a_probe_says_and_opens_nothing_alone() -> None:
    house = House()
    pushed = house.began("sms", condition=Condition.OBJECTIVE_WARNING, quality=Quality.AT_RISK, probe="http:journeys")
    house.tick(pushed)
    assert house.incidents == []
    house.tick(house.began("hlr"))
    assert house.only().confirmed_by == "2 independent sources"


def test_a_reload_that_asks_for_fewer_sources_confirms_what_is_open() -> None:
    house = House()
    house.tick(house.began("hlr"))
    house.topology = Topology(configuration(grouping=Grouping(confirm_sources=1)))
    for _ in range(3):
        house.tick(after=30.0)
    assert house.only().confirmed_by == "1 independent source"


def test_a_warning_of_a_second_probe_does_not_confirm() -> None:
    house = House()
    house.tick(house.began("hlr"))
    house.tick(house.began("sms", condition=Condition.OBJECTIVE_WARNING, quality=Quality.AT_RISK))
    assert house.only().confirmed_at is None


def test_two_vantage_points_of_one_probe_confirm_and_one_alone_does_not() -> None:
    house = House()
    finding = house.began("hlr")
    alone = msgspec.structs.replace(finding.evidence, failing=("home",), well=("west",))
    house.tick(msgspec.structs.replace(finding, evidence=alone))
    assert house.only().confirmed_at is None
    both = msgspec.structs.replace(finding.evidence, failing=("home", "west"))
    house.tick(msgspec.structs.replace(finding, evidence=both, phase=FindingPhase.CHANGED))
    assert house.only().confirmed_by == "2 independent sources"


def test_two_findings_of_one_probe_are_one_piece_of_evidence_and_anomalies_none() -> None:
    house = House()
    house.tick(house.began("hlr"), house.began("hlr", "east", probe="probe-hlr"))
    house.tick(house.began("sms", condition=Condition.ANOMALY, quality=Quality.AT_RISK))
    assert all(one.confirmed_at is None for one in house.incidents)


def test_a_person_confirms_once_and_is_told_when_it_was_done_already() -> None:
    house = House()
    house.tick(house.began("hlr"))
    key = house.only().id
    assert [event.change for event in house.command(CommandKind.CONFIRM, key)] == [Change.CONFIRMED]
    assert house.command(CommandKind.CONFIRM, key, actor="ben") == []
    assert "confirmed by ana already" in house.only().timeline[-1].what
    assert [one.actor for one in house.state.refusals] == ["ben"]


def test_illegal_commands_are_refused_with_a_reason() -> None:
    house = House()
    house.tick(house.began("hlr"))
    key = house.only().id
    assert house.command(CommandKind.CLOSE, key) == []
    assert house.only().state is S.ACKNOWLEDGED
    assert "acknowledged and cannot become closed" in house.only().timeline[-1].what
    house.command(CommandKind.ACKNOWLEDGE, "inc-nowhere")
    assert [refusal.kind for refusal in house.state.refusals] == ["close", "acknowledge"]
    assert "there is no incident inc-nowhere" in list(house.state.refusals)[-1].reason


def test_a_cancelled_incident_stays_so_while_its_findings_last() -> None:
    house = House()
    finding = house.began("hlr")
    house.tick(finding)
    assert [one.change for one in house.command(CommandKind.CANCEL, house.only().id, note="test")] == [Change.CANCELLED]
    house.tick(after=60.0)
    house.start_again()
    assert len(house.incidents) == 1
    house.tick(house.ended(finding))
    assert len(house.state.findings) == 0
    house.tick(house.began("hlr"))
    assert len(house.incidents) == 2


def test_a_person_closes_a_resolved_incident_and_a_relapse_still_reopens_it() -> None:
    house = House()
    finding = house.began("hlr")
    house.tick(finding)
    house.tick(house.ended(finding))
    house.tick(after=600.0)
    house.command(CommandKind.CLOSE, house.only().id)
    assert house.only().state is S.CLOSED
    house.tick(house.began("hlr"), after=60.0)
    assert house.only().state is S.IN_PROGRESS


def test_findings_that_ended_while_we_were_down_clear_their_incident() -> None:
    house = House()
    one, other = house.began("hlr"), house.began("payment")
    house.tick(one, other)
    events = house.start_again(one.id)
    assert [(event.change, event.incident.subject.name) for event in events] == [(Change.CLEARED, "hlr")]
    assert len(house.incidents) == 2, "nothing is opened twice"


def test_a_retired_service_keeps_its_incident_until_it_ends() -> None:
    house = House()
    finding = house.began("payment")
    house.tick(finding)
    config = configuration(graph={"hlr": [], "mobile-data": ["hlr"]})
    house.topology = type(house.topology)(config)
    house.tick(after=61.0)
    assert house.only().clear_since is None
    house.tick(house.ended(finding))
    house.tick(after=600.0)
    assert house.only().state is S.RESOLVED


def test_the_time_line_is_bounded_and_keeps_beginning_and_end() -> None:
    house = House()
    house.tick(house.began("hlr"))
    key = house.only().id
    for _ in range(200):
        house.command(CommandKind.CLOSE, key)
    timeline = house.only().timeline
    assert len(timeline) == lifecycle.KEPT_FIRST + lifecycle.KEPT_LAST
    assert timeline[0].what.endswith("is down.")


def test_the_view_shows_open_incidents_first() -> None:
    house = House()
    old = house.began("hlr")
    house.tick(old)
    house.tick(house.ended(old))
    house.tick(after=600.0)
    house.tick(house.began("payment"))
    assert [one.subject.name for one in view(house.state)] == ["payment", "hlr"]
    house.tick(after=3602.0)
    assert [one.state in lifecycle.ENDED for one in view(house.state)] == [False, True]


def test_old_history_leaves_the_rows() -> None:
    house = House()
    finding = house.began("hlr")
    house.tick(finding)
    house.tick(house.ended(finding))
    house.tick(after=600.0)
    house.tick(after=3601.0)
    house.tick(after=31 * 86_400.0)
    assert house.incidents == []


def test_a_run_that_a_person_asks_for_is_an_effect_and_a_row_and_no_restart_asks_again() -> None:
    house = House()
    assert house.command(CommandKind.RUN, "probe-hlr", actor="ana", note="after the change") == []
    assert [one.probe for one in house.effects.rechecks] == ["probe-hlr"]
    assert house.effects.rechecks[0].reason == "ana asks for it"
    house.start_again()
    assert house.effects.rechecks == []
    (row,) = house.state.runs
    assert (row.probe, row.actor, row.note) == ("probe-hlr", "ana", "after the change")


def test_a_run_of_a_probe_that_has_gone_is_refused_with_a_reason() -> None:
    house = House()
    house.command(CommandKind.RUN, "ghost")
    assert house.effects.rechecks == []
    (refused,) = house.state.refusals
    assert "there is no probe ghost" in refused.reason


def test_runs_that_are_asked_for_too_often_are_refused_in_their_rows_and_made_again_a_minute_later() -> None:
    house = House()
    made = 0
    for _ in range(MOST_OF_ONE + 3):
        house.command(CommandKind.RUN, "probe-hlr", actor="ana")
        made += len(house.effects.rechecks)
    assert made == MOST_OF_ONE
    refused = [row for row in house.state.runs if row.reason]
    assert len(refused) == 3
    assert f"{MOST_OF_ONE} runs of it were asked for within a minute; ask again in 60 s" in refused[0].reason
    house.command(CommandKind.RUN, "probe-top-up")
    assert len(house.effects.rechecks) == 1, "another probe has its own"
    house.reload_rows()
    house.command(CommandKind.RUN, "probe-hlr")
    assert house.effects.rechecks == [], "a restart forgets nothing"
    house.tick(after=WINDOW_SECONDS)
    house.command(CommandKind.RUN, "probe-hlr")
    assert len(house.effects.rechecks) == 1


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.sampled_from("abcdefghij")), max_size=150))
def test_never_more_runs_in_any_minute_than_are_promised(asked: list[tuple[float, str]]) -> None:
    rows: list[AskedRun] = []
    at = 0.0
    for seq, (later, probe) in enumerate(asked):
        at += later
        rows.append(AskedRun(at=at, seq=seq, probe=probe, actor="ana", reason=too_often(rows, probe, at)))
    made = [row for row in rows if not row.reason]
    for last in made:
        within = [row.probe for row in made if last.at - WINDOW_SECONDS < row.at <= last.at]
        assert len(within) <= MOST_OF_ALL
        assert within.count(last.probe) <= MOST_OF_ONE
    for row in rows:
        before = [one for one in made if row.at - WINDOW_SECONDS < one.at <= row.at and one.seq < row.seq]
        if row.reason:
            crowd = [one for one in before if one.probe == row.probe]
            assert len(before) >= MOST_OF_ALL or len(crowd) >= MOST_OF_ONE, "nobody is refused without need"


def test_rows_of_runs_are_bounded_however_often_somebody_asks() -> None:
    house = House()
    for _ in range(KEPT_RUNS + 5):
        house.command(CommandKind.RUN, "probe-hlr")
    assert [row.seq for row in house.state.runs] == list(range(6, KEPT_RUNS + 6))
    assert len(house.stored["asked_run"]) == KEPT_RUNS
