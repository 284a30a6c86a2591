"""A probe that nobody else believes opens nothing by itself; announced work opens nothing within its window."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from cemd.config.configuration import Configuration
from cemd.config.maintenance import Maintenance
from cemd.config.rules import Grouping, RecheckPlaybook, Selector
from cemd.improve.stage import waits
from cemd.model.finding import Condition, Finding
from cemd.model.quality import Quality

from tests.improve.house import GRAPH, NOON, House, configuration

PATIENT = Grouping(alone_opens_after_seconds=3600.0)


def with_kinds(**kinds: str) -> Configuration:
    """The operator with these kinds of probe by service, all under the one indicator."""
    made = configuration(grouping=PATIENT)
    probes = [one.model_copy(update={"kind": kinds.get(one.service, one.kind)}) for one in made.probes]
    success = made.indicators[0]
    indicators = [
        success.model_copy(
            update={
                "name": f"success-{kind}" if kind != "tcp" else "success",
                "of": Selector(kind=kind, metric="success"),
            }
        )
        for kind in dict.fromkeys(["tcp", *kinds.values()])
    ]
    return made.model_copy(update={"probes": probes, "indicators": indicators})


def announced(begins: float, ends: float, *sites: str) -> Configuration:
    window = Maintenance(
        name="hlr-work",
        services=["hlr"],
        sites=list(sites),
        begins_at=datetime.fromtimestamp(begins, UTC).isoformat(),
        ends_at=datetime.fromtimestamp(ends, UTC).isoformat(),
    )
    return configuration().model_copy(update={"maintenance": [window]})


def test_one_probe_against_others_that_would_show_it_opens_nothing() -> None:
    house = House(configuration(grouping=PATIENT))
    house.tick(house.began("hlr"))  # mobile-data and sms stand on it and are watched
    for _ in range(20):
        house.tick(after=60.0)
    assert house.incidents == []
    waiting = [one for one in house.state.findings if one.waits]
    assert [one.waits for one in waiting] == ["only probe-hlr says so; probe-mobile-data, probe-sms would show it too."]
    assert waits(house.state) == {one.finding.id: one.waits for one in waiting}


def test_a_drift_of_what_the_probe_itself_measures_is_no_second_voice() -> None:
    house = House(configuration(grouping=PATIENT))
    house.tick(house.began("hlr"))
    house.tick(house.began("hlr", condition=Condition.DRIFT, quality=Quality.AT_RISK, probe=""), after=30.0)
    assert house.incidents == []


def test_a_second_voice_opens_it_at_once_with_the_first_sign() -> None:
    house = House(configuration(grouping=PATIENT))
    first = house.at
    house.tick(house.began("hlr"))
    house.tick(house.began("sms"), after=30.0)
    incident = house.only()
    assert incident.cause.service == "hlr"
    assert incident.first_hurt_at == first
    assert incident.confirmed_at == house.at


def test_something_unusual_everywhere_below_is_no_second_voice_for_one_place() -> None:
    house = House(configuration(grouping=PATIENT))
    house.tick(house.began("hlr", "east"))
    house.tick(house.began("database", condition=Condition.ANOMALY, quality=Quality.AT_RISK), after=30.0)
    assert house.incidents == [], "were the database ill, those in the west would see it"
    house.tick(house.began("database", "east", condition=Condition.ANOMALY, quality=Quality.AT_RISK), after=30.0)
    assert house.only().subject.name == "hlr"


def test_something_unusual_that_only_shares_a_need_is_no_second_voice() -> None:
    house = House(configuration(grouping=PATIENT, graph={**GRAPH, "roaming": ["sms"]}))
    house.tick(house.began("sms"))
    house.tick(house.began("mobile-data", condition=Condition.ANOMALY, quality=Quality.AT_RISK), after=30.0)
    assert house.incidents == [], "both stand on hlr, and neither on the other"
    house.tick(house.began("roaming", condition=Condition.ANOMALY, quality=Quality.AT_RISK), after=30.0)
    assert house.only().subject.name == "sms"


def odd(house: House, service: str, site: str = "", *, metric: str) -> Finding:
    """An anomaly of what another probe measures there; it is named by its metric."""
    found = house.began(service, site, condition=Condition.ANOMALY, quality=Quality.AT_RISK, probe=f"other-{metric}")
    return msgspec.structs.replace(found, indicator=metric)


def test_that_something_only_takes_longer_is_no_second_voice() -> None:
    house = House(configuration(grouping=PATIENT))
    house.tick(house.began("hlr"))
    house.tick(odd(house, "database", metric="connect_seconds"), after=30.0)
    assert house.incidents == [], "what is slow makes nothing fail"
    house.tick(odd(house, "database", metric="loss_ratio"), after=30.0)
    assert house.only().subject.name == "hlr"


def test_something_unusual_elsewhere_is_a_second_voice_only_where_it_fails() -> None:
    house = House(configuration(grouping=PATIENT))
    house.tick(house.began("hlr", "east"))
    house.tick(odd(house, "hlr", "west", metric="loss_ratio"), after=30.0)
    assert house.incidents == []
    house.tick(odd(house, "hlr", "west", metric="success"), after=30.0)
    assert house.only().subject.site == "east"


def test_an_incident_that_is_all_well_again_is_company_only_to_its_cause() -> None:
    house = House(configuration(grouping=PATIENT, graph={**GRAPH, "roaming": ["sms"]}))
    first = [house.began("hlr"), house.began("sms")]
    house.tick(*first)
    house.tick(*map(house.ended, first), after=60.0)
    house.tick(house.began("sms"), after=60.0)
    assert house.only().clear_since is not None, "roaming stands on it, and is well"
    house.tick(house.began("hlr"), after=60.0)
    assert house.only().clear_since is None


def test_something_unusual_of_long_ago_is_no_second_voice() -> None:
    house = House(configuration(grouping=PATIENT))
    house.tick(house.began("core", condition=Condition.ANOMALY, quality=Quality.AT_RISK))
    house.tick(house.began("emergency"), after=1200.0)
    house.tick(after=600.0)
    assert [str(one.subject) for one in house.incidents] == ["service emergency"], "nobody else looks at it"
    onset = house.at
    house.tick(house.began("hlr"), after=1200.0)
    house.tick(house.began("mobile-data", condition=Condition.ANOMALY, quality=Quality.AT_RISK), after=600.0)
    assert len(house.incidents) == 1
    house.tick(house.began("sms", condition=Condition.ANOMALY, quality=Quality.AT_RISK, since=onset + 20.0))
    assert [str(one.subject) for one in house.incidents] == ["service emergency", "service hlr"]


def test_it_opens_after_the_patience_of_the_rules() -> None:
    house = House(configuration(grouping=PATIENT))
    house.tick(house.began("hlr"))
    house.tick(after=3590.0)
    assert house.incidents == []
    house.tick(after=20.0)
    assert house.only().subject.name == "hlr"


def test_where_nobody_else_looks_one_probe_is_enough() -> None:
    house = House(configuration(grouping=PATIENT))
    house.tick(house.began("portal"))
    assert house.only().subject.name == "portal"


def test_an_open_port_says_nothing_against_a_question_that_fails() -> None:
    house = House(with_kinds(hlr="http"))
    asked = house.began("hlr")
    house.tick(msgspec.structs.replace(asked, indicator="success-http"))
    assert house.only().subject.name == "hlr"


def test_what_ends_while_it_waits_leaves_nothing() -> None:
    house = House(configuration(grouping=PATIENT))
    finding = house.began("hlr")
    house.tick(finding)
    house.tick(house.ended(finding), after=60.0)
    house.tick(after=3600.0)
    assert house.incidents == []
    assert len(house.state.findings) == 0


def test_waiting_survives_a_restart() -> None:
    house = House(configuration(grouping=PATIENT))
    house.tick(house.began("hlr"))
    house.start_again()
    house.tick(after=60.0)
    assert house.incidents == []
    house.tick(house.began("sms"), after=10.0)
    assert house.only().cause.service == "hlr"


def test_announced_work_opens_nothing_within_its_window_and_what_overruns_does() -> None:
    house = House(announced(NOON, NOON + 600.0))
    house.tick(house.began("hlr"), house.began("sms"))
    house.tick(after=500.0)
    assert house.incidents == []
    house.tick(after=120.0)
    assert house.only().cause.service == "hlr"


def test_work_that_is_done_in_time_never_opens_anything() -> None:
    house = House(announced(NOON, NOON + 600.0))
    finding = house.began("hlr")
    house.tick(finding)
    house.tick(house.ended(finding), after=300.0)
    house.tick(after=900.0)
    assert house.incidents == []


def test_what_was_hurt_until_work_is_over_is_looked_at_at_once() -> None:
    changes = {"playbooks": [RecheckPlaybook(name="look-again")]}
    house = House(announced(NOON, NOON + 600.0).model_copy(update=changes))
    hlr, sms = house.began("hlr"), house.began("sms")
    house.tick(hlr, sms)
    house.tick(house.ended(sms), after=300.0)
    assert house.effects.rechecks == [], "mended within its window"
    house.tick(house.ended(hlr), after=300.0)
    assert [one.probe for one in house.effects.rechecks] == ["probe-hlr"]
    assert house.incidents == []


@pytest.mark.parametrize("site", ["west", ""])
def test_a_window_covers_its_own_place_and_nothing_wider(site: str) -> None:
    house = House(announced(NOON, NOON + 600.0, "east"))
    house.tick(house.began("hlr", site))
    assert [one.subject.site for one in house.incidents] == [site]


def test_probe_ranks_are_told_by_uid() -> None:
    house = House(with_kinds(hlr="http", sms="transaction"))
    watch = house.state.watch(house.topology)
    assert [watch.rank_of(f"probe-{name}") for name in ("core", "hlr", "sms")] == [1, 2, 3]
