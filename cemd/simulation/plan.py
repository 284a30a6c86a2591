"""The plan of one life: which mishaps befall the daemon, and when, drawn from the seed and named one by one.

Each mishap and each habit of the outside has a name and a chance of its own, so that leaving one out moves no other: a
failing life can be shrunk to the few that it takes, and what is left is written as options of the command.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

import msgspec

from cemd.simulation.fakes import entropy

DAILY = {
    "kill": 10,
    "idle-kill": 4,
    "full-disk": 2,
    "clock-step": 2,
    "reload": 2,
    "bad-reload": 2,
    "customer-file": 2,
    "nonsense": 12,
    "command": 40,
    "contact": 60,
    "stop": 6,
    "run-now": 12,
    "agent-away": 2,
}
"""How often a day each kind of mishap happens."""
HABITS = ("kills-while-telling", "kills-at-birth", "steps-while-down", "panic", "disorder", "lies", "dead-servers")
"""What may go wrong by chance all the time: deaths around sends and at starts, a clock that is set while nobody runs,
somebody who pulls the kill switch when he sees notices go, input that is late, doubled or overtaken, transports that
refuse, lose and lie, and servers behind them that cannot be reached for a while."""
AT_A_FAULT = 4
"""Commands and contacts that follow each fault: people do most while something is wrong."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a seed is to live through; without the optional parts, everything that it would.

    Attributes:
        seed: Decides everything else.
        days: Length, and the span over which mishaps and faults are drawn.
        until: Days after which nothing begins to go wrong any more; None: `days`.
        customers: How many there are; None: as the seed says.
        only: Names of the mishaps, habits and faults that happen; None: all.
    """

    seed: int
    days: float
    until: float | None = None
    customers: int | None = None
    only: tuple[str, ...] | None = None

    def has(self, name: str) -> bool:
        """Whether a mishap, habit or fault of this name may happen."""
        return self.only is None or name in self.only

    @property
    def length_seconds(self) -> float:
        return (self.days if self.until is None else self.until) * 86_400.0

    def options(self) -> str:
        """The options of `cemd simulate` that live this plan again."""
        words = ["--seeds", str(self.seed), "--days", f"{self.days:g}"]
        words += ["--until", repr(self.until)] if self.until is not None else []
        words += ["--customers", str(self.customers)] if self.customers is not None else []
        words += ["--only", ",".join(self.only) or "none"] if self.only is not None else []
        return shlex.join(words)


class Mishap(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happens once. `at`: seconds after the beginning."""

    name: str  # kind and number: kill.3
    at: float

    @property
    def kind(self) -> str:
        return self.name.partition(".")[0]


def mishaps(plan: Plan, faults: Sequence[float]) -> Iterator[Mishap]:
    """All that the plan holds, by kind; `faults` are the seconds at which something begins to be wrong."""
    for mishap in _drawn(plan, faults):
        if plan.has(mishap.name) and mishap.at <= plan.length_seconds:
            yield mishap


def _drawn(plan: Plan, faults: Sequence[float]) -> Iterator[Mishap]:
    chance = entropy(plan.seed, "plan")
    for kind, times in DAILY.items():
        for number in range(round(times * plan.days)):
            yield Mishap(name=f"{kind}.{number}", at=chance.uniform(60.0, plan.days * 86_400.0))
    for place, begin in enumerate(faults):
        chance = entropy(plan.seed, f"plan of fault {place}")
        for number in range(AT_A_FAULT):
            for kind in ("command", "contact"):
                yield Mishap(name=f"{kind}.f{place}-{number}", at=begin + chance.uniform(60.0, 1800.0))
        if chance.random() < 0.5:
            yield Mishap(name=f"kill.f{place}", at=begin + chance.uniform(200.0, 2400.0))


def names(plan: Plan, faults: Sequence[tuple[str, float]]) -> list[str]:
    """Everything that could be left out, by name: mishaps, habits, and the faults of the world with their seconds."""
    found = [one.name for one in mishaps(plan, [begin for _, begin in faults])]
    found += [habit for habit in HABITS if plan.has(habit)]
    found += [name for name, begin in faults if plan.has(name) and begin <= plan.length_seconds]
    return found
