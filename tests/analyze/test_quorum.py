"""Which vantage points show a broken objective themselves, and which could not look."""

from __future__ import annotations

import pytest
from cemd.model.finding import Condition
from cemd.model.identity import series_id
from cemd.model.measurement import Series, SeriesKey
from cemd.model.quality import Outcome

from tests.analyze.world import World, configuration, probe, success_indicator

VANTAGES = ("home", "south", "west")


SEEN_FROM_ALL = configuration(
    probes=[probe("pay-web", "payment", "app", vantages=VANTAGES), probe("core-ping", "core", vantages=VANTAGES)]
)


def seen_from(serial: int, vantage: str, metric: str = "success") -> Series:
    key = SeriesKey(probe="pay-web", metric=metric, vantage=vantage)
    return Series(id=series_id(key.probe, serial), key=key, source=f"prober:{vantage}")


def world_of(outcomes: dict[str, Outcome]) -> World:
    """Two minutes in which each vantage point measures the same probe, with this outcome every time."""
    known = [seen_from(serial, vantage) for serial, vantage in enumerate(VANTAGES)]
    world = World(SEEN_FROM_ALL, known)
    for _ in range(12):
        for one in known:
            outcome = outcomes[one.key.vantage]
            value = float("nan") if outcome is Outcome.BLIND else float(outcome is Outcome.OK)
            world.samples((one, value, outcome), source=one.source)
        for _ in range(5):
            world.tick(2.0)
    return world


@pytest.mark.parametrize(
    ("outcomes", "failing", "well", "blind"),
    [
        ((Outcome.FAILED, Outcome.TIMED_OUT, Outcome.FAILED), VANTAGES, (), ()),
        ((Outcome.FAILED, Outcome.OK, Outcome.OK), ("home",), ("south", "west"), ()),
        ((Outcome.FAILED, Outcome.BLIND, Outcome.FAILED), ("home", "west"), (), ("south",)),
    ],
    ids=["everybody", "one", "one-is-blind"],
)
def test_evidence_names_who_sees_it(
    outcomes: tuple[Outcome, ...], failing: tuple[str, ...], well: tuple[str, ...], blind: tuple[str, ...]
) -> None:
    world = world_of(dict(zip(VANTAGES, outcomes, strict=True)))
    [finding] = world.open(Condition.OBJECTIVE_BROKEN)
    evidence = finding.evidence
    assert (evidence.failing, evidence.well, evidence.blind) == (failing, well, blind)


def test_slow_answers_are_shown_by_the_vantage_points_that_wait() -> None:
    known = [seen_from(serial, vantage, "total_seconds") for serial, vantage in enumerate(VANTAGES)]
    world = World(SEEN_FROM_ALL, known)
    for _ in range(12):
        for one in known:
            world.samples((one, 3.0 if one.key.vantage == "west" else 0.1), source=one.source)
        for _ in range(5):
            world.tick(2.0)
    [finding] = world.open(Condition.OBJECTIVE_BROKEN)
    assert (finding.evidence.failing, finding.evidence.well) == (("west",), ("home", "south"))


@pytest.mark.parametrize("away", [0, 120], ids=["for-the-first-time", "after-a-long-silence"])
def test_a_vantage_point_that_fell_silent_abstains(away: int) -> None:
    """Its newest samples were fine; nobody knows what it would see by now, also where it was silent for long before."""
    known = [seen_from(serial, vantage) for serial, vantage in enumerate(VANTAGES)]
    world = World(SEEN_FROM_ALL, known)
    for run in range(24 + away + 36):
        for one in known:
            if one.key.vantage == "south" and (12 <= run < 12 + away or run >= 24 + away):
                continue
            world.samples((one, float(run < 24 + away + 12)), source=one.source)
        for _ in range(5):
            world.tick(2.0)
    [finding] = world.open(Condition.OBJECTIVE_BROKEN)
    evidence = finding.evidence
    assert (evidence.failing, evidence.well, evidence.blind) == (("home", "west"), (), ("south",))


@pytest.mark.parametrize("later", range(0, 256, 17))
def test_who_was_just_heard_does_not_abstain_whatever_the_time_is(later: int) -> None:
    """Instants of today are even to two minutes in single precision: intervals are, instants must not be."""
    known = [seen_from(serial, vantage) for serial, vantage in enumerate(VANTAGES)]
    short = SEEN_FROM_ALL.model_copy(update={"indicators": [success_indicator(window_seconds=40.0)]})
    world = World(short, known)
    world.now += later
    for _ in range(24):
        for one in known:
            world.samples((one, 0.0, Outcome.FAILED), source=one.source)
        for _ in range(5):
            world.tick(2.0)
    [finding] = world.open(Condition.OBJECTIVE_BROKEN)
    assert (finding.evidence.failing, finding.evidence.blind) == (VANTAGES, ())
