"""Analyze as people meet it: time lines of measurements, and what was found when."""

from __future__ import annotations

import math

from cemd.analyze import stage
from cemd.config.catalogue import Site
from cemd.config.rules import Objective
from cemd.model.entry import ClockStepped
from cemd.model.finding import Condition, FindingPhase
from cemd.model.identity import SeriesId
from cemd.model.quality import Outcome, Quality

from tests.analyze.world import T0, World, configuration, delay_indicator, probe, series, success_indicator

BROKEN, WARNING, SILENCE = Condition.OBJECTIVE_BROKEN, Condition.OBJECTIVE_WARNING, Condition.SILENCE


def test_an_outage_is_found_after_its_grace_and_ends_after_it_was_good_long_enough() -> None:
    world = World()
    world.run(600)
    assert world.found == []
    broke_at = world.now
    world.run(300, success=0.0, delay=None)
    began = next(one for one in world.found if one.condition is BROKEN)
    assert began.phase is FindingPhase.BEGAN
    # two of twelve samples are below 0.9; then 60 s of grace
    assert 60.0 <= began.at - broke_at <= 60.0 + 30.0
    assert (str(began.subject), began.touchpoint, began.probe) == ("service payment", "app", "pay-web")
    assert began.evidence.value is not None
    assert began.evidence.value < 0.9
    assert began.evidence.threshold == 0.9
    assert world.open(BROKEN)[0].quality is Quality.DOWN
    mended_at = world.now
    world.run(600)
    ended = next(one for one in world.found if one.phase is FindingPhase.ENDED and one.condition is BROKEN)
    assert ended.id == began.id
    assert ended.trace == began.trace
    assert 60.0 <= ended.at - mended_at <= 120.0 + 60.0 + 10.0
    assert not list(world.state.findings)


def test_what_ended_says_the_worst_that_was_seen_and_the_latest_in_words() -> None:
    world = World()
    world.run(600)
    world.run(300, delay=1.6)
    world.run(120, delay=9.0)
    world.run(1200)
    ended = next(one for one in world.found if one.condition is BROKEN and one.phase is FindingPhase.ENDED)
    assert ended.indicator == "delay"
    assert ended.evidence.value == 9.0
    assert ended.evidence.note.startswith("at worst 9; latest: p95 0.")
    world.run(300, delay=1.6)
    world.run(1200)
    again = [one for one in world.found if one.condition is BROKEN and one.phase is FindingPhase.ENDED][1]
    assert again.evidence.value == 1.6, "another episode, another worst"


def test_a_change_for_the_better_still_says_the_worst() -> None:
    world = World()
    world.run(600)
    world.run(400, success=0.0)
    for _ in range(20):
        world.run(10, success=1.0)
        world.run(10, success=0.0)
    changes = [one for one in world.found if one.condition is BROKEN and one.phase is FindingPhase.CHANGED]
    assert [(one.quality, one.evidence.value) for one in changes][-1] == (Quality.DEGRADED, 0.0)


def test_the_worst_survives_a_snapshot_and_an_older_snapshot_without_it_is_read() -> None:
    world = World()
    world.run(600)
    world.run(300, delay=9.0)
    saved = stage.snapshot(world.state)
    for drop in (False, True):
        held = stage.AnalyzeState()
        stage.restore(held, saved, world.topology)
        dumped = {name: body for name, body in held.indicators.dump().items() if not drop or name != "seen.lowest"}
        held.indicators.columns["lowest"][:] = math.nan
        held.indicators.load(dumped)
        number = next(place for place, one in enumerate(held.indicators.instances) if one.indicator.name == "delay")
        assert math.isnan(held.indicators.worst_of(number)) is drop
        assert drop or held.indicators.worst_of(number) == 9.0


def test_a_short_outage_within_the_grace_is_no_finding() -> None:
    world = World(configuration(indicators=[success_indicator(window_seconds=30.0)]))
    world.run(600)
    world.run(40, success=0.0)
    world.run(600)
    assert world.phases(BROKEN) == []


