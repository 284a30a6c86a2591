"""RATER, journeys and the index: the published vectors, unknown parts, caps and coverage."""

from __future__ import annotations

import pytest
from cemd.analyze import stage
from cemd.analyze.experience.cei import cei_view, end_to_end
from cemd.analyze.experience.health import Health, Healths, Reading
from cemd.analyze.experience.journeys import episode, journey_view
from cemd.analyze.experience.rater import combined, rater_of, weights
from cemd.config.catalogue import Domain, Journey, Process, Step, Touchpoint, TouchpointChannel
from cemd.config.rules import Cei, Rater, RaterProfile
from cemd.config.topology import Topology
from cemd.model.quality import Dimension, Quality

from tests.analyze.world import World, configuration, probe, series, service

SCORES: dict[Dimension, float | None] = {
    Dimension.RELIABILITY: 90,
    Dimension.RESPONSIVENESS: 70,
    Dimension.ASSURANCE: 95,
    Dimension.EMPATHY: 80,
    Dimension.TANGIBLES: 100,
}


@pytest.mark.parametrize(("profile", "score"), [(RaterProfile.SERVQUAL_1990, 86.05), (RaterProfile.EQUAL, 87.0)])
def test_rater_vectors(profile: RaterProfile, score: float) -> None:
    assert combined(SCORES, weights(Rater(profile=profile)))[0] == pytest.approx(score)


def test_an_unknown_dimension_is_left_out_and_its_weight_shows_in_the_coverage() -> None:
    score, coverage = combined({**SCORES, Dimension.TANGIBLES: None}, weights(Rater()))
    assert score == pytest.approx((86.05 - 11) / 0.89)
    assert coverage == pytest.approx(0.89)


def test_a_dimension_is_the_weighted_mean_of_what_is_known() -> None:
    def reading(score: float | None, weight: float) -> Reading:
        return Reading(
            name="x",
            service="s",
            touchpoint="",
            dimension=Dimension.EMPATHY,
            weight=weight,
            score=score,
            samples=5,
            quality=Quality.HEALTHY,
        )

    seen = rater_of([reading(80.0, 3.0), reading(40.0, 1.0), reading(None, 4.0)], Rater(profile=RaterProfile.EQUAL))
    empathy = next(one for one in seen.dimensions if one.dimension is Dimension.EMPATHY)
    assert (empathy.score, empathy.coverage, empathy.samples) == (70.0, 0.5, 10)
    assert (seen.score, seen.coverage) == (70.0, 0.1)


def test_end_to_end_vector() -> None:
    assert end_to_end(92, 75, 60, Cei())[0] == pytest.approx(86.6, abs=0.01)
    score, coverage = end_to_end(90, None, 60, Cei())
    assert score == pytest.approx((80 * 90 + 13.33 * 60) / 93.33)
    assert coverage == pytest.approx(0.9333)


def test_an_episode_is_min_last_and_mean() -> None:
    assert episode([(90, 1), (70, 1), (95, 1), (80, 1), (100, 1)], Cei())[0] == pytest.approx(21 + 30 + 0.4 * 87)
    assert episode([(64, 1), (None, 1)], Cei()) == (pytest.approx(64), 0.5)  # type: ignore[comparison-overlap]
    assert episode([(None, 1)], Cei()) == (None, 0.0)


@pytest.fixture
def world() -> World:
    known = [series(0, "pay-web", "success"), series(1, "pay-web", "total_seconds"), series(2, "core-ping", "success")]
    return World(configuration(), known)


def run(world: World, seconds: float, *, pay: float, core: float) -> None:
    for _ in range(int(seconds / 10)):
        world.samples((world.series[("pay-web", "success")], pay), (world.series[("core-ping", "success")], core))
        world.tick(10.0)


def test_a_service_is_at_most_as_good_as_what_it_stands_on(world: World) -> None:
    run(world, 600, pay=1.0, core=1.0)
    run(world, 600, pay=1.0, core=0.0)
    seen = stage.view(world.state, world.topology)
    services = {one.name: one for one in seen.services}
    assert services["core"].quality is Quality.DOWN
    assert services["top-up"].quality is Quality.DOWN
    assert services["top-up"].score == 0.0
    step = seen.journeys[0].steps[1]
    assert (step.weakest, step.score, step.quality) == ("core", 0.0, Quality.DOWN)


def test_a_moment_of_truth_that_is_down_caps_its_journey(world: World) -> None:
    run(world, 600, pay=1.0, core=1.0)
    healthy = stage.view(world.state, world.topology).journeys[0]
    assert (healthy.score, healthy.quality, healthy.capped) == (100.0, Quality.HEALTHY, False)
    run(world, 600, pay=0.0, core=1.0)
    journey = stage.view(world.state, world.topology).journeys[0]
    assert journey.capped
    assert journey.score is not None
    assert journey.score <= 40.0
    assert journey.quality is Quality.DOWN


