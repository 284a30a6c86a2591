"""The deep detector at work in analyze: what it serves, what its findings say; reload and restart keep them."""

from __future__ import annotations

import numpy as np
import pytest
from cemd.analyze import stage
from cemd.analyze.detectors.gate import Called
from cemd.config.rules import Detector
from cemd.model.entry import Command, CommandKind
from cemd.model.finding import Condition, Finding, FindingPhase
from cemd.model.quality import Quality

from tests.analyze.world import World, configuration, delay_indicator, series, success_indicator

DELAY = series(1, "pay-web", "total_seconds")
SIZE = series(2, "pay-web", "size_bytes")  # no indicator looks at it


def world(**changes: object) -> World:
    return World(configuration(**changes), [series(0, "pay-web", "success"), DELAY, SIZE])


def run(made: World, samples: int, level: float, seed: int = 1) -> None:
    """Delays about `level`, one each ten seconds, with a tick after each."""
    for value in np.random.default_rng(seed).normal(level, 0.02, samples):
        made.samples((DELAY, float(value)), (SIZE, 100.0))
        made.tick(10.0)


def anomalies(made: World) -> list[Finding]:
    return [one for one in made.found if one.condition is Condition.ANOMALY]


def test_it_serves_what_indicators_look_at_and_has_a_scale() -> None:
    made = world()
    assert made.state.attention.rows.tolist() == [made.state.table.row(DELAY.id)]


def test_a_jump_is_an_anomaly_at_risk_that_says_why() -> None:
    made = world()
    run(made, 300, 0.3)
    assert not anomalies(made)
    run(made, 10, 0.9, seed=2)
    (row,) = made.state.attention.rows.tolist()
    assert made.state.attention.is_open(row)
    found = made.state.findings.get(Condition.ANOMALY, str(DELAY.id))
    assert found is not None
    assert (found.quality, found.subject.name, found.indicator) == (Quality.AT_RISK, "payment", "total_seconds")
    evidence = found.evidence
    assert evidence.severity is not None
    assert evidence.severity >= 1.0
    assert evidence.reasons[0].higher
    assert evidence.reasons[0].tail_probability < 0.01
    assert {one.kind for one in evidence.reasons} <= {"magnitude", "change", "local", "shift", "spread"}
    assert evidence.high is not None
    assert evidence.value is not None
    assert evidence.high < evidence.value == pytest.approx(0.9, abs=0.1)
    assert "unusual: " in evidence.note
    assert "(1 in " in evidence.note


def test_it_ends_when_it_is_as_it_was_and_a_second_one_names_the_first() -> None:
    made = world()
    run(made, 300, 0.3)
    run(made, 6, 0.9, seed=2)
    run(made, 200, 0.3, seed=3)
    assert not made.open(Condition.ANOMALY)
    phases = made.phases(Condition.ANOMALY)
    assert (phases[0], phases[-1]) == (FindingPhase.BEGAN, FindingPhase.ENDED)
    assert phases.count(FindingPhase.BEGAN) == 1, "said once"
    assert "at the end 0.3" in made.found[-1].evidence.note or "at the end 0.2" in anomalies(made)[-1].evidence.note


def test_a_restart_in_the_middle_keeps_every_bit() -> None:
    whole, halved = world(), world()
    for made in (whole, halved):
        run(made, 150, 0.3)
    halved.restart()
    for made in (whole, halved):
        run(made, 30, 0.9, seed=2)
    assert whole.state.attention.dump() == halved.state.attention.dump()


def test_a_snapshot_of_before_there_was_a_deep_detector_lets_it_begin_anew() -> None:
    made = world()
    run(made, 50, 0.3)
    blocks = stage.snapshot(made.state)
    del blocks["attention"]
    made.state = stage.AnalyzeState()
    stage.restore(made.state, blocks, made.topology)
    run(made, 5, 0.3)
    assert made.state.attention.deep.columns["count"].tolist() == [5.0]


def test_what_no_indicator_looks_at_any_more_ends_and_keeps_what_it_learnt() -> None:
    made = world()
    run(made, 300, 0.3)
    run(made, 30, 0.9, seed=2)
    assert made.open(Condition.ANOMALY)
    made.reload(configuration(indicators=[success_indicator()]))
    run(made, 200, 0.9, seed=3)
    learnt = made.state.attention.deep.columns["count"].tolist()
    assert learnt == [330.0]
    assert not made.state.attention.is_open(made.state.table.row(DELAY.id))
    made.reload(configuration())
    run(made, 5, 0.3)
    assert made.state.attention.deep.columns["count"].tolist() == [335.0]


