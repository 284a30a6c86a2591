"""One incident per common cause and place."""

from __future__ import annotations

from cemd.config.catalogue import Site
from cemd.config.configuration import Configuration
from cemd.config.probes import Probe
from cemd.config.rules import Grouping
from cemd.model.entry import CommandKind
from cemd.model.finding import Condition, FindingPhase
from cemd.model.incident import IncidentChange, IncidentState
from cemd.model.quality import Quality

from tests.improve.house import GRAPH, House, configuration

TOWNS = ("east-1", "east-2", "east-3", "east-4", "east-5")


def in_towns(*services: str) -> Configuration:
    """The house with five towns in the east, where each of these services has a probe in each town."""
    house = configuration()
    probes = [
        Probe(name=f"{service}-{town}", kind="tcp", service=service, site=town, every_seconds=30, timeout_seconds=5)
        for service in services
        for town in TOWNS
    ]
    return house.model_copy(
        update={"sites": [*house.sites, *(Site(name=town, parent="east") for town in TOWNS)], "probes": probes}
    )


def without_causes(*services: str) -> Configuration:
    """The same, where no cause is ever named."""
    return in_towns(*services).model_copy(update={"grouping": Grouping(cause_margin=1.0)})


def test_two_unrelated_faults_at_once_stay_two_incidents() -> None:
    house = House()
    house.tick(house.began("payment"), house.began("core"))
    assert sorted(one.subject.name for one in house.incidents) == ["core", "payment"]


def test_a_fault_and_what_stands_on_it_are_one_incident_with_the_deepest_as_subject() -> None:
    house = House()
    house.tick(house.began("mobile-data"), house.began("sms"), house.began("hlr"))
    assert house.only().subject.name == "hlr"
    assert len(house.only().findings) == 3


def test_a_deeper_finding_later_joins_and_changes_the_cause_but_not_the_subject() -> None:
    house = House()
    house.tick(house.began("mobile-data"))
    house.tick(house.began("sms"))
    house.tick(house.began("hlr"), after=60.0)
    incident = house.only()
    assert incident.subject.name == "mobile-data"
    assert incident.cause.service == "hlr"


def test_services_that_share_a_dependency_nobody_measures_are_one_incident() -> None:
    house = House()
    house.tick(house.began("shop"), house.began("portal"), house.began("top-up"))
    assert house.only().cause.service == "crm"


def test_services_whose_shared_dependency_measures_healthy_are_two_incidents() -> None:
    house = House()
    house.tick(house.began("mobile-data"), house.began("emergency"))
    assert len(house.incidents) == 1, "core has not had the time to show it"
    house.tick(after=120.0)
    assert len(house.incidents) == 2


def test_what_waits_for_a_common_cause_joins_it_as_soon_as_it_shows() -> None:
    house = House()
    house.tick(house.began("mobile-data"), house.began("emergency"))
    house.tick(house.began("core"), after=30.0)
    assert house.only().cause.service == "core"
    assert len(house.only().findings) == 3


def test_incidents_that_began_before_their_common_cause_was_seen_become_one() -> None:
    house = House()
    house.tick(house.began("mobile-data"))
    house.tick(house.began("emergency"), after=1.0)
    house.tick(after=120.0)
    assert len(house.incidents) == 2, "core measures healthy so far"
    house.tick(house.began("core"), after=1.0)
    (merged,) = (one for one in house.incidents if one.state is not IncidentState.CANCELLED)
    others = [one for one in house.incidents if one.state is IncidentState.CANCELLED]
    assert merged.cause.service == "core"
    assert len(merged.findings) == 3
    assert [f"is part of {merged.id}" in one.timeline[-1].what for one in others] == [True]


def test_an_acknowledged_incident_is_not_taken_in() -> None:
    house = House()
    house.tick(house.began("mobile-data"))
    house.tick(house.began("emergency"), after=1.0)
    house.tick(after=120.0)
    for incident in house.incidents:
        house.command(CommandKind.ACKNOWLEDGE, incident.id)
    house.tick(house.began("core"), after=1.0)
    assert {one.state for one in house.incidents} == {IncidentState.IN_PROGRESS}
    assert len(house.incidents) == 2


def test_the_same_service_in_two_places_without_common_cause_is_two_incidents() -> None:
    house = House()
    house.tick(house.began("payment", "east"), house.began("payment", "west"))
    assert len(house.incidents) == 2


def test_a_service_hurt_in_most_towns_of_a_province_at_once_is_one_incident_though_what_stands_on_it_is_well() -> None:
    house = House(in_towns("hlr", "sms"))
    house.tick(*(house.began("hlr", town, since=house.at - 300.0) for town in TOWNS))
    assert len(house.only().findings) == len(TOWNS)


def test_a_service_hurt_in_few_towns_of_a_province_is_an_incident_in_each() -> None:
    house = House(in_towns("hlr", "sms"))
    house.tick(*(house.began("hlr", town, since=house.at - 300.0) for town in TOWNS[:2]))
    assert len(house.incidents) == 2


