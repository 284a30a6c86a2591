"""Defects of what may be released to whom (design 9.1 to 9.5 and 9.10), planted; each must be caught."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from cemd.demo.world.scenario import EventKind, FaultEntry, Hurt, When
from cemd.model.customers import Customers
from cemd.model.incident import Incident
from cemd.model.notice import Mode, NoticeState, Reason
from cemd.report import audience, choosing, communications, dispatch, entitled, matching, opening, stage
from cemd.report.contacts import ContactBook
from cemd.report.decide import GRANTED, Answer, Question, answer
from cemd.report.state import ReportState, Switches
from cemd.simulation.book import Book, Row
from cemd.simulation.lives import Scene
from cemd.simulation.plan import Plan
from cemd.simulation.promises.moments import Written
from cemd.simulation.promises.people import a_service_is_told_once
from cemd.simulation.promises.release import only_the_hurt_hear_first
from cemd.simulation.run import Simulation
from cemd.store import memory_state
from numpy.typing import NDArray
from pyroaring import BitMap

from tests.report.test_others import two_problems
from tests.report.world import World, people
from tests.simulation.planting import Patch, Planted, caught, says_stale_hints
from tests.simulation.scenes import scene


def no_cap(monkeypatch: Patch) -> None:
    monkeypatch.setattr(choosing, "_capped", lambda *_: None)


def no_quiet_hours(monkeypatch: Patch) -> None:
    monkeypatch.setattr(choosing, "quiet_table", lambda *_: None)


def any_basis(monkeypatch: Patch) -> None:
    monkeypatch.setattr(choosing, "basis_bits", lambda _: 15)


def machines_too(monkeypatch: Patch) -> None:
    def blind(customers: Customers, numbers: NDArray[np.uint32], question: Question) -> Answer:
        given = answer(customers, numbers, question)
        given.reasons[given.reasons == Reason.MACHINE] = GRANTED[question.phase]
        return given

    monkeypatch.setattr(audience, "answer", blind)
    monkeypatch.setattr(dispatch, "answer", blind)


def kill_switch_ignored(monkeypatch: Patch) -> None:
    monkeypatch.setattr(ReportState, "sending", property(lambda _: Switches()))


def ceiling_ignored(monkeypatch: Patch) -> None:
    monkeypatch.setattr(communications, "_below_ceiling", lambda _, telling: telling)


def shadow_leaks(monkeypatch: Patch) -> None:
    real = opening._open

    def leaky(state: ReportState, *args: object) -> None:
        real(state, *args)  # type: ignore[arg-type]
        for one in state.communications:
            state.communications.put(one.id, msgspec.structs.replace(one, mode=Mode.LIVE))

    ceiling_ignored(monkeypatch)
    monkeypatch.setattr(opening, "_open", leaky)
    monkeypatch.setattr(communications, "is_withdrawn", lambda *_: False)
    monkeypatch.setattr(dispatch, "is_withdrawn", lambda *_: False)


def unconfirmed(monkeypatch: Patch) -> None:
    real = ReportState.incidents_of

    def confirmed(self: ReportState, communication: object) -> tuple[Incident, ...]:
        return tuple(msgspec.structs.replace(one, confirmed_at=1.0) for one in real(self, communication))  # type: ignore[arg-type]

    monkeypatch.setattr(ReportState, "incidents_of", confirmed)


def always_hurting(monkeypatch: Patch) -> None:
    monkeypatch.setattr(communications, "is_hurting", lambda _: True)
    monkeypatch.setattr(dispatch, "is_hurting", lambda _: True)


def nobody_is_on_the_line(monkeypatch: Patch) -> None:
    monkeypatch.setattr(ContactBook, "calls", lambda *_: BitMap())
    monkeypatch.setattr(ContactBook, "tickets", lambda *_: BitMap())


def broken_channels_too(monkeypatch: Patch) -> None:
    monkeypatch.setattr(matching, "broken_services", lambda *_: set())


def travellers_too(monkeypatch: Patch) -> None:
    real = choosing.question_of
    for module in (choosing, dispatch, communications):
        monkeypatch.setattr(
            module,
            "question_of",
            lambda *args, **words: dataclasses.replace(real(*args, **words), by_place=False),
        )


def whoever_was_hurt_once(monkeypatch: Patch) -> None:
    monkeypatch.setattr(choosing, "is_concerned", lambda _moment, _place, numbers: np.ones(len(numbers), np.bool_))


def every_service_at_every_place(monkeypatch: Patch) -> None:
    for module in (entitled, opening):
        monkeypatch.setattr(
            module,
            "places_hurt",
            lambda incident, services: dict.fromkeys(services, matching.sites_hurt(incident)),
        )


def dark(name: str, site: str, at_hour: float, minutes: float) -> FaultEntry:
    return FaultEntry(
        name=name,
        kind=EventKind.OUTAGE,
        service="access",
        site=site,
        when=When(at_hour=at_hour),
        lasts_minutes=[minutes, minutes],
        hurts=Hurt(fails=1.0, loss=1.0),
    )


def test_telling_whoever_was_hurt_once_is_caught_in_a_whole_scenario(monkeypatch: Patch) -> None:
    """A town is dark, then only one of its cells; the notices wait above the ceiling until somebody releases them."""
    shipped = scene()
    faults = [dark("town", "land-town-2", 0.5, 40.0), dark("cell", "land-town-2-cell-1", 0.9, 120.0)]
    scenario = shipped.scenario.model_copy(update={"faults": faults, "traps": []})
    narrowing = Scene(scenario, shipped.rules, shipped.kinds)
    plan = Plan(seed=1, days=0.1, only=("event.0", "event.1"))  # this house has a ceiling of thirty and no quiet hours
    report = Simulation(plan, build=narrowing).run()
    assert report.broken is None
    assert report.told > 5
    whoever_was_hurt_once(monkeypatch)
    broken = Simulation(plan, build=narrowing).run().broken
    assert broken is not None
    assert broken.promise == "only_the_hurt_hear_first"


def sentences_about(world: World) -> list[str]:
    """What the checker says of all first notices of this time line."""
    assert world.incident is not None
    book = Book()
    book.communications = {one.id: one for one in world.state.communications}
    improve = SimpleNamespace(incidents={world.incident.id: world.incident})
    core: Any = SimpleNamespace(
        state=SimpleNamespace(customers=world.customers, topology=world.topology, improve=improve)
    )
    return [words for rows in world.rows for words in only_the_hurt_hear_first(book, Written(rows=rows, core=core))]


def test_telling_of_every_service_at_every_place_of_an_incident_is_caught(monkeypatch: Patch) -> None:
    """Data is disturbed in the east, voice in the west, by one cause. No simulated life has such an incident."""

    def lived() -> World:
        data, voice, east, west = 1, 2, 0, 1
        world = World(load=people(4, services=[data, voice, data, voice], site=[east, west, west, east]))
        places = {"data": ("east",), "voice": ("west",)}
        world.hurt(services=("data", "voice"), sites=("east", "west"), places=places, cause="hlr")
        world.run(400)
        return world

    assert sentences_about(lived()) == []
    every_service_at_every_place(monkeypatch)
    broken = lived()
    assert broken.told("first") == [0, 1, 2, 3]
    assert len(sentences_about(broken)) == 2


def each_problem_by_itself(monkeypatch: Patch) -> None:
    monkeypatch.setattr(choosing, "heard_elsewhere", lambda *_: BitMap())


def names_fail(at_hour: float, minutes: float) -> FaultEntry:
    return FaultEntry(
        name="names",
        kind=EventKind.WRONG_NAMES,
        service="dns-resolver",
        when=When(at_hour=at_hour),
        lasts_minutes=[minutes, minutes],
        hurts=Hurt(fails=1.0),
    )


def two_causes() -> Scene:
    """Names fail everywhere, then a town is dark as well, which hurts the same service there. Mail needs no names in
    this house, or nobody could be told of them."""
    shipped = scene()
    faults = [names_fail(0.3, 150.0), dark("town", "land-town-2", 1.3, 60.0)]
    channels = [one.model_copy(update={"depends_on": []}) for one in shipped.scenario.channels]
    changes = {"faults": faults, "traps": [], "channels": channels}
    return Scene(shipped.scenario.model_copy(update=changes), shipped.rules, shipped.kinds)


def test_telling_of_a_service_twice_is_caught_in_a_whole_scenario(monkeypatch: Patch) -> None:
    plan = Plan(seed=1, days=0.12, only=("event.0", "event.1"))
    report = Simulation(plan, build=two_causes()).run()
    assert report.broken is None
    assert report.communications == 2
    each_problem_by_itself(monkeypatch)
    broken = Simulation(plan, build=two_causes()).run().broken
    assert broken is not None
    assert broken.promise == "a_service_is_told_once"


def test_telling_of_a_service_twice_is_caught(monkeypatch: Patch) -> None:
    """Two problems of one service at a time, of different causes, as a time line."""

    def sentences() -> list[str]:
        world, _, _ = two_problems()
        first, second = world.state.communications
        book = Book()
        book.communications = {one.id: one for one in (first, second)}
        for rows in world.rows:
            box = book.outbox.setdefault(rows.communication, {})
            for customer in rows.customer.tolist():
                key = (customer, rows.phase, rows.revision)
                box[key] = Row(state=NoticeState.ACCEPTED, at=rows.at, digest=0, informational=True, seq=1)
        core: Any = SimpleNamespace(state=SimpleNamespace(customers=world.customers, topology=world.topology))
        later = [rows for rows in world.rows if rows.communication == second.id]
        return [words for rows in later for words in a_service_is_told_once(book, Written(rows=rows, core=core))]

    assert sentences() == []
    each_problem_by_itself(monkeypatch)
    assert len(sentences()) == 4


def addresses_are_not_compared(monkeypatch: Patch) -> None:
    """Neither at selection, nor when it is decided again, nor by the store that refuses a second row."""
    monkeypatch.setattr(audience, "repeated", lambda digests: np.zeros(len(digests), np.bool_))
    monkeypatch.setattr(dispatch, "_refuse_repeats", lambda *_: None)
    monkeypatch.setattr(memory_state._Outbox, "refuse_repeats", lambda *_: None)


def old_news(monkeypatch: Patch) -> None:
    monkeypatch.setattr(stage, "after_absence", lambda *_: None)


PLANTED = (
    Planted(no_cap, "caps_hold"),
    Planted(no_quiet_hours, "quiet_hours_hold"),
    Planted(any_basis, "lawful_basis_is_recorded"),
    Planted(machines_too, "some_are_never_told"),
    Planted(kill_switch_ignored, "the_kill_switch_stops_everything"),
    Planted(kill_switch_ignored, "held_sending_stays_held"),
    Planted(ceiling_ignored, "the_ceiling_holds"),
    Planted(shadow_leaks, "only_live_policies_send"),
    Planted(unconfirmed, "first_needs_confirmation"),
    Planted(old_news, "nobody_hears_before_it_is_watched_again"),
    Planted(always_hurting, "nobody_hears_of_what_is_over"),
    Planted(nobody_is_on_the_line, "nobody_on_the_line_is_told"),
    Planted(broken_channels_too, "never_over_the_broken_channel"),
    Planted(travellers_too, "nobody_abroad_by_home_site"),
    Planted(addresses_are_not_compared, "an_address_hears_once"),
)


@says_stale_hints
@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_planted_defect_is_caught(planted: Planted, monkeypatch: Patch) -> None:
    caught(planted, monkeypatch)