def test_no_data_is_never_healthy() -> None:
    world = World(configuration(probes=[probe("pay-web", "payment")]), [series(0, "pay-web", "success")])
    world.tick()
    seen = stage.view(world.state, world.topology)
    assert seen.cei.score is None
    assert not seen.cei.calibrated
    assert {one.quality for one in seen.services} == {Quality.UNKNOWN}
    assert seen.journeys[0].score is None
    assert seen.touchpoints[0].rater.score is None


def test_the_index_joins_network_and_journeys_with_its_coverage(world: World) -> None:
    run(world, 600, pay=1.0, core=1.0)
    cei = stage.view(world.state, world.topology).cei
    assert (cei.score, cei.network, cei.design, cei.operations) == (100.0, 100.0, None, 100.0)
    assert cei.coverage == pytest.approx(0.9333, abs=1e-4)
    assert cei.macro_journeys == {"use": 100.0}
    assert cei.domains == {"billing": 100.0}


def test_scores_roll_up_from_steps_to_the_operator_as_computed_by_hand() -> None:
    steps = {
        "browse": [Step(name="connect", touchpoint="app", needs=["data"], moment_of_truth=True),
                   Step(name="open", touchpoint="app", needs=["radio"])],
        "buy": [Step(name="pay", touchpoint="app", needs=["crm"], moment_of_truth=True),
                Step(name="look", touchpoint="app", needs=["shop"]),
                Step(name="take", touchpoint="app", needs=["shop"])],
        "complain": [Step(name="ask", touchpoint="app", needs=["shop"])],
    }  # fmt: skip
    places = {
        "browse": ("use", "network-care", 5.0),
        "buy": ("become", "sales", 3.0),
        "complain": ("become", "care", 1.0),
    }
    topology = Topology(
        configuration(
            services=[service("radio", domain=Domain.NETWORK), service("data", "radio", sold=True), service("crm"),
                      service("shop")],
            touchpoints=[Touchpoint(name="app", channel=TouchpointChannel.APP)],
            processes=[Process(name=domain, domain=domain) for _, domain, _ in places.values()],
            journeys=[Journey(name=name, macro_journey=macro, stage="use", process=domain, owner="noc",
                              importance=importance, steps=steps[name])
                      for name, (macro, domain, importance) in places.items()],
            probes=[], indicators=[],
        )
    )  # fmt: skip
    healthy, down = Quality.HEALTHY, Quality.DOWN
    given = {"radio": (90, healthy), "data": (80, healthy), "crm": (20, down), "shop": (100, healthy)}
    own = {name: Health(score=score, quality=quality) for name, (score, quality) in given.items()}
    views = [journey_view(one, topology, Healths(own, own), Cei()) for one in topology.journeys.values()]
    browse = 0.3 * 80 + 0.3 * 90 + 0.4 * (2 * 80 + 90) / 3
    # buy would be 0.3 * 20 + 0.3 * 100 + 0.4 * (2 * 20 + 200) / 4 = 60; its moment of truth is down
    assert [view.score for view in views] == pytest.approx([browse, 40.0, 100.0], abs=1e-9)
    cei = cei_view(topology, views, Healths(own, own), Cei())
    assert cei.macro_journeys == pytest.approx({"use": browse, "become": (3 * 40 + 100) / 4}, abs=1e-9)
    assert cei.domains == pytest.approx({"network-care": browse, "sales": 40.0, "care": 100.0}, abs=1e-9)
    operations = (5 * browse + 3 * 40 + 100) / 9
    assert cei.operations == pytest.approx(operations, abs=1e-9)
    assert cei.network == 90
    assert cei.score == pytest.approx((80 * 90 + 13.33 * operations) / 93.33, abs=1e-9)


def test_macro_journey_with_the_name_of_a_domain_counts_once() -> None:
    both = [
        Journey(
            name=name, macro_journey=macro, stage="use", process=domain, owner="noc",
            steps=[Step(name="a", touchpoint="app", needs=[need])],
        )
        for name, macro, domain, need in (("one", "use", "billing", "shop"), ("two", "billing", "sales", "crm"))
    ]  # fmt: skip
    topology = Topology(
        configuration(
            services=[service("shop"), service("crm")],
            touchpoints=[Touchpoint(name="app", channel=TouchpointChannel.APP)],
            processes=[Process(name="billing", domain="billing"), Process(name="sales", domain="sales")],
            journeys=both, probes=[], indicators=[],
        )
    )  # fmt: skip
    own = {name: Health(score=score, quality=Quality.HEALTHY) for name, score in (("shop", 100), ("crm", 0))}
    views = [journey_view(one, topology, Healths(own, own), Cei()) for one in both]
    assert cei_view(topology, views, Healths(own, own), Cei()).operations == 50.0
