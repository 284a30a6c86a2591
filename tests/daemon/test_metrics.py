"""What the daemon tells of itself: also what it does not judge, and what a person has to mend."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cemd.config.configuration import Configuration
from cemd.config.topology import Topology
from cemd.daemon.mending import Mending
from cemd.daemon.metrics import watch_daemon
from cemd.daemon.stopwatch import Stopwatch
from cemd.errors import CemdError
from cemd.kit.clock import ManualClock
from cemd.loop.stages import Stage
from prometheus_client import CollectorRegistry


def test_what_came_too_late_to_be_judged_is_counted_and_so_is_what_is_to_mend() -> None:
    analyze = SimpleNamespace(late_samples=7, ignored_batches=2)
    state = SimpleNamespace(seq=5, at=0.0, analyze=analyze, topology=Topology(Configuration()))
    loop: Any = SimpleNamespace(
        core=SimpleNamespace(state=state, set_aside=()),
        last_tick_monotonic=0.0,
        logged_entries=5,
        ticks=3,
        pending_samples=0,
        clock_steps=0,
        slowest_step_seconds=0.0,
        trouble="",
    )
    registry, mending = CollectorRegistry(), Mending()
    clock = ManualClock(now=1_800_000_000.0)
    stopwatch = Stopwatch(clock)
    watch_daemon(registry, loop, mending, stopwatch)
    assert registry.get_sample_value("cemd_analyze_late_samples_total") == 7
    assert registry.get_sample_value("cemd_analyze_ignored_batches_total") == 2
    assert registry.get_sample_value("cemd_touchpoints_watched_ratio") is None
    assert registry.get_sample_value("cemd_to_mend") == 0
    mending.refuse_reload(CemdError("no disk."), 1.0)
    assert registry.get_sample_value("cemd_to_mend") == 1
    assert registry.get_sample_value("cemd_config_last_reload_refused") == 1
    one: dict[str, str] = {"stage": "analyze"}
    assert registry.get_sample_value("cemd_loop_stage_last_success_timestamp_seconds", one) == 0
    for _ in range(2):
        stopwatch(None)
        clock.advance(0.02)
        stopwatch(Stage.ANALYZE)
    assert registry.get_sample_value("cemd_loop_stage_seconds_count", one) == 2
    assert registry.get_sample_value("cemd_loop_stage_seconds_bucket", {**one, "le": "0.01"}) == 0
    assert registry.get_sample_value("cemd_loop_stage_seconds_bucket", {**one, "le": "0.025"}) == 2
    assert registry.get_sample_value("cemd_loop_stage_last_success_timestamp_seconds", one) == 1_800_000_000.04
