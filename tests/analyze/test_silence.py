"""Who is not heard: a vantage point is one finding about itself, a feed is one of its service while others go on."""

from __future__ import annotations

import msgspec
import pytest
from cemd.analyze import blocks, stage
from cemd.analyze.vantages import LEAST_SECONDS
from cemd.config.configuration import Configuration
from cemd.config.settings import Settings
from cemd.config.vantage import Vantage
from cemd.model.finding import Condition, Finding, FindingPhase
from cemd.model.identity import series_id
from cemd.model.measurement import Series, SeriesKey
from cemd.model.quality import Quality
from cemd.model.subject import SubjectKind

from tests.analyze.world import World, configuration, probe

SILENCE = Condition.SILENCE
BOTH = ("home", "south")
SETTINGS = Settings(vantages=(Vantage(name="south"), Vantage(name="west")))


def measured(serial: int, of: str, vantage: str) -> Series:
    key = SeriesKey(probe=of, metric="success", vantage=vantage)
    return Series(id=series_id(key.probe, serial), key=key, source=f"prober:{vantage}")


HOME_WEB, HOME_CORE = measured(0, "pay-web", "home"), measured(1, "core-ping", "home")
SOUTH_WEB, SOUTH_CORE = measured(2, "pay-web", "south"), measured(3, "core-ping", "south")
EVERYBODY = (HOME_WEB, HOME_CORE, SOUTH_WEB, SOUTH_CORE)


def files(web: tuple[str, ...] = BOTH, core: tuple[str, ...] = BOTH) -> Configuration:
    probes = [probe("pay-web", "payment", "app", vantages=web), probe("core-ping", "core", vantages=core)]
    return configuration(settings=SETTINGS, probes=probes)


def go_on(world: World, seconds: float, *who: Series) -> None:
    """Each of these is measured every 10 s and arrives at once; a tick every 2 s."""
    for _ in range(round(seconds / 10.0)):
        for one in who:
            world.samples((one, 1.0), source=one.source)
        for _ in range(5):
            world.tick(2.0)


def usual(config: Configuration | None = None) -> World:
    """Both vantage points have measured for ten minutes."""
    world = World(config or files(), EVERYBODY)
    go_on(world, 600.0, *EVERYBODY)
    assert world.found == []
    return world


def of_silence(world: World) -> list[Finding]:
    return [one for one in world.found if one.condition is SILENCE]


def about(world: World) -> list[str]:
    """What the open silences are about."""
    return [str(one.subject) for one in world.open(SILENCE)]


def test_what_somebody_else_sends_in_its_name_is_no_word_of_a_vantage_point() -> None:
    world = usual()
    for _ in range(30):
        go_on(world, 10.0, HOME_WEB, HOME_CORE)
        world.samples((SOUTH_WEB, 1.0), source="ghost")
    [found] = of_silence(world)
    assert found.subject.name == "south"


def test_a_vantage_point_that_stops_is_one_finding_about_itself() -> None:
    world = usual()
    last = world.now - 10.0
    go_on(world, 300.0, HOME_WEB, HOME_CORE)
    [found] = of_silence(world)
    assert (found.subject.kind, found.subject.name) == (SubjectKind.VANTAGE, "south")
    assert (found.phase, found.quality, found.evidence.since) == (FindingPhase.BEGAN, Quality.UNKNOWN, last)
    assert LEAST_SECONDS < found.at - last <= LEAST_SECONDS + 2.0
    assert (found.probe, found.touchpoint, found.evidence.blind) == ("", "", ("south",))
    assert found.evidence.note == (
        "nothing comes from it any more, though it is to run 2 probes, of payment, core; "
        "after 60 s this counts as silence"
    )


def test_what_a_silent_vantage_point_measured_is_no_silence_of_services() -> None:
    """Neither when it stops, nor while it is away, nor when it is started anew and has not come round yet."""
    world = usual()
    go_on(world, 900.0, HOME_WEB, HOME_CORE)
    go_on(world, 20.0, HOME_WEB, HOME_CORE, SOUTH_WEB)
    go_on(world, 600.0, *EVERYBODY)
    assert [one.subject.kind for one in of_silence(world)] == [SubjectKind.VANTAGE] * 2
    assert about(world) == []