def test_no_more_series_are_served_than_the_rules_allow() -> None:
    made = world(detector=Detector(deep_series=0))
    run(made, 5, 0.3)
    assert len(made.state.attention.rows) == 0
    made.reload(configuration(detector=Detector(deep_series=1), indicators=[delay_indicator()]))
    run(made, 5, 0.3)
    assert made.state.attention.deep.columns["count"].tolist() == [5.0]


def label(made: World, kind: CommandKind) -> None:
    (found,) = made.open(Condition.ANOMALY)
    made.give(Command(kind=kind, subject=found.id, actor="lead"))


def test_what_was_called_false_is_no_anomaly_again_and_what_is_far_worse_is() -> None:
    made = world()
    run(made, 300, 0.3)
    run(made, 10, 0.6, seed=2)
    label(made, CommandKind.LABEL_FALSE)
    run(made, 300, 0.3, seed=3)
    before = len([one for one in anomalies(made) if one.phase is FindingPhase.BEGAN])
    run(made, 10, 0.6, seed=4)
    assert len([one for one in anomalies(made) if one.phase is FindingPhase.BEGAN]) == before


def once(made: World, seed: int) -> Finding:
    """An anomaly that begins and ends."""
    run(made, 10, 0.6, seed=seed)
    (found,) = made.open(Condition.ANOMALY)
    run(made, 400, 0.3, seed=seed + 1)
    assert not made.open(Condition.ANOMALY)
    return found


@pytest.mark.parametrize("kind", [CommandKind.LABEL_FALSE, CommandKind.LABEL_BENIGN])
def test_what_was_labelled_after_its_end_is_not_said_again_and_nothing_is_forgotten(kind: CommandKind) -> None:
    made = world()
    run(made, 300, 0.3)
    found = once(made, 2)
    seen = made.state.attention.deep.columns["count"].tolist()
    said = made.give(Command(kind=kind, subject=found.id, actor="lead"))
    assert [one.phase for one in said] == [FindingPhase.ENDED]
    assert made.state.attention.deep.columns["count"].tolist() == seen
    assert made.state.attention.deep.columns["tolerated"][0] > 1.0
    run(made, 10, 0.6, seed=4)
    assert not made.state.attention.is_open(made.state.table.row(DELAY.id))


def test_what_is_called_true_after_its_end_is_said_again_whatever_was_tolerated() -> None:
    made = world()
    run(made, 300, 0.3)
    found = once(made, 2)
    made.give(Command(kind=CommandKind.LABEL_FALSE, subject=found.id, actor="lead"))
    tolerated = float(made.state.attention.deep.columns["tolerated"][0])
    assert made.state.attention.deep.columns["again_score"][0].any(), "noted as what may come again at this time"
    made.give(Command(kind=CommandKind.LABEL_TRUE, subject=found.id, actor="lead"))
    assert 1.0 <= float(made.state.attention.deep.columns["tolerated"][0]) < tolerated
    assert not made.state.attention.deep.columns["again_score"][0].any()


def test_a_label_teaches_by_the_episode_that_it_is_about_and_later_ones_say_what_it_was_called() -> None:
    made = world()
    run(made, 300, 0.3)
    gate, row = made.state.attention.deep.gate, made.state.table.row(DELAY.id)
    first = once(made, 2)
    run(made, 10, 1.5, seed=4)
    run(made, 400, 0.3, seed=5)
    made.give(Command(kind=CommandKind.LABEL_FALSE, subject=first.id, actor="lead"))
    older, newer = gate.past(0)[0], gate.past(0)[-1]
    assert (older.called, newer.called) == (Called.FALSE, Called.NOTHING)
    assert float(made.state.attention.deep.columns["tolerated"][0]) == pytest.approx(older.peak * 1.1, rel=1e-6)
    assert row >= 0


def test_what_was_called_the_new_normal_is_learnt_anew() -> None:
    made = world()
    run(made, 300, 0.3)
    run(made, 10, 0.9, seed=2)
    label(made, CommandKind.LABEL_BENIGN)
    run(made, 40, 0.9, seed=3)
    assert not made.open(Condition.ANOMALY)
    assert made.state.attention.deep.columns["count"].tolist() == [40.0]


def test_an_anomaly_of_what_is_0_or_1_says_how_often_it_was_0_and_no_band_that_holds_both() -> None:
    made = world(indicators=[])
    success = series(0, "pay-web", "success")
    for number in range(600):
        made.samples((success, float(number % 50 > 0)))
        made.tick(10.0)
    assert not anomalies(made)
    for _ in range(20):
        made.samples((success, 0.0))
        made.tick(10.0)
    (found,) = made.open(Condition.ANOMALY)
    assert found.evidence.note.startswith("success is 0 more often than it always was: usually in ")
    assert 0.5 < float(found.evidence.note.partition("usually in ")[2].partition("%")[0]) < 10.0
