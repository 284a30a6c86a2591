"""The world keeps its promises: events have their shape, reach what they should and no more, and people live by it."""

from __future__ import annotations

import itertools
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cemd.daemon.kinds import kinds
from cemd.demo.day.command import scaled
from cemd.demo.files import shipped_root
from cemd.demo.world.events import Event, time_line
from cemd.demo.world.people import MOVE_SECONDS
from cemd.demo.world.reading import SCENARIOS, read_scenario
from cemd.demo.world.scenario import FaultEntry, Figure, Scenario, TrapEntry
from cemd.demo.world.traffic import Almanac
from cemd.demo.world.world import World
from cemd.errors import ConfigError
from cemd.model.entry import Batch, Contact, ContactKind, CustomersLoaded
from cemd.model.notice import Phase
from cemd.model.quality import Outcome
from cemd.store.memory import MemorySeries

SMALL = read_scenario(SCENARIOS / "small.yaml")
OUTAGE: dict[str, Any] = {
    "name": "out",
    "kind": "outage",
    "service": "access",
    "site": "land-town-1",
    "when": {"at_hour": 0.1},
    "lasts_minutes": [30.0, 30.0],
    "hurts": {"fails": 1.0},
}


def scenario(*entries: dict[str, Any], **changes: Any) -> Scenario:
    """The small operator with these faults and traps alone."""
    faults = [FaultEntry.model_validate_json(_json(one)) for one in entries if one["kind"] in FAULTS]
    traps = [TrapEntry.model_validate_json(_json(one)) for one in entries if one["kind"] not in FAULTS]
    return SMALL.model_copy(update={"faults": faults, "traps": traps, **changes})


FAULTS = ("outage", "slow_ramp", "flapping", "relapse", "overrun", "stuck_orders", "partial_failure")


def _json(entry: dict[str, Any]) -> str:
    return json.dumps(entry)


def world(*entries: dict[str, Any], seed: int = 3, **changes: Any) -> World:
    made = World(scenario(*entries, **changes), shipped_root() / "rules", kinds(), seed=seed)
    made.begin(MemorySeries())
    return made


def lived(made: World, minutes: float, *, since: float | None = None) -> list[Any]:
    """Everything that came within these minutes of the first day."""
    at = made.first_midnight if since is None else since
    end = at + minutes * 60.0
    came = []
    while at < end:
        at += made.tick
        came.extend(made.pass_tick(at))
    return came


