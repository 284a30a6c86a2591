"""One seed, one life: drives the core and the edges through days of faults, kills and lies, under the promises.

Everything is synchronous and in virtual time. Ticks are coarse while nothing is going on. A broken promise ends the
life with the seed, the entry and what happened last; the same plan breaks it again at the same place.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from cemd.config.configuration import Configuration
from cemd.errors import StoreError
from cemd.improve.lifecycle import OVER
from cemd.loop.core import Core
from cemd.model.effect import Effects
from cemd.model.entry import CommandKind, Entry, Payload, Started, Tick
from cemd.model.notice import CommunicationState, Phase
from cemd.simulation import promises
from cemd.simulation.agenda import Agenda
from cemd.simulation.arrivals import Arrivals
from cemd.simulation.edges import Doors, LyingEdges
from cemd.simulation.fakes import FakeClock, Killed, Trouble, WatchedStore, entropy
from cemd.simulation.mishaps import Victim, befall, epoch_of, step_clock
from cemd.simulation.outcome import Broken, SimulationReport
from cemd.simulation.plan import Plan, mishaps
from cemd.simulation.promises.moments import Begun, Born, Failed, Finished, Promise, Restarted, Stepped
from cemd.simulation.remembered import remembered, replayed, state_of
from cemd.simulation.servers import Servers
from cemd.simulation.surroundings import Build
from cemd.simulation.witness import PromiseBroken, Witness
from cemd.simulation.world import World
from cemd.store.base import Store

START_MONOTONIC = 1000.0
SNAPSHOT_SECONDS = 1800.0
DRAIN_SECONDS = 16 * 3600.0
"""After the last day: past the longest quiet hours, so that everything can end."""
REST_SECONDS = 7200.0
"""At least so long, even when everything has ended: what was sent late may still come back."""
RESTLESS_SECONDS = 600.0
"""Ticks are fine for so long after anything about telling changed; whoever waits for the morning waits coarsely."""

Make = Callable[[Store, Callable[[Entry, Effects], None]], Core]
Watch = Callable[[float, int], None]
"""Told again and again of (days lived, entries logged) while a life goes on."""


def _unwatched(days: float, entries: int) -> None:
    """Nobody waits."""


def simulate(seed: int, days: float = 2.0, *, make: Make = Core, build: Build = World.of) -> SimulationReport:
    """Lives through one seed.

    Args:
        seed: Decides everything; the same seed gives the same report but for `cpu_seconds`.
        days: Days of trouble; a drain without trouble follows.
        make: Builds the core; a test puts a defect here.
        build: Makes what is around it.
    """
    return Simulation(Plan(seed=seed, days=days), make=make, build=build).run()


class Simulation(Victim):
    """The life of one plan."""

    def __init__(self, plan: Plan, *, make: Make = Core, build: Build = World.of, watch: Watch = _unwatched) -> None:
        self.plan, self.make, self.watch = plan, make, watch
        self.begin = START_MONOTONIC
        self.world = build(plan, self.begin)
        self.clock = FakeClock(self.world.begins_at, self.begin)
        self.end = self.begin + plan.length_seconds
        self.witness = Witness(plan.seed, self.world, self.clock, lambda: self._alive()[0])
        self.book = self.witness.book
        self.trouble = Trouble(kept=lambda operation: self.witness.durable(operation, self.memory))
        self.memory = WatchedStore(self.trouble)
        self.chance = entropy(plan.seed, "run")
        self.panic = entropy(plan.seed, "panic")
        self.arrivals = Arrivals(plan, self.world, self.clock, self.end, at=self.at, submit=self.submit)
        self.servers = Servers(plan, self.clock, self.end)
        self.core: Core | None = None
        self.edges: LyingEdges | None = None
        self.life = 0
        self.reloads = 0
        self.contacts = 0
        self.starts = 0
        self.configuration: Configuration = self.world.configuration
        self._agenda = Agenda()
        self._inbox: list[Payload] = []
        self._lived: dict[str, object] | None = None

    def run(self) -> SimulationReport:
        began = time.process_time()
        broken: Broken | None = None
        try:
            self._plan()
            self._birth(first=True)
            self._live(self.end)
            self._rest()
            self._drain()
            self._finish()
        except PromiseBroken as exc:
            broken = exc.broken
        except Exception as exc:  # noqa: BLE001 -- an error of the core is a find, not the end of the other seeds
            (promise,) = promises.AT_FAILURE
            sentence = next(iter(promise(self.book, Failed(error=repr(exc)))))
            broken = self.witness.broken(promise, sentence, tuple(traceback.format_exc().splitlines()[-12:]))
        return self._report(broken, time.process_time() - began)

    def _drain(self) -> None:
        """Until everything that began has ended, at most past the longest quiet hours."""
        at = self.end + REST_SECONDS
        self._live(at)
        while at < self.end + DRAIN_SECONDS and not self._is_quiet():
            at += 3600.0
            self._live(at)

    def _is_quiet(self) -> bool:
        ended = (CommunicationState.ENDED, CommunicationState.DECLINED)
        return all(one.state in ended for one in self.book.communications.values()) and all(
            one.state in OVER for one in self.book.incidents.values()
        )

    # the agenda

    def at(self, when: float, what: Callable[[], None], *, life: int = -1) -> None:
        self._agenda.put(when, what, life=life)

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self.at(self.clock.monotonic + seconds, what, life=self.life)

    def _live(self, until: float) -> None:
        while (when := self._agenda.next_at()) <= until:
            self.clock.advance(when)
            self.watch((when - self.begin) / 86_400.0, self.book.acknowledged_seq)
            try:
                self._agenda.do_due(self.clock.monotonic, lambda life: life == self.life)
                self._flush()
            except Killed as death:
                self._die(str(death))

    def _flush(self) -> None:
        """Gives what came in to the core, in one group or several."""
        if self.core is None:
            self._inbox.clear()
            return
        while self._inbox:
            cut = len(self._inbox) if self.chance.random() < 0.7 else self.chance.randint(1, len(self._inbox))
            group, self._inbox = self._inbox[:cut], self._inbox[cut:]
            if not self._process(group) or self.core.stalled:
                return

    def _process(self, group: Sequence[Payload]) -> bool:
        """False when the store refused before the group was logged: it waits, as the sequencer would let it."""
        core, _ = self._alive()
        logged: list[Entry] = []

        def acknowledge(entries: Sequence[Entry]) -> None:
            logged.extend(entries)
            self.trouble.seam("acknowledge")
            self.book.acknowledged_seq = max(self.book.acknowledged_seq, entries[-1].seq)
            self.arrivals.acknowledge(group)

        try:
            core.process(group, wall=self.clock.wall, monotonic=self.clock.monotonic, logged=acknowledge)
        except StoreError:
            if logged:
                self._later(1.0, self._resume)
            else:
                self._inbox[:0] = group
                self._later(1.0, _nothing)
                return False
        return True

    def _resume(self) -> None:
        if self.core is not None and self.core.stalled:
            try:
                self.core.resume()
            except StoreError:
                self._later(1.0, self._resume)

    def submit(self, payload: Payload) -> None:
        self._inbox.append(payload)

    # birth and death

    def _birth(self, *, first: bool = False) -> None:
        """A new process: loads, states that it started, goes on. It may die again on the way."""
        self.life += 1
        self.book.skipped = frozenset(self.memory.state.quarantined())
        self.book.stepped_seq = self.book.born_at_seq = self.memory.state.applied_seq()
        self.starts += 1
        seq, deaths = self.memory.progress.crashed_at()
        self.hold(promises.AT_BIRTH, Born(seq=seq, deaths=deaths))
        core = self.make(self.memory.store(), self._outlet)
        self.edges = LyingEdges(
            Doors(
                later=self._later,
                submit=self.submit,
                sent=self.witness.sent,
                alerted=self.witness.alerted,
                recheck=self._recheck,
            ),
            self.trouble,
            self.clock,
            entropy(self.plan.seed, f"edges {self.life}"),
            honest=not self.plan.has("lies"),
            dead=self.servers.is_dead,
        )
        lived, self._lived = self._lived, None
        self.core = core
        try:
            core.recover(wall=self.clock.wall)
            self.hold(promises.AT_START, Restarted(core=core, lived=lived, loaded=state_of(core)))
            self.book.skipped = frozenset(self.memory.state.quarantined())
            started: list[Payload] = [Started(version="simulation")]
            if first:
                started = [epoch_of(self.configuration), *started]
                started += self.world.begin(self.memory.series, entropy(self.plan.seed, "begin"))
            if not self._process(started):
                self._inbox.clear()
                raise StoreError("the log is full at the start.")  # noqa: TRY301 -- as the daemon would end
        except StoreError:
            self._perish("the disk is full at the start")
            return
        self.hold(promises.AT_BEGUN, Begun(core=core, wall=self.clock.wall))
        self.note(f"life {self.life} begins, {core.replayed} entries replayed")
        self._inbox = self.arrivals.unacknowledged()
        self._later(0.5, self._tick)
        self._later(SNAPSHOT_SECONDS, self._snapshot)

    def _alive(self) -> tuple[Core, LyingEdges]:
        if self.core is None or self.edges is None:
            raise RuntimeError("simulation: nothing can happen in a dead process; a bug of the simulation itself.")
        return self.core, self.edges

    def _die(self, seam: str) -> None:
        self.note(f"killed at {seam}")
        self._perish(seam)

    def _perish(self, why: str) -> None:
        """The process is gone, with all that it had in memory; a new one comes after a while."""
        del why
        self.core, self.edges = None, None
        self.life += 1
        self._inbox.clear()
        self.trouble.kill_in = None
        self.memory.restart()
        chance = entropy(self.plan.seed, f"down {self.starts}")
        if self.plan.has("steps-while-down") and chance.random() < 0.1 and self.clock.monotonic < self.end:
            step_clock(self, chance)
        self.at(self.clock.monotonic + self.chance.choice((1.0, 3.0, 30.0, 600.0)), self._reborn)

    def _reborn(self) -> None:
        if self.core is None:
            chance = entropy(self.plan.seed, f"birth {self.starts}")
            again = chance.random() < 0.1 and self.plan.has("kills-at-birth")
            if again and self.clock.monotonic < self.end:
                self.trouble.kill_in = chance.randint(0, 8)
            self._birth()

    def idle_kill(self) -> None:
        """What was lived can be compared with what is loaded."""
        if self.core is not None and not self.core.stalled:
            self._lived = state_of(self.core)
            self._die("idle")

    def stop(self) -> None:
        if self.core is not None and self.edges is not None and not self.core.stalled:
            self._inbox += self.edges.stop()
            self._flush()
            self._die("a clean stop")

    def _outlet(self, entry: Entry, effects: Effects) -> None:
        core, edges = self._alive()
        self.trouble.seam("outlet.before")
        now = Stepped(entry=entry, effects=effects, core=core)
        self.book.read_to(entry.seq)
        self.hold(promises.AT_STEP, now)
        if isinstance(entry.payload, Tick):
            self.hold(promises.AT_TICK, now)
        self.book.stepped_seq = entry.seq
        edges.take(effects)
        if effects.notices and self.clock.monotonic < self.end:
            self._while_telling()
        self.trouble.seam("outlet.after")

    def _while_telling(self) -> None:
        """Notices go out: a good moment to die; or somebody sees them go, and stops everything."""
        luck, panic = self.panic.random(), self.panic.random()
        if self.plan.has("kills-while-telling") and self.trouble.kill_in is None and luck < 0.05:
            self.trouble.kill_in = self.panic.randint(0, 12)
        if self.plan.has("panic") and panic < 0.04:
            self.at(self.clock.monotonic + 0.3, partial(self.say, CommandKind.KILL))
            self.at(self.clock.monotonic + self.panic.uniform(5.0, 900.0), partial(self.say, CommandKind.UNKILL))

    def hold(self, kept: Iterable[Promise], now: object) -> None:
        self.witness.hold(kept, now)

    def note(self, what: str) -> None:
        self.witness.note(what)

    # what goes on

    def _tick(self) -> None:
        if self.core is None:
            return
        if not self.core.stalled:
            self.submit(Tick())
        self._later(self._pace(), self._tick)

    def _pace(self) -> float:
        """Coarse in quiet times, finer while something lasts or is told."""
        quiet, hurt, telling = self.world.ticks
        busy = (CommunicationState.HOLDING, CommunicationState.TELLING, CommunicationState.ENDING)
        lately = self.clock.wall - self.book.told_at < RESTLESS_SECONDS
        if lately and any(one.state in busy for one in self.book.communications.values()):
            return telling
        stabilising = any(one.state is CommunicationState.STABILISING for one in self.book.communications.values())
        if stabilising or any(one.state not in OVER for one in self.book.incidents.values()):
            return hurt  # quiet ticks are so far apart that each begins the wait for stability anew
        return quiet

    def _snapshot(self) -> None:
        if self.core is None:
            return
        try:
            if not self.core.stalled:
                self.memory.samples.seal(self.core.state.at)
                self.core.save_snapshot()
        except StoreError:
            pass
        self._later(SNAPSHOT_SECONDS, self._snapshot)

    def _recheck(self, probe: str) -> None:
        self._later(2.0, partial(self.arrivals.recheck, probe))

    def _plan(self) -> None:
        """Puts the mishaps of the plan on the agenda."""
        self.at(self.begin + 5.0, self.arrivals.pass_round)
        for mishap in mishaps(self.plan, [begin for _, begin in self.world.faults()]):
            self.at(self.begin + mishap.at, partial(befall, self, mishap))

    def epoch(self) -> str:
        return self.core.state.epoch if self.core is not None else ""

    # the end

    def _rest(self) -> None:
        """No more trouble: what began may end."""
        self.trouble.kill_in, self.trouble.full = None, False
        for wait in (1.0, 600.0, 1300.0):
            self.at(self.end + wait, partial(self.say, CommandKind.UNKILL))
            self.at(self.end + wait, partial(self.say, CommandKind.RELEASE))
        self.at(self.end + 10.0, self._release_all)

    def _release_all(self) -> None:
        for communication in self.book.communications.values():
            self.say(CommandKind.RELEASE, communication.id)

    def _finish(self) -> None:
        if self.core is None:
            self._birth()
        core, _ = self._alive()
        lived = remembered(self.memory)
        again = None if self.book.skipped else replayed(self.book.groups, self.clock.wall)
        self.hold(promises.AT_END, Finished(core=core, lived=lived, replayed=again))

    def _report(self, broken: Broken | None, cpu_seconds: float) -> SimulationReport:
        book = self.book
        rows = [(phase, row) for box in book.outbox.values() for (_, phase, _), row in box.items()]
        return SimulationReport(
            seed=self.plan.seed,
            days=self.plan.days,
            plan=self.plan,
            broken=broken,
            entries=book.logged_seq,
            starts=self.starts,
            kills=self.trouble.struck,
            refusals=self.trouble.refusals,
            reloads=self.reloads,
            faults=sum(self.plan.has(name) for name, _ in self.world.faults()),
            contacts=self.contacts + self.arrivals.contacts,
            incidents=len(book.incidents),
            communications=len(book.communications),
            told=sum(phase is Phase.FIRST for phase, _ in rows),
            overs=sum(phase is Phase.OVER for phase, _ in rows),
            submitted=sum(book.submitted.values()),
            alerts=sum(map(len, book.alerted.values())),
            told_wrongly=book.told_wrongly,
            cpu_seconds=round(cpu_seconds, 3),
        )


def _nothing() -> None:
    """Lets the agenda come round, so that what waits is tried again."""