def test_one_failure_breaks_nothing_however_few_samples_the_window_holds() -> None:
    objective = Objective(at_least=0.9, for_seconds=20.0, clear_for_seconds=20.0)
    world = World(configuration(indicators=[success_indicator(window_seconds=180.0, objective=objective)]))
    world.run(600, every=60.0)
    world.run(60, success=0.0, delay=None, every=60.0)  # a quarter of the window
    world.run(600, every=60.0)
    assert world.phases(BROKEN) == []
    world.run(180, success=0.0, delay=None, every=60.0)
    assert world.phases(BROKEN)[:1] == [FindingPhase.BEGAN]


def test_what_is_over_does_not_begin_to_break_though_the_window_remembers_it() -> None:
    objective = Objective(at_least=0.9, for_seconds=60.0, clear_for_seconds=20.0)
    world = World(configuration(indicators=[success_indicator(window_seconds=300.0, objective=objective)]))
    world.run(600)
    world.run(50, success=0.0, delay=None)  # five of thirty: bad for four minutes to come, but good since
    world.run(600)
    assert world.phases(BROKEN) == []


def test_a_slow_ramp_warns_strictly_before_it_breaks() -> None:
    world = World()
    world.run(600)
    delay = 0.1
    while not world.phases(BROKEN):
        delay += 0.01
        world.run(10, delay=delay)
        assert world.now < T0 + 7200
    warned = next(one for one in world.found if one.condition is WARNING and one.phase is FindingPhase.BEGAN)
    broke = next(one for one in world.found if one.condition is BROKEN)
    assert warned.at < broke.at
    assert warned.quality is Quality.AT_RISK
    assert not world.open(WARNING)


def test_hysteresis_keeps_a_finding_open_on_the_edge() -> None:
    objective = Objective(at_most=1.0, for_seconds=10.0, clear_for_seconds=10.0, hysteresis=0.2)
    world = World(configuration(indicators=[delay_indicator(objective=objective, window_seconds=30.0)]))
    world.run(60)
    world.run(60, delay=1.1)
    assert len(world.open(BROKEN)) == 1
    world.run(300, delay=0.9)
    assert len(world.open(BROKEN)) == 1
    world.run(60, delay=0.79)
    assert world.open(BROKEN) == []


def test_down_and_back_to_degraded_is_a_change_of_the_same_finding() -> None:
    world = World()
    world.run(600)
    world.run(400, success=0.0)
    assert world.open(BROKEN)[0].quality is Quality.DOWN
    for _ in range(20):
        world.run(10, success=1.0)
        world.run(10, success=0.0)
    assert world.open(BROKEN)[0].quality is Quality.DEGRADED
    assert world.phases(BROKEN).count(FindingPhase.BEGAN) == 1


def test_silence_is_said_but_is_never_down() -> None:
    ping = series(2, "core-ping", "success")
    world = World(known=[series(0, "pay-web", "success"), series(1, "pay-web", "total_seconds"), ping])
    world.run(600)
    last = world.now
    for _ in range(20):  # of two probes, the one goes on
        world.samples((ping, 1.0))
        world.run(10, success=None, delay=None)
    silence = next(one for one in world.found if one.condition is SILENCE)
    assert silence.quality is Quality.UNKNOWN
    assert silence.evidence.note.startswith("no sample from home, which measures other things; after ")
    assert 35.0 <= silence.at - last + 10.0 <= 60.0
    view = stage.view(world.state, world.topology)
    seen = {(one.service, one.name): one for one in view.indicators}
    assert seen["payment", "availability"].quality is Quality.UNKNOWN
    assert {one.name: one for one in view.services}["payment"].own_score is None
    assert world.phases(BROKEN) == []
    for _ in range(6):
        world.samples((ping, 1.0))
        world.run(10)
    assert world.phases(SILENCE) == [FindingPhase.BEGAN, FindingPhase.ENDED]


def test_a_missing_metric_is_no_silence_while_its_probe_goes_on() -> None:
    world = World()
    world.run(600)
    world.run(600, delay=None)
    assert world.phases(SILENCE) == []


def test_blind_attempts_make_unknown_not_broken() -> None:
    world = World()
    world.run(600)
    ok = world.series[("pay-web", "success")]
    for _ in range(60):
        world.samples((ok, math.nan, Outcome.BLIND))
        world.tick(10.0)
    assert world.phases(BROKEN) == []
    assert world.phases(SILENCE) == []
    indicator = stage.view(world.state, world.topology).indicators[0]
    assert indicator.quality is Quality.UNKNOWN
    assert indicator.score is None