def test_one_probe_that_falls_silent_while_its_vantage_point_measures_is_of_its_service() -> None:
    world = usual()
    last = world.now - 10.0
    go_on(world, 300.0, HOME_WEB, HOME_CORE, SOUTH_WEB)
    [found] = of_silence(world)
    assert (str(found.subject), found.probe, found.evidence.since) == ("service core", "core-ping", last)
    assert "from south, which measures other things" in found.evidence.note
    go_on(world, 30.0, *EVERYBODY)
    assert about(world) == []


def test_a_probe_that_was_silent_before_its_vantage_point_stays_a_finding_until_that_is_back() -> None:
    world = usual()
    go_on(world, 300.0, HOME_WEB, HOME_CORE, SOUTH_WEB)
    go_on(world, 300.0, HOME_WEB, HOME_CORE)
    assert about(world) == ["service core", "vantage point south"]
    go_on(world, 60.0, HOME_WEB, HOME_CORE, SOUTH_WEB)
    assert about(world) == ["service core"]
    assert [one.phase for one in of_silence(world) if one.subject.name == "core"] == [FindingPhase.BEGAN]


def test_home_that_stops_is_one_finding_too() -> None:
    world = usual()
    go_on(world, 300.0, SOUTH_WEB, SOUTH_CORE)
    assert about(world) == ["vantage point home"]


def test_a_vantage_point_that_never_came_is_missed_since_it_was_to_measure() -> None:
    world = World(files(core=("home", "west")), (HOME_WEB, HOME_CORE, SOUTH_WEB))
    since = world.now
    go_on(world, 120.0, HOME_WEB, HOME_CORE, SOUTH_WEB)
    [found] = of_silence(world)
    assert (found.subject.name, found.evidence.since) == ("west", since)
    assert found.evidence.note.startswith("nothing ever came from it, though it is to run 1 probe, of core; ")
    go_on(world, 20.0, HOME_WEB, HOME_CORE, SOUTH_WEB, HOME_WEB)
    west = measured(9, "core-ping", "west")
    world.add([west])
    go_on(world, 30.0, HOME_WEB, HOME_CORE, SOUTH_WEB, west)
    assert about(world) == []


def test_one_that_has_nothing_to_measure_is_not_waited_for() -> None:
    world = usual()  # `west` is described, and no probe names it
    go_on(world, 600.0, *EVERYBODY)
    assert of_silence(world) == []


def test_seldom_runs_are_waited_for_as_long_as_they_take() -> None:
    slow = [probe("core-ping", "core", every_seconds=600.0)]
    world = World(configuration(probes=slow), (HOME_CORE,))
    world.samples((HOME_CORE, 1.0))
    for _ in range(200):
        world.tick(10.0)
    assert of_silence(world) == []
    for _ in range(15):
        world.tick(10.0)
    assert about(world) == ["vantage point home"]


def test_a_backlog_that_comes_late_ends_the_silence_of_its_vantage_point() -> None:
    """It measured on while its link was broken: no probe of it was silent, and the batches say so from the first on."""
    world = usual()
    broke_at = world.now
    go_on(world, 600.0, HOME_WEB, HOME_CORE)
    assert about(world) == ["vantage point south"]
    for run in range(60):
        for one in (SOUTH_WEB, SOUTH_CORE):
            world.samples((one, 1.0), at=broke_at + 10.0 * run, source=one.source)
        if run % 20 == 0:
            world.tick(1.0)
            assert about(world) == []
    go_on(world, 300.0, *EVERYBODY)
    assert about(world) == []
    assert [one.phase for one in of_silence(world)] == [FindingPhase.BEGAN, FindingPhase.ENDED]


def test_what_is_too_late_to_be_judged_still_shows_that_its_vantage_point_is_there() -> None:
    world = usual()
    for _ in range(30):
        world.samples((SOUTH_WEB, 1.0), at=world.now - 5000.0, source="prober:south")
        go_on(world, 10.0, HOME_WEB, HOME_CORE)
    assert world.state.late_samples == 30
    assert about(world) == []


def test_a_restart_of_the_daemon_silences_nobody_and_keeps_what_is_open() -> None:
    world = usual()
    go_on(world, 300.0, HOME_WEB, HOME_CORE)
    [before] = world.open(SILENCE)
    world.now += 3600.0
    world.restart()
    go_on(world, 200.0, HOME_WEB, HOME_CORE)
    assert [one.phase for one in of_silence(world)] == [FindingPhase.BEGAN, FindingPhase.OPEN]
    assert [one.id for one in world.open(SILENCE)] == [before.id]


