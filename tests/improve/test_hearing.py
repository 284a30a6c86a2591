"""Where no other probe would show it, customers' own attempts decide whether a probe that says "failed" is believed."""

from __future__ import annotations

import msgspec
import pytest
from cemd.config.configuration import Configuration
from cemd.config.probes import Probe
from cemd.config.rules import Grouping
from cemd.model.finding import Condition, Finding, FindingPhase, Heard

from tests.improve.house import House, configuration

PATIENT = Grouping(alone_opens_after_seconds=21_600.0, alone_hears_customers_seconds=1800.0)
A_MINUTE = 1.0 / 60.0


def heard(
    value: float | None, attempts: float, *, service: str = "portal", site: str = "", per_second: float = A_MINUTE
) -> Heard:
    return Heard(
        indicator="steps-done",
        service=service,
        site=site,
        usual=0.998,
        value=value,
        attempts=attempts,
        per_second=per_second,
    )


def hears(finding: Finding, *said: Heard) -> Finding:
    """The finding, stated with what was heard since it began."""
    phase = FindingPhase.OPEN if finding.evidence.heard else finding.phase
    return msgspec.structs.replace(finding, phase=phase, evidence=msgspec.structs.replace(finding.evidence, heard=said))


def watched_in_the_east(*services: str) -> Configuration:
    """The operator with a probe in the east of each of these services as well."""
    made = configuration(grouping=PATIENT)
    extra = [
        Probe(name=f"east-{name}", kind="tcp", service=name, site="east", every_seconds=30.0, timeout_seconds=5.0)
        for name in services
    ]
    return made.model_copy(update={"probes": [*made.probes, *extra]})


def waits(house: House) -> list[str]:
    return [one.waits for one in house.state.findings if one.waits]


@pytest.fixture
def house() -> House:
    return House(configuration(grouping=PATIENT), population=600)


def test_it_waits_for_the_next_who_try(house: House) -> None:
    house.tick(hears(house.began("portal"), heard(None, 0.0)))
    house.tick(after=300.0)
    assert house.incidents == []
    assert waits(house) == ["only probe-portal says so; steps-done has not had the time to show it."]


def test_it_opens_as_soon_as_they_fail_as_well(house: House) -> None:
    finding = hears(house.began("portal"), heard(None, 0.0))
    house.tick(finding)
    house.tick(hears(finding, heard(0.0, 2.0)), after=60.0)
    assert house.only().subject.name == "portal"
    assert house.only().first_hurt_at == finding.evidence.since


def test_that_nobody_is_counted_any_more_where_many_were_speaks_for_it_too(house: House) -> None:
    finding = hears(house.began("portal"), heard(None, 0.0))
    house.tick(finding)
    house.tick(hears(finding, heard(None, 0.0)), after=300.0)
    assert house.incidents == [], "one a minute, and five minutes"
    house.tick(hears(finding, heard(None, 0.0)), after=120.0)
    assert house.only().subject.name == "portal"


def test_one_who_fails_is_not_enough(house: House) -> None:
    finding = hears(house.began("portal"), heard(None, 0.0))
    house.tick(finding)
    house.tick(hears(finding, heard(0.0, 1.0)), after=60.0)
    assert house.incidents == []


def test_every_second_who_fails_is_a_fault_too(house: House) -> None:
    finding = hears(house.began("portal"), heard(None, 0.0))
    house.tick(finding)
    house.tick(hears(finding, heard(0.5, 6.0)), after=60.0)
    assert house.only().subject.name == "portal"


def test_it_opens_nothing_while_they_get_it_done(house: House) -> None:
    finding = hears(house.began("portal"), heard(None, 0.0))
    house.tick(finding)
    for minutes in range(1, 120):
        house.tick(hears(finding, heard(1.0, min(15.0, 2.0 * minutes))), after=60.0)
    assert house.incidents == []
    assert waits(house) == ["only probe-portal says so; steps-done would show it too."]


