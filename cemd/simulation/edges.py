"""The edges as synchronous fakes: they take committed effects, send (or lie, lose, delay), and bring back outcomes.

All that they know dies with the process. What left is counted in the book, which does not.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from cemd.model.effect import Effects
from cemd.model.entry import AlertOutcome, DispatchRequest, NoticeOutcomes, Payload
from cemd.model.notice import Alert, NoticeRows, NoticeState
from cemd.simulation.fakes import FakeClock, Trouble

Later = Callable[[float, Callable[[], None]], None]
"""Does something so many seconds from now, if the process still lives then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What an edge may do: wait, bring an entry, and touch the world (which the book sees)."""

    later: Later
    submit: Callable[[Payload], None]
    sent: Callable[[NoticeRows, int], None]
    alerted: Callable[[Alert], None]
    recheck: Callable[[str], None]


@dataclass(slots=True, eq=False)
class Flight:
    """Notices that were handed over and are on their way out."""

    rows: NoticeRows
    withdrawn: bool = False

    def is_named(self, communication: str, phase: int, revision: int) -> bool:
        return (self.rows.communication, int(self.rows.phase), self.rows.revision) == (communication, phase, revision)


class Edges(ABC):
    """What every stand-in for the edges does alike: takes effects, keeps what is in flight, asks for what is due.

    How long things take, and what becomes of a message, is said by those who inherit.
    """

    def __init__(self, doors: Doors) -> None:
        self.doors = doors
        self.stopped = False
        self._flights: list[Flight] = []
        self._asked: dict[str, None] = {}

    def take(self, effects: Effects) -> None:
        """As the outlet hands them over: after the commit, in order."""
        if effects.stopped is not None:
            self.stopped = effects.stopped
        for communication, phase, revision in effects.withdrawn:
            for flight in self._flights:
                flight.withdrawn |= flight.is_named(communication, int(phase), revision)
        for rows in effects.handed_over():
            if rows.state is NoticeState.IN_FLIGHT:
                flight = Flight(rows)
                self._flights.append(flight)
                self.doors.later(self.delay_seconds(), partial(self._leave, flight))
        for due in effects.due:
            if due.channel not in self._asked:
                self._asked[due.channel] = None
                self.doors.later(self.pause_seconds(), partial(self._ask, due.channel))
        for alert in effects.alerts:
            self.doors.later(self.delay_seconds(), partial(self.alert, alert))
        for recheck in effects.rechecks:
            self.doors.recheck(recheck.probe)

    def stop(self) -> Iterator[NoticeOutcomes]:
        """A clean stop: what was handed over and is not on its way out surely did not leave."""
        flights, self._flights = self._flights, []
        return (did_not_leave(flight.rows) for flight in flights)

    def _ask(self, channel: str) -> None:
        self._asked.pop(channel, None)
        self.doors.submit(DispatchRequest(channel=channel, capacity=self.capacity(channel)))

    def _leave(self, flight: Flight) -> None:
        self._flights.remove(flight)
        self.send(flight)

    @abstractmethod
    def delay_seconds(self) -> float:
        """From now until a message or alert leaves."""

    @abstractmethod
    def pause_seconds(self) -> float:
        """From now until a channel asks for what is due."""

    @abstractmethod
    def capacity(self, channel: str) -> int:
        """How many notices a channel takes at once."""

    @abstractmethod
    def send(self, flight: Flight) -> None:
        """The last look, the wire, and whatever comes back."""

    @abstractmethod
    def alert(self, alert: Alert) -> None:
        """One alert to staff, and its outcome."""


class LyingEdges(Edges):
    """Transports that are slow, refuse, lose answers and lie; the process may die around every send.

    `honest`: they are only slow. `dead`: of which channels the server is in nobody's reach just now.
    """

    def __init__(
        self,
        doors: Doors,
        trouble: Trouble,
        clock: FakeClock,
        chance: random.Random,
        *,
        honest: bool = False,
        dead: Callable[[str], bool] = lambda _: False,
    ) -> None:
        super().__init__(doors)
        self.honest = honest
        self.dead = dead
        self.trouble = trouble
        self.clock = clock
        self.chance = chance

    def delay_seconds(self) -> float:
        return self.chance.choice((0.1, 0.5, 2.0, 2.0, 20.0))

    def pause_seconds(self) -> float:
        return self.chance.uniform(0.2, 4.0)

    def capacity(self, channel: str) -> int:
        del channel
        return self.chance.choice((1, 5, 40, 200))

    def send(self, flight: Flight) -> None:
        """Each message by itself."""
        rows = flight.rows
        if self.dead(rows.channel) and not self.stopped and not flight.withdrawn:
            self._bring_back(rows)
            return
        customers: list[int] = []
        states: list[int] = []
        for index, customer in enumerate(rows.customer.tolist()):
            state = self._submit(flight, index)
            if state is not None:
                customers.append(customer)
                states.append(int(state))
        if customers:
            self._bring(rows, customers, states)

    def _luck(self) -> float:
        luck = self.chance.random()
        return 1.0 if self.honest else luck

    def _submit(self, flight: Flight, index: int) -> NoticeState | None:
        """None: no answer ever comes."""
        if self.stopped or flight.withdrawn:
            return NoticeState.CANCELLED
        if self.clock.wall > flight.rows.expires_at:
            return NoticeState.EXPIRED
        self.trouble.seam("send.before")
        luck = self._luck()
        if luck < 0.03:
            return NoticeState.FAILED  # refused for good: it never left
        self.doors.sent(flight.rows, index)
        self.trouble.seam("send.after")
        if luck < 0.06:
            return NoticeState.UNKNOWN  # the answer was lost
        if luck < 0.07:
            return None
        if luck < 0.09:
            return NoticeState.FAILED  # a lie: it has left
        return NoticeState.ACCEPTED

    def _bring(self, rows: NoticeRows, customers: Sequence[int], states: Sequence[int]) -> None:
        """Outcomes come back late, in pieces, sometimes twice; receipts later still."""
        cut = self.chance.randint(0, len(customers))
        for part in (slice(0, cut), slice(cut, None)):
            if not customers[part]:
                continue
            outcomes = _outcomes(rows, customers[part], states[part])
            self.doors.later(self.delay_seconds(), partial(self.doors.submit, outcomes))
            if self.chance.random() < 0.1:
                self.doors.later(30.0, partial(self.doors.submit, outcomes))
        if self.chance.random() < 0.3:
            receipts = _outcomes(rows, customers, [int(NoticeState.DELIVERED)] * len(customers))
            self.doors.later(60.0, partial(self.doors.submit, receipts))

    def _bring_back(self, rows: NoticeRows) -> None:
        """None of them left. It is said late, and sometimes twice."""
        self.doors.later(self.chance.choice((0.1, 2.0)), partial(self.doors.submit, did_not_leave(rows)))
        if self.chance.random() < 0.3:
            self.doors.later(self.chance.choice((30.0, 60.0)), partial(self.doors.submit, did_not_leave(rows)))

    def alert(self, alert: Alert) -> None:
        self.trouble.seam("alert.before")
        luck = self._luck()
        if luck < 0.1:
            self._say(alert, sent=False, reason="refused")
            return
        self.doors.alerted(alert)
        self.trouble.seam("alert.after")
        if luck < 0.13:
            self._say(alert, sent=False, reason="answer lost", unknown=True)
        else:
            self._say(alert, sent=True)

    def _say(self, alert: Alert, *, sent: bool, reason: str = "", unknown: bool = False) -> None:
        outcome = AlertOutcome(alert=alert.id, revision=alert.revision, sent=sent, reason=reason, unknown=unknown)
        self.doors.later(self.chance.uniform(0.1, 3.0), partial(self.doors.submit, outcome))


def did_not_leave(rows: NoticeRows) -> NoticeOutcomes:
    """What an edge says of rows that surely did not leave."""
    return NoticeOutcomes(
        communication=rows.communication,
        phase=rows.phase,
        revision=rows.revision,
        customer=rows.customer,
        state=np.full(len(rows.customer), NoticeState.DUE, np.uint8),
        reason="did_not_leave",
        seq=rows.seq,
    )


def _outcomes(rows: NoticeRows, customers: Sequence[int], states: Sequence[int]) -> NoticeOutcomes:
    return NoticeOutcomes(
        communication=rows.communication,
        phase=rows.phase,
        revision=rows.revision,
        customer=np.array(customers, np.uint32),
        state=np.array(states, np.uint8),
    )
