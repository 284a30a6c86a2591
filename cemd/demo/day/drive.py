"""Lets the real core live through a world in virtual time: log, step, commit, edges, as the daemon's thread would.

Time passes in the daemon's own ticks. Everything that a tick brings is one group of entries with a `Tick` behind it;
what leaves goes to a transport that always works, and comes back as entries. The witness sees every effect after its
commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cemd.config.configuration import hash_of
from cemd.demo.day.transport import GoodTransport
from cemd.demo.day.witness import Witness
from cemd.demo.world.world import World
from cemd.loop.core import Core
from cemd.model.effect import Effects
from cemd.model.entry import Batch, ConfigEpoch, Entry, Payload, Started, Tick
from cemd.model.identity import Instant
from cemd.model.measurement import Samples
from cemd.model.notice import NoticeRows
from cemd.simulation.agenda import Agenda
from cemd.simulation.edges import Doors
from cemd.simulation.fakes import FakeClock, Trouble, WatchedStore
from cemd.store.base import LogGroup
from cemd.store.memory import MemoryLog, MemorySamples


class _ForgetfulLog(MemoryLog):
    """Nobody dies here, so nothing is replayed."""

    def append(self, group: LogGroup) -> None:
        self._last = group.last


class _ForgetfulSamples(MemorySamples):
    def add(self, samples: Samples, seq: int) -> None:
        """History is not asked for here."""


class Day:
    """One life of the core in one world."""

    def __init__(self, world: World, witness: Witness) -> None:
        self.world, self.witness = world, witness
        self.clock = FakeClock(world.start)
        self.agenda = Agenda()
        self.memory = WatchedStore(Trouble(kept=self._kept))
        self.memory.log = _ForgetfulLog()
        self.memory.samples = _ForgetfulSamples()
        self.core = Core(self.memory.store(), self._outlet)
        doors = Doors(
            later=self._later,
            submit=self._submit,
            sent=self.witness.sent,
            alerted=self.witness.alerted,
            recheck=self._recheck,
        )
        self.edges = GoodTransport(doors, self.clock, world.configuration, self._arrived)
        self._inbox: list[Payload] = []

    def live(self) -> None:
        """From the first warm-up hour until all that began has ended."""
        self.core.recover(wall=self.clock.wall)
        document = self.world.configuration.document()
        epoch = ConfigEpoch(hash=hash_of(document), author="day", document=document)
        self._process([epoch, Started(version="day"), *self.world.begin(self.memory.series)])
        self.witness.begin()
        over = max([self.world.end, *(event.end for event in self.world.events)])
        until = over + self.world.scenario.calendar.drain_hours * 3600.0
        at = self.world.start
        while at < until:
            at += self.world.tick
            if at > over and self.witness.is_quiet(self.core):
                break
            self._pass(at)
        self.witness.finish(self.core, at)

    def _pass(self, at: Instant) -> None:
        self.clock.advance(self.clock.monotonic + at - self.clock.wall)
        self.agenda.do_due(self.clock.monotonic)
        brought = self.world.pass_tick(at)
        came, self._inbox = [*self._inbox, *brought, Tick()], []
        self._process(came)
        self.witness.look(self.core, at, [one for one in brought if isinstance(one, Batch)])

    def _process(self, payloads: Sequence[Payload]) -> None:
        wall, monotonic = self.clock.wall, self.clock.monotonic
        self.core.process(payloads, wall=wall, monotonic=monotonic, logged=self.witness.logged)

    def _outlet(self, entry: Entry, effects: Effects) -> None:
        self.witness.stepped(self.core, entry, effects)
        self.edges.take(effects)

    def _kept(self, operation: str) -> None:
        if operation == "state.commit" and (change := self.memory.state.under_way) is not None:
            self.witness.committed(self.core, change)

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self.agenda.put(self.clock.monotonic + seconds, what)

    def _submit(self, payload: Payload) -> None:
        self._inbox.append(payload)

    def _recheck(self, probe: str) -> None:
        self._inbox.extend(self.world.recheck(probe, self.clock.wall))

    def _arrived(self, rows: NoticeRows) -> None:
        self.world.told(rows.customer, rows.phase, self.clock.wall)
