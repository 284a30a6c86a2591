"""Labels: detectors learn from them within bounds, at their seq, and the same after a restart."""

from __future__ import annotations

import numpy as np
import pytest
from cemd.analyze import stage
from cemd.analyze.labels import MOST_DEVIATION, MOST_SECONDS, Label, Labels, baseline
from cemd.config.rules import Detector
from cemd.model.entry import Command, CommandKind
from cemd.model.finding import Condition, Finding, FindingPhase

from tests.analyze.world import T0, World, configuration

DETECTOR = Detector(learn_samples=60)
LABELS = {
    Label.TRUE: CommandKind.LABEL_TRUE,
    Label.FALSE: CommandKind.LABEL_FALSE,
    Label.BENIGN: CommandKind.LABEL_BENIGN,
}


def learnt(seed: int = 1) -> tuple[World, np.random.Generator]:
    """A world without objectives whose delay has been about 0.1 s for more than an hour."""
    world, rng = World(configuration(indicators=[], detector=DETECTOR)), np.random.default_rng(seed)
    live(world, rng, 4800.0, 0.1)
    return world, rng


def live(world: World, rng: np.random.Generator, seconds: float, delay: float) -> None:
    for _ in range(round(seconds / 10.0)):
        world.run(10.0, delay=delay + float(rng.normal(0, 0.005)))


def label(world: World, finding: Finding, what: Label) -> list[Finding]:
    return list(world.give(Command(kind=LABELS[what], actor="ann", subject=finding.id)))


def anomaly(world: World, rng: np.random.Generator, delay: float = 0.3, most: float = 900.0) -> Finding:
    """Lives until the anomaly of the delay is found."""
    for _ in range(round(most / 10.0)):
        live(world, rng, 10.0, delay)
        if found := world.open(Condition.ANOMALY):
            return found[0]
    raise AssertionError("no anomaly was found")


def expected(world: World) -> float:
    return stage.band(world.state, world.series["pay-web", "total_seconds"].id, world.topology)[0]


def test_false_ends_it_and_asks_for_more_next_time() -> None:
    world, rng = learnt()
    finding = anomaly(world, rng)
    said = label(world, finding, Label.FALSE)
    assert [(one.phase, one.label) for one in said] == [(FindingPhase.ENDED, "false")]
    live(world, rng, 900.0, 0.1)
    row = world.state.table.row(finding.evidence.series[0])
    tolerance = world.state.labels.tolerated[row]
    assert 1.0 < tolerance.deviation <= MOST_DEVIATION
    assert 0.0 < tolerance.seconds <= MOST_SECONDS
    live(world, rng, tolerance.seconds / 2, 0.3)
    assert world.open(Condition.ANOMALY) == []


def test_what_is_larger_or_longer_than_the_false_one_is_said_in_spite_of_it() -> None:
    for delay, most in ((5.0, 300.0), (0.3, MOST_SECONDS)):
        world, rng = learnt()
        row = world.state.table.row(world.series["pay-web", "total_seconds"].id)
        world.state.labels.tolerate(row, 4.0, 120.0)
        assert anomaly(world, rng, delay, most).label == ""


def test_the_tolerance_is_bounded() -> None:
    labels = Labels()
    for _ in range(50):
        labels.tolerate(0, 1e9, 1e9)
    assert labels.tolerated[0].deviation == MOST_DEVIATION
    assert labels.tolerated[0].seconds == MOST_SECONDS


def test_benign_is_learnt_anew_at_once() -> None:
    world, rng = learnt()
    finding = anomaly(world, rng)
    said = label(world, finding, Label.BENIGN)
    assert [(one.phase, one.label) for one in said] == [(FindingPhase.ENDED, "benign")]
    live(world, rng, 10.0 * (DETECTOR.learn_samples + 30), 0.3)
    assert world.open(Condition.ANOMALY) == []
    assert expected(world) == pytest.approx(0.3, abs=0.03)


def test_true_keeps_the_baseline_and_the_finding_for_as_long_as_it_lasts() -> None:
    world, rng = learnt()
    finding = anomaly(world, rng)
    row = world.state.table.row(finding.evidence.series[0])
    before = expected(world)
    said = label(world, finding, Label.TRUE)
    assert [(one.phase, one.label) for one in said] == [(FindingPhase.CHANGED, "true")]
    live(world, rng, 6 * 3600.0, 0.3)
    assert [one.id for one in world.open(Condition.ANOMALY)] == [finding.id]
    assert expected(world) == pytest.approx(before, abs=0.03)
    live(world, rng, 1200.0, 0.1)
    assert world.open(Condition.ANOMALY) == []
    assert row not in world.state.labels.true
    assert expected(world) == pytest.approx(0.1, abs=0.03)


def test_an_ended_episode_can_still_be_labelled() -> None:
    world, rng = learnt()
    finding = anomaly(world, rng)
    live(world, rng, 1200.0, 0.1)
    assert world.open(Condition.ANOMALY) == []
    said = label(world, finding, Label.FALSE)
    assert [(one.id, one.phase, one.label) for one in said] == [(finding.id, FindingPhase.ENDED, "false")]
    assert world.state.labels.tolerated


def test_what_no_detector_made_is_refused() -> None:
    world = World()
    world.run(300.0, success=0.0)
    broken = world.open(Condition.OBJECTIVE_BROKEN)[0]
    assert label(world, broken, Label.FALSE) == []
    assert world.open(Condition.OBJECTIVE_BROKEN)
    assert list(world.give(Command(kind=CommandKind.LABEL_TRUE, actor="ann", subject="fnd-000000000000"))) == []


@pytest.mark.parametrize("what", list(Label))
def test_a_restart_after_a_label_changes_nothing(what: Label) -> None:
    through, again = learnt()[0], learnt()[0]
    for world in (through, again):
        rng = np.random.default_rng(9)
        label(world, anomaly(world, rng), what)
        live(world, rng, 120.0, 0.3)
        if world is again:
            blocks = stage.snapshot(world.state)
            world.state = stage.AnalyzeState()
            stage.restore(world.state, blocks, world.topology)
        live(world, rng, 1800.0, 0.3)
        live(world, rng, 600.0, 0.1)
    assert through.found == again.found
    assert stage.snapshot(through.state) == stage.snapshot(again.state)


def test_a_baseline_is_put_back_to_the_bit() -> None:
    world, rng = learnt()
    finding = anomaly(world, rng)
    row = world.state.table.row(finding.evidence.series[0])
    held = world.state.labels.baselines[row]
    label(world, finding, Label.TRUE)
    live(world, rng, 600.0, 0.3)
    assert baseline(world.state.bank, row) == held
    assert world.now > T0
