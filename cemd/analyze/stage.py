"""Analyze's part of `step`."""

from __future__ import annotations

from collections.abc import Sequence

from cemd.config.topology import Topology
from cemd.model.entry import Entry
from cemd.model.finding import Finding


class AnalyzeState:
    """Baselines, windows and open findings; restored from a snapshot and the log."""

    def __init__(self) -> None:
        self.epoch = ""


def handle(state: AnalyzeState, entry: Entry, topology: Topology) -> Sequence[Finding]:  # noqa: ARG001 -- the door
    """Applies an entry; findings arise at ticks, and all open ones are stated anew at `Started`."""
    return ()
