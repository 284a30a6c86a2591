"""The daemon's own metrics: the loop's progress, read when somebody scrapes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from cemd.config.coverage import coverage_of
from cemd.daemon.mending import Mending
from cemd.daemon.stopwatch import BOUNDS, Stopwatch
from cemd.loop.sequencer import Sequencer


def watch_daemon(registry: CollectorRegistry, sequencer: Sequencer, mending: Mending, stopwatch: Stopwatch) -> Counter:
    """Registers the loop's metrics; returns the counter of refused reloads."""
    registry.register(_Loop(sequencer))
    registry.register(_Stages(stopwatch))
    refused = Gauge(
        "cemd_config_last_reload_refused",
        "1 from a reload that was refused until one is taken.",
        registry=registry,
    )
    refused.set_function(lambda: float(mending.reload_refused))
    standing = Gauge("cemd_to_mend", "What a person has to mend, as the page says it.", registry=registry)
    standing.set_function(lambda: float(len(mending.all())))
    return Counter(
        "cemd_config_reloads_refused", "Reloads that changed nothing: the files had faults.", registry=registry
    )


class _Loop(Collector):
    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer

    def collect(self) -> Iterator[Metric]:
        loop = self._sequencer
        silent = time.monotonic() - loop.last_tick_monotonic
        yield CounterMetricFamily("cemd_loop_entries", "Entries logged since the start.", value=loop.logged_entries)
        yield CounterMetricFamily("cemd_loop_ticks", "Ticks since the start.", value=loop.ticks)
        yield GaugeMetricFamily("cemd_loop_seq", "Newest entry that was applied.", value=loop.core.state.seq)
        yield GaugeMetricFamily(
            "cemd_loop_pending_samples", "Samples that wait for the log.", value=loop.pending_samples
        )
        yield GaugeMetricFamily("cemd_loop_since_tick_seconds", "Time since the last tick.", value=max(0.0, silent))
        yield CounterMetricFamily(
            "cemd_loop_clock_steps", "Times that the wall clock was found to be set.", value=loop.clock_steps
        )
        ahead = max(0.0, loop.core.state.at - time.time())
        yield GaugeMetricFamily(
            "cemd_loop_ahead_seconds", "By how much core time is ahead of a clock that was put back.", value=ahead
        )
        slowest = loop.slowest_step_seconds
        yield GaugeMetricFamily("cemd_loop_slowest_group_seconds", "Longest group since the start.", value=slowest)
        refusing = float(bool(loop.trouble))
        yield GaugeMetricFamily("cemd_loop_store_refuses", "1 while the store does not write.", value=refusing)
        watched = coverage_of(loop.core.state.topology).ratio
        if watched is not None:
            about = "Share of the touchpoints that probes watch from both sides, network and IT."
            yield GaugeMetricFamily("cemd_touchpoints_watched_ratio", about, value=watched)
        analyze = loop.core.state.analyze
        yield CounterMetricFamily(
            "cemd_analyze_late_samples",
            "Samples that entered history only: further behind their vantage's newest than lateness_seconds.",
            value=analyze.late_samples,
        )
        yield CounterMetricFamily(
            "cemd_analyze_ignored_batches",
            "Batches that a prober sent again and that were taken before.",
            value=analyze.ignored_batches,
        )
        aside = float(len(loop.core.set_aside))
        yield GaugeMetricFamily("cemd_loop_entries_set_aside", "Entries that this start set aside.", value=aside)


class _Stages(Collector):
    def __init__(self, stopwatch: Stopwatch) -> None:
        self._stopwatch = stopwatch

    def collect(self) -> Iterator[Metric]:
        took = HistogramMetricFamily(
            "cemd_loop_stage_seconds",
            "Time that a stage of the loop took for an entry (the log: for a group of entries).",
            labels=["stage"],
        )
        last = GaugeMetricFamily(
            "cemd_loop_stage_last_success_timestamp_seconds",
            "When a stage of the loop last did its work; 0 before.",
            labels=["stage"],
        )
        names = [*(str(bound) for bound in BOUNDS), "+Inf"]
        for stage, taken in self._stopwatch.taken.items():
            counts = list(accumulate(taken.counts))
            took.add_metric([stage.value], list(zip(names, map(float, counts), strict=True)), taken.seconds)
            last.add_metric([stage.value], taken.last_at or 0.0)
        yield took
        yield last
