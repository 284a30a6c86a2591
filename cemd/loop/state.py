"""All that the core knows. Analyze is restored from its snapshot and the log, improve and report from their rows."""

from __future__ import annotations

from dataclasses import dataclass, field

from cemd.analyze.stage import AnalyzeState
from cemd.config.configuration import Configuration
from cemd.config.topology import Topology
from cemd.improve.stage import ImproveState
from cemd.improve.watch import Watch
from cemd.model.customers import Customers
from cemd.model.identity import Instant
from cemd.report.stage import ReportState


@dataclass(frozen=True, slots=True)
class Expected:
    """What was made beside the core from the document of an epoch that is on its way: the same that the core would."""

    epoch: str
    topology: Topology
    watch: Watch


@dataclass(slots=True)
class State:
    """Owned by `step`, which changes it in place and hands it back."""

    topology: Topology = field(default_factory=lambda: Topology(Configuration()))
    document: bytes = b""
    """What the configuration was read from, as snapshots keep it."""
    expected: Expected | None = None
    epoch: str = ""
    customers: Customers = field(default_factory=Customers)
    analyze: AnalyzeState = field(default_factory=AnalyzeState)
    improve: ImproveState = field(default_factory=ImproveState)
    report: ReportState = field(default_factory=ReportState)
    seq: int = 0
    at: Instant = 0.0