def test_that_fewer_try_later_takes_nothing_back(house: House) -> None:
    finding = hears(house.began("portal"), heard(None, 0.0))
    house.tick(finding)
    house.tick(hears(finding, heard(1.0, 5.0)), after=600.0)
    house.tick(hears(finding, heard(1.0, 1.0)), after=1800.0)
    house.tick(hears(finding, heard(None, 0.0)), after=1800.0)
    assert house.incidents == []


def test_what_fails_long_after_it_was_doubted_opens_it(house: House) -> None:
    finding = hears(house.began("portal"), heard(None, 0.0))
    house.tick(finding)
    house.tick(hears(finding, heard(1.0, 15.0)), after=900.0)
    house.tick(hears(finding, heard(0.4, 15.0)), after=3600.0)
    assert house.only().subject.name == "portal"


def test_where_nobody_tries_it_opens_after_the_patience_of_the_rules(house: House) -> None:
    house.tick(hears(house.began("portal"), heard(None, 0.0, per_second=0.0)))
    house.tick(after=1790.0)
    assert house.incidents == []
    house.tick(after=20.0)
    assert house.only().subject.name == "portal"


@pytest.mark.parametrize(
    "changes",
    [{"alone_hears_customers_seconds": 0.0}, {"alone_opens_after_seconds": 0.0}],
    ids=["no-ear-for-customers", "every-probe-is-believed"],
)
def test_rules_may_not_wait(changes: dict[str, float]) -> None:
    house = House(configuration(grouping=PATIENT.model_copy(update=changes)), population=600)
    house.tick(hears(house.began("portal"), heard(None, 0.0)))
    assert house.only().subject.name == "portal"


def test_where_nobody_pushes_anything_one_probe_is_enough(house: House) -> None:
    house.tick(house.began("portal"))
    assert house.only().subject.name == "portal"


def test_what_does_not_always_fail_is_no_broken_check(house: House) -> None:
    finding = hears(house.began("portal"), heard(None, 0.0))
    house.tick(finding)
    mixed = msgspec.structs.replace(finding.evidence, mixed=True)
    house.tick(msgspec.structs.replace(finding, phase=FindingPhase.OPEN, evidence=mixed), after=60.0)
    assert house.only().subject.name == "portal"


def test_waiting_for_customers_survives_a_restart(house: House) -> None:
    finding = hears(house.began("portal"), heard(None, 0.0))
    house.tick(finding)
    house.start_again()
    house.tick(after=60.0)
    assert house.incidents == []
    house.tick(hears(finding, heard(0.0, 3.0)), after=30.0)
    assert house.only().subject.name == "portal"


# a third of the customers of mobile-data are in the east


def in_the_east(house: House, value: float | None, attempts: float, *, per_second: float = 1.0) -> Finding:
    said = heard(value, attempts, service="mobile-data", per_second=per_second)
    return hears(house.began("mobile-data", "east"), said)


def again(finding: Finding, value: float, attempts: float) -> Finding:
    return hears(finding, heard(value, attempts, service="mobile-data", per_second=1.0))


def test_customers_of_all_places_speak_for_one_place_by_its_share() -> None:
    house = House(watched_in_the_east("core"), population=600)
    finding = in_the_east(house, None, 0.0)
    house.tick(finding)
    assert waits(house) == ["only probe-mobile-data says so; steps-done has not had the time to show it."]
    house.tick(again(finding, 0.995, 300.0), after=300.0)
    assert waits(house) == ["only probe-mobile-data says so; steps-done would show it too."]
    house.tick(after=7200.0)
    assert house.incidents == []


def test_a_drop_by_the_share_of_the_place_opens_it() -> None:
    house = House(watched_in_the_east("core"), population=600)
    finding = in_the_east(house, None, 0.0)
    house.tick(finding)
    house.tick(again(finding, 0.67, 60.0), after=60.0)
    assert str(house.only().subject) == "service mobile-data at east"


def test_they_are_not_believed_before_the_line_has_had_the_time_to_show_that_it_is_up() -> None:
    house = House(watched_in_the_east("core"), population=600)
    finding = in_the_east(house, 0.998, 300.0)
    house.tick(finding)
    assert waits(house) == ["only probe-mobile-data says so; steps-done has not had the time to show it."]
    house.tick(after=300.0)
    assert waits(house) == ["only probe-mobile-data says so; steps-done would show it too."]


