"""A vantage point that is not heard: no evidence of any incident, and no witness that sees a service well."""

from __future__ import annotations

import msgspec
from cemd.config.configuration import Configuration
from cemd.config.rules import Grouping
from cemd.config.settings import Settings
from cemd.config.vantage import Vantage
from cemd.model.entry import CommandKind
from cemd.model.finding import Condition, Evidence, Finding
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind

from tests.improve.house import House, configuration


def files(*witnesses: str, vantages: tuple[str, ...] = ("south",)) -> Configuration:
    """The house, where the probes of these services look from elsewhere."""
    base = configuration(grouping=Grouping(alone_opens_after_seconds=3600.0))
    probes = [one.model_copy(update={"vantages": vantages}) if one.service in witnesses else one for one in base.probes]
    settings = Settings(vantages=(Vantage(name="south"),))
    return base.model_copy(update={"probes": probes, "settings": settings})


def silent(house: House, name: str = "south") -> Finding:
    found = house.began("hlr", condition=Condition.SILENCE, quality=Quality.UNKNOWN, probe="")
    return msgspec.structs.replace(
        found,
        id=f"f-{name}",
        indicator="",
        subject=Subject(kind=SubjectKind.VANTAGE, name=name),
        evidence=Evidence(since=house.at, blind=(name,)),
    )


def waits(house: House, finding: Finding) -> str:
    return next(one.waits for one in house.state.findings if one.finding.id == finding.id)


def test_it_opens_nothing_and_is_remembered_until_it_is_heard() -> None:
    house = House(configuration())
    found = silent(house)
    house.tick(found)
    house.tick(after=600.0)
    assert house.incidents == []
    assert [one.incident for one in house.state.findings] == [""]
    house.start_again()
    assert len(house.state.findings) == 1
    house.tick(house.ended(found))
    assert len(house.state.findings) == 0


def test_it_is_no_evidence_of_an_incident_even_of_a_service_of_its_name() -> None:
    house = House(configuration())
    house.tick(house.began("hlr"))
    house.tick(silent(house, "hlr"), silent(house))
    house.tick(after=120.0)
    [incident] = house.incidents
    assert [one.finding.condition for one in house.state.attached(incident.id)] == [Condition.OBJECTIVE_BROKEN]


def test_who_looks_only_from_there_contradicts_nobody() -> None:
    heard = House(files("mobile-data", "sms"))
    hurt = heard.began("hlr")
    heard.tick(hurt)
    assert waits(heard, hurt) == "only probe-hlr says so; probe-mobile-data, probe-sms would show it too."
    house = House(files("mobile-data", "sms"))
    house.tick(silent(house))
    house.tick(house.began("hlr"))
    assert house.only().subject.name == "hlr"


def test_who_looks_from_another_place_as_well_goes_on_to_contradict() -> None:
    house = House(files("mobile-data", "sms", vantages=("home", "south")))
    house.tick(silent(house))
    hurt = house.began("hlr")
    house.tick(hurt)
    assert house.incidents == []
    assert waits(house, hurt).startswith("only probe-hlr says so")


def test_nobody_can_confirm_it() -> None:
    house = House(configuration())
    found = silent(house)
    house.tick(found)
    house.command(CommandKind.CONFIRM, found.id)
    assert house.incidents == []
