"""All that the core knows. Analyze is restored from its snapshot and the log, improve and report from their rows."""

from __future__ import annotations

from dataclasses import dataclass, field

from cemd.analyze.stage import AnalyzeState
from cemd.config.configuration import Configuration
from cemd.config.topology import Topology
from cemd.improve.stage import ImproveState
from cemd.model.customers import Customers
from cemd.model.identity import Instant
from cemd.report.stage import ReportState


@dataclass(slots=True)
class State:
    """Owned by `step`, which changes it in place and hands it back."""

    topology: Topology = field(default_factory=lambda: Topology(Configuration()))
    epoch: str = ""
    customers: Customers = field(default_factory=Customers)
    analyze: AnalyzeState = field(default_factory=AnalyzeState)
    improve: ImproveState = field(default_factory=ImproveState)
    report: ReportState = field(default_factory=ReportState)
    seq: int = 0
    at: Instant = 0.0
