"""One seed, one life: drives the core and the edges through days of faults, kills and lies, under the promises.

Everything is synchronous and in virtual time. Ticks are coarse while nothing is going on. A broken promise ends the
life with the seed, the entry and what happened last; the same seed breaks it again at the same place.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from cemd.analyze import stage as analyze
from cemd.config.configuration import Configuration, hash_of
from cemd.errors import StoreError
from cemd.improve.lifecycle import OVER
from cemd.loop.core import Core
from cemd.model.effect import Effects
from cemd.model.entry import (
    Command,
    CommandKind,
    ConfigEpoch,
    Contact,
    ContactKind,
    Entry,
    Payload,
    SeriesAdded,
    Started,
    Tick,
)
from cemd.model.notice import Alert, CommunicationState, NoticeRows, Phase
from cemd.simulation import promises
from cemd.simulation.agenda import Agenda
from cemd.simulation.book import Book
from cemd.simulation.edges import Doors, LyingEdges
from cemd.simulation.fakes import FakeClock, Killed, Trouble, WatchedStore, entropy
from cemd.simulation.nonsense import nonsense
from cemd.simulation.promises import Failed, Finished, Promise, Reloaded, Restarted, Sent, Stepped, Written
from cemd.simulation.world import PROBE_SECONDS, World, variant
from cemd.store.base import LogGroup, Store
from cemd.store.memory import MemoryStore

START_WALL = 1_772_000_000.0  # a Wednesday in February 2026, mid-morning in Berlin
QUIET_TICK_SECONDS = 120.0
HURT_TICK_SECONDS = 30.0
TELLING_TICK_SECONDS = 10.0
SNAPSHOT_SECONDS = 1800.0
DRAIN_SECONDS = 16 * 3600.0
"""After the last day: past the longest quiet hours, so that everything can end."""
KILLS_A_DAY = 10

Make = Callable[[Store, Callable[[Entry, Effects], None]], Core]
Watch = Callable[[float, int], None]
"""Told again and again of (days lived, entries logged) while a life goes on."""


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """A promise that was broken, and where."""

    seed: int
    promise: str
    seq: int
    at: float
    detail: str
    trace: tuple[str, ...]


class SimulationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in one life. `broken` is None when every promise held."""

    seed: int
    days: float
    broken: Broken | None
    entries: int
    starts: int
    kills: dict[str, int]  # by seam
    refusals: int  # of the full disk
    reloads: int
    faults: int
    incidents: int
    communications: int
    told: int
    overs: int
    submitted: int
    alerts: int
    told_wrongly: int
    cpu_seconds: float


class _PromiseBroken(BaseException):
    def __init__(self, broken: Broken) -> None:
        self.broken = broken
        super().__init__(broken.detail)


def simulate(
    seed: int, days: float = 2.0, *, make: Make = Core, watch: Watch = lambda _days, _entries: None
) -> SimulationReport:
    """Lives through one seed.

    Args:
        seed: Decides everything; the same seed gives the same report but for `cpu_seconds`.
        days: Days of trouble; a drain without trouble follows.
        make: Builds the core; a test puts a defect here.
        watch: For whoever waits; it changes nothing.
    """
    return Simulation(seed, days, make, watch).run()


