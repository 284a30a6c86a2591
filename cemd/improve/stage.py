"""Improve's part of `step`."""

from __future__ import annotations

from collections.abc import Sequence

from cemd.config.topology import Topology
from cemd.model.customers import Customers
from cemd.model.effect import Effects
from cemd.model.entry import Entry
from cemd.model.finding import Finding
from cemd.model.incident import Incident, IncidentEvent
from cemd.model.rows import Rows


class ImproveState:
    """Incidents, as rows."""

    def __init__(self) -> None:
        self.epoch = ""
        self.incidents: Rows[Incident] = Rows("incident", Incident)

    def tables(self) -> Sequence[Rows]:  # type: ignore[type-arg]
        return (self.incidents,)


def handle(  # noqa: PLR0913
    state: ImproveState,
    entry: Entry,
    findings: Sequence[Finding],
    topology: Topology,
    customers: Customers,
    effects: Effects,
) -> Sequence[IncidentEvent]:
    """Applies an entry and the findings that arose from it."""
    return ()