def test_a_reload_keeps_streaks_and_an_unchanged_indicator_its_window() -> None:
    world = World()
    world.run(600)
    world.run(60, success=0.0)
    changed = configuration(indicators=[success_indicator(), delay_indicator(window_seconds=60.0)])
    world.reload(changed)
    views = {one.name: one for one in stage.view(world.state, world.topology).indicators}
    assert views["availability"].samples > 0
    world.tick()
    views = {one.name: one for one in stage.view(world.state, world.topology).indicators}
    assert views["delay"].quality is Quality.UNKNOWN
    twin = World()
    twin.run(600)
    twin.run(60, success=0.0)
    world.run(120, success=0.0)
    twin.run(120, success=0.0)
    assert [(one.at, one.condition) for one in world.found] == [(one.at, one.condition) for one in twin.found]


def test_what_is_not_measured_any_more_ends_with_a_word() -> None:
    world = World()
    world.run(600)
    world.run(300, success=0.0)
    world.reload(configuration(indicators=[delay_indicator()]))
    world.tick()
    ended = world.found[-1]
    assert ended.phase is FindingPhase.ENDED
    assert "not measured any more" in ended.evidence.note


def test_a_start_states_all_open_findings_anew() -> None:
    world = World()
    world.run(600)
    world.run(300, success=0.0)
    before = world.open(BROKEN)[0]
    world.restart()
    again = next(one for one in world.found if one.phase is FindingPhase.OPEN and one.condition is BROKEN)
    assert (again.id, again.began_at) == (before.id, before.began_at)


def test_nobody_was_silent_while_the_daemon_was_away() -> None:
    world = World()
    world.run(600)
    world.now += 3600.0
    world.restart()
    world.tick(2.0)
    world.run(60)
    assert world.phases(SILENCE) == []


def test_a_clock_that_jumps_ahead_breaks_and_silences_nothing() -> None:
    world = World()
    world.run(600)
    world.run(30, success=0.0)
    world.step_clock(7200.0)
    world.tick(2.0)
    assert world.found == []


def test_a_fault_is_found_while_the_clock_that_jumped_back_is_behind_core_time() -> None:
    world = World()
    world.run(600)
    world.step_clock(-3600.0)
    ok, jumped = world.series[("pay-web", "success")], world.now
    for _ in range(60):  # core time at half speed
        world.now += 5.0
        world.samples((ok, 0.0), at=world.now - (3600.0 - (world.now - jumped)))
        world.tick()
    assert FindingPhase.BEGAN in world.phases(BROKEN)
    assert world.state.late_samples == 0


def test_a_clock_that_is_set_right_after_it_jumped_back_moves_nothing() -> None:
    world = World()
    world.run(600)
    world.step_clock(-3600.0)
    world.restart()
    world.give(ClockStepped(seconds=3600.0))
    assert world.state.even_at == world.now
    world.run(600)
    assert world.open(BROKEN) == []
    assert world.phases(SILENCE) == []


def test_late_samples_do_not_count() -> None:
    world = World()
    world.run(600)
    ok = world.series[("pay-web", "success")]
    for _ in range(50):
        world.samples((ok, 0.0), at=world.now - 400.0)
    world.run(200)
    assert world.found == []
    assert world.state.late_samples == 50


def test_a_batch_sent_twice_counts_once() -> None:
    world = World()
    world.run(100)
    number = stage.last_number(world.state, "prober:home")
    assert number == 10
    before = world.state.indicators.windows.dump()
    world.numbers = iter([number])  # type: ignore[assignment]
    world.samples((world.series[("pay-web", "success")], 0.0))
    assert world.state.indicators.windows.dump() == before


def test_pushed_series_find_their_service_by_label() -> None:
    pushed = series(7, "mqtt:plant", "queue_seconds", source="mqtt:plant", service="core", site="east")
    indicator = delay_indicator(name="queue", of={"source": "mqtt:plant", "metric": "queue_seconds"})
    known = configuration(
        indicators=[indicator], probes=[probe("pay-web", "payment")], sites=[Site(name="east", kind="region")]
    )
    world = World(known, [pushed])
    for _ in range(60):
        world.samples((pushed, 5.0), source="mqtt:plant")
        world.tick(10.0)
    found = world.found[0]
    assert str(found.subject) == "service core at east"
    assert stage.band(world.state, SeriesId(99), world.topology)[0] != 0
