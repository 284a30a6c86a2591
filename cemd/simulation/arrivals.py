"""What arrives: probers and feeds are other processes, which go on while the core is dead and send until acknowledged.

On the way a measurement may be late, overtaken or doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from cemd.model.entry import Batch, Contact, Payload
from cemd.simulation.fakes import FakeClock, entropy
from cemd.simulation.plan import Plan
from cemd.simulation.surroundings import Surroundings

BACKLOG_PAYLOADS = 500
"""The prober's own buffer."""
OVERTAKEN_SECONDS = 5.0
"""Beyond one round: then the next one was there before."""

At = Callable[[float, Callable[[], None]], None]
"""Does something at a monotonic instant."""


class Arrivals:
    """Of one life, until `end` with disorder. `contacts`: how many came of the world's own lives."""

    def __init__(
        self,
        plan: Plan,
        world: Surroundings,
        clock: FakeClock,
        end: float,
        *,
        at: At,
        submit: Callable[[Payload], None],
    ) -> None:
        self.world, self.clock, self._at, self._submit = world, clock, at, submit
        self._orderly_from = end if plan.has("disorder") else 0.0
        self._disorder, self._around = entropy(plan.seed, "disorder"), entropy(plan.seed, "around")
        self._unsent: list[Payload] = []
        self._away_until: dict[str, float] = {}  # monotonic, by source
        self.contacts = 0

    def pass_round(self) -> None:
        """What the round brings, and the next one."""
        for payload in self.world.pass_round(self._around, self.clock.monotonic, self.clock.wall):
            self.contacts += isinstance(payload, Contact)
            if not self._is_away(payload):
                self._on_the_way(payload)
        self._at(self.clock.monotonic + self.world.round_seconds, self.pass_round)

    def stop(self, source: str, seconds: float) -> None:
        """This source measures nothing for so long."""
        self._away_until[source] = max(self._away_until.get(source, 0.0), self.clock.monotonic + seconds)

    def recheck(self, probe: str) -> None:
        """What one probe sees now."""
        for payload in self.world.recheck(self._around, probe, self.clock.monotonic, self.clock.wall):
            if not self._is_away(payload):
                self._deliver(payload)

    def _is_away(self, payload: Payload) -> bool:
        return isinstance(payload, Batch) and self.clock.monotonic < self._away_until.get(payload.source, 0.0)

    def acknowledge(self, payloads: Sequence[Payload]) -> None:
        """These need not be sent again."""
        gone = {id(payload) for payload in payloads}
        self._unsent = [payload for payload in self._unsent if id(payload) not in gone]

    def unacknowledged(self) -> list[Payload]:
        """What is sent again to a new process."""
        return [*self._unsent]

    def _on_the_way(self, payload: Payload) -> None:
        """Measurements may be late, overtaken or doubled; whatever else comes, comes at once."""
        luck = self._disorder.random() if isinstance(payload, Batch) else 1.0
        now = self.clock.monotonic
        if now >= self._orderly_from:
            luck = 1.0
        if luck < 0.01:  # held up somewhere, long
            self._at(now + self._disorder.uniform(400.0, 2000.0), partial(self._deliver, payload))
        elif luck < 0.03:  # held up a little: overtaken by the next
            self._at(now + self.world.round_seconds + OVERTAKEN_SECONDS, partial(self._deliver, payload))
        else:
            self._deliver(payload)
            if luck < 0.05:  # sent twice
                self._at(now + 20.0, partial(self._deliver, payload))

    def _deliver(self, payload: Payload) -> None:
        if len(self._unsent) < BACKLOG_PAYLOADS:
            self._unsent.append(payload)
        self._submit(payload)
