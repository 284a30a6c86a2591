"""Report's part of `step`."""

from __future__ import annotations

from collections.abc import Sequence

from cemd.config.topology import Topology
from cemd.model.customers import Customers
from cemd.model.effect import Effects
from cemd.model.entry import Entry
from cemd.model.incident import IncidentEvent
from cemd.model.rows import Rows


class ReportState:
    """Communications, decisions and alerts, as rows; told sets are worked out from the outbox."""

    def __init__(self) -> None:
        self.epoch = ""

    def tables(self) -> Sequence[Rows]:  # type: ignore[type-arg]
        return ()


def handle(
    state: ReportState,
    entry: Entry,
    events: Sequence[IncidentEvent],
    topology: Topology,
    customers: Customers,
    effects: Effects,
    *,
    before: Topology,
) -> None:
    """Applies an entry and the incident events that arose from it."""