def test_a_restart_after_which_only_one_comes_back_misses_the_other_since_it_was_last_heard() -> None:
    world = usual()
    last = world.now - 10.0
    world.now += 3600.0
    world.restart()
    go_on(world, 100.0, HOME_WEB, HOME_CORE)
    [found] = world.open(SILENCE)
    assert (found.subject.name, found.evidence.since) == ("south", last)


def test_a_snapshot_of_before_vantage_points_were_counted_takes_what_they_measured_last() -> None:
    world = usual()
    last = world.now - 10.0
    saved = stage.snapshot(world.state)
    parts = blocks.unpack("meta", saved["meta"])
    meta = msgspec.msgpack.decode(parts["meta"])
    del meta["vantages"]
    saved["meta"] = blocks.pack({**parts, "meta": msgspec.msgpack.encode(meta)})
    world.state = stage.AnalyzeState()
    stage.restore(world.state, saved, world.topology)
    go_on(world, 100.0, HOME_WEB, HOME_CORE)
    [found] = world.open(SILENCE)
    assert (found.subject.name, found.evidence.since) == ("south", last)


@pytest.mark.parametrize("silent_first", [False, True], ids=["talking", "silent"])
def test_a_reload_without_a_vantage_point_retires_all_of_it(silent_first: bool) -> None:
    world = usual()
    go_on(world, 300.0, HOME_WEB, HOME_CORE, *(() if silent_first else (SOUTH_WEB, SOUTH_CORE)))
    world.reload(files(web=("home",), core=("home",)))
    go_on(world, 600.0, HOME_WEB, HOME_CORE)
    assert about(world) == []
    if silent_first:
        assert of_silence(world)[-1].evidence.note == "not measured any more: configuration changed"


def test_a_probe_that_a_reload_takes_from_a_vantage_point_is_not_missed_there() -> None:
    world = usual()
    world.reload(files(core=("home",)))
    go_on(world, 600.0, HOME_WEB, HOME_CORE, SOUTH_WEB)
    assert about(world) == []


def test_an_open_silence_of_a_retired_feed_ends_as_not_measured_any_more() -> None:
    world = usual()
    go_on(world, 300.0, HOME_WEB, HOME_CORE, SOUTH_WEB)
    assert about(world) == ["service core"]
    world.reload(files(core=("home",)))
    go_on(world, 10.0, HOME_WEB, HOME_CORE, SOUTH_WEB)
    assert of_silence(world)[-1].evidence.note == "not measured any more: configuration changed"


def test_a_vantage_point_that_a_reload_brings_back_is_waited_for_anew() -> None:
    world = usual()
    world.reload(files(web=("home",), core=("home",)))
    go_on(world, 600.0, HOME_WEB, HOME_CORE)
    world.reload(files())
    go_on(world, 40.0, HOME_WEB, HOME_CORE)
    assert of_silence(world) == []
    go_on(world, 60.0, HOME_WEB, HOME_CORE)
    assert about(world) == ["vantage point south"]


def test_a_clock_that_jumps_ahead_silences_nobody() -> None:
    world = usual()
    world.step_clock(7200.0)
    go_on(world, 60.0, *EVERYBODY)
    assert of_silence(world) == []


def test_what_is_pushed_is_silent_by_the_clock() -> None:
    labels = (("service", "core"),)
    key = SeriesKey(probe="counters", metric="drop_ratio", labels=labels)
    pushed = Series(id=series_id("counters", 5), key=key, source="http:c")
    world = World(files(), (*EVERYBODY, pushed))
    go_on(world, 600.0, *EVERYBODY, pushed)
    go_on(world, 300.0, *EVERYBODY)
    [found] = of_silence(world)
    assert str(found.subject) == "service core"
    assert found.evidence.note.startswith("no sample; after ")


def test_a_service_of_the_same_name_is_not_unknown_for_it() -> None:
    named = configuration(
        settings=Settings(vantages=(Vantage(name="core"),)),
        probes=[probe("pay-web", "payment", vantages=("core",)), probe("core-ping", "core")],
    )
    world = World(named, (HOME_CORE,))
    go_on(world, 300.0, HOME_CORE)
    assert about(world) == ["vantage point core"]
    seen = {one.name: one for one in stage.view(world.state, world.topology).services}
    assert seen["core"].quality is Quality.HEALTHY
