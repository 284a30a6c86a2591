"""Transports and staff of an ordinary day: every message arrives, soon; every alert is taken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cemd.config.configuration import Configuration
from cemd.model.entry import AlertOutcome, NoticeOutcomes
from cemd.model.notice import Alert, NoticeRows, NoticeState
from cemd.simulation.edges import Doors, Edges, Flight
from cemd.simulation.fakes import FakeClock

SEND_SECONDS = 2.0
ASK_SECONDS = 1.0
Arrived = Callable[[NoticeRows], None]
"""Told which notices have reached their readers."""


class GoodTransport(Edges):
    """The channels of the scenario, at the rate that each may send."""

    def __init__(self, doors: Doors, clock: FakeClock, configuration: Configuration, arrived: Arrived) -> None:
        super().__init__(doors)
        self.arrived = arrived
        self.clock = clock
        tick = configuration.settings.tick_seconds
        self._rate = {one.name: max(1, int(one.per_second * tick)) for one in configuration.channels}

    def delay_seconds(self) -> float:
        return SEND_SECONDS

    def pause_seconds(self) -> float:
        return ASK_SECONDS

    def capacity(self, channel: str) -> int:
        return self._rate[channel]

    def send(self, flight: Flight) -> None:
        rows = flight.rows
        state = NoticeState.ACCEPTED
        if self.stopped or flight.withdrawn:
            state = NoticeState.CANCELLED
        elif self.clock.wall > rows.expires_at:
            state = NoticeState.EXPIRED
        if state is NoticeState.ACCEPTED:
            for index in range(len(rows.customer)):
                self.doors.sent(rows, index)
            self.arrived(rows)
        outcomes = NoticeOutcomes(
            communication=rows.communication,
            phase=rows.phase,
            revision=rows.revision,
            customer=rows.customer,
            state=np.full(len(rows.customer), state, np.uint8),
        )
        self.doors.submit(outcomes)

    def alert(self, alert: Alert) -> None:
        self.doors.alerted(alert)
        self.doors.submit(AlertOutcome(alert=alert.id, revision=alert.revision, sent=True))