class Simulation:
    """The life of one seed."""

    def __init__(self, seed: int, days: float, make: Make, watch: Watch) -> None:
        self.seed, self.days, self.make, self.watch = seed, days, make, watch
        self.clock = FakeClock(START_WALL + entropy(seed, "start").uniform(0.0, 86_400.0))
        self.begin = self.clock.monotonic
        self.end = self.begin + days * 86_400.0
        self.world = World(seed, days, start=self.begin)
        self.book = Book()
        self.trouble = Trouble(kept=self._kept)
        self.memory = WatchedStore(self.trouble)
        self.chance = entropy(seed, "run")
        self.panic = entropy(seed, "panic")
        self.nonsense = entropy(seed, "nonsense")
        self.core: Core | None = None
        self.edges: LyingEdges | None = None
        self.life = 0
        self.reloads = 0
        self.starts = 0
        self.configuration: Configuration = self.world.configuration
        self._agenda = Agenda()
        self._inbox: list[Payload] = []
        self._unsent: list[Payload] = []  # of the prober, kept until acknowledged
        self._lived: dict[str, object] | None = None

    def run(self) -> SimulationReport:
        began = time.process_time()
        broken: Broken | None = None
        try:
            self._plan()
            self._birth(first=True)
            self._live(self.end)
            self._rest()
            self._live(self.end + DRAIN_SECONDS)
            self._finish()
        except _PromiseBroken as exc:
            broken = exc.broken
        except Exception as exc:  # noqa: BLE001 -- an error of the core is a find, not the end of the other seeds
            trace = (*self.book.trace, *traceback.format_exc().splitlines()[-12:])
            found = next(iter(promises.the_core_never_fails(self.book, Failed(error=repr(exc)))))
            broken = self._broken(promises.the_core_never_fails.__name__, found, trace)
        return self._report(broken, time.process_time() - began)

    # the agenda

    def _at(self, when: float, what: Callable[[], None], *, life: int = -1) -> None:
        """Something to do at a monotonic instant; with a life, only if the process still lives then."""
        self._agenda.put(when, what, life=life)

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self._at(self.clock.monotonic + seconds, what, life=self.life)

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
            gone = {id(payload) for payload in group}
            self._unsent = [payload for payload in self._unsent if id(payload) not in gone]

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

    def _submit(self, payload: Payload) -> None:
        self._inbox.append(payload)

    # birth and death

    def _birth(self, *, first: bool = False) -> None:
        """A new process: loads, states that it started, goes on. It may die again on the way."""
        self.life += 1
        self.book.skipped = frozenset(self.memory.state.quarantined())
        self.book.stepped_seq = self.book.born_at_seq = self.memory.state.applied_seq()
        self.starts += 1
        core = self.make(self.memory.store(), self._outlet)
        self.edges = LyingEdges(
            Doors(
                later=self._later, submit=self._submit, sent=self._sent, alerted=self._alerted, recheck=self._recheck
            ),
            self.trouble,
            self.clock,
            entropy(self.seed, f"edges {self.life}"),
        )
        lived, self._lived = self._lived, None
        self.core = core
        try:
            core.recover(wall=self.clock.wall)
            self._hold(promises.AT_START, Restarted(core=core, lived=lived, loaded=_state_of(core)))
            self.book.skipped = frozenset(self.memory.state.quarantined())
            started: list[Payload] = [Started(version="simulation")]
            if first:
                started = [self._epoch(self.configuration), *started]
                started += [
                    SeriesAdded(series=self.world.begin_series(self.memory.series)),
                    self.world.customers(self.chance, replace=True),
                ]
            if not self._process(started):
                self._inbox.clear()
                raise StoreError("the log is full at the start.")  # noqa: TRY301 -- as the daemon would end
        except StoreError:
            self._perish("the disk is full at the start")
            return
        self.book.note(f"{self._when()} life {self.life} begins, {core.replayed} entries replayed")
        self._inbox = [*self._unsent]
        self._later(0.5, self._tick)
        self._later(SNAPSHOT_SECONDS, self._snapshot)

    def _alive(self) -> tuple[Core, LyingEdges]:
        if self.core is None or self.edges is None:
            raise RuntimeError("simulation: nothing can happen in a dead process; a bug of the simulation itself.")
        return self.core, self.edges

    def _die(self, seam: str) -> None:
        self.book.note(f"{self._when()} killed at {seam}")
        self._perish(seam)

    def _perish(self, why: str) -> None:
        """The process is gone, with all that it had in memory; a new one comes after a while."""
        del why
        self.core, self.edges = None, None
        self.life += 1
        self._inbox.clear()
        self.trouble.kill_in = None
        self.memory.restart()
        self._at(self.clock.monotonic + self.chance.choice((1.0, 3.0, 30.0, 600.0)), self._reborn)

    def _reborn(self) -> None:
        if self.core is None:
            if self.chance.random() < 0.1 and self.clock.monotonic < self.end:
                self.trouble.kill_in = self.chance.randint(0, 8)
            self._birth()

    def _idle_kill(self) -> None:
        """kill -9 between two entries: what was lived can be compared with what is loaded."""
        if self.core is not None and not self.core.stalled:
            self._lived = _state_of(self.core)
            self._die("idle")

    def _outlet(self, entry: Entry, effects: Effects) -> None:
        core, edges = self._alive()
        self.trouble.seam("outlet.before")
        now = Stepped(entry=entry, effects=effects, core=core)
        self.book.read_to(entry.seq)
        self._hold(promises.AT_STEP, now)
        if isinstance(entry.payload, Tick):
            self._hold(promises.AT_TICK, now)
        self.book.stepped_seq = entry.seq
        edges.take(effects)
        if effects.notices and self.trouble.kill_in is None and self.chance.random() < 0.05:
            self.trouble.kill_in = self.chance.randint(0, 12)
        if effects.notices and self.panic.random() < 0.04:  # somebody sees them go, and stops everything
            self._at(self.clock.monotonic + 0.3, partial(self._say, CommandKind.KILL))
            self._at(self.clock.monotonic + self.panic.uniform(5.0, 900.0), partial(self._say, CommandKind.UNKILL))
        self.trouble.seam("outlet.after")

    # the witness

    def _kept(self, operation: str) -> None:
        """A transaction is durable: the book learns of it before the process may die of it."""
        if operation == "log.append":
            self.book.log(self._last_group())
        elif operation == "state.commit" and (change := self.memory.state.under_way) is not None:
            self.book.commit(change)
            for rows in change.notices:
                self._written(rows)

    def _last_group(self) -> LogGroup:
        return next(iter(self.memory.log.read(self.book.logged_seq)))

    def _written(self, rows: NoticeRows) -> None:
        core, _ = self._alive()
        self.book.note(
            f"{self._when()} {rows.communication} {rows.phase.name.lower()}.{rows.revision}: {rows.customer.tolist()}"
        )
        self._hold(promises.AT_WRITE, Written(rows=rows, core=core))
        if rows.phase is Phase.FIRST:
            self._judge(rows)

    def _judge(self, rows: NoticeRows) -> None:
        """Truth: was the customer hurt at all, lately? Not a promise, but the goal is zero."""
        core, _ = self._alive()
        customers = core.state.customers
        services = self.book.communications[rows.communication].services
        now = self.clock.monotonic
        for customer in rows.customer.tolist():
            bits, site = int(customers["services"][customer]), customers.sites[int(customers["site"][customer])]
            mine = [name for place, name in enumerate(customers.services) if bits >> place & 1 and name in services]
            hurt = any(self.world.was_broken(name, site, now - 1200.0, now) for name in mine)
            self.book.told_wrongly += not hurt

    def _sent(self, rows: NoticeRows, index: int) -> None:
        key = (int(rows.customer[index]), rows.phase, rows.revision)
        self.book.submitted[rows.communication, key] += 1
        self.book.submitted_to[rows.communication, rows.phase, rows.revision, int(rows.digest[index])] += 1
        self._hold(promises.AT_SEND, Sent(rows=rows, index=index))

    def _alerted(self, alert: Alert) -> None:
        self.book.alerted.setdefault(alert.id, []).append((alert, self.clock.wall))

    def _hold(self, kept: Iterable[Promise], now: object) -> None:
        for promise in kept:
            for sentence in promise(self.book, now):
                raise _PromiseBroken(self._broken(promise.__name__, sentence, tuple(self.book.trace)))

    def _broken(self, promise: str, detail: str, trace: tuple[str, ...]) -> Broken:
        return Broken(
            seed=self.seed,
            promise=promise,
            seq=self.book.logged_seq,
            at=self.clock.wall,
            detail=detail,
            trace=trace,
        )

    def _when(self) -> str:
        passed = self.clock.monotonic - self.begin
        return f"{passed // 86_400:.0f}d{passed % 86_400 / 3600:05.2f}h #{self.book.logged_seq}"

    # what goes on

    def _tick(self) -> None:
        if self.core is None:
            return
        if not self.core.stalled:
            self._submit(Tick())
        self._later(self._pace(), self._tick)

    def _pace(self) -> float:
        """Coarse in quiet times, finer while something lasts or is told."""
        telling = (CommunicationState.HOLDING, CommunicationState.TELLING, CommunicationState.ENDING)
        if any(one.state in telling for one in self.book.communications.values()):
            return TELLING_TICK_SECONDS
        if any(one.state not in OVER for one in self.book.incidents.values()):
            return HURT_TICK_SECONDS
        return QUIET_TICK_SECONDS

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

    def _measure(self) -> None:
        """The prober is another process: it measures while the core is dead, and sends until it is acknowledged."""
        batch = self.world.measure(self.chance, self.clock.monotonic, self.clock.wall)
        luck = self.chance.random() if self.clock.monotonic < self.end else 1.0
        if luck < 0.01:  # held up somewhere, long
            self._at(self.clock.monotonic + self.chance.uniform(400.0, 2000.0), partial(self._deliver, batch))
        elif luck < 0.03:  # held up a little: overtaken by the next
            self._at(self.clock.monotonic + PROBE_SECONDS + 5.0, partial(self._deliver, batch))
        else:
            self._deliver(batch)
            if luck < 0.05:  # sent twice
                self._at(self.clock.monotonic + 20.0, partial(self._deliver, batch))
        self._at(self.clock.monotonic + PROBE_SECONDS, self._measure)

    def _deliver(self, payload: Payload) -> None:
        if len(self._unsent) < 500:  # noqa: PLR2004, RUF100 -- the prober's own buffer
            self._unsent.append(payload)
        self._submit(payload)

    def _recheck(self, probe: str) -> None:
        def again() -> None:
            self._deliver(self.world.measure(self.chance, self.clock.monotonic, self.clock.wall, (probe,)))

        self._later(self.chance.uniform(1.0, 3.0), again)

    # what people and the house do to it

    def _plan(self) -> None:
        """Spreads the trouble over the days, from the seed."""
        chance = entropy(self.seed, "plan")
        self._at(self.begin + 5.0, self._measure)
        daily: tuple[tuple[int, Callable[[], None]], ...] = (
            (KILLS_A_DAY, self._arm),
            (4, self._idle_kill),
            (2, self._fill_disk),
            (2, partial(self._step_clock, chance)),
            (2, partial(self._reload, chance)),
            (2, partial(self._reload_badly, chance)),
            (2, partial(self._load_customers, chance)),
            (12, partial(self._malformed, chance)),
            (40, partial(self._command, chance)),
            (60, partial(self._contact, chance)),
        )
        for times, what in daily:
            for _ in range(round(times * self.days)):
                self._at(chance.uniform(self.begin + 60.0, self.end), what)
        for fault in self.world.faults:  # people do most while something is wrong
            for _ in range(4):
                self._at(fault.begin + chance.uniform(60.0, 1800.0), partial(self._command, chance))
                self._at(fault.begin + chance.uniform(60.0, 1800.0), partial(self._contact, chance))
            if chance.random() < 0.5:
                self._at(fault.begin + chance.uniform(200.0, 2400.0), self._arm)

    def _arm(self) -> None:
        if self.clock.monotonic < self.end:
            self.trouble.kill_in = self.chance.choice((0, 1, 2, 3, 5, 8, 20))

    def _fill_disk(self) -> None:
        self.trouble.full = True
        self._at(self.clock.monotonic + self.chance.uniform(5.0, 200.0), self._empty_disk)

    def _empty_disk(self) -> None:
        self.trouble.full = False

    def _step_clock(self, chance: object) -> None:
        del chance
        self.clock.step(self.chance.choice((-3600.0, -90.0, -3.0, 3.0, 60.0, 1800.0)))

    def _epoch(self, configuration: Configuration) -> ConfigEpoch:
        document = configuration.document()
        return ConfigEpoch(hash=hash_of(document), author="ana", document=document)

    def _reload(self, chance: object) -> None:
        del chance
        base = self.world.configuration
        self.configuration = base if self.chance.random() < 0.4 else variant(base, self.chance)
        self.reloads += 1
        self.book.note(f"{self._when()} reload")
        self._submit(self._epoch(self.configuration))

    def _reload_badly(self, chance: object) -> None:
        """A damaged document is refused before it becomes an entry, and the old one stays."""
        del chance
        document = self.configuration.document().replace(b'"settings":', b'"setings":', 1)
        before = self._epoch_now()
        try:
            Configuration.from_document(document)
            accepted = True
        except ValueError:
            accepted = False
        now = Reloaded(accepted=accepted, before=before, after=self._epoch_now())
        self._hold(promises.AT_RELOAD, now)

    def _epoch_now(self) -> str:
        return self.core.state.epoch if self.core is not None else ""

    def _malformed(self, chance: object) -> None:
        del chance
        known = tuple(int(one.id) for one in self.world.series)
        self._submit(nonsense(self.nonsense, known, self.clock.wall))

    def _load_customers(self, chance: object) -> None:
        del chance
        self._submit(self.world.customers(self.chance, replace=True))

    def _command(self, chance: object) -> None:
        del chance
        incidents = [one.id for one in self.book.incidents.values()][-5:] or ["inc-none"]
        communications = [one.id for one in self.book.communications.values()][-5:] or ["com-none"]
        kind = self.chance.choice(
            (
                CommandKind.ACKNOWLEDGE,
                CommandKind.CONFIRM,
                CommandKind.CONFIRM,
                CommandKind.CLOSE,
                CommandKind.CANCEL,
                CommandKind.RELEASE,
                CommandKind.RELEASE,
                CommandKind.DECLINE,
                CommandKind.KILL,
                CommandKind.HOLD_SENDING,
            )
        )
        subject = self.chance.choice(incidents)
        if kind in (CommandKind.RELEASE, CommandKind.DECLINE):
            subject = self.chance.choice(communications)
        if kind is CommandKind.KILL:
            self._at(self.clock.monotonic + self.chance.uniform(30.0, 3000.0), partial(self._say, CommandKind.UNKILL))
        if kind is CommandKind.HOLD_SENDING:
            self._at(self.clock.monotonic + self.chance.uniform(30.0, 3000.0), partial(self._say, CommandKind.RELEASE))
        self._say(kind, subject if kind not in (CommandKind.KILL, CommandKind.HOLD_SENDING) else "")

    def _say(self, kind: CommandKind, subject: str = "") -> None:
        self.book.note(f"{self._when()} {kind} {subject}")
        self._submit(Command(kind=kind, actor="ana", subject=subject))

    def _contact(self, chance: object) -> None:
        del chance
        kind = self.chance.choice((*ContactKind, ContactKind.CALL_QUEUED, ContactKind.TICKET_OPENED))
        customer = self.chance.randrange(self.world.size)
        service = self.chance.choice(("", "data", "top-up"))
        known = list(self.book.communications)
        communication = self.chance.choice(known) if known and kind is ContactKind.TOLD_BY_AGENT else ""
        self._submit(Contact(kind=kind, customer=customer, service=service, communication=communication))

    # the end

    def _rest(self) -> None:
        """No more trouble: what began may end."""
        self.trouble.kill_in, self.trouble.full = None, False
        for wait in (1.0, 600.0, 1300.0):
            self._at(self.end + wait, partial(self._say, CommandKind.UNKILL))
            self._at(self.end + wait, partial(self._say, CommandKind.RELEASE))
        self._at(self.end + 10.0, self._release_all)

    def _release_all(self) -> None:
        for communication in self.book.communications.values():
            self._say(CommandKind.RELEASE, communication.id)

    def _finish(self) -> None:
        if self.core is None:
            self._birth()
        core, _ = self._alive()
        lived = _remembered(self.memory)
        replayed = None if self.book.skipped else self._replayed()
        self._hold(promises.AT_END, Finished(core=core, lived=lived, replayed=replayed))

    def _replayed(self) -> dict[str, object]:
        """The whole log through a process that never dies, into an empty store."""
        fresh = MemoryStore()
        for group in self.book.groups:
            fresh.log.append(group)
        core = Core(fresh.store(), lambda _entry, _effects: None)
        core.recover(wall=self.clock.wall)
        return _remembered(fresh)

    def _report(self, broken: Broken | None, cpu_seconds: float) -> SimulationReport:
        book = self.book
        rows = [(phase, row) for box in book.outbox.values() for (_, phase, _), row in box.items()]
        return SimulationReport(
            seed=self.seed,
            days=self.days,
            broken=broken,
            entries=book.logged_seq,
            starts=self.starts,
            kills=self.trouble.struck,
            refusals=self.trouble.refusals,
            reloads=self.reloads,
            faults=len(self.world.faults),
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


def _state_of(core: Core) -> dict[str, object]:
    """Everything that a core remembers, comparable."""
    state = core.state
    whole: dict[str, object] = {"seq": state.seq, "at": state.at, "epoch": state.epoch}
    for table in (*state.improve.tables(), *state.report.tables()):
        whole[f"rows of {table.table}"] = [msgspec.json.encode(record) for record in table]
    whole.update((f"analyze {name}", block) for name, block in analyze.snapshot(state.analyze).items())
    whole["customers"] = state.customers.dump()
    whole["told"] = [(one.id, state.report.told_of(one.id).states()) for one in state.report.communications]
    return whole


def _remembered(memory: MemoryStore) -> dict[str, object]:
    """What is durable: rows in their order, and the outbox."""
    state = memory.state
    whole: dict[str, object] = {"applied_seq": state.applied_seq()}
    for table in sorted(state._rows):  # noqa: SLF001 -- the fake's own memory: its tables have no list of names
        whole[f"rows of {table}"] = list(state.rows(table))
    for key, _ in state.rows("communication"):
        columns = state.outbox(key)
        whole[f"outbox of {key}"] = [
            getattr(columns, name).tolist() for name in ("customer", "digest", "phase", "revision", "state", "at")
        ]
    return whole