def samples(came: list[Any], made: World, name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(value, outcome) of the success series of all looks whose probe begins so."""
    looks = [place for place, look in enumerate(made.measuring.looks) if look.name.startswith(name)]
    ids = made.measuring.success_ids[looks]
    values, outcomes = [np.zeros(0)], [np.zeros(0, np.uint8)]
    for batch in came:
        if isinstance(batch, Batch):
            mine = np.isin(batch.series, ids)
            values.append(batch.value[mine])
            outcomes.append(batch.outcome[mine])
    return np.concatenate(values), np.concatenate(outcomes)


def only(made: World) -> Event:
    (event,) = made.events
    return event


def test_the_same_seed_draws_the_same_time_line_and_keeps_its_distance() -> None:
    shipped = scaled(read_scenario(SCENARIOS / "day.yaml"), days=14, customers=None)
    one, other = (time_line(shipped, Almanac(shipped, 5), 5, 14) for _ in range(2))
    assert [(event.name, event.begin, event.end, event.site) for event in one] == [
        (event.name, event.begin, event.end, event.site) for event in other
    ]
    assert len({event.kind for event in one if event.is_fault}) > 8
    apart = [event for event in one if event.is_fault and event.kind != "overlap"]
    gaps = [later.effect_begin - earlier.end for earlier, later in itertools.pairwise(apart)]
    assert min(gaps) >= shipped.apart_minutes * 60.0


def test_an_onset_has_its_shape() -> None:
    ramp = only(world(OUTAGE | {"kind": "slow_ramp", "onset": "ramp", "onset_minutes": 20.0}))
    assert [round(ramp.level(ramp.begin + 60.0 * minute), 2) for minute in (0, 5, 10, 20, 29)] == [0, 0.25, 0.5, 1, 1]
    flap = only(world(OUTAGE | {"kind": "flapping", "onset": "flap", "onset_minutes": 10.0}))
    assert [flap.level(flap.begin + 60.0 * minute) for minute in (1, 6, 11, 16)] == [1, 0, 1, 0]
    again = only(world(OUTAGE | {"kind": "relapse", "returns_after_minutes": 15.0}))
    assert [again.level(again.begin + 60.0 * minute) for minute in (29, 31, 44, 46, 74, 76)] == [1, 0, 0, 1, 1, 0]


def test_overrunning_work_shows_within_its_window_and_hurts_after_it() -> None:
    made = world(OUTAGE | {"kind": "overrun", "when": {"at_hour": 1.0}, "announced_minutes": 20.0})
    event = only(made)
    assert event.level(event.begin - 600.0) == 1.0
    assert not event.is_hurting(event.begin - 600.0)
    assert event.is_hurting(event.begin + 600.0)
    (window,) = made.configuration.maintenance
    assert (window.begins(), window.ends()) == (event.begin - 1200.0, event.begin)
    lived(made, 15, since=event.begin - 1200.0)
    assert made.care.truth == {}


def test_a_fault_reaches_what_stands_on_it_at_its_place_and_nothing_else() -> None:
    made = world(OUTAGE)
    came = lived(made, 20, since=only(made).begin)
    inside, _ = samples(came, made, "cell-page-land-town-1")
    outside, _ = samples(came, made, "cell-page-land-town-2")
    other, _ = samples(came, made, "crm-record")
    assert np.nanmean(inside) == 0.0
    assert np.nanmean(outside) > 0.95
    assert np.nanmean(other) > 0.95
    truth = made.care.truth[0]
    hurt = np.flatnonzero(np.isfinite(truth.hurt_at))
    towns = {made.people.sites[code].rsplit("-cell", 1)[0] for code in made.people.site[hurt].tolist()}
    assert len(hurt) > 50
    assert towns == {"land-town-1"}
    assert truth.first_hurt_at is not None
    assert truth.first_hurt_at >= only(made).begin


def test_who_can_see_a_fault_is_said_by_it() -> None:
    made = world(OUTAGE | {"kind": "stuck_orders", "service": "billing", "site": None, "shown_by": ["transaction"]})
    came = lived(made, 20, since=only(made).begin)
    assert np.nanmean(samples(came, made, "bill-opens")[0]) == 0.0
    assert np.nanmean(samples(came, made, "bill-run")[0]) > 0.9


def test_a_blind_vantage_point_says_blind_and_a_buggy_probe_fails_alone() -> None:
    when = {"when": {"at_hour": 0.1}, "lasts_minutes": [30.0, 30.0]}
    blind = world({"name": "b", "kind": "blind_vantage", "vantage": "away", **when})
    _, outcomes = samples(lived(blind, 20, since=only(blind).begin), blind, "crm-record")
    assert 0.3 < np.mean(outcomes == Outcome.BLIND) < 0.7
    buggy = world({"name": "b", "kind": "probe_bug", "probe": "cell-page", **when})
    came = lived(buggy, 20, since=only(buggy).begin)
    pages = [look.name for look in buggy.measuring.looks if look.row.name == "cell-page"]
    means = sorted(float(np.nanmean(samples(came, buggy, name)[0])) for name in pages)
    assert means[0] == 0.0
    assert means[1] > 0.95
    assert buggy.care.truth == {}


def test_the_hurt_call_after_a_while_unless_they_are_told() -> None:
    eager = SMALL.care.model_copy(update={"calls": 1.0, "delay_minutes": 5.0, "calmed_by_notice": 1.0})
    silent, told = world(OUTAGE, care=eager), world(OUTAGE, care=eager)
    calls = []
    for made in (silent, told):
        begin = only(made).begin
        lived(made, 3, since=begin)
        if made is told:
            everyone = np.arange(made.people.count, dtype=np.uint32)
            made.told(everyone, Phase.FIRST, begin + 180.0)
        came = lived(made, 40, since=begin + 180.0)
        calls.append(sum(isinstance(one, Contact) and one.kind is ContactKind.CALL_QUEUED for one in came))
    assert calls[0] > 30
    assert calls[1] < calls[0] / 4
    first = silent.care.truth[0].contact_at
    assert np.isfinite(first).sum() > 30


def test_those_who_move_are_served_where_they_are_and_the_daemon_knows_it() -> None:
    made = world(traffic=SMALL.traffic)
    noon = made.first_midnight + 12 * 3600.0
    at_home = made.people.site.copy()
    loads = [one for one in made.pass_tick(noon) if isinstance(one, CustomersLoaded)]
    moved = np.flatnonzero(made.people.site != at_home)
    assert 0.2 < len(moved) / made.people.count < 0.6
    (load,) = loads
    assert load.columns["number"].tolist() == moved.tolist()
    assert [load.sites[code] for code in load.columns["site"].tolist()] == [
        made.people.sites[code] for code in made.people.site[moved].tolist()
    ]
    assert noon % MOVE_SECONDS == 0


def test_days_follow_the_clock_of_the_operator_also_when_it_changes() -> None:
    calendar = SMALL.calendar.model_copy(update={"begins": "2026-03-28"})
    operator = SMALL.operator.model_copy(update={"zone": "Europe/Berlin"})
    traffic = SMALL.traffic.model_copy(
        update={"hours": [float(hour) for hour in range(24)], "weekend": 1.0, "noise": 0.0}
    )
    changed = SMALL.model_copy(update={"calendar": calendar, "operator": operator, "traffic": traffic})
    almanac = Almanac(changed, 1)
    nine_before = datetime(2026, 3, 28, 8, tzinfo=UTC).timestamp()
    nine_after = datetime(2026, 3, 29, 7, tzinfo=UTC).timestamp()
    assert almanac.load(nine_after) == pytest.approx(almanac.load(nine_before), rel=0.01)
    assert almanac.midnight(2) - almanac.midnight(1) == 23 * 3600.0


@pytest.mark.parametrize("count", [1, 200_000])
def test_any_number_of_customers_is_columns(count: int) -> None:
    made = world(people=SMALL.people.model_copy(update={"count": count}))
    load = made.people.load()
    assert len(load.columns["number"]) == count
    assert load.columns["digest_email"].max() > 0 or count == 1
    lived(made, 1)


def test_who_gives_up_at_one_touchpoint_goes_on_at_another_and_stays_hurt_by_the_same_fault() -> None:
    point = SMALL.touchpoints[1].model_copy(update={"name": "kiosk", "depends_on": []})
    bill = SMALL.journeys[1].model_copy(update={"alternatives": {"web": ["kiosk"]}})
    habits = [one.model_copy(update={"switches": 0.7, "starts_per_day": 50.0}) for one in SMALL.habits]
    broken = {**OUTAGE, "kind": "partial_failure", "service": "portal", "site": None}
    made = world(
        {key: value for key, value in broken.items() if value is not None},
        touchpoints=[*SMALL.touchpoints, point],
        journeys=[SMALL.journeys[0], bill],
        habits=habits,
    )
    came = lived(made, 40.0)
    lives = made.lives
    assert lives.switched > 20
    assert 0.6 < lives.switched / (lives.switched + lives.abandoned) < 0.8
    series = [
        at for batch in came if isinstance(batch, Batch) and batch.source == "http:journeys" for at in batch.series
    ]
    places = {int(made._journeys[lives.shown.index(("see-the-bill", step, "kiosk"))]) for step in ("sign-in", "open")}
    assert places <= set(series), "what they do at the kiosk is reported of the kiosk"
    (fault,) = made.events
    assert made.care.truth[fault.number].first_hurt_at is not None


def test_two_habits_of_one_journey_are_reported_as_one() -> None:
    twice = [*SMALL.habits, SMALL.habits[0].model_copy(update={"starts_per_day": 400.0, "tries": 1})]
    made = world(habits=twice)
    reports = [one for one in lived(made, 10.0) if isinstance(one, Batch) and one.source == "http:journeys"]
    assert reports
    assert all(len(set(one.series.tolist())) == len(one.series) for one in reports)


def test_shipped_rules_leave_out_what_nothing_here_can_feed_and_say_so() -> None:
    assert world().left_out == ()
    fibre = World(read_scenario(SCENARIOS / "fibre.yaml"), shipped_root() / "rules", kinds(), seed=1)
    assert "cell-drops" in fibre.left_out
    assert "requests-answered" not in fibre.left_out
    assert not {one.name for one in fibre.configuration.indicators} & set(fibre.left_out)


def test_a_kind_of_probe_that_the_shipped_rules_do_not_know_is_asked_whether_it_answers() -> None:
    row = SMALL.probes[0].model_copy(update={"name": "log-in", "kind": "radius", "figures": {}})
    made = world(probes=[*SMALL.probes, row])
    (asked,) = (one for one in made.configuration.indicators if one.of.kind == "radius")
    (pattern,) = (one for one in made.configuration.indicators if one.name == "requests-answered")
    assert (asked.of.metric, asked.objective) == ("success", pattern.objective)
    assert not any(one.of.kind == "radius" for one in world().configuration.indicators)


@pytest.mark.parametrize(("kind", "asked"), [("stamp", ["stamp-loss"]), ("icmp", ["echo-loss"]), ("http", [])], ids=str)
def test_every_kind_that_counts_lost_packets_is_asked_how_many_are_lost(kind: str, asked: list[str]) -> None:
    loss = Figure(usual=0.001, when_hurt="loss")
    row = SMALL.probes[0].model_copy(update={"name": "line", "kind": kind, "figures": {"loss_ratio": loss}})
    made = world(probes=[*SMALL.probes, row])
    looks = [one for one in made.configuration.indicators if (one.of.kind, one.of.metric) == (kind, "loss_ratio")]
    assert [one.name for one in looks] == asked


def test_rules_of_ones_own_are_refused_where_they_do_not_fit(tmp_path: Path) -> None:
    shutil.copytree(shipped_root() / "rules", tmp_path / "rules")
    with pytest.raises(ConfigError, match="no pushed source has this name"):
        World(read_scenario(SCENARIOS / "fibre.yaml"), tmp_path / "rules", kinds(), seed=1)


def test_a_world_without_the_channel_of_the_shipped_policy_uses_its_own() -> None:
    channels = [SMALL.channels[0].model_copy(update={"name": "letters"})]
    assert [one.channels for one in world(channels=channels).configuration.policies] == [["letters"]]


def test_an_unknown_kind_of_probe_is_refused_with_the_known_ones() -> None:
    probes = [SMALL.probes[0].model_copy(update={"kind": "htpt"}), *SMALL.probes[1:]]
    with pytest.raises(ConfigError, match=r'probes\[0\] "cell-echo": unknown kind of probe "htpt".*use one of'):
        world(probes=probes)


@pytest.mark.parametrize("kind", sorted(kinds().probe_params))
def test_every_kind_of_probe_may_stand_in_a_scenario(kind: str) -> None:
    made = SMALL.probes[3].model_copy(
        update={"name": "any", "kind": kind, "every_seconds": 60.0, "timeout_seconds": 30.0}
    )
    assert any(one.name == "any" for one in world(probes=[*SMALL.probes, made]).configuration.probes)
