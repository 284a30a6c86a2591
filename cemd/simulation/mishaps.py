"""What people and the house do to the daemon: each mishap of the plan, carried out with a chance of its own."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

from cemd.config.configuration import Configuration, hash_of
from cemd.config.topology import Topology
from cemd.model.entry import Command, CommandKind, ConfigEpoch, Contact, ContactKind, Payload
from cemd.simulation import promises
from cemd.simulation.arrivals import Arrivals
from cemd.simulation.book import Book
from cemd.simulation.fakes import FakeClock, Trouble, entropy
from cemd.simulation.nonsense import nonsense
from cemd.simulation.plan import Mishap, Plan
from cemd.simulation.promises.moments import Promise, Reloaded
from cemd.simulation.surroundings import Surroundings

COMMANDS = (
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
KILL_WITHIN_SEAMS = (0, 1, 2, 3, 5, 8, 20)
CLOCK_STEPS_SECONDS = (-3600.0, -90.0, -3.0, 3.0, 60.0, 1800.0)


class Victim(ABC):
    """The life that mishaps befall."""

    plan: Plan
    clock: FakeClock
    trouble: Trouble
    book: Book
    world: Surroundings
    arrivals: Arrivals
    configuration: Configuration
    end: float
    reloads: int
    contacts: int

    @abstractmethod
    def at(self, when: float, what: Callable[[], None], *, life: int = -1) -> None:
        """Something to do at a monotonic instant; with a life, only if the process still lives it then."""

    @abstractmethod
    def submit(self, payload: Payload) -> None:
        """Gives the daemon an entry, if there is one to take it."""

    @abstractmethod
    def epoch(self) -> str:
        """The configuration that the core stands on; "" while it is dead."""

    @abstractmethod
    def idle_kill(self) -> None:
        """kill -9 between two entries."""

    @abstractmethod
    def stop(self) -> None:
        """A clean stop: the edges say what they know, it is logged, and the process ends."""

    @abstractmethod
    def hold(self, kept: tuple[Promise, ...], now: object) -> None:
        """Asks promises."""

    @abstractmethod
    def note(self, what: str) -> None:
        """Writes into the trace, with the time."""

    def say(self, kind: CommandKind, subject: str = "") -> None:
        """A command of a person."""
        self.note(f"{kind} {subject}".rstrip())
        self.submit(Command(kind=kind, actor="ana", subject=subject))


Act = Callable[[Victim, random.Random], None]


def befall(victim: Victim, mishap: Mishap) -> None:
    """Lets one mishap happen now."""
    ACTS[mishap.kind](victim, entropy(victim.plan.seed, mishap.name))


def epoch_of(configuration: Configuration) -> ConfigEpoch:
    """The entry that makes a configuration the valid one."""
    document = configuration.document()
    return ConfigEpoch(hash=hash_of(document), author="ana", document=document)


def _arm(victim: Victim, chance: random.Random) -> None:
    """The process will die at one of the next seams: before or after a commit, a send, an acknowledgement."""
    if victim.clock.monotonic < victim.end:
        victim.trouble.kill_in = chance.choice(KILL_WITHIN_SEAMS)


def _idle_kill(victim: Victim, chance: random.Random) -> None:
    del chance
    victim.idle_kill()


def _stop(victim: Victim, chance: random.Random) -> None:
    del chance
    victim.stop()


def _fill_disk(victim: Victim, chance: random.Random) -> None:
    victim.trouble.full = True
    victim.at(victim.clock.monotonic + chance.uniform(5.0, 200.0), partial(_empty_disk, victim))


def _empty_disk(victim: Victim) -> None:
    victim.trouble.full = False


def step_clock(victim: Victim, chance: random.Random) -> None:
    """Somebody sets the clock, whether the daemon is up or not."""
    seconds = chance.choice(CLOCK_STEPS_SECONDS)
    victim.note(f"the clock steps by {seconds:g} s")
    victim.clock.step(seconds)


def _reload(victim: Victim, chance: random.Random) -> None:
    base = victim.world.configuration
    victim.configuration = base if chance.random() < 0.4 else victim.world.edited(chance)
    victim.reloads += 1
    victim.note("reload")
    victim.submit(epoch_of(victim.configuration))


def _reload_badly(victim: Victim, chance: random.Random) -> None:
    """A damaged document is refused before it becomes an entry, and the old one stays."""
    del chance
    document = victim.configuration.document().replace(b'"settings":', b'"setings":', 1)
    before = victim.epoch()
    try:
        Configuration.from_document(document)
        accepted = True
    except ValueError:
        accepted = False
    now = Reloaded(accepted=accepted, before=before, after=victim.epoch())
    victim.hold(promises.AT_RELOAD, now)


def _load_customers(victim: Victim, chance: random.Random) -> None:
    victim.submit(victim.world.customer_file(chance))


def _malformed(victim: Victim, chance: random.Random) -> None:
    victim.submit(nonsense(chance, victim.world.series_numbers(), victim.clock.wall))


def _command(victim: Victim, chance: random.Random) -> None:
    incidents = [one.id for one in victim.book.incidents.values()][-5:] or ["inc-none"]
    communications = [one.id for one in victim.book.communications.values()][-5:] or ["com-none"]
    kind = chance.choice(COMMANDS)
    later = victim.clock.monotonic + chance.uniform(30.0, 3000.0)
    match kind:
        case CommandKind.KILL:
            victim.at(later, partial(victim.say, CommandKind.UNKILL))
            victim.say(kind)
        case CommandKind.HOLD_SENDING:
            victim.at(later, partial(victim.say, CommandKind.RELEASE))
            victim.say(kind)
        case CommandKind.RELEASE | CommandKind.DECLINE:
            victim.say(kind, chance.choice(communications))
        case _:
            victim.say(kind, chance.choice(incidents))


def _run_now(victim: Victim, chance: random.Random) -> None:
    """Somebody wants a probe to run, also one that the files do not have any more; impatiently at times."""
    probes = [probe.identity() for probe in victim.world.configuration.probes]
    subject = chance.choice([*probes, "ghost"])
    for _ in range(chance.choice((1, 1, 1, 20))):
        victim.say(CommandKind.RUN, subject)


def _agent_away(victim: Victim, chance: random.Random) -> None:
    """The prober of a vantage point is stopped for a while; what it would have measured is never sent."""
    name, seconds = chance.choice(list(Topology(victim.configuration).posts)), chance.uniform(900.0, 3600.0)
    victim.note(f"the prober of {name} is away for {seconds:.0f} s")
    victim.arrivals.stop(f"prober:{name}", seconds)


def _contact(victim: Victim, chance: random.Random) -> None:
    kind = chance.choice((*ContactKind, ContactKind.CALL_QUEUED, ContactKind.TICKET_OPENED))
    customer = chance.randrange(victim.world.customer_count)
    service = chance.choice(victim.world.calls_about)
    known = list(victim.book.communications)
    communication = chance.choice(known) if known and kind is ContactKind.TOLD_BY_AGENT else ""
    victim.contacts += 1
    victim.submit(Contact(kind=kind, customer=customer, service=service, communication=communication))


ACTS: dict[str, Act] = {
    "kill": _arm,
    "idle-kill": _idle_kill,
    "full-disk": _fill_disk,
    "clock-step": step_clock,
    "reload": _reload,
    "bad-reload": _reload_badly,
    "customer-file": _load_customers,
    "nonsense": _malformed,
    "command": _command,
    "contact": _contact,
    "stop": _stop,
    "run-now": _run_now,
    "agent-away": _agent_away,
}
