"""What the core thread publishes after each tick: the views of the wings, put together, for whoever looks."""

from __future__ import annotations

from cemd.analyze import stage as analyze
from cemd.improve import stage as improve
from cemd.loop.core import Core
from cemd.model.view import Views
from cemd.report.alerts import unheard
from cemd.report.view import view as report_view


class Published:
    """Holds the newest `Views`. One thread replaces it whole, all others read it."""

    def __init__(self) -> None:
        self.views: Views | None = None

    def publish(self, core: Core) -> None:
        """Called by the core thread after a tick."""
        state = core.state
        self.views = Views(
            at=state.at,
            seq=state.seq,
            epoch=state.epoch,
            analyze=analyze.view(state.analyze, state.topology),
            incidents=improve.view(state.improve),
            waits=improve.waits(state.improve),
            report=report_view(state.report, state.customers),
            series=analyze.series_columns(state.analyze, state.topology),
            unheard=unheard(state.report.alerts, state.improve.incidents, state.topology),
        )