def test_whoever_may_be_cut_off_is_not_waited_for() -> None:
    house = House(configuration(grouping=PATIENT), population=600)  # nobody watches the line in the east
    house.tick(in_the_east(house, 0.998, 300.0))
    assert str(house.only().subject) == "service mobile-data at east"


def many_places(house: House, value: float | None, attempts: float, *, per_second: float) -> Finding:
    """A third are in the east; as a rule every third attempt fails anyway, so that it takes many to decide."""
    finding = in_the_east(house, value, attempts, per_second=per_second)
    [said] = finding.evidence.heard
    return hears(finding, msgspec.structs.replace(said, usual=0.67))


def test_they_may_take_longer_while_few_can_fail_meanwhile() -> None:
    for per_second, waited in ((0.05, True), (0.02, False)):
        house = House(watched_in_the_east("core"), population=600)
        house.tick(many_places(house, None, 0.0, per_second=per_second))
        assert bool(waits(house)) == waited, "it takes some sixty who try: twenty minutes, or fifty"


def test_they_take_no_longer_where_many_would_fail_meanwhile() -> None:
    house = House(watched_in_the_east("core"), population=600)
    finding = many_places(house, None, 0.0, per_second=0.05)
    [said] = finding.evidence.heard
    house.tick(hears(finding, msgspec.structs.replace(said, usual=0.5, per_second=0.12)))
    assert str(house.only().subject) == "service mobile-data at east", "some thirty, in more than ten minutes"


def test_all_who_tried_since_it_began_count_and_not_only_those_of_late() -> None:
    house = House(configuration(grouping=PATIENT), population=600)
    finding = hears(house.began("portal"), heard(None, 0.0))
    house.tick(finding)
    said = msgspec.structs.replace(heard(1.0, 1.0), in_all=1.0, attempts_in_all=2.0)
    house.tick(hears(finding, said), after=1500.0)
    house.tick(after=600.0)
    assert waits(house) == ["only probe-portal says so; steps-done would show it too."]


def test_that_some_fail_at_some_time_does_not_open_what_customers_got_done_for_an_hour() -> None:
    house = House(watched_in_the_east("core"), population=600)
    finding = in_the_east(house, None, 0.0)
    house.tick(finding)
    house.tick(again(finding, 0.998, 600.0), after=600.0)
    few = msgspec.structs.replace(
        heard(0.93, 400.0, service="mobile-data"), in_all=0.995, attempts_in_all=3000.0, settled_at=house.at
    )
    house.tick(hears(finding, few), after=3600.0)
    assert house.incidents == []
    all_of_them = msgspec.structs.replace(few, value=0.66, in_all=0.96)
    house.tick(hears(finding, all_of_them), after=600.0)
    assert str(house.only().subject) == "service mobile-data at east"


def test_so_few_who_try_are_not_waited_for_at_one_place() -> None:
    house = House(watched_in_the_east("core"), population=600)
    house.tick(in_the_east(house, None, 0.0, per_second=0.001))
    assert str(house.only().subject) == "service mobile-data at east"


def test_without_a_register_nobody_knows_the_share_of_a_place() -> None:
    house = House(watched_in_the_east("core"))
    house.tick(in_the_east(house, 0.998, 300.0))
    assert str(house.only().subject) == "service mobile-data at east"


def test_customers_counted_within_the_place_all_speak_of_it(house: House) -> None:
    finding = hears(house.began("portal", "land"), heard(None, 0.0, site="east"))
    house.tick(finding)
    house.tick(hears(finding, heard(1.0, 3.0, site="east")), after=60.0)
    assert waits(house) == ["only probe-portal says so; steps-done would show it too."]


def test_a_second_voice_needs_no_customers(house: House) -> None:
    house.tick(hears(house.began("portal"), heard(None, 0.0)))
    house.tick(house.began("portal", condition=Condition.BUDGET_BURNING, probe="other"), after=30.0)
    assert house.only().subject.name == "portal"