def test_a_cause_everywhere_joins_what_it_hurts_in_two_places() -> None:
    house = House()
    house.tick(house.began("hlr"), house.began("mobile-data", "east"), house.began("mobile-data", "west"))
    assert house.only().cause.service == "hlr"


def test_what_an_old_open_incident_explains_joins_it_after_any_time() -> None:
    house = House()
    house.tick(house.began("hlr"))
    house.wait(7200.0)
    house.tick(house.began("sms"))
    assert len(house.only().findings) == 2


def test_an_unrelated_sibling_long_after_opens_its_own() -> None:
    house = House()
    house.tick(house.began("top-up"))
    house.wait(7200.0)
    house.tick(house.began("shop"))
    assert len(house.incidents) == 2


def test_anomaly_warning_and_silence_open_nothing() -> None:
    house = House()
    for condition in (Condition.ANOMALY, Condition.OBJECTIVE_WARNING, Condition.SILENCE):
        house.tick(house.began("hlr", condition=condition, quality=Quality.AT_RISK))
    assert house.incidents == []


def test_an_anomaly_opens_where_the_rules_say_so() -> None:
    house = House(configuration(grouping=Grouping(anomaly_opens=True)))
    events = house.tick(house.began("hlr", condition=Condition.ANOMALY, quality=Quality.AT_RISK))
    assert [event.change for event in events] == [IncidentChange.OPENED]
    silent = House(configuration(grouping=Grouping(anomaly_opens=True)))
    silent.tick(silent.began("hlr", condition=Condition.SILENCE, quality=Quality.UNKNOWN))
    assert silent.incidents == []


def test_an_earlier_anomaly_becomes_evidence_of_the_incident_that_explains_it() -> None:
    house = House()
    anomaly = house.began("database", condition=Condition.ANOMALY, quality=Quality.AT_RISK)
    house.tick(anomaly)
    house.tick(house.began("hlr"))
    assert anomaly.id in house.only().findings


def test_an_open_anomaly_does_not_keep_an_incident_open() -> None:
    house = House()
    hurt = house.began("hlr")
    house.tick(hurt, house.began("sms", condition=Condition.ANOMALY, quality=Quality.AT_RISK))
    events = house.tick(house.ended(hurt))
    assert [event.change for event in events] == [IncidentChange.CLEARED]


def test_a_finding_stated_twice_changes_nothing() -> None:
    house = House()
    finding = house.began("hlr")
    house.tick(finding)
    before = house.only()
    assert house.tick(finding) == []
    assert house.only() == before
    assert finding.phase is FindingPhase.BEGAN


def test_a_new_finding_has_its_probe_run_again() -> None:
    house = House()
    house.tick(house.began("hlr"))
    assert [one.probe for one in house.effects.rechecks] == ["probe-hlr"]
    house.tick()
    assert house.effects.rechecks == []


def test_a_finding_joins_what_is_seen_hurt_below_it_rather_than_an_older_incident_of_a_concluded_cause() -> None:
    house = House(configuration(graph={**GRAPH, "portal": ["crm", "core"], "sms": ["crm"], "mobile-data": ["crm"]}))
    house.tick(*map(house.began, ("top-up", "shop", "sms", "mobile-data")))
    house.tick(after=1200.0)
    assert house.only().cause.service == "crm", "nobody measures it"
    house.tick(house.began("core"))
    house.tick(house.began("portal"))
    newer = house.incidents[1]
    assert [one.finding.subject.name for one in house.state.attached(newer.id)] == ["core", "portal"]


def test_a_place_that_was_well_for_a_while_joins_the_incident_that_still_hurts() -> None:
    house = House(without_causes("core"))
    found = [house.began("core", town) for town in TOWNS[:4]]
    house.tick(*found)
    house.tick(house.ended(found[1]), after=600.0)
    house.wait(900.0)
    house.tick(house.began("core", TOWNS[1]))
    assert len(house.only().findings) == 4
    assert any(one.what.endswith("joins: it was hurt in it a while ago.") for one in house.only().timeline)


def test_a_place_that_was_never_hurt_in_it_opens_its_own_so_long_after() -> None:
    house = House(without_causes("core"))
    house.tick(*(house.began("core", town) for town in TOWNS[:4]))
    house.wait(1500.0)
    house.tick(house.began("core", TOWNS[4]))
    assert len(house.incidents) == 2


def after_one_that_is_over() -> House:
    """The register was hurt, and data with it; both have been well for long."""
    house = House()
    before = [house.began("hlr"), house.began("mobile-data")]
    house.tick(*before)
    house.tick(*map(house.ended, before), after=900.0)
    house.tick(after=700.0)
    assert house.only().state is IncidentState.RESOLVED
    house.wait(600.0)
    return house


def test_what_may_be_of_one_cause_with_a_living_incident_does_not_reopen_one_that_is_over() -> None:
    house = after_one_that_is_over()
    house.tick(house.began("emergency"))
    house.tick(house.began("mobile-data"))  # it was hurt by hlr, and needs core as well
    house.wait(30.0)
    house.tick(house.began("core"))
    over, living = house.incidents
    assert (over.state, over.reopened) == (IncidentState.RESOLVED, 0)
    assert (living.cause.service, len(living.findings)) == ("core", 3)


