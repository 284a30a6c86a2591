"""Whatever comes in whatever order: transitions stay legal, and a restart after any entry changes nothing."""

from __future__ import annotations

from cemd.improve.lifecycle import ENDED, OVER, TRANSITIONS
from cemd.model.entry import CommandKind
from cemd.model.finding import Condition
from cemd.model.incident import Incident, IncidentChange, IncidentState
from cemd.model.quality import Quality
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.improve.house import GRAPH, House

SERVICES = st.sampled_from([*GRAPH, "retired"])
BEGIN = st.tuples(st.just("begin"), SERVICES, st.sampled_from(["", "east", "west"]), st.sampled_from(list(Condition)))
END = st.tuples(st.just("end"), st.integers(0, 9), st.none(), st.none())
WAIT = st.tuples(st.just("wait"), st.sampled_from([2.0, 61.0, 300.0, 601.0, 4000.0]), st.none(), st.none())
COMMANDS = [CommandKind.ACKNOWLEDGE, CommandKind.CONFIRM, CommandKind.CLOSE, CommandKind.CANCEL]
ASK = st.tuples(st.just("ask"), st.sampled_from(COMMANDS), st.integers(0, 4), st.sampled_from(["", "hlr"]))
START = st.tuples(st.just("start"), st.integers(0, 9), st.none(), st.none())
ACTS = st.lists(st.one_of(BEGIN, BEGIN, END, WAIT, ASK, START), max_size=25)
Act = tuple[str, object, object, object]

QUALITY = {
    Condition.OBJECTIVE_BROKEN: Quality.DOWN,
    Condition.BUDGET_BURNING: Quality.DEGRADED,
    Condition.SILENCE: Quality.UNKNOWN,
    Condition.ANOMALY: Quality.AT_RISK,
    Condition.DRIFT: Quality.AT_RISK,
    Condition.FORECAST: Quality.AT_RISK,
    Condition.OBJECTIVE_WARNING: Quality.AT_RISK,
}


def act(house: House, what: Act) -> None:
    match what:
        case ("begin", str(service), str(site), Condition() as condition):
            house.tick(house.began(service, site, condition=condition, quality=QUALITY[condition]))
        case ("end", int(place), _, _) if house.open:
            findings = list(house.open.values())
            house.tick(house.ended(findings[place % len(findings)]))
        case ("wait", float(seconds), _, _):
            house.tick(after=seconds)
        case ("ask", CommandKind() as kind, int(place), str(note)):
            incidents = house.incidents
            key = incidents[place % len(incidents)].id if incidents else "inc-none"
            house.command(kind, key, note=note)
        case ("start", int(place), _, _):
            gone = list(house.open)[place : place + 1]
            house.start_again(*gone)
        case _:
            house.tick()


def check(before: dict[str, Incident], house: House) -> None:
    for incident in house.incidents:
        old = before.get(incident.id)
        if old is not None and old.state is not incident.state:
            ways = TRANSITIONS[old.state]
            through = [way for way in ways if incident.state in TRANSITIONS[way]]
            assert incident.state in ways or (IncidentState.IN_PROGRESS in through and incident.state in OVER), (
                old.state,
                incident.state,
            )
        assert not (incident.state in OVER and incident.state not in ENDED and incident.clear_since is None)
        assert (incident.confirmed_at is None) == (incident.confirmed_by == "")
        assert 1 <= incident.priority <= 10
        assert incident.impact.user_minutes >= 0.0
    owners = [one.incident for one in house.state.findings if one.incident]
    assert all(owner in house.state.incidents for owner in owners), "no finding is orphaned"


@settings(max_examples=120)
@given(ACTS)
def test_any_sequence_keeps_transitions_legal(acts: list[Act]) -> None:
    house = House(population=30)
    for what in acts:
        before = {incident.id: incident for incident in house.incidents}
        act(house, what)
        check(before, house)
    told: dict[str, list[IncidentChange]] = {}
    for event in house.log:
        told.setdefault(event.incident.id, []).append(event.change)
    for changes in told.values():
        assert changes.count(IncidentChange.OPENED) == 1
        assert changes[0] is IncidentChange.OPENED
        assert IncidentChange.CANCELLED not in changes[:-1], "nothing follows a cancelled incident"


@settings(max_examples=120)
@given(ACTS, st.integers(0, 24))
def test_a_restart_after_any_entry_continues_the_same(acts: list[Act], moment: int) -> None:
    lived, restarted = House(population=30), House(population=30)
    for place, what in enumerate(acts):
        act(lived, what)
        act(restarted, what)
        if place >= moment:
            restarted.reload_rows()
    assert restarted.stored == lived.stored
    assert [list(rows) for rows in restarted.stored.values()] == [list(rows) for rows in lived.stored.values()]
    assert restarted.log == lived.log
