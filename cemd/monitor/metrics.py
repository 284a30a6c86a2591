"""The wing's own metrics, in one object built from the registry that is handed in. Labels come from small sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorMetrics:
    """`door` is prober, http or mqtt; reasons are those of the closed lists."""

    accepted: Counter
    refused: Counter
    unjudged: Counter
    unauthorized: Counter
    malformed: Counter
    probers: Gauge
    brokers: Gauge
    prober_totals: Gauge

    def tell(self, counters: Mapping[str, float]) -> None:
        """Takes the prober's own totals; names outside its closed lists are left out."""
        for name, value in counters.items():
            if name in PROBER_TOTALS:
                self.prober_totals.labels(what=name).set(value)


PROBER_TOTALS = frozenset(
    {
        *("runs_ok", "runs_failed", "runs_timed_out", "runs_blind"),
        *("skipped_late", "skipped_bulkhead_full", "skipped_still_running"),
        *("skipped_missed", "skipped_probe_left"),
        *("running", "shed_samples", "unacknowledged_batches", "cleanups_outstanding"),
        *("refused_readings", "latest_start_seconds"),
        *("way_out_blind_runs", "way_out_unjudged_runs", "way_out_gateway", "way_out_resolver"),
        *(f"way_out_reference_{number}" for number in range(1, 9)),
        *("shed_runs", "shed_moments_of_truth", "not_active_runs", "cap_runs_per_second"),
    }
)


def monitor_metrics(registry: CollectorRegistry) -> MonitorMetrics:
    """Registers the wing's metrics."""
    return MonitorMetrics(
        accepted=Counter("cemd_monitor_samples", "Samples in the log.", ["door"], registry=registry),
        refused=Counter(
            "cemd_monitor_samples_refused", "Samples that were not taken.", ["door", "reason"], registry=registry
        ),
        unjudged=Counter(
            "cemd_monitor_samples_unjudged",
            "Samples that are kept and that nobody judges: a label names what the catalogue does not know.",
            ["door", "reason"],
            registry=registry,
        ),
        unauthorized=Counter(
            "cemd_monitor_pushes_unauthorized",
            "Pushes without a valid token; nothing was read.",
            ["door"],
            registry=registry,
        ),
        malformed=Counter(
            "cemd_monitor_malformed_messages", "Messages that could not be read.", ["door"], registry=registry
        ),
        probers=Gauge("cemd_monitor_probers", "Probers that are connected.", registry=registry),
        brokers=Gauge("cemd_monitor_brokers", "Brokers that are connected.", registry=registry),
        prober_totals=Gauge(
            "cemd_monitor_prober",
            "The prober's totals since it began.",
            ["what"],
            registry=registry,
        ),
    )