def test_what_is_of_no_living_incident_reopens_the_one_that_is_over_after_all() -> None:
    house = after_one_that_is_over()
    house.tick(house.began("emergency"))
    house.tick(house.began("mobile-data"))
    house.tick(after=150.0)  # core would have shown it by now
    over, living = house.incidents
    assert (over.reopened, len(living.findings)) == (1, 1)


def a_town_after_another(*, unusual: bool) -> House:
    """Data fails in a town, and minutes later in a second one; meanwhile the core, on which both stand, is unusual."""
    towns = in_towns("mobile-data")
    core = Probe(name="core", kind="tcp", service="core", every_seconds=30, timeout_seconds=5)
    house = House(towns.model_copy(update={"probes": [*towns.probes, core]}))
    house.tick(house.began("mobile-data", TOWNS[0], quality=Quality.DEGRADED))
    house.wait(200.0)
    if unusual:
        house.tick(house.began("core", condition=Condition.ANOMALY, quality=Quality.AT_RISK))
    house.wait(60.0)
    house.tick(house.began("mobile-data", TOWNS[1], quality=Quality.DEGRADED))
    return house


def test_what_may_come_of_something_unusual_below_waits_until_that_had_the_time_to_show() -> None:
    house = a_town_after_another(unusual=True)
    assert len(house.incidents) == 1
    house.tick(house.began("core"), after=30.0)
    assert house.only().cause.service == "core"
    assert len(house.only().findings) == 4


def test_where_it_does_not_show_it_is_another_incident_after_all() -> None:
    house = a_town_after_another(unusual=True)
    house.tick(after=200.0)
    assert len(house.incidents) == 2


def test_where_nothing_below_is_unusual_it_is_another_incident_at_once() -> None:
    assert len(a_town_after_another(unusual=False).incidents) == 2


def test_an_incident_that_came_back_has_a_cause_in_common_by_what_hurts_in_it_now() -> None:
    house = after_one_that_is_over()
    house.tick(house.began("mobile-data"))
    assert house.only().reopened == 1
    house.wait(30.0)
    house.tick(house.began("emergency"))
    assert len(house.incidents) == 1, "core, on which both stand, has not had the time to show it"
    house.wait(30.0)
    house.tick(house.began("core"))
    assert house.only().cause.service == "core"


def test_what_it_was_opened_for_explains_nothing_once_something_else_came_back_in_it() -> None:
    house = House()
    first = [house.began("hlr"), house.began("sms")]
    house.tick(*first)
    house.tick(*map(house.ended, first))
    house.tick(after=600.0)
    house.tick(house.began("sms"))
    assert (house.only().subject.name, house.only().reopened) == ("hlr", 1)
    house.tick(after=1800.0)
    house.tick(house.began("mobile-data"))
    assert len(house.incidents) == 2, "hlr, on which it stands, has long been well"


def test_what_shows_together_with_what_comes_back_joins_it() -> None:
    house = House()
    first = house.began("sms")
    house.tick(first)
    house.tick(house.ended(first))
    house.tick(after=600.0)
    house.tick(house.began("sms"), house.began("mobile-data"))
    assert (house.only().reopened, house.only().clear_since) == (1, None), "both stand on hlr"


def it_fades(*unusual: str) -> House:
    """A service that grows worse in two towns shows it in a cell of each, minutes apart; in these cells it warns."""
    made = configuration()
    cells = [f"{town}-{number}" for town in ("east", "west") for number in (1, 2, 3)]
    sites = [*made.sites, *(Site(name=cell, parent=cell.split("-")[0]) for cell in cells)]
    probes = [
        Probe(name=cell, kind="tcp", service="core", site=cell, every_seconds=30, timeout_seconds=5) for cell in cells
    ]
    house = House(made.model_copy(update={"sites": sites, "probes": probes}))
    house.tick(house.began("core", "east-1", quality=Quality.DEGRADED))
    house.wait(150.0)
    warns = {"condition": Condition.OBJECTIVE_WARNING, "quality": Quality.AT_RISK}
    house.tick(*(house.began("core", cell, **warns) for cell in unusual))  # type: ignore[arg-type]
    house.tick(house.began("core", "west-1", quality=Quality.DEGRADED))
    return house


def test_what_may_be_one_fault_of_two_towns_that_only_begins_to_show_waits_for_more_of_it() -> None:
    house = it_fades("east-2", "west-2")
    assert len(house.incidents) == 1
    house.tick(house.began("core", "east-3", quality=Quality.DEGRADED), after=30.0)
    assert house.only().cause.site == "land"


def test_what_only_warns_beside_one_of_the_two_is_no_sign_of_one_fault() -> None:
    assert len(it_fades("west-2", "west-3").incidents) == 2


def test_where_no_more_of_it_shows_they_are_two_after_all() -> None:
    house = it_fades("east-2", "west-2")
    house.tick(after=200.0)
    assert len(house.incidents) == 2
