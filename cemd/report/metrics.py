"""What report tells of itself: notices by phase and state, alerts, waiting time; never a customer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


@dataclass(frozen=True, slots=True)
class ReportMetrics:
    """Metrics of the edge; what the core knows is in its view."""

    notices: Counter
    alerts: Counter
    retries: Counter
    in_flight: Gauge
    seconds: Histogram

    @classmethod
    def build(cls, registry: CollectorRegistry) -> Self:
        """Registers the metrics with the collector handed in."""
        return cls(
            notices=Counter(
                "cemd_report_notices", "Notices to customers by what became of them.", ["channel", "phase", "state"],
                registry=registry,
            ),
            alerts=Counter(
                "cemd_report_alerts", "Alerts to staff by outcome.", ["channel", "outcome"], registry=registry
            ),
            retries=Counter(
                "cemd_report_retries", "Sendings that failed for certain and were tried again.", ["channel"],
                registry=registry,
            ),
            in_flight=Gauge(
                "cemd_report_notices_in_flight", "Notices handed to a channel and not settled.", ["channel"],
                registry=registry,
            ),
            seconds=Histogram(
                "cemd_report_send_seconds", "Time of one sending.", ["channel"], registry=registry,
                buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            ),
        )  # fmt: skip
