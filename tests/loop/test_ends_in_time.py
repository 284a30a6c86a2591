"""From recovery to the end, through all wings in virtual time: no stage waits longer than it was configured to."""

from __future__ import annotations

import numpy as np
import pytest
from cemd.config.configuration import Configuration, hash_of
from cemd.loop.core import Core
from cemd.model.effect import Effects
from cemd.model.entry import Batch, ConfigEpoch, DispatchRequest, Entry, NoticeOutcomes, Payload, SeriesAdded, Started
from cemd.model.entry import Tick as TickPayload
from cemd.model.incident import Incident, IncidentState
from cemd.model.measurement import SUCCESS, Series, SeriesKey
from cemd.model.notice import NoticeState, Phase
from cemd.store.memory import MemoryStore

from tests.report.world import configuration, people, policy

START = 1_790_000_000.0
WINDOW_SECONDS, CLEAR_SECONDS, STABLE_SECONDS, EVERY_SECONDS, TICK_SECONDS = 60.0, 20.0, 15.0, 10.0, 1.0
HELD_SECONDS = 30.0
NAMES = ("data-a", "data-b")
SERIES = tuple(
    Series(id=serial, key=SeriesKey(probe=name, metric=SUCCESS), source="prober:home")  # type: ignore[arg-type]
    for serial, name in enumerate(NAMES)
)


def operator() -> Configuration:
    indicator = {
        "name": "data-up", "of": {"service": "data", "metric": SUCCESS}, "summary": "ratio",
        "window_seconds": WINDOW_SECONDS, "dimension": "reliability", "score": {"worst": 0.5, "best": 1.0},
        "objective": {"at_least": 0.9, "for_seconds": 20.0, "clear_for_seconds": CLEAR_SECONDS}, "source": "test",
    }  # fmt: skip
    probes = [
        {"name": name, "kind": "tcp", "service": "data", "every_seconds": EVERY_SECONDS, "timeout_seconds": 2.0}
        for name in NAMES
    ]
    return configuration(
        [policy(hold_seconds=HELD_SECONDS, stable_seconds=STABLE_SECONDS)],
        probes=probes,
        indicators=[indicator],
        grouping={"stable_seconds": STABLE_SECONDS, "confirm_sources": 1},
    )


class Line:
    """One time line: a fault, its end, and transports that accept whatever they are given."""

    def __init__(self) -> None:
        self.at, self.number = START, 0
        self.due: list[str] = []
        self.told: dict[Phase, float] = {}  # when the first of a phase left
        self.core = Core(MemoryStore().store(), self._outlet)
        self.core.recover(wall=self.at)
        config = operator()
        document = config.document()
        self.give(ConfigEpoch(hash=hash_of(document), author="ana", document=document))
        self.give(Started(version="test"), people(), SeriesAdded(series=SERIES))

    def _outlet(self, entry: Entry, effects: Effects) -> None:
        self.due.extend(one.channel for one in effects.due)
        for rows in effects.notices:
            self.told.setdefault(rows.phase, entry.at)
            self.outcomes.append(
                NoticeOutcomes(
                    communication=rows.communication,
                    phase=rows.phase,
                    revision=rows.revision,
                    customer=rows.customer,
                    state=np.full(len(rows.customer), NoticeState.ACCEPTED, np.uint8),
                )
            )

    def give(self, *payloads: Payload) -> None:
        self.outcomes: list[NoticeOutcomes] = []
        self.core.process(payloads, wall=self.at, monotonic=self.at - START)

    def live(self, seconds: float, success: float) -> None:
        """Samples at their interval, ticks, and whatever is due leaves at once."""
        end = self.at + seconds
        while self.at < end:
            self.at += TICK_SECONDS
            if (self.at - START) % EVERY_SECONDS == 0:
                self.number += 1
                self.give(
                    Batch(
                        source="prober:home",
                        number=self.number,
                        series=np.array([one.id for one in SERIES], np.int64),
                        at=np.full(len(SERIES), self.at),
                        value=np.full(len(SERIES), success),
                        outcome=np.full(len(SERIES), 0 if success else 1, np.uint8),
                    )
                )
            self.give(TickPayload())
            due, self.due = dict.fromkeys(self.due), []
            for channel in due:
                self.give(DispatchRequest(channel=channel, capacity=1000))
                for outcome in list(self.outcomes):
                    self.give(outcome)

    @property
    def incident(self) -> Incident:
        (incident,) = self.core.state.improve.incidents
        return incident


@pytest.mark.parametrize("fault_seconds", [120.0, 600.0], ids=["a short fault", "a long one"])
def test_the_end_leaves_within_the_sum_of_what_was_configured_and_a_tick(fault_seconds: float) -> None:
    line = Line()
    line.live(600.0, 1.0)
    line.live(fault_seconds, 0.0)
    assert Phase.FIRST in line.told
    recovered = line.at
    line.live(600.0, 1.0)
    cleared = line.incident.clear_since
    assert cleared is not None
    assert cleared - recovered <= EVERY_SECONDS + WINDOW_SECONDS + CLEAR_SECONDS + TICK_SECONDS
    assert line.incident.state is IncidentState.RESOLVED
    assert line.incident.resolved_at == cleared + STABLE_SECONDS
    assert cleared + STABLE_SECONDS <= line.told[Phase.OVER] <= cleared + STABLE_SECONDS + TICK_SECONDS
